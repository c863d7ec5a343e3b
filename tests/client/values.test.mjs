/** The client's pure functions: errors, frames, ids, tokens, addresses. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { NavieTakieError, closed, fault, timeout } from '../../web/navietakie/errors.js';
import { flaw, messageFrame } from '../../web/navietakie/frames.js';
import { newId } from '../../web/navietakie/ids.js';
import { address, query, surroundings } from '../../web/navietakie/platform.js';
import { picked, same } from '../../web/navietakie/same.js';
import { claimsOf } from '../../web/navietakie/token.js';
import { jwt } from './support/tokens.mjs';

afterEach(() => delete globalThis.location);

const shown = ({ name, code, message, retryable, retryAfterMs, details, status, requestId }) => [
  ...[name, code, message, retryable, retryAfterMs, details, status, requestId],
];

test('an error carries what the server said, and what it left out is nothing', () => {
  const bare = new NavieTakieError({ code: 'internal' });
  assert.deepEqual(shown(bare), ['NavieTakieError', 'internal', 'internal', false, null, {}, null, null]);
  assert.equal(bare instanceof Error, true);
  const said = { code: 'rate_limited', message: 'Too fast', retryable: true, retry_after_ms: 5, details: { field: 'a' } };
  assert.deepEqual(shown(new NavieTakieError({ ...said, status: 429, request_id: 'r' })), [
    ...['NavieTakieError', 'rate_limited', 'Too fast', true, 5, { field: 'a' }, 429, 'r'],
  ]);
});

test("this side's own errors say whether another try may help", () => {
  assert.deepEqual(shown(fault('upload', 'No', { status: 5 })), ['NavieTakieError', 'upload', 'No', false, null, {}, 5, null]);
  const own = [closed(), timeout()].map(({ code, message, retryable }) => [code, message, retryable]);
  assert.deepEqual(own, [
    ['closed', 'The conversation was closed', false],
    ['timeout', 'No answer came in time', true],
  ]);
});

test('a message is sent with its fields, and with no metadata where it has none', () => {
  const entry = { id: 'i', message: 'm', message_type: 'text', metadata: null, state: 'waiting' };
  assert.deepEqual(messageFrame(entry), { action: 'message', id: 'i', message: 'm', message_type: 'text', metadata: undefined });
  assert.deepEqual(messageFrame({ ...entry, metadata: { a: 1 } }).metadata, { a: 1 });
});

test('a frame of 32 KB of UTF-8 is taken, and one of a byte more is too large', () => {
  const bytes = (text) => Buffer.byteLength(JSON.stringify({ text }));
  const full = 'ä'.repeat(16_377) + 'a'.repeat(3);
  assert.equal(bytes(full), 32 * 1024);
  assert.equal(flaw({ text: full }), null);
  const { code, message } = flaw({ text: `${full}a` });
  assert.deepEqual([code, message], ['too_large', 'The message is too large']);
});

for (const [what, frame] of [
  ['a NUL', { text: 'a\0' }],
  ['half of a character', { text: '\ud83d' }],
  ['half of a character in a name', { deep: [{ '\udd25': 1 }] }],
]) {
  test(`a frame with ${what} is refused`, () => {
    const { code, message } = flaw({ first: 'sound', ...frame, last: 'sound', number: 1 });
    assert.deepEqual([code, message], ['invalid_request', 'It holds a NUL or half of a character']);
  });
}

test('a frame may have fields of any name', () => {
  assert.equal(flaw({ metadata: { toString: 1, '': { valueOf: null } } }), null);
});

test('ids are 32 hexadecimal digits, and each is another', () => {
  const ids = Array.from({ length: 200 }, newId);
  assert.equal(ids.every((id) => /^[0-9a-f]{32}$/.test(id)), true);
  assert.equal(new Set(ids).size, 200);
});

test('what a token says of itself is read, and of what is no token nothing', () => {
  assert.deepEqual(claimsOf(jwt({ sub: 'anna', exp: 1 })), { sub: 'anna', exp: 1 });
  const odd = { sub: '>>>???~~~' }; // with - and _ in base64url
  const [, body] = jwt(odd).split('.');
  assert.match(body, /[-_].*[-_]/);
  assert.deepEqual(claimsOf(jwt(odd)), odd);
  for (const none of ['', 'token', 'a.b.c', 'a.bnVsbA.c', null, undefined, 7]) assert.deepEqual(claimsOf(none), {});
});

test('an object that has nothing else is the one that was', () => {
  const was = { a: 1, b: Number.NaN };
  assert.equal(same(was, { ...was }), was);
  const is = { ...was, a: 2 };
  assert.equal(same(was, is), is);
  assert.equal(same(null, is), is);
  assert.equal(same(was, null), null);
  assert.deepEqual(picked({ a: 1, b: 2, c: 3 }, ['a', 'c']), { a: 1, c: 3 });
});

test('a query holds the values that are given, encoded', () => {
  assert.equal(query({ a: 'ä&b', b: undefined, c: null, d: 0, e: '' }), 'a=%C3%A4%26b&d=0&e=');
});

for (const [name, given, expected] of [
  ['api', 'https://a.example/x#part', 'https://a.example/x'],
  ['api', 'wss://a.example', 'https://a.example'],
  ['ws', 'http://a.example/ws', 'ws://a.example/ws'],
  ['ws', 'wss://a.example/?a=http', 'wss://a.example/?a=http'],
  ['api', 'ftp://a.example', null],
  ['api', 'https://', null],
  ['api', 'https://?a', null],
  ['ws', '/ws', null],
  ['ws', 'xhttps://a.example', null],
]) {
  test(`${given} as ${name} is ${expected ?? 'no address'}`, () => {
    if (expected) assert.equal(address(name, given), expected);
    else assert.throws(() => address(name, given), { name: 'TypeError', message: `connect: ${name} is no address: ${given}` });
  });
}

test('on a page, a relative address is one of the page', () => {
  globalThis.location = new URL('https://page.example/chat/index.html');
  assert.equal(address('ws', '/ws'), 'wss://page.example/ws');
  assert.equal(address('api', new URL('https://a.example/x')), 'https://a.example/x');
});

test('what is given comes before what the platform has, and slashes at the end of `api` are cut off', () => {
  const given = { api: 'http://a.example/x//', ws: 'http://a.example/ws/', WebSocket: class {}, storage: null };
  const found = surroundings({ ...given, FormData: null });
  assert.deepEqual([found.api, found.ws, found.storage], ['http://a.example/x', 'ws://a.example/ws/', null]);
  assert.equal(found.WebSocket, given.WebSocket);
  assert.equal(found.FormData, null);
  assert.deepEqual([found.session, found.locks], [null, null]); // there is no page
});

for (const name of ['api', 'ws', 'WebSocket']) {
  test(`without ${name}, the sentence names it`, () => {
    const given = { api: 'http://a.example', ws: 'ws://a.example', WebSocket: class {}, [name]: null };
    assert.throws(() => surroundings(given), { name: 'TypeError', message: `connect: ${name} is required here` });
  });
}
