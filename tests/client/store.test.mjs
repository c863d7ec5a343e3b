import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store, parsed } from '../../web/navietakie/store.js';
import { settled } from './support/clock.mjs';
import { MemoryStorage } from './support/storage.mjs';

/** A storage that answers by promises, and at once where it is told to. */
function slow({ fails = false } = {}) {
  const items = new Map();
  const does = async (act) => {
    if (fails) throw new Error('broken');
    return act();
  };
  return {
    items,
    getAllKeys: () => does(() => [...items.keys()]),
    getItem: (key) => does(() => items.get(key) ?? null),
    setItem: (key, value) => does(() => void items.set(key, value)),
    removeItem: (key) => does(() => void items.delete(key)),
  };
}

for (const [kind, make] of [
  ['at once', () => new MemoryStorage()],
  ['by promises', slow],
]) {
  test(`what was written to a storage that answers ${kind} is read, until null is written`, async () => {
    const store = new Store(make());
    store.write('chat a', { text: 'one' });
    store.write('chat b', 2);
    store.write('other', 3);
    await settled();
    assert.deepEqual(await store.read('chat a'), { text: 'one' });
    assert.deepEqual(await store.readAll('chat '), ['{"text":"one"}', '2']);
    store.write('chat a', null);
    await settled();
    assert.equal(await store.read('chat a'), null);
    assert.deepEqual(await store.readAll('chat '), ['2']);
  });
}

test('a storage that answers at once is read at once', () => {
  const store = new Store(new MemoryStorage());
  store.write('a', 1);
  assert.equal(store.read('a'), 1);
  assert.deepEqual(store.readAll('a'), ['1']);
});

for (const storage of [null, undefined]) {
  test(`where the storage is ${storage}, nothing is kept`, () => {
    const store = new Store(storage);
    store.write('a', 1);
    store.write('a', null);
    assert.equal(store.read('a'), null);
    assert.deepEqual(store.readAll('a'), []);
  });
}

test('a storage that fails by promises has nothing', async () => {
  const store = new Store(slow({ fails: true }));
  store.write('a', 1);
  store.write('a', null);
  assert.equal(await store.read('a'), null);
  assert.deepEqual(await store.readAll('a'), []);
});

test('a storage that is forbidden has nothing', () => {
  const forbidden = () => {
    throw new Error('forbidden');
  };
  const store = new Store({ key: forbidden, getItem: forbidden, setItem: forbidden, length: 1 });
  store.write('a', 1);
  assert.equal(store.read('a'), null);
  assert.deepEqual(store.readAll('a'), []);
});

test('a key that vanishes while all are read is left out', () => {
  const storage = new MemoryStorage();
  storage.setItem('a', '1');
  Object.defineProperty(storage, 'length', { value: 2 });
  assert.deepEqual(new Store(storage).readAll('a'), ['1']);
});

test('writes to a slow storage keep their order, and one that fails does not end them', async () => {
  const storage = slow();
  const { setItem } = storage;
  const waits = [() => Promise.reject(new Error('full')), settled, () => null];
  storage.setItem = async (key, value) => {
    await waits.shift()();
    await setItem(key, value);
  };
  const store = new Store(storage);
  for (const value of [1, 2, 3]) store.write('a', value);
  for (let count = 0; count < 5; count += 1) await settled();
  assert.equal(storage.items.get('a'), '3');
});

test('a text that is no JSON is null, and so is none', () => {
  assert.deepEqual(['{"a":1}', 'no JSON', '', null, undefined].map(parsed), [{ a: 1 }, null, null, null, null]);
});
