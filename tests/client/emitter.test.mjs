import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { Emitter } from '../../web/navietakie/emitter.js';

const given = globalThis.setTimeout;
afterEach(() => (globalThis.setTimeout = given));

test('a listener hears the events of its name until it is stopped', () => {
  const emitter = new Emitter();
  const heard = [];
  const stop = emitter.on('a', (detail) => heard.push(detail));
  emitter.on('b', () => heard.push('of b'));
  emitter.emit('a', 1);
  stop();
  emitter.emit('a', 2);
  emitter.emit('constructor', 3);
  assert.deepEqual(heard, [1]);
});

test('a listener that is added while an event is told hears the next one', () => {
  const emitter = new Emitter();
  let heard = 0;
  emitter.on('a', () => emitter.on('a', () => (heard += 1)));
  emitter.emit('a');
  assert.equal(heard, 0);
  emitter.emit('a');
  assert.equal(heard, 1);
});

test('a listener that throws keeps no other from hearing, and is reported to the platform', () => {
  const emitter = new Emitter();
  const later = [];
  globalThis.setTimeout = (act) => later.push(act);
  let heard = 0;
  emitter.on('a', () => {
    throw new Error('mine');
  });
  emitter.on('a', () => (heard += 1));
  emitter.emit('a');
  assert.equal(heard, 1);
  assert.equal(later.length, 1);
  assert.throws(later[0], { message: 'mine' });
});
