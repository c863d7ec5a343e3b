import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NavieTakieError } from '../../web/navietakie/errors.js';
import { Requests } from '../../web/navietakie/requests.js';
import { VirtualClock } from './support/clock.mjs';

/** Requests on a line that is up or down; `said` are the frames that it took, `settled` what became of the promises. */
function line({ up = true } = {}) {
  const clock = new VirtualClock();
  const said = [];
  const state = { up };
  const send = (frame) => state.up && said.push(frame) > 0;
  const requests = new Requests({ send, clock });
  const settled = [];
  const ask = (how) => {
    requests.ask({ action: 'redact' }, how).then(
      () => settled.push('answered'),
      ({ code }) => settled.push(code),
    );
  };
  return { clock, said, state, requests, ask, settled };
}

const refusal = (more) => new NavieTakieError({ code: 'unavailable', retryable: true, ...more });

test('an answer is waited for as long as was asked, from the beginning on', async () => {
  const { clock, ask, settled } = line();
  ask({ patience: 50_000 });
  await clock.pass(49_990);
  assert.deepEqual(settled, []);
  await clock.pass(20);
  assert.deepEqual(settled, ['timeout']);
});

test('a line is waited for no longer than 20 seconds, however long the answer would be', async () => {
  const { clock, ask, settled } = line({ up: false });
  ask({ patience: 50_000 });
  await clock.pass(19_990);
  assert.deepEqual(settled, []);
  await clock.pass(20);
  assert.deepEqual(settled, ['timeout']);
});

test('what is withdrawn before a line took it ends at once, and is never sent', async () => {
  const { clock, state, said, requests, ask, settled } = line({ up: false });
  const intent = new AbortController();
  ask({ withdrawn: intent.signal });
  intent.abort();
  await clock.pass(0);
  assert.deepEqual(settled, ['closed']);
  state.up = true;
  requests.lineOpened();
  await clock.pass(30_000);
  assert.deepEqual(said, []);
});

test('what is withdrawn later is not sent again, and its answer still counts', async () => {
  const { clock, said, requests, ask, settled } = line();
  const intent = new AbortController();
  ask({ withdrawn: intent.signal });
  intent.abort();
  await clock.pass(12_000);
  assert.equal(said.length, 1);
  assert.deepEqual(settled, []);
  requests.answered({ id: said[0].id });
  await clock.pass(0);
  assert.deepEqual(settled, ['answered']);
});

test('the line owes an answer to what it took, unless nobody waits for it', async () => {
  const { requests, state, ask, said } = line({ up: false });
  assert.equal(requests.waiting, false);
  ask();
  assert.equal(requests.waiting, false);
  state.up = true;
  requests.lineOpened();
  assert.equal(requests.waiting, true);
  requests.answered({ id: said[0].id });
  assert.equal(requests.waiting, false);
  const intent = new AbortController();
  ask({ withdrawn: intent.signal });
  intent.abort();
  assert.equal(requests.waiting, false);
});

test('a retryable refusal is waited out as long as it says, or a second', async () => {
  const { clock, said, requests, ask } = line();
  ask();
  const [{ id }] = said;
  assert.equal(requests.refused(id, refusal({ retry_after_ms: 300 })), true);
  await clock.pass(290);
  assert.equal(said.length, 1);
  await clock.pass(20);
  assert.equal(said.length, 2);
  assert.equal(requests.refused(id, refusal()), true);
  await clock.pass(990);
  assert.equal(said.length, 2);
  await clock.pass(20);
  assert.deepEqual(said, [said[0], said[0], said[0]]);
});

test('a refusal that names no id is of everything that was asked, or of something else', async () => {
  const { clock, said, requests, ask } = line();
  assert.equal(requests.disturbed(refusal()), false);
  ask();
  ask();
  assert.equal(requests.disturbed(refusal({ retry_after_ms: 300 })), true);
  await clock.pass(310);
  assert.equal(said.length, 4);
});

test('what is withdrawn after the end is withdrawn from nothing', async () => {
  const { clock, requests, ask, settled } = line({ up: false });
  const intent = new AbortController();
  ask({ withdrawn: intent.signal });
  requests.close();
  intent.abort();
  await clock.pass(0);
  assert.deepEqual(settled, ['closed']);
});
