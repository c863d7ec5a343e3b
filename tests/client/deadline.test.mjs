import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World, texts } from './support/world.mjs';

const handled = (world, action) => world.server.handled.filter((each) => each.action === action);

/** A line between a driver and a passenger that has been quiet for a while. */
async function quiet() {
  const world = new World();
  const [driver, passenger] = [world.device('driver'), world.device('passenger')];
  await world.pass(10_000);
  return { world, driver, passenger };
}

test('a message that gets lost on a dead line is stored over another within 13 seconds', async () => {
  const { world, driver } = await quiet();
  driver.socket.cut({ silent: true });
  driver.chat.send('Hello');
  await world.pass(13_000);
  assert.deepEqual(texts(world.server.messages), ['Hello']);
  assert.equal(driver.chat.state, 'open');
});

test('a call that gets lost on a dead line rings within 13 seconds', async () => {
  const { world, driver, passenger } = await quiet();
  driver.socket.cut({ silent: true });
  const started = driver.chat.calls.start();
  await world.pass(13_000);
  await started;
  assert.deepEqual([driver, passenger].map(({ chat }) => chat.calls.phase), ['calling', 'ringing']);
});

test('a hang-up that gets lost on a dead line arrives within 13 seconds', async () => {
  const { world, driver, passenger } = await quiet();
  driver.chat.calls.start();
  await world.pass(200);
  driver.socket.cut({ silent: true });
  driver.chat.calls.hangUp();
  assert.equal(driver.chat.calls.phase, 'idle');
  await world.pass(13_000);
  assert.equal(world.server.call.state, 'ended');
  assert.equal(passenger.chat.calls.phase, 'idle');
});

test('a line that brings frames but loses those that are sent is given up', async () => {
  const { world, driver } = await quiet();
  const deaf = driver.socket;
  world.server.refuse = (frame, socket) => (socket === deaf ? 'lost' : null);
  const chatter = setChatter(world, 1_000);
  driver.chat.send('Hello');
  await world.pass(13_000);
  chatter.stop();
  assert.notEqual(driver.socket, deaf);
  assert.equal(texts(world.server.messages).includes('Hello'), true);
});

/** The company talks all the time. */
function setChatter({ clock, server }, ms) {
  let going = true;
  const say = () => {
    if (!going) return;
    server.store({ sender: 'system', message: '…' });
    clock.setTimeout(say, ms);
  };
  say();
  return { stop: () => (going = false) };
}

test('an answer to an older frame does not prove that the line still works', async () => {
  const { world, driver } = await quiet();
  world.server.latency = (frame) => (frame?.type === 'pong' ? 1_500 : 20);
  driver.chat.wake();
  await world.pass(500);
  const { socket } = driver;
  const connections = world.server.connections;
  socket.send = () => {}; // from now on frames get lost; those under way still arrive
  driver.chat.send('Hello');
  await world.pass(15_000);
  assert.equal(connections.has(socket), false);
  assert.deepEqual(texts(world.server.messages), ['Hello']);
});

test('a line that is slow is not dead', async () => {
  const { world, driver } = await quiet();
  world.server.latency = () => 4_500; // nine seconds there and back
  const { socket } = driver;
  driver.chat.send('Hello');
  await world.pass(60_000);
  assert.equal(driver.socket, socket);
  assert.equal(driver.chat.state, 'open');
  assert.deepEqual(texts(world.server.messages), ['Hello']);
});

test('a message that is answered in time causes no ping', async () => {
  const { world, driver } = await quiet();
  const before = handled(world, 'ping').length;
  driver.chat.send('Hello');
  await world.pass(5_000);
  assert.equal(handled(world, 'ping').length, before);
});

test('a frame that carries the head postpones the ping, the longest silence stays a minute', async () => {
  const world = new World();
  world.device('driver');
  await world.pass(4_000);
  const pings = () => handled(world, 'ping').length;
  assert.equal(pings(), 1);
  for (let count = 0; count < 3; count += 1) {
    await world.pass(50_000);
    world.server.store({ sender: 'system', message: 'Hello' });
  }
  assert.equal(pings(), 1);
  await world.pass(59_000);
  assert.equal(pings(), 1);
  await world.pass(2_000);
  assert.equal(pings(), 2);
});

test('a receipt that carries the head postpones the ping, and shows a message that was lost', async () => {
  const world = new World();
  const { chat } = world.device('driver');
  await world.pass(50_000);
  const pings = handled(world, 'ping').length;
  world.server.loses = (frame) => frame.type === 'message';
  world.server.store({ sender: 'system', message: 'Hello' });
  world.server.tell({ type: 'receipt', sender: 'passenger', receipts: world.server.receipts, head_seq: 1 });
  await world.pass(1_000);
  assert.deepEqual(texts(chat.messages), ['Hello']);
  await world.pass(50_000);
  assert.equal(handled(world, 'ping').length, pings);
});

test('even in a busy conversation a pong comes every four minutes, with calls and presence', async () => {
  const world = new World();
  world.device('driver');
  await world.pass(4_000);
  const chatter = setChatter(world, 20_000);
  await world.pass(241_000);
  chatter.stop();
  assert.equal(handled(world, 'ping').length, 2);
});

test('in a call, the pings go on every ten seconds', async () => {
  const { world, driver } = await quiet();
  driver.chat.calls.start();
  await world.pass(100);
  const before = handled(world, 'ping').length;
  const chatter = setChatter(world, 3_000);
  await world.pass(30_000);
  chatter.stop();
  assert.equal(handled(world, 'ping').length - before, 4); // two of each device
});

test('after an answer of eight frames the client asks for the rest at once', async () => {
  const world = new World();
  const { chat, WebSocket } = world.device('driver');
  world.server.store({ sender: 'system', message: 'one' });
  await world.pass(5_000);
  world.server.admits = () => false;
  WebSocket.latest.cut();
  for (let count = 0; count < 400; count += 1) world.server.store({ sender: 'system', message: `${count}` });
  const before = handled(world, 'sync').length;
  world.server.admits = () => true;
  await world.pass(1_500);
  assert.deepEqual(chat.messages, world.server.messages);
  assert.equal(handled(world, 'sync').length - before, 5);
});

test('after an answer of only expired messages the client asks on from its end', async () => {
  const world = new World();
  const { chat, WebSocket } = world.device('driver');
  world.server.store({ sender: 'system', message: 'one' });
  await world.pass(5_000);
  world.server.admits = () => false;
  WebSocket.latest.cut();
  for (let count = 0; count < 20; count += 1) world.server.store({ sender: 'system', message: `${count}` });
  const asked = [];
  world.server.on_sync = function expired(connection, { id, after }) {
    asked.push(after);
    const from = this.messages.findIndex((each) => each.timestamp > after);
    const end = asked.length === 1 ? this.messages[from + 9] : this.messages.at(-1);
    const messages = asked.length === 1 ? [] : this.messages.slice(from);
    const through = { through_seq: end.seq, through: end.timestamp };
    connection.post({ type: 'sync', id, part: 0, messages, ...through, ...this.head(), has_more: false });
  };
  world.server.admits = () => true;
  await world.pass(1_500);
  assert.deepEqual(asked, [world.server.messages[0].timestamp, world.server.messages[10].timestamp]);
  assert.deepEqual(texts(chat.messages), ['one', ...Array.from({ length: 10 }, (_, index) => `${index + 10}`)]);
});
