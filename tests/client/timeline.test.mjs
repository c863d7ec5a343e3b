import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ORIGIN, Timeline } from '../../web/navietakie/timeline.js';
import { seqs } from './support/world.mjs';

const message = (seq) => ({ message_id: `m${seq}`, seq, timestamp: `t${String(seq).padStart(4, '0')}` });
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => message(from + index));
const page = (from, to, { part = 0, head = to } = {}) => ({
  part,
  messages: range(from, to),
  through_seq: to,
  head_seq: head,
  epoch: 'e1',
});

function begun(from = 1, to = 3) {
  const timeline = new Timeline();
  timeline.admit(page(from, to));
  return timeline;
}

test('the first page is where the timeline begins', () => {
  const timeline = begun(51, 60);
  assert.deepEqual(seqs(timeline.messages), seqs(range(51, 60)));
  assert.equal(timeline.hasOlder, true);
  assert.equal(timeline.hole, false);
  assert.equal(timeline.cursor, 't0060');
});

test('an empty booking begins at its first message', () => {
  const timeline = new Timeline();
  timeline.admit({ ...page(1, 0), epoch: null });
  assert.equal(timeline.cursor, ORIGIN);
  assert.equal(ORIGIN, '1970-01-01T00:00:00.000000Z'); // a timestamp, as the server wants it
  assert.equal(timeline.hasOlder, false);
  assert.deepEqual(seqs(timeline.offer(message(1))), [1]);
});

test('a push before the first page is kept for it', () => {
  const timeline = new Timeline();
  assert.deepEqual(timeline.offer(message(4)), []);
  assert.deepEqual(seqs(timeline.admit(page(1, 3))), [1, 2, 3, 4]);
});

for (const seq of [4, 50]) {
  test(`message ${seq}, pushed before the first page that begins with 51, is left to the older pages`, () => {
    const timeline = new Timeline();
    timeline.offer(message(seq));
    assert.deepEqual(seqs(timeline.admit(page(51, 60))), seqs(range(51, 60)));
    assert.equal(timeline.hole, false);
  });
}

test('where all messages have expired, the timeline begins after them', () => {
  const timeline = new Timeline();
  timeline.admit({ ...page(1, 0), through_seq: 5, head_seq: 5, through: 't0005' });
  assert.deepEqual([timeline.floor, timeline.through, timeline.cursor], [5, 5, 't0005']);
  assert.deepEqual(seqs(timeline.offer(message(6))), [6]);
});

test('a frame that comes late does not put back how far a sync has got', () => {
  const timeline = new Timeline();
  const expired = (upTo) => ({ ...page(1, 0), through_seq: upTo, head_seq: 9, through: `t000${upTo}` });
  timeline.admit(expired(9));
  timeline.admit(expired(5));
  assert.equal(timeline.cursor, 't0009');
});

test('a message behind a hole waits until the hole is closed', () => {
  const timeline = begun();
  assert.deepEqual(timeline.offer(message(5)), []);
  assert.equal(timeline.hole, true);
  assert.equal(timeline.cursor, 't0003');
  assert.deepEqual(seqs(timeline.offer(message(4))), [4, 5]);
  assert.equal(timeline.hole, false);
});

test('a message that comes again is not new', () => {
  const timeline = begun();
  assert.deepEqual(timeline.offer(message(2)), []);
  assert.equal(timeline.contradicts(message(2)), false);
});

for (const seq of [2, 3]) {
  test(`an unknown message in the place of ${seq} of 3 contradicts the history`, () => {
    assert.equal(begun().contradicts({ ...message(seq), message_id: 'another' }), true);
  });
}

test('a gap before part 0 of a sync is expired messages, and no hole', () => {
  const timeline = begun();
  assert.deepEqual(seqs(timeline.admit(page(7, 9))), [7, 8, 9]);
  assert.equal(timeline.hole, false);
});

test('a later frame that does not follow on leaves a hole', () => {
  const timeline = begun();
  timeline.admit(page(4, 6, { head: 12 }));
  assert.deepEqual(timeline.admit(page(10, 12, { part: 2 })), []);
  assert.equal(timeline.hole, true);
  assert.equal(timeline.cursor, 't0006');
});

test('a frame that overtakes the first one waits for it', () => {
  const timeline = begun();
  assert.deepEqual(timeline.admit(page(10, 12, { part: 1 })), []);
  assert.equal(timeline.hole, true);
  assert.deepEqual(seqs(timeline.admit(page(7, 9, { head: 12 }))), seqs(range(7, 12)));
  assert.equal(timeline.hole, false);
});

test('the timeline begins with the first frame, not with one that overtakes it', () => {
  const timeline = new Timeline();
  assert.deepEqual(timeline.admit(page(56, 60, { part: 1 })), []);
  assert.equal(timeline.begun, false);
  assert.deepEqual(seqs(timeline.admit(page(51, 55, { head: 60 }))), seqs(range(51, 60)));
  assert.equal(timeline.hasOlder, true);
});

test('a push after the end of a sync is kept', () => {
  const timeline = begun();
  timeline.offer(message(6));
  assert.deepEqual(seqs(timeline.admit(page(4, 5))), [4, 5, 6]);
});

test('a head after the last message is a hole', () => {
  const timeline = begun();
  timeline.head = 4;
  assert.equal(timeline.hole, true);
});

test('older pages go before the first message until there are none', () => {
  const timeline = begun(51, 60);
  assert.deepEqual(seqs(timeline.prepend(range(11, 50).reverse(), true)), seqs(range(11, 50)));
  assert.equal(timeline.hasOlder, true);
  timeline.prepend(range(1, 10).reverse(), false);
  assert.deepEqual(seqs(timeline.messages), seqs(range(1, 60)));
  assert.equal(timeline.hasOlder, false);
});

test('an older page that comes twice is there once', () => {
  const timeline = begun(51, 60);
  timeline.prepend(range(41, 50), true);
  assert.deepEqual(timeline.prepend(range(41, 50), true), []);
  assert.equal(timeline.messages.length, 20);
});

test('what an older page holds after the beginning is not put before it', () => {
  const timeline = begun(51, 60);
  assert.deepEqual(seqs(timeline.prepend(range(50, 62), true)), [50]);
  assert.equal(timeline.floor, 49);
});
