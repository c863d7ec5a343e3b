/**
 * The passenger's second device through a bad line: `node --experimental-websocket misfortune.mjs URL BOOKING SEED`.
 *
 * It writes, reads, calls, answers and hangs up by chance until its input says `mend`; then it is quiet and hangs up
 * whatever it has. At `look` it prints as one line of JSON what it has written and what it sees. It ends with its input.
 */
import { createInterface } from 'node:readline';
import { connect } from '../../../web/navietakie.js';
import { VirtualClock } from '../support/clock.mjs';

const [url, bookingCode, seed] = process.argv.slice(2);
const chance = new VirtualClock(Number(seed));
const chat = connect({ bookingCode, sender: 'passenger', api: url, ws: `${url.replace(/^http/, 'ws')}/ws` });
const written = [];
const heard = [];
let mended = false;
chat.on('message', ({ seq }) => heard.push(seq));

function act() {
  const { calls } = chat;
  const dice = chance.random();
  if (mended) {
    calls.hangUp().catch(() => {});
  } else if (dice < 0.5) {
    written.push(`node ${written.length}`);
    chat.send(written.at(-1));
  } else if (dice < 0.7) {
    chat.markRead();
  } else if (dice < 0.85) {
    calls[{ ringing: 'accept', idle: 'start' }[calls.phase] ?? 'hangUp']().catch(() => {});
  }
  setTimeout(act, chance.between(200, 1_500)).unref();
}
act();

function view() {
  const { messages, outbox, state, calls } = chat;
  const shown = messages.map(({ seq, message }) => [seq, message]);
  return { messages: shown, outbox: outbox.length, state, phase: calls.phase, written, heard };
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'mend') mended = true;
  else console.log(JSON.stringify(view()));
}
chat.close();
process.exit();
