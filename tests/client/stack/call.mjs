/**
 * A call between two clients on a running stack, without sound: `node --experimental-websocket call.mjs URL`.
 *
 * It rings, is answered, one side is cut and comes back, it ends and is logged; then one is declined.
 */
import assert from 'node:assert/strict';
import { connect } from '../../../web/navietakie.js';

const url = process.argv[2];
const bookingCode = `call-${Date.now().toString(36)}`;
const sockets = { driver: [], passenger: [] };

function open(sender) {
  class Socket extends WebSocket {
    constructor(...given) {
      super(...given);
      sockets[sender].push(this);
    }
  }
  return connect({ bookingCode, sender, api: url, ws: `${url.replace(/^http/, 'ws')}/ws`, WebSocket: Socket });
}

/** Resolves when `condition` holds. */
function until(what, condition) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`never came: ${what}`)), 60_000);
    const look = () => {
      if (!condition()) return;
      clearTimeout(late);
      clearInterval(timer);
      resolve();
    };
    const timer = setInterval(look, 50);
  });
}

const driver = open('driver');
const passenger = open('passenger');
const phases =
  (...wanted) =>
  () =>
    driver.calls.phase === wanted[0] && passenger.calls.phase === wanted[1];

try {
  await until('both connected', () => driver.ready && passenger.ready);
  await driver.calls.start();
  await until('it rings', phases('calling', 'ringing'));
  await passenger.calls.accept();
  await until('both talk', phases('talking', 'talking'));

  const [socket] = sockets.passenger.slice(-1);
  const lost = socket.onclose;
  socket.close();
  lost.call(socket, {});
  await until('the passenger is back', () => passenger.state === 'open' && sockets.passenger.length > 1);
  assert.equal(passenger.calls.phase, 'talking');

  await driver.calls.hangUp();
  await until('it is over for both', phases('idle', 'idle'));
  await until('the history says so', () => passenger.messages.at(-1)?.message_type === 'call');

  await passenger.calls.start();
  await until('it rings the other way', phases('ringing', 'calling'));
  await driver.calls.hangUp();
  await until('it is declined', phases('idle', 'idle'));

  const { calls } = await driver.callLog();
  assert.deepEqual(
    calls.map((each) => each.end_reason),
    ['declined', 'completed'],
  );
} finally {
  driver.close();
  passenger.close();
}
