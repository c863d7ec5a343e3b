import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { newId } from '../../web/navietakie/ids.js';
import { jwt } from './support/tokens.mjs';
import { World, texts } from './support/world.mjs';

const taken = [];

/** Removes something from the platform, or replaces it, until the test is over. */
function replace(object, name, value) {
  taken.push([object, name, Object.getOwnPropertyDescriptor(object, name)]);
  if (value === undefined) delete object[name];
  else Object.defineProperty(object, name, { configurable: true, ...value });
}

afterEach(() => {
  for (const [object, name, was] of taken.splice(0).reverse()) {
    if (was) Object.defineProperty(object, name, was);
    else delete object[name];
  }
});

/** Two devices that write, read and call. */
async function chats(options = {}) {
  const world = new World();
  const [driver, passenger] = [world.device('driver', options), world.device('passenger', options)];
  for (let count = 0; count < 60; count += 1) world.server.store({ sender: 'system', message: `${count}` });
  await world.pass(200);
  const refused = driver.chat.send('half \ud83d');
  driver.chat.send('Hello \u{1f600}');
  await world.pass(200);
  await assert.rejects(refused.stored, { code: 'invalid_request' });
  await driver.chat.loadOlder();
  driver.chat.calls.start();
  await world.pass(200);
  passenger.chat.calls.accept();
  await world.pass(200);
  passenger.chat.markRead();
  await world.pass(200);
  assert.equal(texts(passenger.chat.messages).at(-1), 'Hello \u{1f600}');
  assert.equal(driver.chat.receipts.passenger.read, 61);
  assert.deepEqual([driver, passenger].map(({ chat }) => chat.calls.phase), ['talking', 'talking']);
  world.close();
}

for (const [what, object, name] of [
  ['crypto', globalThis, 'crypto'],
  ['String.prototype.isWellFormed', String.prototype, 'isWellFormed'],
  ['Array.prototype.findLast', Array.prototype, 'findLast'],
  ['AbortSignal.timeout', AbortSignal, 'timeout'],
  ['TextEncoder', globalThis, 'TextEncoder'],
  ['queueMicrotask', globalThis, 'queueMicrotask'],
  ['navigator', globalThis, 'navigator'],
  ['FormData', globalThis, 'FormData'],
]) {
  test(`all works without ${what}`, async () => {
    replace(object, name);
    await chats();
  });
}

test('crypto without getRandomValues still makes ids that differ', () => {
  replace(globalThis, 'crypto', { value: {} });
  const ids = Array.from({ length: 1_000 }, newId);
  assert.equal(new Set(ids).size, 1_000);
  assert.ok(ids.every((id) => /^[0-9a-f]{32}$/.test(id)));
});

test('all works in a page that forbids its storages', async () => {
  const forbidden = {
    get() {
      throw new DOMException('The operation is insecure', 'SecurityError');
    },
  };
  replace(globalThis, 'document', { value: Object.assign(new EventTarget(), { visibilityState: 'visible' }) });
  replace(globalThis, 'localStorage', forbidden);
  replace(globalThis, 'sessionStorage', forbidden);
  await chats({ storage: undefined });
});

/** React Native's URL: it only keeps the text, and cannot parse a query. */
class NativeURL {
  constructor(url) {
    this.href = url.endsWith('/') ? url : `${url}/`;
  }

  get searchParams() {
    throw new Error('URLSearchParams.set is not implemented');
  }
}

test("all works within React Native's limits", async () => {
  const world = new World();
  const { server } = world;
  const WholeURL = URL;
  /** The server parses addresses, with the real class. */
  const outside = (act) => {
    const inside = globalThis.URL;
    globalThis.URL = WholeURL;
    try {
      return act();
    } finally {
      globalThis.URL = inside;
    }
  };
  const construct = (target, given) => outside(() => Reflect.construct(target, given));
  const WebSocket = new Proxy(server.WebSocket, { construct });
  for (const name of ['crypto', 'navigator', 'TextEncoder', 'atob', 'URLSearchParams']) replace(globalThis, name);
  replace(globalThis, 'URL', { value: NativeURL, writable: true });
  server.store({ sender: 'passenger', message: 'Hello' });
  const items = new Map();
  const storage = {
    getAllKeys: async () => [...items.keys()],
    getItem: async (key) => items.get(key) ?? null,
    setItem: async (key, value) => void items.set(key, value),
    removeItem: async (key) => void items.delete(key),
  };
  const { chat } = world.device('driver', {
    WebSocket,
    fetch: (url) => outside(() => server.fetch(url)),
    storage,
    token: async () => jwt({ sub: 'anna', role: 'driver', exp: 4e9 }),
    watch: null,
  });
  chat.send('I am here');
  await world.pass(1_000);
  assert.deepEqual(texts(chat.messages), ['Hello', 'I am here']);
  await chat.callLog();
  assert.equal(items.size, 0);
  chat.close();
});

test('a missing platform feature is named in the error', () => {
  const device = (options) => () => new World().device('driver', options);
  assert.throws(device({ WebSocket: null }), { name: 'TypeError', message: /WebSocket is required here/ });
});

test('where there is no fetch, older messages are refused with the reason, and the rest works', async () => {
  const world = new World();
  for (let count = 0; count < 60; count += 1) world.server.store({ sender: 'system', message: `${count}` });
  const { chat } = world.device('driver', { fetch: null });
  await world.pass(200);
  assert.equal(chat.messages.length, 50);
  await assert.rejects(chat.loadOlder(), { code: 'network', message: /fetch/ });
});
