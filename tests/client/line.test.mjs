import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World } from './support/world.mjs';

test('tries come less and less often, with jitter, but at least every 30 seconds', async () => {
  const world = new World();
  world.server.admits = () => false;
  const { chat } = world.device('driver');
  const waits = [];
  chat.on('change', () => chat.state === 'waiting' && waits.push(chat.retryAt - world.clock.now()));
  await world.pass(200_000);
  const distinct = waits.filter((wait, index) => wait !== waits[index - 1]);
  distinct.slice(0, 6).forEach((wait, index) => {
    assert.ok(wait >= 250 * 2 ** index && wait <= 500 * 2 ** index, `try ${index} after ${wait} ms`);
  });
  assert.ok(distinct.every((wait) => wait <= 30_000));
  assert.equal(new Set(distinct).size, distinct.length);
});

test('a line that has worked is opened again at once when it breaks', async () => {
  const world = new World();
  const { chat, WebSocket } = world.device('driver');
  await world.pass(1_000);
  for (let count = 0; count < 5; count += 1) {
    WebSocket.latest.cut();
    await world.pass(600);
    assert.equal(chat.state, 'open');
    await world.pass(100);
  }
});

test('a token travels as a subprotocol, and a function is asked for one before each connection', async () => {
  const world = new World();
  let asked = 0;
  const { WebSocket, chat } = world.device('driver', { token: async () => `token-${++asked}` });
  await world.pass(100);
  assert.deepEqual(WebSocket.latest.protocols, ['navietakie.v1', 'bearer.token-1']);
  WebSocket.latest.cut();
  await world.pass(1_000);
  assert.deepEqual(WebSocket.latest.protocols, ['navietakie.v1', 'bearer.token-2']);
  assert.equal(chat.state, 'open');
});

test('a refused token ends the tries, with the reason that REST gives', async () => {
  const world = new World();
  world.server.admits = () => false;
  world.server.restRefusal = { status: 403, code: 'forbidden', message: 'The token is for another booking' };
  const { chat, problems } = world.device('driver', { token: 'wrong' });
  await world.pass(60_000);
  assert.equal(chat.state, 'refused');
  assert.equal(chat.refusal.code, 'forbidden');
  assert.equal(problems.length, 1);
});

/** The ways in which a handshake may fail without a close. */
const FAILURES = {
  'with an error alone': {
    cut() {
      this.readyState = 3;
      this.onerror?.({});
    },
  },
  'with an error and then a close': {
    cut() {
      this.readyState = 3;
      this.onerror?.({});
      this.onclose?.({});
    },
  },
  'by never ending': { cut() {} },
};
for (const [how, shape] of Object.entries(FAILURES)) {
  test(`a handshake that fails ${how} is tried again, and diagnosed`, async () => {
    const world = new World();
    world.server.admits = () => false;
    const FakeWebSocket = world.server.WebSocket;
    Object.assign(FakeWebSocket.prototype, shape);
    const { chat, states } = world.device('driver', { token: 'wrong', WebSocket: FakeWebSocket });
    await world.pass(how === 'by never ending' ? 15_020 : 20);
    assert.equal(chat.state, 'waiting');
    world.server.admits = () => true;
    await world.pass(600);
    assert.deepEqual(states, ['connecting', 'waiting', 'connecting', 'open']);

    world.server.admits = () => false;
    world.server.restRefusal = { status: 401, code: 'unauthorized', message: 'The token is not valid' };
    const refused = world.device('driver', { token: 'wrong', WebSocket: FakeWebSocket });
    await world.pass(20_000);
    assert.equal(refused.chat.refusal?.code, 'unauthorized');
    assert.deepEqual(refused.states, ['connecting', 'waiting', 'refused']);
  });
}

test('an error on a line that was given up does not touch the next one', async () => {
  const world = new World();
  const { chat, WebSocket } = world.device('driver');
  await world.pass(100);
  const first = WebSocket.latest;
  first.cut();
  while (chat.state !== 'connecting') await world.pass(10);
  first.onerror({});
  assert.equal(chat.state, 'connecting');
});

test('another token opens a refused line', async () => {
  const world = new World();
  world.server.admits = ({ protocols }) => protocols.includes('bearer.right');
  world.server.restRefusal = { status: 401, code: 'unauthorized', message: 'The token is not valid' };
  const { chat } = world.device('driver', { token: 'wrong' });
  await world.pass(5_000);
  assert.equal(chat.state, 'refused');
  chat.reconnect({ token: 'right' });
  await world.pass(500);
  assert.equal(chat.state, 'open');
});

test('a server that cannot be reached is tried again and again', async () => {
  const world = new World();
  world.server.admits = () => false;
  world.server.fetch = async () => {
    throw new TypeError('fetch failed');
  };
  const { chat } = world.device('driver', { token: 'right' });
  await world.pass(60_000);
  assert.notEqual(chat.state, 'refused');
  world.server.admits = () => true;
  await world.pass(31_000);
  assert.equal(chat.state, 'open');
});

test('if the token function fails, that is a problem event, and it is called again', async () => {
  const world = new World();
  let failures = 2;
  const token = async () => {
    if (failures-- > 0) throw new Error('the backend says 500');
    return 'token';
  };
  const { chat, problems } = world.device('driver', { token });
  await world.pass(5_000);
  assert.deepEqual(
    problems.map((each) => each.message),
    ['the backend says 500', 'the backend says 500'],
  );
  assert.equal(chat.state, 'open');
});

test('a token function that fails during a diagnosis is no refusal', async () => {
  const world = new World();
  world.server.admits = () => false;
  let asked = 0;
  const token = async () => {
    if (++asked === 2) throw new Error('the backend says 500');
    return 'token';
  };
  const { chat } = world.device('driver', { token });
  await world.pass(5_000);
  assert.notEqual(chat.state, 'refused');
});

test('a text that is no token is refused here, and appears in no error', async () => {
  const world = new World();
  const { chat, problems, states, WebSocket } = world.device('driver', { token: 'not a token' });
  await world.pass(1_000);
  assert.deepEqual([chat.state, chat.refusal.code], ['refused', 'unauthorized']);
  assert.deepEqual(states, ['connecting', 'refused']);
  assert.equal(WebSocket.latest, null);
  assert.equal(problems.length, 1);
  assert.doesNotMatch(chat.refusal.message, /not a token/);
});

test('if the token function returns no token, that is a problem event, and the next try calls it again', async () => {
  const world = new World();
  const given = ['<h1>502</h1>', 'token'];
  const { chat, problems } = world.device('driver', { token: () => given.shift() });
  await world.pass(1_000);
  assert.deepEqual([problems[0].code, problems[0].retryable], ['unauthorized', true]);
  assert.equal(chat.state, 'open');
});

test('a token that runs out is replaced where a function gives tokens', async () => {
  const world = new World();
  const refusals = [];
  const token = (refused) => {
    refusals.push(refused);
    return `token-${refusals.length}`;
  };
  world.server.refuse = (_, { protocols }) => (protocols.includes('bearer.token-1') ? { code: 'token_expired' } : null);
  const { chat } = world.device('driver', { token });
  await world.pass(2_000);
  assert.equal(chat.state, 'open');
  assert.equal(chat.ready, true);
  assert.deepEqual(refusals.slice(0, 2), [false, true]);
});

test('a token that runs out and cannot be replaced ends the tries', async () => {
  const world = new World();
  world.server.refuse = () => ({ code: 'token_expired' });
  const { chat } = world.device('driver', { token: 'old' });
  await world.pass(2_000);
  assert.equal(chat.state, 'refused');
  assert.equal(chat.refusal.code, 'token_expired');
});

test('a connection that the server has forgotten is replaced', async () => {
  const world = new World();
  const { chat, WebSocket, problems } = world.device('driver');
  await world.pass(200);
  const forgotten = WebSocket.latest;
  world.server.refuse = (_, connection) => (connection === forgotten ? { code: 'not_found' } : null);
  forgotten.post({ type: 'error', booking_code: null, error: { code: 'not_found', message: 'connect again' } });
  await world.pass(1_000);
  assert.notEqual(WebSocket.latest, forgotten);
  assert.equal(chat.state, 'open');
  assert.deepEqual(problems, []);
});

test('a closed conversation stays closed', async () => {
  const world = new World();
  const { chat } = world.device('driver');
  await world.pass(100);
  chat.close();
  await world.pass(100_000);
  assert.equal(chat.state, 'closed');
  assert.equal(world.server.connections.size, 0);
});

test('a closed conversation is not opened again by reconnect', async () => {
  const world = new World();
  const { chat } = world.device('driver');
  await world.pass(100);
  chat.close();
  chat.reconnect({ token: 'another' });
  await world.pass(1_000);
  assert.equal(chat.state, 'closed');
  assert.equal(world.server.connections.size, 0);
});

test('every frame either way is shown to whoever listens', async () => {
  const world = new World();
  const { chat } = world.device('driver');
  const seen = [];
  chat.on('frame', ({ direction, frame, text }) => seen.push([direction, frame.action ?? frame.type, typeof text]));
  await world.pass(100);
  assert.deepEqual(seen, [
    ['out', 'sync', 'string'],
    ['in', 'sync', 'string'],
  ]);
});
