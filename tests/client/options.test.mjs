import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { connect } from '../../web/navietakie.js';
import { World } from './support/world.mjs';

afterEach(() => delete globalThis.location);

const given = {
  bookingCode: 'test',
  sender: 'driver',
  api: 'http://fake',
  ws: 'ws://fake/ws',
  WebSocket: class {},
  storage: null,
};

for (const [name, value, message] of [
  ['bookingCode', undefined, /bookingCode is required/],
  ['bookingCode', '', /bookingCode is required/],
  ['sender', undefined, /sender is driver, passenger, agent or system/],
  ['sender', 'bob', /sender is driver, passenger, agent or system/],
  ['api', undefined, /api is required/],
  ['api', 'http://[', /api is no address/],
  ['api', '/staging', /api is no address/],
  ['api', 'ftp://fake', /api is no address/],
  ['ws', '/ws', /ws is no address/],
  ['ws', 'ftp://fake', /ws is no address/],
]) {
  test(`${name} cannot be ${value === undefined ? 'left out' : `'${value}'`}`, () => {
    assert.throws(() => connect({ ...given, [name]: value }).close(), { name: 'TypeError', message });
  });
}

test('connect without options throws', () => {
  assert.throws(() => connect().close(), { name: 'TypeError', message: /bookingCode is required/ });
});

for (const [api, ws, rest, socket] of [
  ['/staging/', '/live', 'https://page.example/staging/api/v1/', 'wss://page.example/live'],
  [undefined, undefined, 'https://page.example/api/v1/', 'wss://page.example/ws'],
  ['https://a.example/', 'https://b.example/ws', 'https://a.example/api/v1/', 'wss://b.example/ws'],
]) {
  test(`on a page, ${api} and ${ws} are addresses`, async () => {
    globalThis.location = new URL('https://page.example/chat/index.html?booking=test');
    const world = new World();
    world.server.store({ sender: 'passenger', message: 'Hello' });
    const asked = { rest: null, socket: null };
    class WebSocket extends world.server.WebSocket {
      constructor(url, protocols) {
        super(url, protocols);
        asked.socket = url;
      }
    }
    const fetch = (url) => {
      asked.rest = url;
      return world.server.fetch(url);
    };
    const { chat } = world.device('driver', { api, ws, WebSocket, fetch });
    await world.pass(100);
    await chat.callLog();
    assert.ok(asked.rest.startsWith(rest), asked.rest);
    assert.ok(asked.socket.startsWith(`${socket}?`), asked.socket);
    chat.close();
  });
}
