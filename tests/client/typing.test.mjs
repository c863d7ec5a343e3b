import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Typing } from '../../web/navietakie/typing.js';
import { VirtualClock } from './support/clock.mjs';

/** `said` is what went to the line; `changes` counts what the app was told. */
function typing() {
  const clock = new VirtualClock();
  const said = [];
  const seen = { changes: 0 };
  const changed = () => (seen.changes += 1);
  return { clock, said, seen, typing: new Typing({ clock, send: (frame) => said.push(frame), changed }) };
}

const on = { action: 'typing', on: true };
const off = { action: 'typing', on: false };

test('typing is said at the first key, then every three seconds, and four seconds after the last key that it has ended', async () => {
  const { clock, said, typing: keys } = typing();
  keys.say(true);
  await clock.pass(2_990);
  keys.say(true);
  assert.deepEqual(said, [on]);
  await clock.pass(10);
  keys.say(true);
  assert.deepEqual(said, [on, on]);
  await clock.pass(3_990);
  assert.deepEqual(said, [on, on]);
  await clock.pass(20);
  assert.deepEqual(said, [on, on, off]);
  keys.say(true);
  assert.deepEqual(said, [on, on, off, on]);
});

test('that nobody types is not said without need', async () => {
  const { clock, said, typing: keys } = typing();
  keys.say(false);
  assert.deepEqual(said, []);
  keys.say(true);
  keys.say(false);
  await clock.pass(10_000);
  assert.deepEqual(said, [on, off]);
});

test('a message that is sent ends typing without a word', async () => {
  const { clock, said, typing: keys } = typing();
  keys.say(true);
  keys.sent();
  await clock.pass(10_000);
  assert.deepEqual(said, [on]);
  keys.say(true);
  assert.deepEqual(said, [on, on]);
});

test('a line that is lost ends typing on both sides', async () => {
  const { clock, said, seen, typing: keys } = typing();
  keys.say(true);
  keys.heard('driver', true, 't1');
  keys.lineLost();
  assert.deepEqual([...keys.who], []);
  await clock.pass(10_000);
  assert.deepEqual(said, [on]);
  assert.equal(seen.changes, 1);
  keys.say(true);
  assert.deepEqual(said, [on, on]);
});

test('another who types is believed for six seconds after the last word of it', async () => {
  const { clock, seen, typing: keys } = typing();
  keys.heard('driver', true, 't1');
  const { who } = keys;
  await clock.pass(5_000);
  keys.heard('driver', true, 't2');
  assert.equal(keys.who, who);
  await clock.pass(5_990);
  assert.deepEqual([...keys.who], ['driver']);
  await clock.pass(20);
  assert.deepEqual([...keys.who], []);
  assert.deepEqual([...who], ['driver']); // never changed in place
  assert.equal(seen.changes, 2);
});

test('the message of one ends the typing of that one alone, also where the word of it comes later', () => {
  const { seen, typing: keys } = typing();
  for (const sender of ['driver', 'agent']) keys.heard(sender, true, 't1');
  keys.messaged({ sender: 'driver', timestamp: 't3' });
  assert.deepEqual([...keys.who], ['agent']);
  keys.heard('driver', true, 't2');
  assert.deepEqual([...keys.who], ['agent']);
  keys.heard('driver', true, 't3');
  assert.deepEqual([...keys.who], ['agent', 'driver']);
  keys.heard('driver', false);
  keys.heard('driver', false);
  assert.equal(seen.changes, 5);
});

test('a word of typing without a time counts until a message has come', () => {
  const { typing: keys } = typing();
  keys.heard('driver', true);
  assert.deepEqual([...keys.who], ['driver']);
});
