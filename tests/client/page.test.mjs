/** What the client has of a page: its storages, its address, whether it is seen, and its name among the tabs. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { Away } from '../../web/navietakie/away.js';
import { Device } from '../../web/navietakie/device.js';
import { surroundings } from '../../web/navietakie/platform.js';
import { VirtualClock, settled } from './support/clock.mjs';
import { MemoryStorage } from './support/storage.mjs';

const taken = [];

/** Puts something in the place of what the platform has, until the test is over. */
function has(name, value) {
  taken.push([name, Object.getOwnPropertyDescriptor(globalThis, name)]);
  Object.defineProperty(globalThis, name, { configurable: true, ...value });
}

afterEach(() => {
  for (const [name, was] of taken.splice(0).reverse()) {
    if (was) Object.defineProperty(globalThis, name, was);
    else delete globalThis[name];
  }
});

/** A page that is seen or hidden, and its window; `listening` names what is listened to. */
function page({ seen = true } = {}) {
  const window = new EventTarget();
  const document = Object.assign(new EventTarget(), { visibilityState: seen ? 'visible' : 'hidden' });
  has('document', { value: document });
  for (const name of ['addEventListener', 'removeEventListener']) has(name, { value: window[name].bind(window) });
  const shows = (state) => {
    document.visibilityState = state;
    document.dispatchEvent(new Event('visibilitychange'));
  };
  return { window, document, shows };
}

const given = { api: 'http://a', ws: 'ws://a', WebSocket: class {} };

/** What `watch` tells. */
function watched() {
  const told = [];
  const stop = surroundings(given).watch({ wake: () => told.push('wake'), away: (on) => told.push(on) });
  return { told, stop };
}

test('a page that is hidden is away, and wakes when it is seen again', () => {
  const { shows } = page();
  const { told } = watched();
  assert.deepEqual(told, []);
  shows('hidden');
  shows('visible');
  assert.deepEqual(told, [true, false, 'wake']);
});

test('a page that is hidden from the start is away at once', () => {
  page({ seen: false });
  assert.deepEqual(watched().told, [true]);
});

test('a network that is found wakes a page that is seen', () => {
  const { window, document } = page();
  const { told } = watched();
  window.dispatchEvent(new Event('online'));
  document.visibilityState = 'hidden';
  window.dispatchEvent(new Event('online'));
  assert.deepEqual(told, [false, 'wake', true]);
});

test('who has stopped watching is told nothing', () => {
  const { window, shows } = page();
  const { told, stop } = watched();
  stop();
  shows('hidden');
  window.dispatchEvent(new Event('online'));
  assert.deepEqual(told, []);
});

test('where there is no page and no window, nobody is told and nothing breaks', () => {
  for (const name of ['document', 'addEventListener', 'removeEventListener']) has(name, { value: undefined });
  const { told, stop } = watched();
  stop();
  assert.deepEqual(told, []);
});

test('a page gives its storages, its locks and the address from which it came', () => {
  page();
  const [local, session, locks] = [new MemoryStorage(), new MemoryStorage(), {}];
  has('localStorage', { value: local });
  has('sessionStorage', { value: session });
  has('navigator', { value: { locks } });
  has('location', { value: new URL('https://page.example/chat?x=1') });
  const found = surroundings({ WebSocket: class {} });
  assert.deepEqual([found.storage === local, found.session === session, found.locks === locks], [true, true, true]);
  assert.deepEqual([found.api, found.ws], ['https://page.example', 'wss://page.example/ws']);
});

test('without a page, no storage and no lock is used though there are some', () => {
  has('localStorage', { value: new MemoryStorage() });
  has('sessionStorage', { value: new MemoryStorage() });
  has('navigator', { value: { locks: {} } });
  const { storage, session, locks } = surroundings(given);
  assert.deepEqual([storage, session, locks], [null, null, null]);
});

test('a storage that is forbidden or missing is none', () => {
  page();
  const forbidden = () => {
    throw new Error('forbidden');
  };
  has('localStorage', { get: forbidden });
  has('sessionStorage', { value: undefined });
  has('navigator', { value: undefined });
  const { storage, session, locks, mediaDevices, getUserMedia } = surroundings(given);
  assert.deepEqual([storage, session, locks, mediaDevices, getUserMedia], [null, null, undefined, undefined, undefined]);
});

test('microphones come from the devices that are given, or from those of the platform', () => {
  const devices = (name) => ({
    name,
    getUserMedia() {
      return this.name;
    },
  });
  has('navigator', { value: { mediaDevices: devices('platform') } });
  assert.equal(surroundings(given).getUserMedia(), 'platform');
  const found = surroundings({ ...given, mediaDevices: devices('given') });
  assert.deepEqual([found.getUserMedia(), found.mediaDevices.name], ['given', 'given']);
  assert.equal(surroundings({ ...given, mediaDevices: {} }).getUserMedia, undefined);
});

test("the platform's fetch is called as the platform wants it", () => {
  has('fetch', {
    value() {
      return this;
    },
  });
  assert.equal(surroundings(given).fetch.call(null), globalThis);
  has('fetch', { value: undefined });
  assert.equal(surroundings(given).fetch, undefined);
});

test('that the app is away is said at once, on each new line, and until the server knows it', () => {
  const said = [];
  let changes = 0;
  const away = new Away({ send: (frame) => said.push(frame), changed: () => (changes += 1) });
  away.lineOpened();
  away.say(false);
  assert.deepEqual([said, changes], [[], 0]);
  away.say(true);
  away.say(true);
  assert.deepEqual([said, changes], [[{ action: 'away', id: 'away', on: true }], 1]);
  away.lineOpened();
  away.heard(true);
  away.heard(undefined);
  assert.equal(said.length, 2);
  away.heard(false);
  assert.equal(said.length, 3);
  away.say(false);
  assert.deepEqual([said.at(-1), changes], [{ action: 'away', id: 'away', on: false }, 2]);
  away.lineOpened();
  assert.equal(said.length, 4);
});

/** Locks that the test gives or refuses: `asked` are those that were asked for, and whether they are held. */
function locks() {
  const asked = [];
  const request = (name, { signal }, hold) =>
    new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(new Error('given up')));
      const lock = { name, held: false, refuse: reject };
      const letsGo = () => (lock.held = false);
      lock.give = () => {
        lock.held = true;
        resolve(hold().then(letsGo));
      };
      asked.push(lock);
    });
  return { request, asked };
}

test('a name is kept for the tab where names can be locked, unless the app gave it', () => {
  const clock = new VirtualClock();
  const device = (more) => {
    const session = new MemoryStorage();
    return { session, device: new Device({ name: 'chat', session, clock, locks: locks(), ...more }) };
  };
  const { session, device: own } = device();
  assert.match(own.id, /^[0-9a-f]{32}$/);
  assert.equal(session.getItem('navietakie device chat'), JSON.stringify(own.id));
  assert.equal(device({ session }).device.id, own.id);
  assert.notEqual(device({ session, locks: null }).device.id, own.id);
  const given = device({ given: 'mine' });
  assert.deepEqual([given.device.id, given.session.length], ['mine', 0]);
  assert.equal(device({ locks: undefined }).session.length, 0);
  assert.equal(device({ session: null }).device.id.length, 32);
});

test('where there are no locks, there is nothing to wait for', () => {
  const device = new Device({ name: 'chat', session: null, clock: new VirtualClock() });
  assert.equal(device.claim(), null);
  device.release();
});

test('a name is claimed when its lock is held, and let go when it is released', async () => {
  const clock = new VirtualClock();
  const all = locks();
  const device = new Device({ name: 'chat', session: null, clock, locks: all });
  const { id } = device;
  let claimed = false;
  device.claim().then(() => (claimed = true));
  assert.equal(all.asked[0].name, `navietakie device chat ${id}`);
  await settled();
  assert.equal(claimed, false);
  all.asked[0].give();
  await settled();
  assert.equal(claimed, true);
  await clock.pass(1_000);
  assert.deepEqual([device.id, all.asked[0].held, all.asked.length], [id, true, 1]);
  device.release();
  await settled();
  assert.equal(all.asked[0].held, false);
});

test('a name that is not had within three seconds is left to the other tab, and another one is taken and kept', async () => {
  const clock = new VirtualClock();
  const all = locks();
  const session = new MemoryStorage();
  const device = new Device({ name: 'chat', session, clock, locks: all });
  const { id } = device;
  let claimed = false;
  device.claim().then(() => (claimed = true));
  await clock.pass(2_990);
  assert.equal(claimed, false);
  await clock.pass(20);
  assert.equal(claimed, true);
  assert.notEqual(device.id, id);
  assert.equal(all.asked[1].name, `navietakie device chat ${device.id}`);
  assert.equal(session.getItem('navietakie device chat'), JSON.stringify(device.id));
});

test('locks that are refused leave the device its name', async () => {
  const all = locks();
  const device = new Device({ name: 'chat', session: null, clock: new VirtualClock(), locks: all });
  const { id } = device;
  const claimed = device.claim();
  all.asked[0].refuse(new Error('not here'));
  await claimed;
  assert.deepEqual([device.id, all.asked.length], [id, 1]);
});

test('a lock of the other name that is refused breaks nothing', async () => {
  const clock = new VirtualClock();
  const all = locks();
  const device = new Device({ name: 'chat', session: null, clock, locks: all });
  const claimed = device.claim();
  await clock.pass(3_010);
  all.asked[1].refuse(new Error('not here'));
  await claimed;
  await settled();
  device.release();
});
