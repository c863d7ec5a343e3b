/** Runs the examples of docs/client.md for React, Vue and React Native: with real React, and Vue's own reactivity. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { Window } from 'happy-dom';
import { connect } from '../../web/navietakie.js';
import { World } from '../client/support/world.mjs';
import { MemoryStorage } from '../client/support/storage.mjs';
import { PACKAGE, ROOT } from './support/installed.mjs';

const GUIDE = readFileSync(join(ROOT, 'docs', 'client.md'), 'utf8');
const window = new Window();
Object.assign(globalThis, { window, document: window.document, IS_REACT_ACT_ENVIRONMENT: true });
globalThis.navigator ??= window.navigator; // Node has one from 21 on
const { createElement, StrictMode, act } = await import('react');
const { createRoot } = await import('react-dom/client');

/** The options of a device of a world, in place of the platform. */
function device(world, sender) {
  const addresses = { api: 'http://fake', ws: 'ws://fake/ws' };
  const own = { WebSocket: world.server.WebSocket, fetch: world.server.fetch, storage: null, watch: null, clock: world.clock };
  return { sender, ...addresses, ...own };
}

test("React's hook shows what is there, what comes and what is sent, and opens one line in the end", async (t) => {
  const { Ride } = await example('React', 'tsx');
  const world = new World();
  world.server.store({ sender: 'passenger', message: 'Hello' });
  const place = window.document.createElement('div');
  const root = createRoot(place);
  const pass = (ms) => act(() => world.pass(ms));
  await act(() => root.render(createElement(StrictMode, null, createElement(Ride, { bookingCode: 'test', ...device(world, 'driver') }))));
  await pass(500);
  assert.match(place.textContent, /passenger: Hello/);
  assert.equal(world.server.connections.size, 1);

  world.server.store({ sender: 'passenger', message: 'Where are you?' });
  await pass(500);
  assert.match(place.textContent, /passenger: Where are you\?/);

  await act(async () => place.querySelector('button').click());
  assert.match(place.textContent, /I am here/);
  await pass(500);
  assert.match(place.textContent, /driver: I am here/);
  assert.deepEqual(world.server.messages.at(-1).message, 'I am here');

  world.server.changeCall('ringing', { sender: 'passenger', deviceId: 'p' });
  await pass(500);
  assert.match(place.textContent, /Answer/);

  await act(async () => root.unmount());
  await pass(100);
  assert.equal(world.server.connections.size, 0);
});

test('React does not draw again what has not changed', async () => {
  const { useChat } = await example('React', 'tsx');
  const world = new World();
  world.server.store({ sender: 'passenger', message: 'Hello' });
  const seen = [];
  const options = device(world, 'driver');
  function Seen() {
    const [view] = useChat('test', options);
    if (view?.ready) seen.push(view);
    return null;
  }
  const root = createRoot(window.document.createElement('div'));
  const pass = (ms) => act(() => world.pass(ms));
  await act(() => root.render(createElement(Seen)));
  await pass(10_000); // a pong has told the server's receipts
  const drawn = seen.length;
  await pass(200_000);
  assert.equal(seen.length, drawn, 'pings change nothing that is shown');

  world.server.tell({ type: 'typing', sender: 'passenger', ts: '2027', on: true });
  await pass(100);
  const [before, now] = [seen[drawn - 1], seen.at(-1)];
  assert.deepEqual([[...before.typing], [...now.typing]], [[], ['passenger']]);
  for (const name of ['messages', 'outbox', 'receipts', 'presence', 'calls']) assert.equal(now[name], before[name], name);
  await act(async () => root.unmount());
});

test("Vue's composable shows what comes, and closes the line with its scope", async () => {
  const { useChat } = await example('Vue', 'js');
  const { effect, effectScope } = await import('@vue/reactivity');
  const world = new World();
  const scope = effectScope();
  const shown = [];
  const { chat } = scope.run(() => {
    const used = useChat({ bookingCode: 'test', ...device(world, 'driver') });
    effect(() => shown.push(used.view.value.messages.map((each) => each.message).join()));
    return used;
  });
  await world.pass(500);
  chat.send('I am here');
  await world.pass(500);
  assert.deepEqual([shown[0], shown.at(-1)], ['', 'I am here']);
  scope.stop();
  await world.pass(100);
  assert.deepEqual([chat.state, world.server.connections.size], ['closed', 0]);
});

test('in React Native the storage is awaited, and the app and the network are listened to', async () => {
  const world = new World();
  const listeners = {};
  const listened = (name) => ({
    addEventListener: (...given) => {
      listeners[name] = given.at(-1);
      const remove = () => delete listeners[name];
      return name === 'app' ? { remove } : remove;
    },
  });
  const kept = new MemoryStorage();
  const AsyncStorage = {
    getItem: async (key) => kept.getItem(key),
    setItem: async (key, value) => kept.setItem(key, value),
    removeItem: async (key) => kept.removeItem(key),
    getAllKeys: async () => Array.from({ length: kept.length }, (_, index) => kept.key(index)),
  };
  const code = block('Outside a browser', 'js');
  const { api, ws, watch: _watch, storage: _storage, sender: _sender, ...platform } = device(world, 'driver');
  const names = ['connect', 'AppState', 'NetInfo', 'AsyncStorage', 'deviceId', 'bookingCode', 'api', 'ws', 'token'];
  const open = () => {
    const values = [(options) => connect({ ...options, ...platform }), listened('app'), listened('network'), AsyncStorage];
    return new Function(...names, `${code}\nreturn chat;`)(...values, 'phone', 'test', api, ws, undefined);
  };
  world.server.refuse = ({ action }) => (action === 'message' ? 'lost' : null);
  const first = open();
  first.send('Before the app was killed');
  await world.pass(500);
  first.close();
  assert.deepEqual(listeners, {});

  world.server.refuse = () => null;
  const chat = open();
  chat.send('After it was started again');
  await world.pass(1_000);
  assert.deepEqual(world.server.messages.map((each) => each.message), ['Before the app was killed', 'After it was started again']);

  listeners.app('background');
  await world.pass(100);
  assert.equal(chat.away, true);
  assert.deepEqual(world.server.handled.filter(({ action }) => action === 'away').map(({ on }) => on), [true]);
  listeners.app('active');
  await world.pass(100);
  assert.equal(chat.away, false);

  world.server.admits = () => false;
  for (const connection of [...world.server.connections]) connection.cut();
  await world.pass(60_000);
  assert.equal(chat.state, 'waiting');
  world.server.admits = () => true;
  listeners.network({ isConnected: true });
  await world.pass(100);
  assert.equal(chat.state, 'open');
  chat.close();
});

/** The exports of the code under a heading of the guide, built as by a user's bundler. */
async function example(heading, loader) {
  const file = join(ROOT, 'tests', 'package', 'node_modules', `.navietakie-${heading}.mjs`);
  after(() => rmSync(file, { force: true }));
  const alias = { navietakie: join(PACKAGE, 'index.js'), vue: '@vue/reactivity' };
  const stdin = { contents: block(heading, loader), loader, resolveDir: join(ROOT, 'tests', 'package') };
  const external = ['react', '@vue/reactivity'];
  const how = { bundle: true, format: 'esm', jsx: 'automatic', write: false, alias, external: [...external, 'react/jsx-runtime'] };
  const [{ text }] = (await build({ stdin, ...how })).outputFiles;
  writeFileSync(file, text);
  return import(pathToFileURL(file));
}

/** The code blocks in a language under a heading of the guide, one after the other. */
function block(heading, language) {
  const [, section] = GUIDE.split(new RegExp(`^##+ ${heading}$`, 'm'));
  const [own] = section.split(/^##+ /m);
  return [...own.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, code]) => code).join('\n');
}
