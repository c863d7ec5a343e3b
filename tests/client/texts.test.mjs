import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { callInWords, endInWords, messageInWords } from '../../web/console/texts.js';

const call = { caller: 'driver', callee: 'passenger', answered_at: null };
const answered_at = '2026-11-22T07:47:15.538964Z';

for (const [reason, answered, stored, caller, callee] of [
  ['no_answer', null, 'Missed call', 'No answer', 'Missed call'],
  ['cancelled', null, 'Missed call', 'Cancelled', 'Missed call'],
  ['booking_closed', null, 'Missed call', 'The booking was closed', 'Missed call'],
  ['declined', null, 'Call declined', 'Declined', 'Declined'],
  ['completed', answered_at, 'Call ended, 0:03', 'Call ended', 'Call ended'],
]) {
  test(`the console says of a call that ended by ${reason} what it was to each side`, () => {
    const metadata = { ...call, end_reason: reason, answered_at: answered };
    assert.deepEqual([endInWords(metadata, 'driver'), endInWords(metadata, 'passenger')], [caller, callee]);
    const message = { message: stored, message_type: 'call', metadata };
    const shown = stored === 'Missed call' ? [caller, callee] : [stored, stored];
    assert.deepEqual([messageInWords(message, 'driver'), messageInWords(message, 'passenger')], shown);
  });
}

test('the call log, which has a title, tells the reason to both sides', () => {
  assert.equal(endInWords({ ...call, end_reason: 'no_answer' }), 'No answer');
});

test('the call log tells each side which call it was, and an agent who called', () => {
  const titles = (fields) => ['driver', 'passenger', 'agent'].map((side) => callInWords({ ...call, ...fields }, side));
  assert.deepEqual(titles({ end_reason: 'no_answer' }), ['Outgoing call', 'Missed call', 'Driver called']);
  assert.deepEqual(titles({ end_reason: 'declined' }), ['Outgoing call', 'Incoming call', 'Driver called']);
  assert.deepEqual(titles({ end_reason: 'completed', answered_at }), ['Outgoing call', 'Incoming call', 'Driver called']);
  assert.deepEqual(titles({ end_reason: null }), ['Outgoing call', 'Incoming call', 'Driver called']);
});

test('other texts about calls are shown unchanged', () => {
  const message = { message: 'Missed call', message_type: 'text', metadata: { end_reason: 'no_answer' } };
  assert.equal(messageInWords(message, 'driver'), 'Missed call');
});

test('the protocol page lists every field of metadata that the console reads', () => {
  const folder = new URL('../../web/console/', import.meta.url);
  const code = readdirSync(folder).map((name) => readFileSync(new URL(name, folder), 'utf8'));
  const read = code.join('').matchAll(/metadata\??\.(\w+)(?:\??\.(\w+))?/g);
  const page = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8');
  const fields = new Set([...read].flatMap(([, outer, inner]) => [outer, inner]).filter(Boolean));
  assert.ok(fields.size > 5);
  assert.deepEqual([...fields].filter((field) => !new RegExp(`[\`"]${field}[\`"]`).test(page)), []);
});
