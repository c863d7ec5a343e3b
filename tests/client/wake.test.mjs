import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { World } from './support/world.mjs';

const window = new EventTarget();
const names = ['addEventListener', 'removeEventListener'];

beforeEach(() => names.forEach((name) => (globalThis[name] = window[name].bind(window))));
afterEach(() => names.forEach((name) => delete globalThis[name]));

test('a device that finds a network tries at once', async () => {
  const world = new World();
  world.server.admits = () => false;
  const { chat } = world.device('driver');
  await world.pass(60_000);
  world.server.admits = () => true;
  window.dispatchEvent(new Event('online'));
  await world.pass(100);
  assert.equal(chat.state, 'open');
});

test('a device that finds a network asks an open line whether it is alive', async () => {
  const world = new World();
  const { chat } = world.device('driver');
  await world.pass(30_000);
  world.devices[0].socket.cut({ silent: true });
  window.dispatchEvent(new Event('online'));
  await world.pass(11_000);
  assert.equal(chat.state, 'open');
  assert.equal(world.server.connections.size, 1);
});

test('a closed conversation listens to nothing', async () => {
  const world = new World();
  const { chat } = world.device('driver');
  await world.pass(100);
  chat.close();
  window.dispatchEvent(new Event('online'));
  await world.pass(1_000);
  assert.equal(chat.state, 'closed');
});

test('a device that wakes while it connects leaves that try alone', async () => {
  const world = new World();
  world.server.latency = () => 5_000;
  const { chat, WebSocket } = world.device('driver');
  await world.pass(100);
  const { latest } = WebSocket;
  for (let count = 0; count < 4; count += 1) {
    await world.pass(1_000);
    chat.wake();
  }
  await world.pass(1_000);
  assert.equal(WebSocket.latest, latest);
  assert.equal(chat.state, 'open');
});
