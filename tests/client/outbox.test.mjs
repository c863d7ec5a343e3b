import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStorage } from './support/storage.mjs';
import { World, texts } from './support/world.mjs';

const sends = (world) => world.server.handled.filter((each) => each.action === 'message');

test('messages go one at a time, in the order of writing', async () => {
  const world = new World();
  const { chat } = world.device('driver');
  await world.pass(100);
  for (const text of ['one', 'two', 'three']) chat.send(text);
  await world.pass(20);
  assert.equal(sends(world).length, 1);
  await world.pass(1_000);
  assert.deepEqual(texts(world.server.messages), ['one', 'two', 'three']);
  assert.deepEqual(texts(chat.messages), ['one', 'two', 'three']);
  assert.deepEqual(chat.outbox, []);
});

test('a message whose ack is lost is sent again under the same id, and stored once', async () => {
  const world = new World();
  const { chat } = world.device('driver');
  await world.pass(100);
  let lost = 1;
  world.server.loses = (frame) => frame.type === 'ack' && lost-- > 0;
  world.server.refuse = ({ action }) => (action === 'ping' ? { code: 'unavailable', retryable: true } : null);
  chat.send('Hello');
  await world.pass(12_000);
  const [first, second] = sends(world);
  assert.equal(first.id, second.id);
  assert.equal(world.server.messages.length, 1);
  assert.deepEqual(chat.outbox, []);
});

test('sent is emitted once for a message, however often it comes', async () => {
  const world = new World();
  const { chat, WebSocket } = world.device('driver');
  const sent = [];
  chat.on('sent', ({ message }) => sent.push(message));
  await world.pass(100);
  for (const text of ['one', 'two']) chat.send(text);
  await world.pass(500);
  WebSocket.latest.cut();
  await world.pass(2_000);
  assert.deepEqual(sent, ['one', 'two']);
});

test('a message that is seen in a sync needs no ack', async () => {
  const world = new World();
  const { chat, WebSocket } = world.device('driver');
  await world.pass(100);
  world.server.loses = (frame) => frame.type === 'ack';
  const { stored } = chat.send('Hello');
  await world.pass(60);
  WebSocket.latest.cut();
  await world.pass(2_000);
  assert.equal((await stored).seq, 1);
  assert.equal(sends(world).length, 2);
  assert.deepEqual(chat.outbox, []);
});

test('a message written without a line is sent when there is one', async () => {
  const world = new World();
  world.server.admits = () => false;
  const { chat } = world.device('driver');
  await world.pass(1_000);
  chat.send('Hello');
  assert.equal(chat.outbox[0].state, 'waiting');
  world.server.admits = () => true;
  await world.pass(5_000);
  assert.deepEqual(texts(world.server.messages), ['Hello']);
});

test('unsent messages survive a reload, and are sent in order', async () => {
  const world = new World();
  world.server.admits = () => false;
  const { chat, storage, deviceId } = world.device('driver');
  await world.pass(100);
  for (const text of ['one', 'two', 'three']) chat.send(text);
  chat.close();
  world.server.admits = () => true;
  const reloaded = world.device('driver', { storage, deviceId });
  assert.deepEqual(texts(reloaded.chat.outbox), ['one', 'two', 'three']);
  await world.pass(1_000);
  assert.deepEqual(texts(world.server.messages), ['one', 'two', 'three']);
  assert.equal(storage.length, 0);
});

test('closing the conversation rejects the promises of unsent messages, and keeps the messages', async () => {
  const world = new World();
  const { chat, storage, deviceId } = world.device('driver');
  await world.pass(100);
  const sent = [chat.send('on its way'), chat.send('its turn has not come')];
  chat.close();
  sent.push(chat.send('after the end'));
  for (const { stored } of sent) await assert.rejects(stored, { code: 'closed' });
  world.device('driver', { storage, deviceId });
  await world.pass(1_000);
  assert.deepEqual(texts(world.server.messages), ['on its way', 'its turn has not come', 'after the end']);
});

test('two windows with one storage lose nothing and store nothing twice', async () => {
  const world = new World();
  world.server.admits = () => false;
  const first = world.device('driver');
  await world.pass(100);
  first.chat.send('from the first');
  const second = world.device('driver', { storage: first.storage });
  second.chat.send('from the second');
  world.server.admits = () => true;
  await world.pass(5_000);
  assert.deepEqual(texts(world.server.messages).sort(), ['from the first', 'from the second']);
  assert.deepEqual([first.chat.outbox, second.chat.outbox], [[], []]);
});

test('a refused message steps aside for the next, and can be tried again or dropped', async () => {
  const world = new World();
  const { chat } = world.device('driver');
  await world.pass(100);
  world.server.refuse = (frame) =>
    frame.message === 'bad' ? { code: 'booking_closed', message: 'The booking is closed' } : null;
  const { stored } = chat.send('bad');
  chat.send('good');
  await world.pass(500);
  await assert.rejects(stored, { code: 'booking_closed' });
  assert.deepEqual(texts(world.server.messages), ['good']);
  assert.deepEqual(
    chat.outbox.map((each) => [each.message, each.state]),
    [['bad', 'failed']],
  );

  world.server.refuse = () => null;
  chat.retry(chat.outbox[0].id);
  await world.pass(500);
  assert.deepEqual(texts(world.server.messages), ['good', 'bad']);
});

test('a failed message can be dropped, and is gone after a reload too', async () => {
  const world = new World();
  const { chat, storage } = world.device('driver');
  await world.pass(100);
  world.server.refuse = ({ action }) => (action === 'message' ? { code: 'too_large' } : null);
  chat.send('too long');
  await world.pass(500);
  assert.equal(chat.discard(chat.outbox[0].id), true);
  assert.deepEqual(chat.outbox, []);
  assert.equal(storage.length, 0);
});

test('a message that no connection could carry is refused here, and those after it go on', async () => {
  const world = new World();
  const { chat } = world.device('driver');
  await world.pass(100);
  const { stored } = chat.send('\u0001'.repeat(5_000), { metadata: { note: 'x'.repeat(4_000) } });
  chat.send('Hello');
  await world.pass(500);
  await assert.rejects(stored, { code: 'too_large' });
  assert.deepEqual(texts(world.server.messages), ['Hello']);
  assert.equal(chat.outbox[0].state, 'failed');
});

for (const [what, text, metadata] of [
  ['a NUL', 'a\u0000b', null],
  ['half of a character', 'a\ud83d', null],
  ['half of a character in its metadata', 'a', { note: ['\udd25'] }],
]) {
  test(`a message with ${what} is refused here, for no server stores it`, async () => {
    const world = new World();
    const { chat } = world.device('driver');
    await world.pass(100);
    const { stored } = chat.send(text, { metadata });
    await world.pass(500);
    await assert.rejects(stored, { code: 'invalid_request' });
    chat.retry(chat.outbox[0].id);
    await world.pass(500);
    assert.equal(chat.outbox[0].state, 'failed');
    assert.equal(sends(world).length, 0);
  });
}

test('metadata that is no JSON is refused at once, and those after it go on', async () => {
  const world = new World();
  const { chat } = world.device('driver');
  await world.pass(100);
  const circular = {};
  circular.itself = circular;
  assert.throws(() => chat.send('a', { metadata: circular }), TypeError);
  chat.send('good');
  await world.pass(500);
  assert.deepEqual(texts(world.server.messages), ['good']);
});

test('whole characters and written escapes are sent as they are', async () => {
  const world = new World();
  const { chat } = world.device('driver');
  await world.pass(100);
  chat.send('\u{1f600} \\u0000 \\ud83d');
  await world.pass(500);
  assert.deepEqual(texts(world.server.messages), ['\u{1f600} \\u0000 \\ud83d']);
});

for (const code of ['invalid_request', 'too_large']) {
  test(`a message that the server cannot read (${code}, without an id) lets the next ones go on`, async () => {
    const world = new World();
    const { chat } = world.device('driver');
    await world.pass(100);
    world.server.refuse = (frame, connection) => {
      if (frame.message !== 'odd') return null;
      connection.post({ type: 'error', id: null, error: { code, retryable: false, retry_after_ms: null } });
      return 'lost';
    };
    const { stored } = chat.send('odd');
    chat.send('good');
    await world.pass(500);
    await assert.rejects(stored, { code });
    assert.deepEqual(texts(world.server.messages), ['good']);
  });
}

test('an error without an id for another frame does not stop a message', async () => {
  const world = new World();
  const { chat } = world.device('driver');
  await world.pass(100);
  world.server.latency = () => 200;
  chat.send('good');
  world.devices[0].socket.post({ type: 'error', id: null, error: { code: 'too_large', retryable: false } });
  await world.pass(1_000);
  assert.deepEqual(texts(chat.messages), ['good']);
  assert.deepEqual(chat.outbox, []);
});

test('why a message failed is still known after a reload', async () => {
  const world = new World();
  const { chat, storage, deviceId } = world.device('driver');
  await world.pass(100);
  world.server.refuse = ({ action }) => (action === 'message' ? { code: 'too_large', message: 'too large' } : null);
  chat.send('too long');
  await world.pass(500);
  chat.close();
  const reloaded = world.device('driver', { storage, deviceId });
  await world.pass(500);
  const [failed] = reloaded.chat.outbox;
  assert.deepEqual([failed.state, failed.error.code], ['failed', 'too_large']);
});

test('a rate limit is waited out, and the order kept', async () => {
  const world = new World();
  const { chat } = world.device('driver');
  await world.pass(100);
  const until = world.clock.now() + 3_000;
  world.server.refuse = ({ action }) =>
    action === 'message' && world.clock.now() < until
      ? { code: 'rate_limited', retryable: true, retry_after_ms: 1_600 }
      : null;
  chat.send('one');
  chat.send('two');
  await world.pass(1_000);
  assert.equal(sends(world).length, 1);
  await world.pass(6_000);
  assert.deepEqual(texts(world.server.messages), ['one', 'two']);
});

test('if the storage fails, unsent messages do not survive a reload, and everything else works', async () => {
  const world = new World();
  const full = {
    length: 0,
    key: () => null,
    getItem: () => null,
    setItem() {
      throw new Error('full');
    },
    removeItem() {
      throw new Error('forbidden');
    },
  };
  const { chat } = world.device('driver', { storage: full });
  await world.pass(100);
  chat.send('Hello');
  await world.pass(500);
  assert.deepEqual(texts(world.server.messages), ['Hello']);
});

/** A storage whose keys come in an order of its own, as they may. */
class BackwardStorage extends MemoryStorage {
  key(index) {
    return super.key(this.length - 1 - index);
  }
}

test('what was written at the same moment is sent in the order of writing after a reload', async () => {
  const world = new World();
  world.server.admits = () => false;
  const { chat, storage, deviceId } = world.device('driver', { storage: new BackwardStorage() });
  await world.pass(100);
  for (const text of ['one', 'two', 'three', 'four']) chat.send(text);
  assert.equal(chat.outbox[0].created_at, world.clock.now());
  chat.close();
  world.server.admits = () => true;
  world.device('driver', { storage, deviceId });
  await world.pass(1_000);
  assert.deepEqual(texts(world.server.messages), ['one', 'two', 'three', 'four']);
});

test('what is no message in the storage is left alone', async () => {
  const world = new World();
  const storage = new MemoryStorage();
  for (const text of ['no JSON', 'null', '{}']) storage.setItem(`navietakie outbox ws://fake/ws test driver ${text}`, text);
  const { chat } = world.device('driver', { storage });
  chat.send('Hello');
  await world.pass(500);
  assert.deepEqual(texts(world.server.messages), ['Hello']);
  assert.deepEqual(chat.outbox, []);
});

/** A message on its way whose first try is lost, and another whose turn has not come. */
async function firstIsLost() {
  const world = new World();
  const device = world.device('driver');
  await world.pass(100);
  let lost = 1;
  world.server.refuse = ({ action }) => (action === 'message' && lost-- > 0 ? 'lost' : null);
  for (const text of ['first', 'second']) device.chat.send(text);
  await world.pass(100);
  const refuses = (error) => device.socket.post({ type: 'error', id: device.chat.outbox[1].id, error });
  return { world, refuses, ...device };
}

test('what is on its way is neither tried again nor dropped', async () => {
  const { world, chat } = await firstIsLost();
  const { id } = chat.outbox[0];
  chat.retry(id);
  assert.equal(chat.outbox[0].state, 'sending');
  assert.equal(chat.discard(id), false);
  await world.pass(12_000);
  assert.deepEqual(texts(world.server.messages), ['first', 'second']);
});

test('what is not there is neither tried again nor dropped', async () => {
  const { chat } = await firstIsLost();
  chat.retry('another');
  assert.equal(chat.discard('another'), false);
  assert.equal(chat.outbox.length, 2);
});

test('a late refusal of another message leaves the one on its way alone', async () => {
  const { world, chat, refuses } = await firstIsLost();
  refuses({ code: 'unavailable', retryable: true, retry_after_ms: 700 });
  await world.pass(2_000);
  assert.equal(chat.outbox[0].state, 'sending');
  assert.equal(sends(world).length, 1);
  refuses({ code: 'booking_closed', retryable: false });
  await world.pass(2_000);
  assert.deepEqual(chat.outbox.map((each) => each.state), ['sending', 'failed']);
  assert.equal(sends(world).length, 1);
  await world.pass(8_000);
  assert.deepEqual(texts(world.server.messages), ['first']);
});

test('that another message is stored leaves the one on its way alone', async () => {
  const { world, chat } = await firstIsLost();
  const { id, message } = chat.outbox[1];
  world.server.store({ sender: 'driver', message, client_message_id: id }); // from another window
  await world.pass(2_000);
  assert.deepEqual(chat.outbox.map((each) => each.state), ['sending']);
  assert.equal(sends(world).length, 1);
  await world.pass(8_000);
  assert.deepEqual(texts(world.server.messages), ['second', 'first']);
});

/** A message that is stored, while the one before it is still missing here. */
async function behindHole() {
  const world = new World();
  const device = world.device('driver');
  await world.pass(100);
  world.server.loses = ({ type }) => type === 'message';
  world.server.store({ sender: 'passenger', message: 'Where are you?' });
  world.server.loses = () => false;
  device.chat.send('Here');
  await world.pass(50);
  return { world, ...device, socket: device.socket };
}

test('a message that is stored behind a hole is shown as sent, and can no longer be dropped', async () => {
  const { world, chat } = await behindHole();
  assert.deepEqual(chat.outbox.map((each) => each.state), ['sent']);
  assert.equal(chat.discard(chat.outbox[0].id), false);
  assert.deepEqual(texts(chat.outbox), ['Here']);
  await world.pass(500);
  assert.deepEqual(chat.outbox, []);
  assert.deepEqual(texts(chat.messages), ['Where are you?', 'Here']);
});

test('a late refusal of a message that is stored means nothing', async () => {
  const { world, chat, socket, problems } = await behindHole();
  world.server.latency = () => 1;
  socket.post({ type: 'error', id: chat.outbox[0].id, error: { code: 'booking_closed', retryable: false } });
  await world.pass(10);
  assert.deepEqual(chat.outbox.map((each) => each.state), ['sent']);
  assert.deepEqual(problems, []);
});

test('a message of an earlier start can be refused too', async () => {
  const world = new World();
  world.server.admits = () => false;
  const { chat, storage, deviceId } = world.device('driver');
  chat.send('Hello');
  chat.close();
  world.server.admits = () => true;
  world.server.refuse = ({ action }) => (action === 'message' ? { code: 'booking_closed' } : null);
  const reloaded = world.device('driver', { storage, deviceId });
  await world.pass(500);
  assert.deepEqual(reloaded.chat.outbox.map((each) => each.state), ['failed']);
});
