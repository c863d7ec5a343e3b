/**
 * The client on a running stack, with cuts at random moments: `node --experimental-websocket converge.mjs URL SEED`.
 *
 * Two devices a side write, call, are cut, reloaded and come back. At the end each must hold the history as the stack has
 * it, every text must be stored once, each device's texts in the order in which they were written, and when all have hung
 * up there must be no call. Prints what it did as one line of JSON; exits with 1, and says why, if anything is amiss.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../../web/navietakie.js';
import { VirtualClock } from '../support/clock.mjs';
import { MemoryStorage } from '../support/storage.mjs';

const [url, seed = '1', rounds = '80'] = process.argv.slice(2);
const chance = new VirtualClock(Number(seed));
const bookingCode = `cuts-${seed}-${Date.now().toString(36)}`;
const counts = { sent: 0, cuts: 0, reloads: 0, calls: 0, healed: 0, heard: 0 };

class Device {
  storage = new MemoryStorage();
  written = [];
  heard = [];
  #sockets = [];

  constructor(sender, number) {
    Object.assign(this, { sender, deviceId: `${sender}-${number}` });
    this.open();
  }

  open() {
    const sockets = this.#sockets;
    class Socket extends WebSocket {
      constructor(...given) {
        super(...given);
        sockets.push(this);
      }
    }
    const { sender, deviceId, storage } = this;
    const ws = `${url.replace(/^http/, 'ws')}/ws`;
    this.heard = [];
    this.chat = connect({ bookingCode, sender, deviceId, storage, api: url, ws, WebSocket: Socket });
    this.chat.on('message', (message) => this.heard.push(message.seq));
    this.chat.on('healed', ({ messages }) => (counts.healed += messages));
  }

  write() {
    const text = `${this.deviceId} ${this.written.length}`;
    this.written.push(text);
    this.chat.send(text);
    counts.sent += 1;
  }

  /** The socket goes away, whatever was on it. */
  cut() {
    const socket = this.#sockets.at(-1);
    const lost = socket?.onclose;
    socket?.close();
    lost?.call(socket, {});
    counts.cuts += 1;
  }

  /** Answers, calls or hangs up, whichever it can. What comes of it the end shows. */
  call() {
    const { calls } = this.chat;
    const act = { ringing: 'accept', idle: 'start' }[calls.phase] ?? 'hangUp';
    calls[act]().catch(() => {});
    counts.calls += 1;
  }

  reload() {
    this.chat.close();
    this.open();
    counts.reloads += 1;
  }
}

const devices = [];
for (const sender of ['driver', 'passenger']) for (const number of [1, 2]) devices.push(new Device(sender, number));

for (let round = 0; round < Number(rounds); round += 1) {
  const device = chance.pick(devices);
  const dice = chance.random();
  if (dice < 0.5) device.write();
  else if (dice < 0.6) device.call();
  else if (dice < 0.84) device.cut();
  else if (dice < 0.92) device.reload();
  else device.chat.markRead();
  await sleep(chance.between(0, 250));
}

const get = async (what) => (await fetch(`${url}/api/v1/${what}`)).json();

/** Everybody hangs up, again and again if another device's call comes late, until nobody has a call. */
const quiet = async () => {
  for (const { chat } of devices) chat.calls.hangUp().catch(() => {});
  const { calls } = await get(`calls?booking_code=${bookingCode}&limit=1`);
  return (!calls.length || calls[0].state === 'ended') && devices.every(({ chat }) => chat.calls.phase === 'idle');
};

const whole = async () => {
  const page = await get(`get_message?booking_code=${bookingCode}&limit=100&order=asc`);
  assert.equal(page.next_cursor, null, 'the history fits one page');
  return page;
};
const settled = ({ chat }) => chat.state === 'open' && chat.ready && !chat.outbox.length;
const end = Date.now() + 120_000;
const written = (messages) => messages.filter((each) => each.message_type === 'text').length;
let silent = false;
let page = await whole();
const done = () =>
  devices.every((device) => settled(device) && device.chat.position.seq === page.head_seq) &&
  written(page.messages) === counts.sent;
while ((!silent || !done()) && Date.now() < end) {
  await sleep(500);
  silent = await quiet();
  page = await whole();
}

try {
  const stored = page.messages.map((each) => each.message);
  assert.deepEqual(
    page.messages.map((each) => each.seq),
    page.messages.map((_, index) => index + 1),
  );
  assert.equal(silent, true, `nobody has a call: ${devices.map(({ chat }) => chat.calls.phase)}`);
  for (const { chat, deviceId, written, heard } of devices) {
    while (chat.hasOlder) await chat.loadOlder();
    assert.deepEqual(
      stored.filter((text) => text.startsWith(`${deviceId} `)),
      written,
      `${deviceId}: once, in order`,
    );
    assert.deepEqual(chat.messages, page.messages, `${deviceId}: the same history`);
    assert.deepEqual(
      heard,
      heard.map((_, index) => heard[0] + index),
      `${deviceId}: told of each once, in order`,
    );
    counts.heard += heard.length;
  }
  console.log(JSON.stringify({ bookingCode, ...counts, stored: written(page.messages) }));
} catch (error) {
  console.error(`SEED=${seed} ${bookingCode}: ${error.message}`);
  process.exitCode = 1;
} finally {
  for (const { chat } of devices) chat.close();
}
