import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Receipts } from '../../web/navietakie/receipts.js';
import { VirtualClock } from './support/clock.mjs';
import { World } from './support/world.mjs';

async function pair() {
  const world = new World();
  const driver = world.device('driver');
  const passenger = world.device('passenger');
  await world.pass(200);
  return { world, driver, passenger };
}

test('an arriving message is reported as delivered, and as read once it is read', async () => {
  const { world, driver, passenger } = await pair();
  driver.chat.send('Hello');
  await world.pass(500);
  assert.deepEqual(driver.chat.receipts.passenger, { delivered: 1, read: 0 });
  assert.equal(passenger.chat.unread, 1);
  passenger.chat.markRead();
  await world.pass(500);
  assert.deepEqual(driver.chat.receipts.passenger, { delivered: 1, read: 1 });
  assert.equal(passenger.chat.unread, 0);
});

test('unread messages before the first page count too, until they are read', async () => {
  const world = new World();
  for (let count = 0; count < 120; count += 1) world.server.store({ sender: 'driver', message: `${count}` });
  world.server.receipts.passenger = { delivered: 120, read: 30 };
  const { chat } = world.device('passenger');
  await world.pass(200);
  assert.equal(chat.unread, 90);
  await chat.loadOlder();
  assert.equal(chat.unread, 90);
  chat.markRead();
  assert.equal(chat.unread, 0);
});

test('messages before the first page that were read do not count', async () => {
  const world = new World();
  for (let count = 0; count < 120; count += 1) world.server.store({ sender: 'driver', message: `${count}` });
  world.server.receipts.passenger = { delivered: 120, read: 110 };
  const { chat } = world.device('passenger');
  await world.pass(200);
  assert.equal(chat.unread, 10);
});

test('messages before a page of only own messages can be marked as read', async () => {
  const world = new World();
  world.server.store({ sender: 'driver', message: 'Where are you?' });
  for (let count = 0; count < 50; count += 1) world.server.store({ sender: 'passenger', message: `${count}` });
  const { chat } = world.device('passenger');
  await world.pass(200);
  assert.equal(chat.unread, 1);
  chat.markRead();
  assert.equal(chat.unread, 0);
  await world.pass(500);
  assert.equal(world.server.receipts.passenger.read, 51);
});

test('after everything is read, the receipts on the server leave nothing unread', async () => {
  const { world, driver, passenger } = await pair();
  for (const text of ['one', 'two']) driver.chat.send(text);
  await world.pass(500);
  for (const text of ['my answer', 'and more']) passenger.chat.send(text);
  await world.pass(500);
  passenger.chat.markRead();
  await world.pass(500);
  assert.equal(passenger.chat.unread, 0);
  const { head_seq, receipts } = world.server.head();
  assert.equal(head_seq - receipts.passenger.read, 0);
});

test('only own messages cause no read receipt', async () => {
  const { world, passenger } = await pair();
  passenger.chat.send('one');
  await world.pass(500);
  passenger.chat.markRead();
  await world.pass(500);
  assert.equal(world.server.handled.filter((each) => each.action === 'read').length, 0);
});

for (const sender of ['system', 'agent']) {
  test(`for ${sender}, unread counts what the others have written since this device has read`, async () => {
    const { world, driver } = await pair();
    const { chat } = world.device(sender);
    await world.pass(200);
    driver.chat.send('one');
    chat.send('mine');
    await world.pass(500);
    assert.equal(chat.unread, 1);
    chat.markRead();
    assert.equal(chat.unread, 0);
    driver.chat.send('two');
    await world.pass(500);
    assert.equal(chat.unread, 1);
  });
}

test('messages of an agent and of the system are unread until they are read, over a reload too', async () => {
  const { world, driver } = await pair();
  for (const sender of ['agent', 'system', 'driver']) world.server.store({ sender, message: 'Hello' });
  await world.pass(500);
  assert.equal(driver.chat.unread, 2);
  driver.chat.markRead();
  await world.pass(500);
  assert.equal(driver.chat.unread, 0);
  driver.chat.close();
  const { chat } = world.device('driver', driver);
  await world.pass(500);
  assert.equal(chat.unread, 0);
});

test('what another device of the side has read is not taken back by reading less here', async () => {
  const { world, driver, passenger } = await pair();
  const tablet = world.device('passenger');
  for (const text of ['one', 'two', 'three']) driver.chat.send(text);
  await world.pass(1_000);
  tablet.chat.markRead();
  await world.pass(500);
  const receipts = () => world.server.handled.filter(({ action }) => ['read', 'delivered'].includes(action)).length;
  const before = receipts();
  passenger.chat.markRead(1);
  await world.pass(70_000); // over a pong
  assert.equal(receipts(), before);
  assert.equal(passenger.chat.unread, 0);
  assert.deepEqual(driver.chat.receipts.passenger, { delivered: 3, read: 3 });
});

test('a read message counts as delivered, whatever a server says', async () => {
  const { world, driver } = await pair();
  for (let count = 0; count < 5; count += 1) world.server.store({ sender: 'driver', message: `${count}` });
  await world.pass(500);
  const tell = (delivered, read) => {
    const receipts = { driver: { delivered: 0, read: 0 }, passenger: { delivered, read } };
    world.server.tell({ type: 'receipt', sender: 'passenger', receipts });
  };
  tell(0, 5);
  await world.pass(50);
  assert.deepEqual(driver.chat.receipts.passenger, { delivered: 5, read: 5 });
  tell(3, 2);
  await world.pass(50);
  assert.deepEqual(driver.chat.receipts.passenger, { delivered: 5, read: 5 });
});

test('own messages are not reported as delivered', async () => {
  const { world, driver } = await pair();
  driver.chat.send('Hello');
  await world.pass(500);
  assert.deepEqual(driver.chat.receipts.driver, { delivered: 0, read: 0 });
  assert.equal(driver.chat.unread, 0);
});

test('twenty messages at once are acknowledged with one frame', async () => {
  const { world } = await pair();
  for (let count = 0; count < 20; count += 1) world.server.store({ sender: 'system', message: `${count}` });
  await world.pass(500);
  const told = world.server.handled.filter((each) => each.action === 'delivered');
  assert.deepEqual(told, [
    { action: 'delivered', seq: 20 },
    { action: 'delivered', seq: 20 },
  ]);
});

test('a lost receipt is sent again after the next pong', async () => {
  const { world, driver, passenger } = await pair();
  world.server.refuse = ({ action }) => (action === 'read' || action === 'delivered' ? 'lost' : null);
  driver.chat.send('Hello');
  await world.pass(500);
  passenger.chat.markRead();
  await world.pass(500);
  assert.equal(world.server.receipts.passenger.read, 0);
  world.server.refuse = () => null;
  await world.pass(3_000);
  assert.equal(world.server.receipts.passenger.read, 1);
});

test('the next pong makes up for a lost receipt frame', async () => {
  const { world, driver, passenger } = await pair();
  world.server.loses = (frame) => frame.type === 'receipt';
  driver.chat.send('Hello');
  await world.pass(300);
  passenger.chat.markRead();
  await world.pass(500);
  assert.equal(driver.chat.receipts.passenger.read, 0);
  await world.pass(3_000);
  assert.equal(driver.chat.receipts.passenger.read, 1);
});

test('messages that one device of a side has read are read on its other devices', async () => {
  const { world, driver, passenger } = await pair();
  const tablet = world.device('passenger');
  driver.chat.send('Hello');
  await world.pass(500);
  assert.equal(tablet.chat.unread, 1);
  passenger.chat.markRead();
  await world.pass(500);
  assert.equal(tablet.chat.unread, 0);
});

test('typing is said at most every three seconds, and that it has stopped', async () => {
  const { world, driver, passenger } = await pair();
  for (let count = 0; count < 10; count += 1) {
    driver.chat.sayTyping();
    await world.pass(500);
  }
  const told = () => world.server.handled.filter((each) => each.action === 'typing').map((each) => each.on);
  assert.deepEqual(told(), [true, true]);
  assert.deepEqual([...passenger.chat.typing], ['driver']);
  await world.pass(5_000);
  assert.deepEqual(told(), [true, true, false]);
  assert.equal(passenger.chat.typing.size, 0);
});

test('a typing frame that is overtaken by its message shows nobody typing', async () => {
  const { world, driver, passenger } = await pair();
  world.server.latency = (frame) => (frame?.type === 'typing' ? 200 : 20);
  driver.chat.sayTyping();
  await world.pass(10);
  driver.chat.send('Hello');
  await world.pass(500);
  assert.equal(passenger.chat.messages.length, 1);
  assert.equal(passenger.chat.typing.size, 0);
});

test('a sender that is cut while typing does not type for ever', async () => {
  const { world, driver, passenger } = await pair();
  driver.chat.sayTyping();
  await world.pass(200);
  assert.equal(passenger.chat.typing.size, 1);
  world.server.admits = () => false;
  driver.socket.cut();
  await world.pass(7_000);
  assert.equal(passenger.chat.typing.size, 0);
});

test('presence is known from the start, and follows', async () => {
  const { world, driver, passenger } = await pair();
  assert.deepEqual(driver.chat.presence, { driver: true, passenger: true, agent: false });
  passenger.chat.close();
  await world.pass(100);
  assert.deepEqual(driver.chat.presence, { driver: true, passenger: false, agent: false });
});

for (const side of ['driver', 'agent']) {
  test(`for ${side}, what was read is news once`, () => {
    const receipts = new Receipts({ side, clock: new VirtualClock(), send: () => true });
    assert.deepEqual([3, 3, 2, 4].map((seq) => receipts.note('read', seq)), [true, false, false, true]);
  });
}

for (const kind of ['delivered', 'read']) {
  test(`what the server knows to be ${kind} is no news here`, () => {
    const receipts = new Receipts({ side: 'driver', clock: new VirtualClock(), send: () => true });
    assert.equal(receipts.merge({ driver: { delivered: 5, read: 0, [kind]: 5 } }), true);
    assert.deepEqual([5, 6].map((seq) => receipts.note(kind, seq)), [false, true]);
  });
}
