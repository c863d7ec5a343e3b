/**
 * A token that runs out in mid-conversation: `node token.mjs URL BOOKING BRIEF LASTING`, two tokens of the driver.
 *
 * The client opens with the first, which expires; it must come back with the second and send what was written.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../../web/navietakie.js';

const [url, bookingCode, ...tokens] = process.argv.slice(2);
const { exp } = JSON.parse(Buffer.from(tokens[0].split('.')[1], 'base64url').toString());
const refusals = [];
const token = (refused) => {
  refusals.push(refused);
  return tokens[refused ? 1 : 0];
};

const chat = connect({ bookingCode, sender: 'driver', api: url, ws: `${url.replace(/^http/, 'ws')}/ws`, token });
const problems = [];
chat.on('problem', (problem) => problems.push(problem.code));
try {
  const first = await chat.send('Under the first token').stored;
  assert.equal(first.seq, 1);
  await sleep(exp * 1000 - Date.now() + 1_500);
  const second = await chat.send('Under the second token').stored;
  assert.equal(second.seq, 2);
  assert.deepEqual([refusals[0], refusals.at(-1)], [false, true]);
  assert.deepEqual(problems, []);
} finally {
  chat.close();
}
