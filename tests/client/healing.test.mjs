import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World, seqs, texts } from './support/world.mjs';

const handled = (world, action) => world.server.handled.filter((each) => each.action === action);

/** A booking of three messages and a device that has them. */
async function settledWorld() {
  const world = new World();
  for (const text of ['one', 'two', 'three']) world.server.store({ sender: 'passenger', message: text });
  const device = world.device('driver');
  await world.pass(200);
  return { world, ...device, device };
}

test('a device that opens has the newest page, and is told of later messages only', async () => {
  const { world, chat, device } = await settledWorld();
  assert.equal(chat.state, 'open');
  assert.equal(chat.ready, true);
  assert.deepEqual(texts(chat.messages), ['one', 'two', 'three']);
  world.server.store({ sender: 'passenger', message: 'four' });
  await world.pass(100);
  assert.deepEqual(texts(device.heard), ['four']);
});

test('pushes that overtake each other come out in order, without a sync', async () => {
  const { world, device } = await settledWorld();
  const delays = [290, 10];
  world.server.latency = () => delays.shift() ?? 10;
  world.server.store({ sender: 'passenger', message: 'four' });
  world.server.store({ sender: 'passenger', message: 'five' });
  await world.pass(2_000);
  assert.deepEqual(texts(device.heard), ['four', 'five']);
  assert.equal(handled(world, 'sync').length, 1);
});

test('a hole that stays is filled after 300 ms from the last message before it', async () => {
  const { world, device, chat } = await settledWorld();
  world.server.loses = (frame) => frame.message?.seq === 4;
  world.server.store({ sender: 'passenger', message: 'four' });
  world.server.store({ sender: 'passenger', message: 'five' });
  await world.pass(250);
  assert.deepEqual(device.heard, []);
  await world.pass(200);
  assert.deepEqual(texts(device.heard), ['four', 'five']);
  assert.equal(handled(world, 'sync').at(-1).after, chat.messages[2].timestamp);
});

test('the ping after three seconds reveals a push that never came', async () => {
  const { world, device } = await settledWorld();
  world.server.loses = (frame) => frame.type === 'message';
  world.server.store({ sender: 'passenger', message: 'four' });
  await world.pass(2_000);
  assert.deepEqual(device.heard, []);
  await world.pass(1_500);
  assert.deepEqual(texts(device.heard), ['four']);
});

test('pings come after three seconds, then every minute', async () => {
  const { world } = await settledWorld();
  await world.pass(2_900);
  assert.equal(handled(world, 'ping').length, 1);
  await world.pass(59_000);
  assert.equal(handled(world, 'ping').length, 1);
  await world.pass(2_000);
  assert.equal(handled(world, 'ping').length, 2);
});

test('pings come every ten seconds while a call is live', async () => {
  const { world } = await settledWorld();
  await world.pass(4_000);
  world.server.changeCall('ringing', { sender: 'passenger' });
  await world.pass(30_500);
  assert.equal(handled(world, 'ping').length, 4); // the one after three seconds, and three more
});

test('a line that does not answer a ping is given up for another', async () => {
  const { world, chat, device } = await settledWorld();
  const silent = device.socket;
  silent.cut({ silent: true });
  await world.pass(12_000);
  assert.equal(chat.state, 'open');
  await world.pass(3_000);
  assert.notEqual(device.socket, silent);
  assert.equal(chat.state, 'open');
});

test('120 messages that came during a cut are fetched, in order, each once', async () => {
  const { world, chat, device } = await settledWorld();
  world.server.admits = () => false;
  device.socket.cut();
  for (let count = 0; count < 120; count += 1) world.server.store({ sender: 'passenger', message: `missed ${count}` });
  await world.pass(5_000);
  assert.equal(chat.state, 'waiting');
  world.server.admits = () => true;
  await world.pass(30_000);
  assert.deepEqual(chat.messages, world.server.messages);
  assert.deepEqual(
    seqs(device.heard),
    Array.from({ length: 120 }, (_, index) => index + 4),
  );
  assert.deepEqual(
    device.healed.map((each) => each.messages),
    [80, 40], // an answer to a sync has eight frames at most
  );
});

/** Cuts a device off, stores messages meanwhile, and lets it come back. */
async function missing(count, { world, device }) {
  world.server.admits = () => false;
  device.socket.cut();
  for (let text = 0; text < count; text += 1) world.server.store({ sender: 'passenger', message: `missed ${text}` });
  await world.pass(100);
  world.server.admits = () => true;
}

test('a listener may close the conversation during a sync', async () => {
  const { world, chat, device } = await settledWorld();
  await missing(25, { world, device });
  chat.on('message', () => chat.close());
  await world.pass(20_000);
  assert.equal(chat.state, 'closed');
  assert.equal(handled(world, 'sync').length, 2);
});

for (const [fate, part] of [
  ['first', 0],
  ['second', 1],
  ['last', 4],
]) {
  test(`the ${fate} frame of a sync is lost, and what was in it is asked for again`, async () => {
    const { world, chat, device } = await settledWorld();
    await missing(50, { world, device });
    let lost = 1;
    world.server.loses = (frame) => frame.type === 'sync' && frame.part === part && lost-- > 0;
    await world.pass(20_000);
    assert.equal(lost < 1, true);
    assert.deepEqual(chat.messages, world.server.messages);
    assert.deepEqual(
      seqs(device.heard),
      Array.from({ length: 50 }, (_, index) => index + 4),
    );
  });

  test(`the ${fate} frame of a sync is overtaken by the others, and it is whole all the same`, async () => {
    const { world, chat, device } = await settledWorld();
    await missing(50, { world, device });
    const before = handled(world, 'sync').length;
    world.server.latency = (frame) => (frame?.type === 'sync' && frame.part === part ? 250 : 20);
    await world.pass(2_000);
    assert.deepEqual(chat.messages, world.server.messages);
    assert.equal(handled(world, 'sync').length, before + 1);
    assert.deepEqual(
      device.healed.map((each) => each.messages),
      [50],
    );
  });
}

test('the first page is ready when all its frames are there, in whatever order', async () => {
  const world = new World();
  for (let count = 0; count < 60; count += 1) world.server.store({ sender: 'passenger', message: `${count}` });
  world.server.latency = (frame) => (frame?.type === 'sync' ? 300 - 50 * frame.part : 20);
  const { chat } = world.device('driver');
  const shown = [];
  chat.on('ready', () => shown.push(chat.messages.length));
  await world.pass(1_000);
  assert.deepEqual(shown, [50]);
  assert.deepEqual(chat.messages, world.server.messages.slice(10));
  assert.equal(handled(world, 'sync').length, 1);
});

test('a server that does not number its frames yet is believed in the order in which they arrive', async () => {
  const world = new World();
  world.server.numbersParts = false;
  for (let count = 0; count < 60; count += 1) world.server.store({ sender: 'passenger', message: `${count}` });
  const { chat } = world.device('driver');
  await world.pass(1_000);
  assert.deepEqual(chat.messages, world.server.messages.slice(10));
  world.server.store({ sender: 'passenger', message: 'one more' });
  await world.pass(1_000);
  assert.equal(chat.messages.length, 51);
  assert.equal(handled(world, 'sync').length, 1);
});

test('without its first frame the first page is not shown', async () => {
  const world = new World();
  for (let count = 0; count < 60; count += 1) world.server.store({ sender: 'passenger', message: `${count}` });
  let lost = 1;
  world.server.loses = (frame) => frame.type === 'sync' && frame.part === 0 && lost-- > 0;
  const { chat } = world.device('driver');
  await world.pass(200);
  assert.deepEqual([chat.ready, chat.messages], [false, []]);
  await world.pass(2_000);
  assert.deepEqual([chat.ready, seqs(chat.messages)], [true, seqs(world.server.messages.slice(10))]);
});

test('a history that began anew is shown from its start', async () => {
  const { world, chat } = await settledWorld();
  let resets = 0;
  chat.on('reset', () => (resets += 1));
  world.server.wipe();
  world.server.store({ sender: 'passenger', message: 'a new beginning' });
  await world.pass(500);
  assert.deepEqual(texts(chat.messages), ['a new beginning']);
  assert.equal(resets, 1);
});

for (const [when, ms] of [
  ['before a ping has told its name', 1_000],
  ['after a ping has told its name', 70_000],
]) {
  test(`a history that began with this conversation and then anew is shown from its start (${when})`, async () => {
    const world = new World();
    const { chat, heard, WebSocket } = world.device('driver'); // the booking is empty
    await world.pass(4_000);
    for (const text of ['old', 'older']) world.server.store({ sender: 'passenger', message: text });
    await world.pass(ms);
    let resets = 0;
    chat.on('reset', () => (resets += 1));
    world.server.wipe();
    WebSocket.latest.cut();
    for (const text of ['one', 'two', 'three']) world.server.store({ sender: 'passenger', message: text });
    await world.pass(2_000);
    assert.equal(resets, 1);
    assert.deepEqual(texts(chat.messages), ['one', 'two', 'three']);
    world.server.store({ sender: 'passenger', message: 'four' });
    await world.pass(2_000);
    assert.deepEqual([resets, texts(heard).at(-1)], [1, 'four']);
  });
}

test('with another history there is no call, and nothing of one', async () => {
  const world = new World();
  const [driver, passenger] = [world.device('driver'), world.device('passenger')];
  world.server.store({ sender: 'system', message: 'old' });
  await world.pass(200);
  driver.chat.calls.start();
  await world.pass(200);
  assert.equal(passenger.chat.calls.phase, 'ringing');
  world.server.wipe();
  world.server.call = null;
  world.server.store({ sender: 'system', message: 'new' });
  await world.pass(4_000);
  const { phase, call, ringsUntil, talkingSince } = passenger.chat.getSnapshot().calls;
  assert.deepEqual([phase, call, ringsUntil, talkingSince], ['idle', null, null, null]);
});

test('a history that began anew during a sync is not missed', async () => {
  const { world, chat, device } = await settledWorld();
  device.socket.cut();
  world.server.latency = (frame) => (frame?.type === 'sync' ? 400 : 20);
  await world.pass(600);
  world.server.wipe();
  world.server.store({ sender: 'passenger', message: 'a new beginning' });
  await world.pass(1_500);
  assert.deepEqual(texts(chat.messages), ['a new beginning']);
});

test('a server that has no time for the whole of a sync is asked for the rest', async () => {
  const { world, chat, device } = await settledWorld();
  world.server.on_sync = function half(connection, frame) {
    const some = this.messages.filter((each) => !frame.after || each.timestamp > frame.after).slice(0, 10);
    const answer = { ...this.head(), messages: some, through_seq: some.at(-1)?.seq ?? this.messages.length };
    connection.post({ type: 'sync', id: frame.id, part: 0, has_more: false, call: null, presence: this.presence(), ...answer });
  };
  world.server.loses = (frame) => frame.type === 'message';
  for (let count = 0; count < 35; count += 1) world.server.store({ sender: 'passenger', message: `${count}` });
  device.socket.cut();
  await world.pass(2_500);
  assert.deepEqual(chat.messages, world.server.messages);
});

test('a sync that is refused for the moment is asked for again', async () => {
  const world = new World();
  world.server.store({ sender: 'passenger', message: 'one' });
  let refusals = 2;
  world.server.refuse = ({ action }) =>
    action === 'sync' && refusals-- > 0 ? { code: 'unavailable', retryable: true, retry_after_ms: 500 } : null;
  const { chat } = world.device('driver');
  await world.pass(2_000);
  assert.deepEqual(texts(chat.messages), ['one']);
});

test('a sync that is not answered is asked for again', async () => {
  const world = new World();
  world.server.store({ sender: 'passenger', message: 'one' });
  let lost = 1;
  world.server.refuse = ({ action }) => (action === 'sync' && lost-- > 0 ? 'lost' : null);
  const { chat } = world.device('driver');
  await world.pass(12_000);
  assert.deepEqual(texts(chat.messages), ['one']);
});

test('older messages are fetched page by page', async () => {
  const world = new World();
  for (let count = 0; count < 130; count += 1) world.server.store({ sender: 'passenger', message: `${count}` });
  const { chat } = world.device('driver');
  await world.pass(200);
  assert.equal(chat.messages.length, 50);
  await chat.loadOlder();
  assert.equal(chat.messages.length, 100);
  assert.equal(chat.hasOlder, true);
  await chat.loadOlder();
  assert.deepEqual(chat.messages, world.server.messages);
  assert.equal(chat.hasOlder, false);
});

test('before the first page no older messages are asked for', async () => {
  const world = new World();
  for (let count = 0; count < 130; count += 1) world.server.store({ sender: 'passenger', message: `${count}` });
  const { chat } = world.device('driver');
  assert.deepEqual(await chat.loadOlder(3), []);
  await world.pass(200);
  assert.equal(chat.messages.length, 50);
  assert.equal(chat.hasOlder, true);
  assert.equal((await chat.loadOlder(3)).length, 3);
});

test('frames of unknown types and texts that are no frames are ignored', async () => {
  const { world, device, chat } = await settledWorld();
  device.socket.post({ type: 'horoscope', sign: 'leo' });
  device.socket.onmessage({ data: 'not JSON' });
  device.socket.onmessage({ data: 'null' });
  world.server.store({ sender: 'passenger', message: 'four' });
  await world.pass(100);
  assert.deepEqual(texts(device.heard), ['four']);
  assert.deepEqual(device.problems, []);
  assert.equal(chat.state, 'open');
});
