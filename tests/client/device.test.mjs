import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStorage } from './support/storage.mjs';
import { jwt } from './support/tokens.mjs';
import { World, texts } from './support/world.mjs';

/** Web Locks of one browser: a name is held until its holder lets go, and the others wait or give up. */
function fakeLocks() {
  const tails = new Map();
  return {
    request(name, { signal }, hold) {
      const given = new Promise((resolve, reject) => {
        signal?.addEventListener('abort', () => reject(new DOMException('given up', 'AbortError')));
        (tails.get(name) ?? Promise.resolve()).then(resolve);
      });
      const before = tails.get(name);
      const held = given.then(hold);
      tails.set(name, held.catch(() => before)); // after giving up, the holder stays the same
      return held;
    },
  };
}

/** A tab of a browser; a copy of its `sessionStorage` makes a duplicate of it. */
function tab(world, locks, session = new MemoryStorage(), options = {}) {
  return { ...world.device('driver', { locks, session, deviceId: null, ...options }), session };
}

function copied(session) {
  const copy = new MemoryStorage();
  for (let at = 0; at < session.length; at += 1) copy.setItem(session.key(at), session.getItem(session.key(at)));
  return copy;
}

test('a tab that is reloaded is the same device', async () => {
  const world = new World();
  const locks = fakeLocks();
  const first = tab(world, locks);
  await world.pass(200);
  first.chat.close();
  const again = tab(world, locks, first.session);
  await world.pass(200);
  assert.equal(again.chat.deviceId, first.chat.deviceId);
  assert.equal(again.chat.state, 'open');
});

test('a tab that is reloaded on a slow machine is the same device, although the page before it lets go late', async () => {
  const world = new World();
  const locks = fakeLocks();
  const first = tab(world, locks);
  await world.pass(200);
  const again = tab(world, locks, first.session);
  await world.pass(2_500);
  assert.equal(again.chat.state, 'connecting');
  first.chat.close();
  await world.pass(200);
  assert.equal(again.chat.deviceId, first.chat.deviceId);
  assert.equal(again.chat.state, 'open');
});

test('a duplicated tab is another device, and stays that one', async () => {
  const world = new World();
  const locks = fakeLocks();
  const first = tab(world, locks);
  await world.pass(200);
  const duplicate = tab(world, locks, copied(first.session));
  await world.pass(4_000);
  assert.notEqual(duplicate.chat.deviceId, first.chat.deviceId);
  assert.deepEqual(
    [...world.server.connections].map((each) => each.deviceId),
    [first, duplicate].map(({ chat }) => chat.deviceId),
  );
  duplicate.chat.close();
  const again = tab(world, locks, duplicate.session);
  await world.pass(4_000);
  assert.equal(again.chat.deviceId, duplicate.chat.deviceId);
});

test('a copy of a duplicated tab is yet another device', async () => {
  const world = new World();
  const locks = fakeLocks();
  const first = tab(world, locks);
  await world.pass(200);
  const second = tab(world, locks, copied(first.session));
  await world.pass(4_000);
  const third = tab(world, locks, copied(second.session));
  await world.pass(4_000);
  assert.equal(new Set([first, second, third].map(({ chat }) => chat.deviceId)).size, 3);
});

test('a tab does not take a name that the app gives from another tab', async () => {
  const world = new World();
  const locks = fakeLocks();
  const [first, second] = ['phone', 'phone'].map((deviceId) => tab(world, locks, new MemoryStorage(), { deviceId }));
  await world.pass(4_000);
  assert.equal(first.chat.deviceId, 'phone');
  assert.match(second.chat.deviceId, /^[0-9a-f]{32}$/);
  assert.deepEqual([first, second].map(({ chat }) => chat.state), ['open', 'open']);
});

test('where locks are forbidden, the line opens all the same', async () => {
  const world = new World();
  const locks = { request: async () => Promise.reject(new DOMException('not here', 'SecurityError')) };
  const { chat } = tab(world, locks);
  await world.pass(200);
  assert.equal(chat.state, 'open');
});

test('a conversation that is closed before its name is known stays closed', async () => {
  const world = new World();
  const locks = fakeLocks();
  tab(world, locks, new MemoryStorage(), { deviceId: 'phone' });
  await world.pass(200);
  const { chat } = tab(world, locks, new MemoryStorage(), { deviceId: 'phone' });
  chat.close();
  await world.pass(5_000);
  assert.equal(chat.state, 'closed');
  assert.equal(world.server.connections.size, 1);
});

test('a conversation that is closed at once leaves its name to the next one in the tab, as React does it', async () => {
  const world = new World();
  const locks = fakeLocks();
  const first = tab(world, locks);
  first.chat.close();
  const second = tab(world, locks, first.session);
  await world.pass(1_000);
  assert.equal(second.chat.deviceId, first.chat.deviceId);
  assert.equal(second.chat.state, 'open');
});

test('reconnect does not overtake the claim of the name', async () => {
  const world = new World();
  const locks = fakeLocks();
  tab(world, locks, new MemoryStorage(), { deviceId: 'phone' });
  await world.pass(200);
  const { chat } = tab(world, locks, new MemoryStorage(), { deviceId: 'phone' });
  chat.reconnect();
  await world.pass(4_000);
  assert.equal(chat.state, 'open');
  assert.notEqual(chat.deviceId, 'phone');
});

const tokenOf = (sub) => jwt({ sub, role: 'driver', booking_code: 'test', exp: 4e9 });

for (const kind of ['a text', 'a function']) {
  const as = (sub) => (kind === 'a text' ? tokenOf(sub) : async () => tokenOf(sub));
  test(`what one user wrote is neither shown to nor sent by another (token: ${kind})`, async () => {
    const world = new World();
    world.server.admits = () => false;
    const anna = world.device('driver', { token: as('anna') });
    await world.pass(100);
    anna.chat.send('from Anna');
    anna.chat.close();
    world.server.admits = () => true;
    const { storage } = anna;
    const bert = world.device('driver', { storage, token: as('bert') });
    const shown = [];
    bert.chat.on('change', () => shown.push(...bert.chat.outbox));
    await world.pass(1_000);
    assert.deepEqual(shown, []);
    assert.deepEqual(world.server.messages, []);
    bert.chat.close();
    world.device('driver', { storage, token: as('anna') });
    await world.pass(1_000);
    assert.deepEqual(texts(world.server.messages), ['from Anna']);
    assert.equal(storage.length, 0);
  });
}

test("another user's token sends no message of the user before", async () => {
  const world = new World();
  world.server.admits = () => false;
  const { chat, storage } = world.device('driver', { token: tokenOf('anna') });
  await world.pass(100);
  const { stored } = chat.send('from Anna');
  world.server.admits = () => true;
  chat.reconnect({ token: tokenOf('bert') });
  await assert.rejects(stored, { code: 'closed' });
  await world.pass(2_000);
  assert.deepEqual(chat.outbox, []);
  assert.deepEqual(world.server.messages, []);
  assert.equal(storage.length, 1);
});

test('a token that comes after another was given brings back neither its user nor what that user wrote', async () => {
  const world = new World();
  world.server.admits = () => false;
  const { chat: annas, storage } = world.device('driver', { token: tokenOf('anna') });
  await world.pass(100);
  annas.send('from Anna');
  annas.close();
  world.server.admits = () => true;
  let give;
  const { chat } = world.device('driver', { storage, token: () => new Promise((resolve) => (give = resolve)) });
  await world.pass(100);
  chat.reconnect({ token: tokenOf('bert') });
  await world.pass(500);
  give(tokenOf('anna'));
  await world.pass(1_000);
  chat.send('from Bert');
  await world.pass(1_000);
  assert.deepEqual(texts(world.server.messages), ['from Bert']);
  assert.deepEqual(chat.outbox, []);
});

test('messages from before the user was known are sent by that user', async () => {
  const world = new World();
  let give;
  const token = () => new Promise((resolve) => (give = resolve));
  const { chat } = world.device('driver', { token });
  const { stored } = chat.send('Hello');
  await world.pass(100);
  assert.deepEqual(texts(chat.outbox), ['Hello']);
  give(tokenOf('anna'));
  await world.pass(500);
  assert.equal((await stored).message, 'Hello');
});

test('the option user says whose messages these are before any token comes', async () => {
  const world = new World();
  const first = world.device('driver', { token: () => new Promise(() => {}), user: 'anna' });
  first.chat.send('Hello');
  first.chat.close();
  const { storage } = first;
  const token = () => new Promise(() => {});
  assert.deepEqual(texts(world.device('driver', { storage, token, user: 'bert' }).chat.outbox), []);
  assert.deepEqual(texts(world.device('driver', { storage, token, user: 'anna' }).chat.outbox), ['Hello']);
});
