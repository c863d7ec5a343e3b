import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { Timer, backoff, systemClock, within } from '../../web/navietakie/clock.js';
import { VirtualClock, settled } from './support/clock.mjs';

const taken = { now: Date.now, random: Math.random, setTimeout, clearTimeout };
afterEach(() => {
  const { now, random, ...timers } = taken;
  Object.assign(Date, { now });
  Object.assign(Math, { random });
  Object.assign(globalThis, timers);
});

test("the clock of the system is the platform's", () => {
  const calls = [];
  const notes = (name) => (...given) => calls.push([name, ...given]);
  Object.assign(Date, { now: () => 123 });
  Object.assign(Math, { random: () => 0.5 });
  Object.assign(globalThis, { setTimeout: notes('set'), clearTimeout: notes('clear') });
  const act = () => {};
  assert.deepEqual([systemClock.now(), systemClock.random()], [123, 0.5]);
  assert.equal(systemClock.setTimeout(act, 7), 1);
  systemClock.clearTimeout(9);
  assert.deepEqual(calls, [
    ['set', act, 7],
    ['clear', 9],
  ]);
});

test('a timer does one thing at a time, once, unless it is stopped', async () => {
  const clock = new VirtualClock();
  const timer = new Timer(clock);
  const done = [];
  assert.equal(timer.due, false);
  timer.set(100, () => done.push('first'));
  timer.set(200, () => done.push(`second, due: ${timer.due}`));
  assert.equal(timer.due, true);
  await clock.pass(300);
  assert.deepEqual(done, ['second, due: false']);
  timer.set(100, () => done.push('third'));
  timer.stop();
  assert.equal(timer.due, false);
  await clock.pass(300);
  assert.equal(done.length, 1);
});

test('tries come half as often each time until the cap, the upper half of the wait by chance', () => {
  const waits = (random) => [0, 1, 2, 9].map((attempt) => backoff(attempt, { random: () => random }, 100, 1_000));
  assert.deepEqual(waits(0), [50, 100, 200, 500]);
  assert.deepEqual(waits(1), [100, 200, 400, 1_000]);
});

test('what settles in time settles as it does, and nothing is due any more', async () => {
  const clock = new VirtualClock();
  const due = new Set();
  const counting = {
    setTimeout: (act, ms) => due.add(clock.setTimeout(act, ms)) && [...due].at(-1),
    clearTimeout: (timer) => due.delete(timer),
  };
  assert.equal(await within(100, counting, Promise.resolve('value')), 'value');
  assert.equal(await within(100, counting, 'plain value'), 'plain value');
  await assert.rejects(within(100, counting, Promise.reject(new Error('its own'))), { message: 'its own' });
  await settled();
  assert.equal(due.size, 0);
});

test('what takes longer is a timeout that may be tried again', async () => {
  const clock = new VirtualClock();
  const late = within(100, clock, new Promise(() => {}));
  const refused = assert.rejects(late, { name: 'NavieTakieError', code: 'timeout', retryable: true, message: /answer/ });
  await clock.pass(100);
  await refused;
});
