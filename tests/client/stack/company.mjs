/**
 * Redaction, an agent and the company's orders on a running stack: `node --experimental-websocket company.mjs URL`.
 */
import assert from 'node:assert/strict';
import { connect } from '../../../web/navietakie.js';

const url = process.argv[2];
const bookingCode = `company-${Date.now().toString(36)}`;
const open = (sender) => connect({ bookingCode, sender, api: url, ws: `${url.replace(/^http/, 'ws')}/ws` });

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

const [driver, passenger, agent, company] = ['driver', 'passenger', 'agent', 'system'].map(open);
const everybody = [driver, passenger, agent, company];
try {
  await until('all connected', () => everybody.every(({ ready }) => ready));
  await until('all are seen', () => Object.values(driver.presence).every(Boolean));

  const secret = await driver.send('my secret').stored;
  const note = await driver.redact(secret);
  assert.equal(note.metadata.event, 'message_redacted');
  await until('it is blank for all', () => everybody.every(({ messages }) => messages[0]?.redacted_at === note.timestamp));
  assert.deepEqual(
    everybody.map(({ messages }) => messages.map(({ message }) => message)),
    Array(4).fill(['', 'Message removed']),
  );
  await assert.rejects(passenger.redact(secret), { code: 'forbidden' });

  const closes = { message_type: 'system', metadata: { event: 'booking_closed' } };
  const order = await company.send('The ride is over', closes).stored;
  await until('all know that it is closed', () => everybody.every(({ booking }) => booking.closed_at !== null));
  assert.equal(driver.messages.at(-1).seq, order.seq);
  await assert.rejects(agent.send('too late').stored, { code: 'booking_closed' });
} finally {
  for (const chat of everybody) chat.close();
}
