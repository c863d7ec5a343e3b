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
