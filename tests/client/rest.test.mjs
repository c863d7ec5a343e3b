import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rest } from '../../web/navietakie/rest.js';
import { VirtualClock } from './support/clock.mjs';

const rest = (fetch, clock = new VirtualClock()) =>
  new Rest({ api: 'http://fake', bearer: async () => null, clock, fetch });
const busy = (headers) =>
  Response.json({ error: { code: 'rate_limited', message: 'Too many' } }, { status: 429, headers });

for (const [said, retryAfterMs] of [
  [{ 'Retry-After': '3' }, 3_000],
  [{}, null],
  [{ 'Retry-After': 'Wed, 21 Oct 2026 07:28:00 GMT' }, null],
]) {
  test(`a server that says ${said['Retry-After'] ?? 'nothing'} of when to come back is understood`, async () => {
    const asked = rest(async () => busy(said)).get('calls', {});
    await assert.rejects(asked, { code: 'rate_limited', status: 429, retryable: true, retryAfterMs });
  });
}

test('a server that cannot be reached is network', async () => {
  const fetch = async () => {
    throw new TypeError('fetch failed');
  };
  await assert.rejects(rest(fetch).get('calls', {}), { code: 'network', retryable: true, retryAfterMs: null });
});

for (const [what, fetch] of [
  ['an answer that does not come', () => new Promise(() => {})],
  ['a body that does not end', async () => ({ ok: true, status: 200, json: () => new Promise(() => {}) })],
]) {
  test(`${what} within 15 seconds is timeout`, async () => {
    const clock = new VirtualClock();
    const late = assert.rejects(rest(fetch, clock).get('calls', {}), { code: 'timeout', retryable: true });
    await clock.pass(15_000);
    await late;
  });
}

test('an answer is its body, asked for with the token and those values that are given', async () => {
  const asked = [];
  const fetch = async (...what) => asked.push(what) && Response.json({ calls: [] });
  const ready = (token) => new Rest({ api: 'http://fake', bearer: async () => token, clock: new VirtualClock(), fetch });
  assert.deepEqual(await ready('t').get('calls', { booking_code: 'b 1', limit: undefined }), { calls: [] });
  await ready(null).get('calls', {});
  assert.deepEqual(asked, [
    ['http://fake/api/v1/calls?booking_code=b%201', { headers: { authorization: 'Bearer t' } }],
    ['http://fake/api/v1/calls?', { headers: {} }],
  ]);
});

for (const [status, body, expected] of [
  [400, { error: { code: 'invalid_request', message: 'No' } }, ['invalid_request', 'No', false]],
  [403, null, ['internal', 'The server refused', false]],
  [429, {}, ['internal', 'The server refused', true]],
  [499, {}, ['internal', 'The server refused', false]],
  [500, {}, ['internal', 'The server refused', true]],
  [503, { error: { code: 'unavailable', message: 'Busy' } }, ['unavailable', 'Busy', true]],
]) {
  test(`an answer of ${status} with ${JSON.stringify(body)} is ${expected[0]}`, async () => {
    const [code, message, retryable] = expected;
    await assert.rejects(rest(async () => Response.json(body, { status })).get('calls', {}), {
      ...{ code, message, retryable, status, retryAfterMs: null },
    });
  });
}

test('why a server cannot be reached is told', async () => {
  const fetch = async () => Promise.reject(new TypeError('fetch failed'));
  await assert.rejects(rest(fetch).get('calls', {}), { message: 'fetch failed' });
});
