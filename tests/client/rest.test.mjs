import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rest } from '../../web/navietakie/rest.js';

const rest = (fetch) => new Rest({ api: 'http://fake', bearer: async () => null, fetch });
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

for (const [what, error, code] of [
  ['an answer that does not come in time', new DOMException('The operation timed out', 'TimeoutError'), 'timeout'],
  ['a server that cannot be reached', new TypeError('fetch failed'), 'network'],
]) {
  test(`${what} is ${code}`, async () => {
    const fetch = async () => {
      throw error;
    };
    await assert.rejects(rest(fetch).get('calls', {}), { code, retryable: true, retryAfterMs: null });
  });
}

test('a body that does not end in time is timeout too', async () => {
  const body = async () => {
    throw new DOMException('The operation timed out', 'TimeoutError');
  };
  await assert.rejects(rest(async () => ({ ok: true, status: 200, json: body })).get('calls', {}), { code: 'timeout' });
});
