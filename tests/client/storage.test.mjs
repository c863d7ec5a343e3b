import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox } from '../../web/navietakie/outbox.js';
import { Store } from '../../web/navietakie/store.js';
import { jwt } from './support/tokens.mjs';
import { World, texts } from './support/world.mjs';

/** React Native's AsyncStorage: every answer takes time, and some take longer. */
function asyncStorage(clock, items = new Map()) {
  const later = (act) =>
    new Promise((resolve) => clock.setTimeout(() => resolve(act()), clock.between(5, 200)));
  return {
    items,
    getAllKeys: () => later(() => [...items.keys()]),
    getItem: (key) => later(() => items.get(key) ?? null),
    setItem: (key, value) => later(() => void items.set(key, value)),
    removeItem: (key) => later(() => void items.delete(key)),
  };
}

test('messages of an earlier start go first, although the storage is slow', async () => {
  const world = new World();
  world.server.admits = () => false;
  const first = world.device('driver', { storage: asyncStorage(world.clock) });
  await world.pass(1_000);
  for (const text of ['one', 'two', 'three']) first.chat.send(text);
  await world.pass(5_000);
  first.chat.close();
  world.server.admits = () => true;
  const { chat } = world.device('driver', { storage: asyncStorage(world.clock, first.storage.items) });
  chat.send('four');
  await world.pass(5_000);
  assert.deepEqual(texts(world.server.messages), ['one', 'two', 'three', 'four']);
  await world.pass(5_000);
  assert.equal(first.storage.items.size, 0);
});

test('a clock that was put back does not change the order', async () => {
  const world = new World();
  const items = new Map();
  const early = { id: 'old', message: 'old', message_type: 'text', metadata: null, state: 'waiting', error: null };
  items.set('navietakie outbox ws://fake/ws test driver old', JSON.stringify({ ...early, created_at: 4e12 }));
  world.server.admits = () => false;
  const first = world.device('driver', { storage: asyncStorage(world.clock, items) });
  first.chat.send('new');
  await world.pass(5_000);
  first.chat.close();
  world.server.admits = () => true;
  world.device('driver', { storage: asyncStorage(world.clock, items) });
  await world.pass(3_000);
  assert.deepEqual(texts(world.server.messages), ['old', 'new']);
});

test('after ten seconds the client goes on without a storage that never answers', async () => {
  const world = new World();
  const never = () => new Promise(() => {});
  const storage = { getAllKeys: never, getItem: never, setItem: never, removeItem: never };
  const { chat } = world.device('driver', { storage });
  chat.send('Hello');
  await world.pass(9_000);
  assert.deepEqual(world.server.messages, []);
  await world.pass(3_000);
  assert.deepEqual(texts(world.server.messages), ['Hello']);
});

test('if every answer of the storage is an error, nothing survives a reload, and everything else works', async () => {
  const world = new World();
  const fails = async () => Promise.reject(new Error('broken'));
  const storage = { getAllKeys: fails, getItem: fails, setItem: fails, removeItem: fails };
  const { chat } = world.device('driver', { storage, token: jwt({ sub: 'anna' }) });
  chat.send('Hello');
  await world.pass(1_000);
  assert.deepEqual(texts(world.server.messages), ['Hello']);
});

test('a call that was left before the app was killed is ended by the next start', async () => {
  const world = new World();
  const storage = asyncStorage(world.clock);
  const passenger = world.device('passenger', { storage });
  world.device('driver').chat.calls.start();
  await world.pass(1_000);
  assert.equal(passenger.chat.calls.phase, 'ringing');
  world.server.admits = () => false;
  passenger.socket.cut();
  passenger.chat.calls.hangUp().catch(() => {});
  await world.pass(1_000);
  passenger.chat.close();
  world.server.admits = () => true;
  const seen = [];
  const { chat } = world.device('passenger', { storage, deviceId: passenger.deviceId });
  chat.on('change', () => seen.push(chat.calls.phase));
  await world.pass(3_000);
  assert.deepEqual(new Set(seen), new Set(['idle']));
  assert.equal(world.server.call.state, 'ended');
});

/** A storage that answers after twelve seconds, when the client has gone on without it; `kept` is what it has of a call. */
function late(clock, kept) {
  const answer = (value) => new Promise((resolve) => clock.setTimeout(() => resolve(value), 12_000));
  const getItem = (key) => answer(key.includes(' call ') ? JSON.stringify(kept) : null);
  return { getAllKeys: () => answer([]), getItem, setItem: () => answer(), removeItem: () => answer() };
}

test('a storage that answers late does not put an old call in the place of the one that was made meanwhile', async () => {
  const world = new World();
  const storage = late(world.clock, { part: { call_id: 'old', ice_servers: [] }, left: null });
  const [driver, passenger] = [world.device('driver', { storage }), world.device('passenger')];
  await world.pass(11_000);
  driver.chat.calls.start();
  await world.pass(3_000);
  assert.deepEqual([driver, passenger].map(({ chat }) => chat.calls.phase), ['calling', 'ringing']);
});

for (const [what, kept, state, phase] of [
  ['was left is ended', (call_id) => ({ part: null, left: { call_id, action: 'end' } }), 'ended', 'idle'],
  ['goes on is taken up again', (call_id) => ({ part: { call_id, ice_servers: [] }, left: null }), 'connected', 'talking'],
]) {
  test(`where the storage answers late, a call that ${what} all the same`, async () => {
    const world = new World();
    const [first, passenger] = [world.device('driver'), world.device('passenger')];
    await world.pass(200);
    first.chat.calls.start();
    await world.pass(200);
    passenger.chat.calls.accept();
    await world.pass(200);
    const { call_id } = first.chat.calls.call;
    first.chat.close();
    const storage = late(world.clock, kept(call_id));
    const { chat } = world.device('driver', { storage, deviceId: first.deviceId });
    await world.pass(15_000);
    assert.deepEqual([world.server.call.state, chat.calls.phase], [state, phase]);
  });
}

test('a storage that cannot list its keys is refused with the reason', () => {
  const storage = { getItem() {}, setItem() {}, removeItem() {} };
  assert.throws(() => new World().device('driver', { storage }), { name: 'TypeError', message: /key or getAllKeys/ });
});

test('when the user changes while the storage is read, the messages of the new user wait for their own', async () => {
  const { clock } = new World();
  const kept = { id: 'old', message: 'old', message_type: 'text', metadata: null, created_at: 1, state: 'waiting' };
  const items = new Map([['navietakie outbox of bob chat old', JSON.stringify(kept)]]);
  const waits = [100, 300];
  const getAllKeys = () => new Promise((go) => clock.setTimeout(() => go([...items.keys()]), waits.shift()));
  const storage = { ...asyncStorage(clock, items), getAllKeys, getItem: async (key) => items.get(key) };
  const sent = [];
  const send = ({ message }) => sent.push(message) > 0;
  const outbox = new Outbox({ store: new Store(storage), clock, name: 'chat', user: 'anna', send, changed() {} });
  outbox.belongTo('bob');
  outbox.lineOpened();
  outbox.add({ message: 'new', message_type: 'text', metadata: null });
  await clock.pass(200);
  assert.deepEqual(sent, []);
  await clock.pass(200);
  assert.deepEqual(sent, ['old']);
  assert.deepEqual(texts(outbox.entries), ['old', 'new']);
});
