/** What a conversation makes of single frames and answers, and what it asks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStorage } from './support/storage.mjs';
import { jwt } from './support/tokens.mjs';
import { World, seqs, texts } from './support/world.mjs';

async function opened(sender = 'driver', options = {}) {
  const world = new World();
  const device = world.device(sender, options);
  await world.pass(200);
  const hears = (frame) => {
    device.socket.post(frame);
    return world.pass(100);
  };
  return { world, ...device, socket: device.socket, hears, now: () => device.socket };
}

const asked = ({ server }, action) => server.handled.filter((each) => each.action === action);
const refusal = (code, more) => ({ type: 'error', id: null, error: { code, retryable: false }, ...more });

for (const [action, act] of [
  ['message', (chat) => chat.send('Hello')],
  ['sync', null],
  ['call', (chat) => chat.calls.start().catch(() => {})],
  ['redact', (chat) => chat.redact('t1').catch(() => {})],
  ['attach', (chat) => chat.attach(new Blob(['1'], { type: 'image/png' })).catch(() => {})],
]) {
  test(`a ${action} that is not answered within two seconds is a reason to ping`, async () => {
    const world = new World();
    world.server.refuse = (frame) => (frame.action === action ? 'lost' : null);
    const { chat } = world.device('driver');
    await world.pass(act ? 10_000 : 40);
    const before = asked(world, 'ping').length;
    act?.(chat);
    await world.pass(1_950);
    assert.equal(asked(world, 'ping').length, before);
    await world.pass(120);
    assert.equal(asked(world, 'ping').length, before + 1);
  });
}

test('before anything is known, nobody is there and nothing is ordered', () => {
  const { chat } = new World().device('driver');
  assert.deepEqual(chat.presence, { driver: false, passenger: false, agent: false });
  assert.deepEqual(chat.booking, { closed_at: null, muted: [] });
  assert.deepEqual(chat.position, { seq: 0, head: 0, epoch: null });
});

test('a position tells how far the server is ahead', async () => {
  const { world, chat } = await opened();
  world.server.loses = ({ type }) => type === 'message';
  world.server.store({ sender: 'passenger', message: 'one' });
  world.server.loses = () => false;
  world.server.store({ sender: 'passenger', message: 'two' });
  await world.pass(50);
  assert.deepEqual(chat.position, { seq: 0, head: 2, epoch: null });
  await world.pass(1_000);
  assert.deepEqual(chat.position, { seq: 2, head: 2, epoch: world.server.epoch });
});

test('a call that was left before a reload is ended when the name of the device is claimed', async () => {
  const storage = new MemoryStorage();
  const left = { part: null, left: { call_id: 'c1', action: 'end' } };
  storage.setItem('navietakie call ws://fake/ws test driver d1', JSON.stringify(left));
  const locks = { request: async (name, options, hold) => hold() };
  const { world } = await opened('driver', { storage, locks, deviceId: 'd1' });
  assert.deepEqual(asked(world, 'call').map(({ call_action, call_id }) => [call_action, call_id]), [['end', 'c1']]);
});

test('until the name of the device is claimed, reconnect opens nothing', async () => {
  const world = new World();
  const { chat } = world.device('driver', { locks: { request: () => new Promise(() => {}) } });
  chat.reconnect();
  await world.pass(400);
  assert.deepEqual([chat.state, world.server.connections.size], ['connecting', 0]);
});

test('a message is a text unless it is said otherwise', async () => {
  const { world, chat } = await opened('system');
  chat.send('Hello');
  chat.send('Order', { message_type: 'system', metadata: { a: 1 } });
  await world.pass(500);
  const stored = world.server.messages.map(({ message_type, metadata }) => [message_type, metadata]);
  assert.deepEqual(stored, [['text', null], ['system', { a: 1 }]]);
});

test('that a message is stored is told, though a sync brought it', async () => {
  const { world, chat, now } = await opened();
  const sent = [];
  chat.on('sent', ({ message }) => sent.push(message));
  world.server.loses = ({ type }) => type === 'ack';
  chat.send('Hello');
  await world.pass(50);
  now().cut();
  await world.pass(1_000);
  assert.deepEqual(sent, ['Hello']);
});

test('away is what is said without a word more', async () => {
  const { world, chat } = await opened();
  chat.setAway();
  await world.pass(100);
  assert.deepEqual(asked(world, 'away').map(({ on }) => on), [true]);
});

test('waking up does not open what was refused', async () => {
  const { chat, hears } = await opened();
  await hears(refusal('connection_replaced'));
  chat.wake();
  assert.equal(chat.state, 'refused');
});

test('read is what was read, and no more than there is', async () => {
  const { world, chat } = await opened();
  for (const text of ['one', 'two', 'three']) world.server.store({ sender: 'passenger', message: text });
  await world.pass(100);
  chat.markRead(1);
  assert.equal(chat.unread, 2);
  chat.markRead(99);
  await world.pass(100);
  assert.equal(world.server.receipts.driver.read, 3);
});

/** A driver whose REST answers are given by the test: `urls` are those that were asked for. */
async function reading(messages) {
  const world = new World();
  for (let count = 0; count < messages; count += 1) world.server.store({ sender: 'passenger', message: `${count}` });
  const [urls, waiting] = [[], []];
  const fetch = (url, options) => {
    urls.push(url);
    return new Promise((resolve) => waiting.push((answer) => resolve(answer ?? world.server.fetch(url, options))));
  };
  const device = world.device('driver', { fetch });
  await world.pass(200);
  return { world, urls, waiting, ...device };
}

test('older messages are asked for by the first one here, newest first', async () => {
  const { world, chat, urls, waiting } = await reading(120);
  const { timestamp } = chat.messages[0];
  const older = chat.loadOlder(30);
  await world.pass(0);
  waiting[0]();
  assert.equal((await older).length, 30);
  const before = encodeURIComponent(timestamp);
  assert.deepEqual(urls, [`http://fake/api/v1/get_message?booking_code=test&limit=30&order=desc&before=${before}`]);
  assert.equal(chat.hasOlder, true);
});

test('of two that ask for older messages at once, one has them', async () => {
  const { world, chat, waiting } = await reading(120);
  const both = [chat.loadOlder(), chat.loadOlder()];
  await world.pass(0);
  for (const answers of waiting) answers();
  assert.deepEqual((await Promise.all(both)).map((each) => each.length), [50, 0]);
  assert.deepEqual([chat.hasOlder, chat.messages.length], [true, 100]);
});

test('older messages of a history that is no more are not shown', async () => {
  const { world, chat, waiting, WebSocket } = await reading(120);
  const old = chat.loadOlder();
  await world.pass(0);
  const { messages } = world.server;
  const { timestamp } = chat.messages[0];
  world.server.wipe();
  for (let count = 0; count < 60; count += 1) world.server.store({ sender: 'passenger', message: 'new' });
  world.server.messages[10].timestamp = timestamp; // the first one of its newest page, as it may be by chance
  WebSocket.latest.cut();
  await world.pass(2_000);
  waiting[0](Response.json({ messages: messages.slice(0, 50), next_cursor: null }));
  assert.deepEqual(await old, []);
  assert.deepEqual(texts(chat.messages), Array(50).fill('new'));
});

test('where the server has no older ones, there are none, though some have expired', async () => {
  const { world, chat, waiting } = await reading(60);
  const older = chat.loadOlder();
  await world.pass(0);
  const found = [8, 9, 10].map((seq) => ({ ...chat.messages[0], message_id: `m${seq}`, seq }));
  waiting[0](Response.json({ messages: found, next_cursor: null }));
  assert.deepEqual(seqs(await older), [8, 9, 10]);
  assert.equal(chat.hasOlder, false);
});

test('where the newest page is empty, older messages are asked for from the end', async () => {
  const world = new World();
  const { server } = world;
  server.on_sync = (connection, { id }) => {
    const standing = { call: null, presence: server.presence(), receipts: server.receipts, booking: server.booking };
    const upTo = { through_seq: 5, through: 't5', head_seq: 5, epoch: 'e', has_more: false };
    connection.post({ type: 'sync', id, part: 0, messages: [], ...upTo, ...standing });
  };
  const urls = [];
  const kept = { message_id: 'm5', seq: 5, timestamp: 't5', sender: 'passenger', message: 'five', metadata: null };
  const fetch = async (url) => urls.push(url) && Response.json({ messages: [kept], next_cursor: null });
  const { chat } = world.device('driver', { fetch });
  await world.pass(200);
  assert.deepEqual([chat.hasOlder, chat.messages], [true, []]);
  assert.deepEqual(texts(await chat.loadOlder()), ['five']);
  assert.doesNotMatch(urls[0], /before/);
});

test('the log of calls is asked for page by page', async () => {
  const { world, chat, urls, waiting } = await reading(0);
  const pages = [chat.callLog(), chat.callLog({ limit: 5, cursor: 'c' })];
  await world.pass(0);
  for (const answers of waiting) answers(Response.json({ calls: [], next_cursor: null }));
  assert.deepEqual(await Promise.all(pages), Array(2).fill({ calls: [], next_cursor: null }));
  const log = 'http://fake/api/v1/calls?booking_code=test';
  assert.deepEqual(urls, [`${log}&limit=20`, `${log}&limit=5&cursor=c`]);
});

test('reconnect keeps the token, and an open line', async () => {
  const token = jwt({ sub: 'anna', role: 'driver', booking_code: 'test', exp: 4e9 });
  const { world, chat, socket, now } = await opened('driver', { token });
  chat.reconnect();
  await world.pass(1_000);
  assert.equal(now(), socket);
  socket.cut();
  await world.pass(1_000);
  assert.deepEqual(now().protocols, ['navietakie.v1', `bearer.${token}`]);
});

test('a receipt that tells no head leaves what is known of it', async () => {
  const { world, chat, hears } = await opened();
  await hears({ type: 'receipt', receipts: world.server.receipts });
  world.server.loses = ({ type }) => type === 'message';
  world.server.store({ sender: 'passenger', message: 'lost on its way' });
  world.server.loses = () => false;
  await world.pass(5_000);
  assert.deepEqual(texts(chat.messages), ['lost on its way']);
});

test('that this side types on another device is not shown', async () => {
  const { chat, hears } = await opened();
  await hears({ type: 'typing', sender: 'driver', on: true });
  assert.equal(chat.typing.size, 0);
});

test('a frame without a type that names no request is ignored', async () => {
  const { world, problems, socket } = await opened();
  socket.deliver({ message: 'hello' });
  await world.pass(100);
  assert.deepEqual(problems, []);
});

test('an error without a word is internal, and a problem', async () => {
  const { problems, hears } = await opened();
  await hears({ type: 'error', id: null });
  assert.deepEqual(problems.map(({ code }) => code), ['internal']);
});

for (const code of ['unauthorized', 'token_expired']) {
  test(`a text as token that is ${code} ends the tries`, async () => {
    const { chat, hears } = await opened('driver', { token: jwt({ role: 'driver', booking_code: 'test', exp: 4e9 }) });
    await hears(refusal(code));
    assert.deepEqual([chat.state, chat.refusal?.code], ['refused', code]);
  });
}

for (const [what, frame] of [
  ['of no booking', refusal('forbidden', { booking_code: null })],
  ['that something unknown was too much', refusal('rate_limited', { id: 'unknown' })],
  ['of something unknown', refusal('too_large', { id: 'unknown' })],
]) {
  test(`an error ${what} is a problem, and leaves the line and what is on its way alone`, async () => {
    const { world, chat, problems, socket, now, hears } = await opened();
    world.server.latency = () => 50;
    chat.send('Hello');
    await hears(frame);
    await world.pass(1_000);
    assert.deepEqual(problems.map(({ code }) => code), [frame.error.code]);
    assert.equal(now(), socket);
    assert.deepEqual([texts(chat.messages), chat.outbox], [['Hello'], []]);
  });
}

test('an error without an id that no frame can have caused leaves what is on its way alone', async () => {
  const { world, chat, problems, hears } = await opened();
  world.server.refuse = ({ action }) => (action === 'message' ? 'lost' : null);
  chat.send('Hello');
  await hears(refusal('internal'));
  assert.deepEqual([chat.outbox[0].state, problems.length], ['sending', 1]);
});

test('what the system writes as a text is no order, whatever it says of itself', async () => {
  const { world, chat } = await opened();
  world.server.store({ sender: 'passenger', message: 'one' });
  world.server.store({ sender: 'system', message: 'two', metadata: { event: 'message_redacted', seq: 1 } });
  await world.pass(100);
  assert.deepEqual(texts(chat.messages), ['one', 'two']);
});
