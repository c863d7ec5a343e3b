import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World, texts } from './support/world.mjs';

/** API Gateway's own error frame, when a function fails or a route is throttled, names no frame: see FakeServer.refuse. */
const handled = (world, action) => world.server.handled.filter((each) => each.action === action);

/** Lets the first `count` frames of an action fail. */
function fail(world, action, count = 1) {
  world.server.refuse = (frame) => (frame.action === action && count-- > 0 ? 'failed' : null);
}

async function open() {
  const world = new World();
  const device = world.device('driver');
  await world.pass(500);
  return { world, device, chat: device.chat };
}

test('a message whose function failed is sent again soon, under the same id', async () => {
  const { world, device, chat } = await open();
  fail(world, 'message');
  chat.send('one');
  chat.send('two');
  await world.pass(2_500); // an answer counts as lost only after ten seconds
  const ids = handled(world, 'message').map((each) => each.id);
  assert.equal(ids[0], ids[1]);
  assert.deepEqual(texts(world.server.messages), ['one', 'two']);
  assert.deepEqual(chat.outbox, []);
  assert.deepEqual(device.problems, []);
});

test('a message whose function fails on and on is tried less and less often', async () => {
  const { world, chat } = await open();
  fail(world, 'message', Infinity);
  chat.send('one');
  await world.pass(60_000);
  const tries = handled(world, 'message').length;
  assert.ok(tries >= 4 && tries <= 9, `${tries} tries in a minute`);
  assert.equal(chat.outbox[0].error.message, 'Internal server error');
});

test('a sync whose function failed is asked for again soon', async () => {
  const world = new World();
  world.server.store({ sender: 'passenger', message: 'one' });
  fail(world, 'sync');
  const { chat } = world.device('driver');
  await world.pass(1_000);
  assert.deepEqual(texts(chat.messages), ['one']);
});

test('a call whose function failed is asked for again soon', async () => {
  const { world, chat } = await open();
  world.device('passenger');
  fail(world, 'call');
  chat.calls.start();
  await world.pass(1_500);
  assert.equal(chat.calls.phase, 'calling');
});

test('a line on which pings fail is not given up', async () => {
  const { world, device } = await open();
  fail(world, 'ping', Infinity);
  await world.pass(200_000);
  assert.deepEqual(device.states, ['connecting', 'open']);
});

test('a failure while nothing is outstanding is a problem that names the request', async () => {
  const { world, device, chat } = await open();
  fail(world, 'typing');
  chat.sayTyping();
  await world.pass(100);
  const [{ code, retryable, requestId }] = device.problems;
  assert.deepEqual({ code, retryable }, { code: 'unavailable', retryable: true });
  assert.match(requestId, /^r-/);
});

test("a message that is sent again because of another frame's failure is stored once", async () => {
  const { world, chat } = await open();
  fail(world, 'typing');
  world.server.latency = (frame) => (frame?.type === 'ack' ? 5_000 : 20);
  chat.send('one');
  chat.sayTyping();
  await world.pass(10_000);
  assert.equal(handled(world, 'message').length, 2);
  assert.deepEqual(texts(world.server.messages), ['one']);
  assert.deepEqual(texts(chat.messages), ['one']);
  assert.deepEqual(chat.outbox, []);
});
