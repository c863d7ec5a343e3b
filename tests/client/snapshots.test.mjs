import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World } from './support/world.mjs';

const SHOWN = ['messages', 'outbox', 'receipts', 'typing', 'presence', 'booking', 'position', 'calls'];

async function pair() {
  const world = new World();
  const [driver, passenger] = [world.device('driver'), world.device('passenger')];
  await world.pass(200);
  return { world, driver, passenger };
}

/** The properties that differ between two snapshots. */
const changed = (before, after) => Object.keys(after).filter((name) => before[name] !== after[name]);

/** Calls `act`. Returns what that has changed in the snapshot of a device. */
async function changes({ world }, { chat }, act, ms = 500) {
  const before = chat.getSnapshot();
  act();
  await world.pass(ms);
  return changed(before, chat.getSnapshot());
}

test('while nothing changes, a snapshot and all in it are the same objects', async () => {
  const { world, driver } = await pair();
  const before = driver.chat.getSnapshot();
  await world.pass(10_000); // a ping and its pong
  assert.equal(driver.chat.getSnapshot(), before);
  for (const name of SHOWN.filter((each) => each !== 'calls')) assert.equal(driver.chat[name], before[name], name);
});

test('a property that changes is another object, and the others stay the same', async () => {
  const scene = await pair();
  const { driver, passenger } = scene;
  const { chat } = passenger;
  assert.deepEqual(await changes(scene, passenger, () => driver.chat.sayTyping(), 100), ['typing']);
  const message = () => driver.chat.send('Hello');
  assert.deepEqual((await changes(scene, passenger, message)).sort(), ['messages', 'position', 'typing', 'unread']);
  assert.deepEqual(await changes(scene, passenger, () => chat.markRead()), ['unread']);
  assert.deepEqual(await changes(scene, passenger, () => driver.chat.calls.start()), ['calls']);
  assert.deepEqual(await changes(scene, passenger, () => driver.chat.close()), ['presence']);
});

test('a snapshot that was taken stays as it was', async () => {
  const { world, driver, passenger } = await pair();
  const { messages, outbox, receipts, typing, calls } = passenger.chat.getSnapshot();
  passenger.chat.send('mine');
  driver.chat.send('Hello');
  driver.chat.sayTyping();
  driver.chat.calls.start();
  await world.pass(500);
  assert.deepEqual([messages, outbox, typing.size, calls.phase], [[], [], 0, 'idle']);
  assert.deepEqual(receipts.passenger, { delivered: 0, read: 0 });
});

test('an entry of the outbox that changes is another object', async () => {
  const { world, driver } = await pair();
  world.server.refuse = ({ action }) => (action === 'message' ? { code: 'too_large' } : null);
  driver.chat.send('one');
  driver.chat.send('two');
  const [one, two] = driver.chat.outbox;
  await world.pass(45);
  assert.notEqual(driver.chat.outbox[0], one);
  assert.equal(one.state, 'sending');
  assert.equal(driver.chat.outbox[0].state, 'failed');
  assert.equal(driver.chat.outbox[1].message, two.message);
});

test('subscribe and getSnapshot need no object before them, as React calls them', async () => {
  const { world, driver } = await pair();
  const { subscribe, getSnapshot } = driver.chat;
  let told = 0;
  const stop = subscribe(() => (told += 1));
  driver.chat.send('Hello');
  await world.pass(500);
  assert.equal(getSnapshot().messages.length, 1);
  assert.equal(told > 0, true);
  stop();
  const before = told;
  driver.chat.send('again');
  await world.pass(500);
  assert.equal(told, before);
});

test('every change of a snapshot emits change', async () => {
  const { world, driver, passenger } = await pair();
  let last = passenger.chat.getSnapshot();
  passenger.chat.on('change', () => (last = passenger.chat.getSnapshot()));
  driver.chat.send('Hello');
  driver.chat.calls.start();
  for (let count = 0; count < 600; count += 1) {
    await world.pass(100);
    assert.deepEqual(changed(last, passenger.chat.getSnapshot()), [], `after ${count} steps`);
  }
});
