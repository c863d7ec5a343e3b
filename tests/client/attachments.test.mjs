import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Attachments } from '../../web/navietakie/attachments.js';
import { VirtualClock, settled } from './support/clock.mjs';

/** Attachments whose storage answers with `answers`, one after the other: a status, an error, or null for none at all. */
function attachments(answers = []) {
  const clock = new VirtualClock();
  const [asked, posts, urls, signals] = [[], [], [], []];
  const upload = { url: 'http://storage', fields: { key: 'k', policy: 'p' } };
  const made = new Attachments({
    clock,
    bookingCode: 'b',
    FormData,
    requests: { ask: async (fields) => (asked.push(fields), { attachment: { id: 'a1' }, upload }) },
    rest: {
      get: (resource, values) => (urls.push([resource, values]), made.fails ? Promise.reject(new Error('no')) : Promise.resolve({ url: `u${urls.length}` })),
    },
    fetch: (url, { method, body, signal }) => {
      posts.push([url, method, [...body.keys()]]);
      signals.push(signal);
      const next = answers.shift();
      if (next === null) return new Promise(() => {});
      return typeof next === 'number' ? Promise.resolve({ ok: next < 300, status: next }) : Promise.reject(next);
    },
  });
  return { clock, asked, posts, urls, signals, attachments: made };
}

const photo = new Blob(['123'], { type: 'image/png' });

test('a file is posted by the form that the server gave, after its fields', async () => {
  const { asked, posts, attachments: it } = attachments([204]);
  assert.deepEqual(await it.upload(photo), { id: 'a1' });
  assert.deepEqual(asked, [{ action: 'attach', content_type: 'image/png', bytes: 3 }]);
  assert.deepEqual(posts, [['http://storage', 'POST', ['key', 'policy', 'file']]]);
});

for (const [status, tries] of [
  [400, 1],
  [428, 1],
  [429, 5],
  [430, 1],
  [499, 1],
  [500, 5],
]) {
  test(`a storage that answers ${status} is tried ${tries} times`, async () => {
    const { clock, posts, attachments: it } = attachments(Array(6).fill(status));
    const failed = { code: 'upload', retryable: true, status, message: `The storage answered ${status}` };
    const refused = assert.rejects(it.upload(photo), failed);
    await clock.pass(60_000);
    await refused;
    assert.equal(posts.length, tries);
  });
}

test('tries come by pauses that grow from half a second', async () => {
  const { clock, posts, attachments: it } = attachments([500, new TypeError('lost'), 204]);
  const sent = it.upload(photo);
  await clock.pass(490);
  assert.equal(posts.length, 1);
  await clock.pass(520);
  assert.equal(posts.length, 2);
  await clock.pass(2_000);
  assert.deepEqual(await sent, { id: 'a1' });
});

test('what is lost five times is told with the reason', async () => {
  const { clock, attachments: it } = attachments(Array(5).fill(new TypeError('lost')));
  const refused = assert.rejects(it.upload(photo), { code: 'upload', message: 'lost', status: null });
  await clock.pass(60_000);
  await refused;
});

test('an upload that is not answered within two minutes is ended, and made once more', async () => {
  const { clock, posts, signals, attachments: it } = attachments([null, 204]);
  const sent = it.upload(photo);
  await clock.pass(119_990);
  assert.deepEqual(signals.map((each) => each.aborted), [false]);
  await clock.pass(1_100);
  assert.deepEqual(await sent, { id: 'a1' });
  assert.deepEqual(signals.map((each) => each.aborted), [true, false]);
  assert.deepEqual(posts[1], posts[0]);
});

test('a storage that does not answer twice is given up: this line is too slow for the file', async () => {
  const { clock, posts, attachments: it } = attachments([null, null, 204]);
  const failed = assert.rejects(it.upload(photo), { code: 'upload', message: 'No answer came in time', status: null });
  await clock.pass(242_000);
  await failed;
  assert.equal(posts.length, 2);
});

test('an address is asked for once in ten minutes for each attachment, and again after a failure', async () => {
  const { clock, urls, attachments: it } = attachments();
  assert.deepEqual(await Promise.all(['a1', 'a1', 'a2'].map((id) => it.url(id))), ['u1', 'u1', 'u2']);
  assert.deepEqual(urls[0], ['attachment', { booking_code: 'b', id: 'a1' }]);
  await clock.pass(599_990);
  assert.equal(await it.url('a1'), 'u1');
  await clock.pass(10);
  assert.equal(await it.url('a1'), 'u3');
  it.fails = true;
  await assert.rejects(it.url('a3'), { message: 'no' });
  it.fails = false;
  await settled();
  assert.equal(await it.url('a3'), 'u5');
});
