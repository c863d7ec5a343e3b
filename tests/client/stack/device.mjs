/**
 * A device in Node that does as it is told: `node --experimental-websocket device.mjs API BOOKING SENDER DEVICE`.
 *
 * Each line of its input is a command, `{"act": "write", "text": "Hello"}`, and each has one line of output: what came of
 * it, as JSON. It ends with its input.
 */
import { createInterface } from 'node:readline/promises';
import { connect } from '../../../web/navietakie.js';
import { MemoryStorage } from '../support/storage.mjs';

const [api, bookingCode, sender, deviceId] = process.argv.slice(2);
const storage = new MemoryStorage();
let chat;

function open() {
  chat = connect({ bookingCode, sender, deviceId, storage, api, ws: `${api.replace(/^http/, 'ws')}/ws` });
}

const ACTS = {
  write: ({ text }) => void chat.send(text),
  read: () => chat.markRead(),
  /** Answers or calls; says which of them could be done. */
  ring() {
    const act = { ringing: 'accept', idle: 'start' }[chat.calls.phase];
    if (act) chat.calls[act]().catch(() => {}); // what comes of it, `look` tells
    return act ?? null;
  },
  hangUp: () => void chat.calls.hangUp().catch(() => {}),
  reload() {
    chat.close();
    open();
  },
  /** What somebody sees who looks at it. */
  look: () => ({ connected: chat.state === 'open' && chat.ready, phase: chat.calls.phase, unsent: chat.outbox.length }),
  /** All messages, from the first one on. Some are missing if they cannot be fetched now. */
  async history() {
    try {
      while (chat.hasOlder) await chat.loadOlder();
    } catch {
      // whoever asks again gets them
    }
    return chat.messages;
  },
};

open();
for await (const line of createInterface({ input: process.stdin })) {
  const { act, ...how } = JSON.parse(line);
  console.log(JSON.stringify((await ACTS[act](how)) ?? null));
}
chat.close();
process.exit(); // a connection that is silent would be waited for
