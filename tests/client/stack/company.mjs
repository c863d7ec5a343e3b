/**
 * Redaction, attachments, who is away, an agent and the company's orders on a running stack:
 * `node --experimental-websocket company.mjs URL`.
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

  passenger.setAway(true);
  await until('the passenger is seen as absent', () => [driver, agent].every(({ presence }) => !presence.passenger));
  const heard = driver.send('are you there?').stored;
  await until('who is away gets it all the same', () => passenger.messages.at(-1).message === 'are you there?');
  await heard;
  passenger.setAway(false);
  await until('the passenger is back', () => [driver, agent].every(({ presence }) => presence.passenger));

  const bytes = new Uint8Array(3_000).map((_, at) => at % 251);
  const photo = await driver.attach(new Blob([bytes], { type: 'image/jpeg' }), 'the parcel', { metadata: { colour: 'blue' } });
  const { id, ...about } = photo.metadata.attachment;
  assert.deepEqual([about, photo.metadata.colour], [{ content_type: 'image/jpeg', bytes: 3_000 }, 'blue']);
  await until('all have it', () => everybody.every(({ messages }) => messages.at(-1).metadata?.attachment?.id === id));
  const url = await passenger.attachmentUrl(id);
  assert.deepEqual(new Uint8Array(await (await fetch(url)).arrayBuffer()), bytes);
  await driver.redact(photo);
  await until('it is gone for all', () => everybody.every(({ messages }) => messages.at(-2).redacted_at));
  assert.equal((await fetch(url)).status, 404);
  await assert.rejects(agent.attachmentUrl(id), { code: 'not_found' });
  await assert.rejects(driver.attach(new Blob(['x'], { type: 'text/plain' })), { code: 'invalid_request' });

  const closes = { message_type: 'system', metadata: { event: 'booking_closed' } };
  const order = await company.send('The ride is over', closes).stored;
  await until('all know that it is closed', () => everybody.every(({ booking }) => booking.closed_at !== null));
  assert.equal(driver.messages.at(-1).seq, order.seq);
  await assert.rejects(agent.send('too late').stored, { code: 'booking_closed' });
} finally {
  for (const chat of everybody) chat.close();
}
