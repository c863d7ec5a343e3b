import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jwt } from './support/tokens.mjs';
import { World, texts } from './support/world.mjs';

/** A function that makes tokens for so many seconds of the server's clock, and records its arguments. */
function issuer({ clock, server }, seconds, claims = {}) {
  const asked = [];
  const token = async (refused) => {
    asked.push(refused);
    const exp = Math.round((clock.now() + server.ahead) / 1_000) + seconds;
    return jwt({ sub: 'anna', role: 'driver', booking_code: 'test', exp, n: asked.length, ...claims });
  };
  return { token, asked };
}

const bearer = ({ protocols }) => JSON.parse(Buffer.from(protocols[1].split('.')[2], 'base64url'));

/** The server sends nothing to a connection whose token has expired, and refuses its frames. */
function enforceExpiry({ clock, server }) {
  const over = (socket) => bearer(socket).exp * 1_000 <= clock.now() + server.ahead;
  server.refuse = (frame, socket) => (over(socket) ? { code: 'token_expired' } : null);
  const tell = server.tell.bind(server);
  server.tell = (frame, to = () => true) => tell(frame, (each) => !over(each) && to(each));
  server.admits = (socket) => !over(socket);
}

for (const ahead of [0, 300_000, -300_000]) {
  test(`a token is renewed before it runs out, the device's clock being ${-ahead / 1_000} s ahead`, async () => {
    const world = new World();
    world.server.ahead = ahead;
    const { token, asked } = issuer(world, 600);
    enforceExpiry(world);
    const { chat, states, heard, WebSocket } = world.device('driver', { token });
    await world.pass(560_000);
    assert.equal(asked.length, 1);
    const first = WebSocket.latest;
    await world.pass(12_000);
    assert.equal(asked.length, 2);
    assert.equal(asked[1], true); // true: a token from a cache is of no use
    assert.notEqual(WebSocket.latest, first);
    assert.equal(world.server.connections.size, 1);
    await world.pass(20_000);
    world.server.store({ sender: 'system', message: 'Hello' }); // the first token has expired, and no ping was sent
    await world.pass(100);
    assert.deepEqual(texts(heard), ['Hello']);
    assert.deepEqual(states, ['connecting', 'open']);
  });
}

test('while a token is renewed, the line stays open', async () => {
  const world = new World();
  const { token } = issuer(world, 600);
  const { chat, heard } = world.device('driver', { token });
  await world.pass(569_000);
  world.server.latency = () => 2_000;
  world.server.store({ sender: 'system', message: 'one' });
  await world.pass(2_500);
  assert.equal(chat.state, 'open');
  assert.deepEqual(texts(heard), ['one']);
});

test('a message in flight while a token is renewed is stored once', async () => {
  const world = new World();
  const { token } = issuer(world, 600);
  const { chat } = world.device('driver', { token });
  await world.pass(569_900);
  world.server.latency = () => 150;
  chat.send('one');
  chat.send('two');
  await world.pass(3_000);
  assert.deepEqual(texts(world.server.messages), ['one', 'two']);
  assert.deepEqual(chat.outbox, []);
});

test('a renewal that fails is tried again, and the line stays as long as the token is valid', async () => {
  const world = new World();
  const { token } = issuer(world, 600);
  enforceExpiry(world);
  let asked = 0;
  const flaky = (refused) => {
    asked += 1;
    if (asked > 1 && world.clock.now() < until) throw new Error('the backend is down');
    return token(refused);
  };
  const until = world.clock.now() + 590_000;
  const { chat, states, problems } = world.device('driver', { token: flaky });
  await world.pass(589_000);
  assert.equal(chat.state, 'open');
  assert.equal(problems[0].message, 'the backend is down');
  await world.pass(20_000);
  assert.deepEqual(states, ['connecting', 'open']);
});

test('a single token that runs out is refused when it does, not at the next ping', async () => {
  const world = new World();
  const exp = Math.round(world.clock.now() / 1_000) + 100;
  const { chat } = world.device('driver', { token: jwt({ sub: 'anna', exp }) });
  await world.pass(99_000);
  assert.equal(chat.state, 'open');
  await world.pass(1_500);
  assert.deepEqual([chat.state, chat.refusal.code], ['refused', 'token_expired']);
});

test('another token that is given before the old one runs out is used at once', async () => {
  const world = new World();
  const exp = Math.round(world.clock.now() / 1_000) + 100;
  const { chat, states, WebSocket } = world.device('driver', { token: jwt({ exp }) });
  await world.pass(50_000);
  chat.reconnect({ token: jwt({ exp: exp + 100 }) });
  await world.pass(100);
  assert.equal(bearer(WebSocket.latest).exp, exp + 100);
  await world.pass(60_000);
  assert.deepEqual(states, ['connecting', 'open']);
});

test('another token that is given while the old source is asked for one is the one that stays', async () => {
  const world = new World();
  const exp = Math.round(world.clock.now() / 1_000) + 100;
  let give;
  const tokens = [jwt({ exp })];
  const token = () => tokens.shift() ?? new Promise((resolve) => (give = resolve));
  const { chat, states } = world.device('driver', { token });
  await world.pass(90_000);
  world.server.latency = () => 500; // the handshake takes so long that the old source answers during it
  chat.reconnect({ token: jwt({ exp: exp + 4_000 }) });
  await world.pass(100);
  give(jwt({ exp: exp + 20 }));
  await world.pass(3_000);
  assert.deepEqual([...world.server.connections].map((each) => bearer(each).exp), [exp + 4_000]);
  await world.pass(300_000);
  assert.deepEqual(states, ['connecting', 'open']);
});

test('a token that is valid for years is not renewed', async () => {
  const world = new World();
  const exp = Math.round(world.clock.now() / 1_000) + 9 * 365 * 86_400;
  const { chat, WebSocket } = world.device('driver', { token: jwt({ exp }) });
  await world.pass(200);
  const first = WebSocket.latest;
  await world.pass(3_600_000);
  assert.equal(WebSocket.latest, first);
  assert.equal(chat.state, 'open');
});

test('a token that never comes is asked for again', async () => {
  const world = new World();
  let asked = 0;
  const token = () => (++asked === 1 ? new Promise(() => {}) : 'token');
  const { chat, problems } = world.device('driver', { token });
  await world.pass(16_000);
  assert.deepEqual(problems.map((each) => each.code), ['timeout']);
  assert.equal(chat.state, 'open');
});

test('reconnect replaces a try that hangs', async () => {
  const world = new World();
  const { chat } = world.device('driver', { token: () => new Promise(() => {}) });
  await world.pass(1_000);
  chat.reconnect({ token: 'token' });
  await world.pass(100);
  assert.equal(chat.state, 'open');
  await world.pass(60_000);
  assert.equal(chat.state, 'open');
  assert.equal(world.server.connections.size, 1);
});

test('reconnect replaces a handshake that hangs', async () => {
  const world = new World();
  world.server.latency = () => 60_000;
  const { chat, WebSocket } = world.device('driver');
  await world.pass(1_000);
  const hanging = WebSocket.latest;
  world.server.latency = () => 20;
  chat.reconnect();
  await world.pass(100);
  assert.equal(chat.state, 'open');
  await world.pass(120_000); // the old one would have opened meanwhile
  assert.deepEqual([chat.state, hanging.readyState, world.server.connections.size], ['open', 3, 1]);
});

for (const [what, claims, message] of [
  ['another role', { role: 'passenger' }, /for passenger of test/],
  ['another booking', { booking_code: 'other' }, /for driver of other/],
]) {
  for (const given of ['a text', 'a function']) {
    test(`a token of ${what} (${given}) ends the tries with the reason`, async () => {
      const world = new World();
      world.server.admits = () => false;
      const token = jwt({ exp: 4e9, ...claims });
      const { chat, WebSocket } = world.device('driver', { token: given === 'a text' ? token : () => token });
      await world.pass(60_000);
      assert.equal(WebSocket.latest, null);
      assert.deepEqual([chat.state, chat.refusal.code], ['refused', 'forbidden']);
      assert.match(chat.refusal.message, message);
    });
  }
}

for (const deviceId of ['', 'x'.repeat(65), 'über']) {
  test(`a device that is called '${deviceId.slice(0, 9)}' is refused with the reason`, async () => {
    const world = new World();
    const { chat, WebSocket } = world.device('driver', { deviceId });
    await world.pass(60_000);
    assert.equal(WebSocket.latest, null);
    assert.deepEqual([chat.state, chat.refusal.details.field], ['refused', 'device_id']);
  });
}

test('a device whose name is null gets one', async () => {
  const world = new World();
  const { chat, WebSocket } = world.device('driver', { deviceId: null });
  await world.pass(200);
  assert.match(chat.deviceId, /^[0-9a-f]{32}$/);
  assert.equal(WebSocket.latest.deviceId, chat.deviceId);
});

test('a replaced connection does not connect again and replace another', async () => {
  const world = new World();
  const { chat, WebSocket } = world.device('driver');
  await world.pass(200);
  const socket = WebSocket.latest;
  socket.post({ type: 'error', error: { code: 'connection_replaced', retryable: false } });
  await world.pass(50);
  socket.cut();
  await world.pass(120_000);
  assert.deepEqual([chat.state, chat.refusal.code], ['refused', 'connection_replaced']);
  assert.equal(world.server.connections.size, 0);
  chat.reconnect();
  await world.pass(200);
  assert.equal(chat.state, 'open');
});

test('a server that is too busy for a handshake is left alone as long as it says', async () => {
  const world = new World();
  world.server.admits = () => false;
  const busy = { ok: false, status: 429, headers: new Headers({ 'retry-after': '20' }) };
  const error = { code: 'rate_limited', message: 'Too many' };
  world.server.fetch = async () => ({ ...busy, json: async () => ({ error }) });
  const { chat, states } = world.device('driver');
  await world.pass(19_000);
  assert.deepEqual(states, ['connecting', 'waiting']);
  world.server.admits = () => true;
  await world.pass(2_000);
  assert.equal(chat.state, 'open');
});
