import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { World, texts } from './support/world.mjs';

const handled = ({ server }, action) => server.handled.filter((each) => each.action === action);

async function pair() {
  const world = new World();
  const [driver, passenger] = [world.device('driver'), world.device('passenger')];
  await world.pass(200);
  return { world, driver, passenger };
}

async function said({ world, driver }, ...words) {
  for (const text of words) driver.chat.send(text);
  await world.pass(1_000);
}

test('a redacted message is blank on every device, in its place', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  await said(scene, 'one', 'my secret', 'three');
  const redacted = [];
  passenger.chat.on('redacted', (message) => redacted.push(message));
  const note = driver.chat.redact(driver.chat.messages[1]);
  await world.pass(200);
  assert.equal((await note).metadata.event, 'message_redacted');
  for (const { chat } of [driver, passenger]) {
    assert.deepEqual(texts(chat.messages), ['one', '', 'three', 'Message removed']);
    assert.deepEqual(chat.messages, world.server.messages);
  }
  assert.deepEqual(redacted, [world.server.messages[1]]);
});

test('a copy with the old text that arrives late is blanked', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  await said(scene, 'one');
  world.server.latency = (frame) => (frame?.message?.seq === 2 ? 250 : 20);
  driver.chat.send('my secret');
  await world.pass(60);
  driver.chat.redact(world.server.messages[1].timestamp);
  const heard = [];
  passenger.chat.on('message', ({ message }) => heard.push(message));
  await world.pass(1_000);
  assert.deepEqual(heard, ['', 'Message removed']);
  assert.deepEqual(texts(passenger.chat.messages), ['one', '', 'Message removed']);
});

test('an older page that was fetched before a redaction is blanked', async () => {
  const world = new World();
  for (let count = 0; count < 80; count += 1) world.server.store({ sender: 'driver', message: `${count}` });
  const page = world.server.fetch;
  const { chat } = world.device('passenger', {
    fetch: async (url) => {
      const answer = await page(url);
      const old = world.server.messages[3];
      const metadata = { event: 'message_redacted', seq: 4, timestamp: old.timestamp, by: 'driver' };
      world.server.store({ sender: 'system', message: 'Message removed', message_type: 'system', metadata });
      await new Promise((resolve) => world.clock.setTimeout(resolve, 500));
      return answer;
    },
  });
  await world.pass(200);
  const older = chat.loadOlder();
  await world.pass(1_000);
  await older;
  assert.deepEqual([chat.messages[3].message, chat.messages[4].message], ['', '4']);
});

test('a notice of a redaction that a side has forged blanks nothing', async () => {
  const scene = await pair();
  const { world, passenger } = scene;
  await said(scene, 'one');
  const metadata = { event: 'message_redacted', seq: 1 };
  world.server.store({ sender: 'driver', message: 'Message removed', metadata });
  await world.pass(500);
  assert.equal(passenger.chat.messages[0].message, 'one');
});

test('a redaction that the server refuses is rejected', async () => {
  const { world, driver } = await pair();
  const refused = assert.rejects(driver.chat.redact('2020-01-01T00:00:00.000000Z'), { code: 'not_found' });
  await world.pass(500);
  await refused;
});

test('a photo is uploaded with the form from the server, and sent', async () => {
  const { world, driver, passenger } = await pair();
  const file = new Blob(['12345'], { type: 'image/jpeg' });
  const sent = driver.chat.attach(file, 'The parcel', { metadata: { note: 'at the door' } });
  await world.pass(1_000);
  assert.equal((await sent).seq, 1);
  const [{ content_type, bytes }] = handled(world, 'attach');
  assert.deepEqual({ content_type, bytes }, { content_type: 'image/jpeg', bytes: 5 });
  const [{ url, fields }] = world.server.uploads;
  assert.equal(url, 'http://storage/upload');
  assert.deepEqual(fields.map(([name]) => name), ['key', 'policy', 'file']);
  const [message] = passenger.chat.messages;
  assert.equal(message.message, 'The parcel');
  assert.deepEqual(message.metadata, { note: 'at the door', attachment: { id: fields[0][1].slice('upload/'.length) } });
});

test('a voice note needs no text, and its type no parameters', async () => {
  const { world, driver } = await pair();
  driver.chat.attach(new Blob(['12'], { type: 'audio/webm;codecs=opus' }));
  await world.pass(1_000);
  assert.equal(handled(world, 'attach')[0].content_type, 'audio/webm');
  assert.deepEqual(texts(world.server.messages), ['']);
});

/** A driver whose uploads get these answers of the storage, one after the other; null: the upload is lost. */
function uploading(answers) {
  const world = new World();
  const posts = [];
  const storage = async (url, options) => {
    if (options.method !== 'POST') return world.server.fetch(url, options);
    posts.push(options.body.get('key'));
    const status = answers.shift();
    if (status === null) throw new TypeError('fetch failed');
    return { ok: status < 300, status };
  };
  const { chat } = world.device('driver', { fetch: storage });
  const photo = new Blob(['1'], { type: 'image/png' });
  return { world, chat, posts, photo };
}

test('a lost upload is repeated with the same form, and its message is sent once', async () => {
  const { world, chat, posts, photo } = uploading([null, 503, 429, null, 204]);
  await world.pass(1_000);
  const sent = chat.attach(photo, 'The parcel');
  await world.pass(20_000);
  assert.equal((await sent).seq, 1);
  assert.deepEqual([posts.length, new Set(posts).size, handled(world, 'attach').length], [5, 1, 1]);
  assert.deepEqual(texts(world.server.messages), ['The parcel']);
});

for (const [what, answers, status] of [
  ['is refused', [403], 403],
  ['is lost five times', [null, null, 500, 500, null], null],
  ['finds a storage that stays busy', [503, 503, 503, 503, 503], 503],
]) {
  test(`an upload that ${what} says so and sends nothing`, async () => {
    const { world, chat, posts, photo } = uploading([...answers]);
    await world.pass(1_000);
    const failed = assert.rejects(chat.attach(photo), { code: 'upload', retryable: true, status });
    await world.pass(20_000);
    await failed;
    assert.equal(posts.length, answers.length);
    assert.deepEqual([world.server.messages, chat.outbox], [[], []]);
  });
}

test('the address of an attachment is asked for once in ten minutes, and again after a failure', async () => {
  const { world, driver } = await pair();
  world.server.restRefusal = { status: 503, code: 'unavailable' };
  await assert.rejects(driver.chat.attachmentUrl('a1'), { code: 'unavailable' });
  world.server.restRefusal = null;
  const first = await driver.chat.attachmentUrl('a1');
  assert.equal(await driver.chat.attachmentUrl('a1'), first);
  await world.pass(601_000);
  assert.notEqual(await driver.chat.attachmentUrl('a1'), first);
});

test('an agent writes, is seen, counts as no side, and has no receipts', async () => {
  const { world, driver, passenger } = await pair();
  const agent = world.device('agent');
  await world.pass(200);
  assert.deepEqual(driver.chat.presence, { driver: true, passenger: true, agent: true });
  driver.chat.send('Help');
  agent.chat.send('I am here');
  await world.pass(500);
  assert.deepEqual(texts(passenger.chat.messages).sort(), ['Help', 'I am here']);
  assert.equal(agent.chat.unread, 1);
  agent.chat.markRead();
  await world.pass(500);
  assert.equal(agent.chat.unread, 0);
  assert.equal([...handled(world, 'read'), ...handled(world, 'delivered')].length, 2); // only from the sides
});

for (const sender of ['agent', 'system']) {
  test(`a call of the sides is none of ${sender}'s, and no other device of theirs has it`, async () => {
    const { world, driver, passenger } = await pair();
    const { chat } = world.device(sender);
    await world.pass(200);
    driver.chat.calls.start();
    await world.pass(200);
    assert.deepEqual([chat.calls.phase, chat.calls.call.state], ['idle', 'ringing']);
    passenger.chat.calls.accept();
    await world.pass(200);
    assert.deepEqual([chat.calls.phase, chat.calls.call.state], ['idle', 'connected']);
  });
}

test('orders of the company are known from the start, and change with each new one', async () => {
  const { world, driver } = await pair();
  const { booking } = driver.chat;
  assert.deepEqual(booking, { closed_at: null, muted: [] });
  world.server.booking = { closed_at: '2026-01-31T08:00:00.000000Z', muted: ['driver'] };
  const metadata = { event: 'side_muted', side: 'driver' };
  world.server.store({ sender: 'system', message: '', message_type: 'system', metadata });
  await world.pass(100);
  assert.deepEqual(driver.chat.booking, world.server.booking);
  const before = driver.chat.booking;
  await world.pass(61_000);
  assert.equal(driver.chat.booking, before);
  world.device('passenger');
  await world.pass(200);
  assert.deepEqual(world.devices.at(-1).chat.booking, world.server.booking);
});

test('a device that is away is seen as absent, until it is back', async () => {
  const { world, driver, passenger } = await pair();
  passenger.chat.setAway(true);
  await world.pass(200);
  assert.equal(passenger.chat.away, true);
  assert.equal(driver.chat.presence.passenger, false);
  driver.chat.send('Hello');
  await world.pass(200);
  assert.deepEqual(texts(passenger.chat.messages), ['Hello']);
  passenger.chat.setAway(false);
  await world.pass(200);
  assert.equal(driver.chat.presence.passenger, true);
  assert.equal(handled(world, 'away').length, 2);
});

test('away is sent again on the next line, and after a pong that does not know it', async () => {
  const { world, passenger } = await pair();
  passenger.chat.setAway(true);
  await world.pass(200);
  passenger.socket.cut();
  await world.pass(1_000);
  assert.equal(passenger.socket.away, true);
  passenger.socket.away = false;
  await world.pass(5_000);
  assert.equal(passenger.socket.away, true);
});

test('a server that does not know away, or is too busy for it, causes no problem event', async () => {
  const { world, passenger } = await pair();
  world.server.refuse = ({ action }) => (action === 'away' ? { code: 'invalid_request' } : null);
  passenger.chat.setAway(true);
  passenger.chat.send('Hello');
  await world.pass(1_000);
  assert.deepEqual(passenger.problems, []);
  assert.deepEqual(texts(world.server.messages), ['Hello']);
});

test('a receipt that the server was too busy for is sent again, without a problem event', async () => {
  const { world, driver, passenger } = await pair();
  world.server.refuse = ({ action }, connection) => {
    if (action !== 'delivered') return null;
    connection.post({ type: 'error', error: { code: 'rate_limited', retryable: true, retry_after_ms: 200 } });
    return 'lost';
  };
  driver.chat.send('Hello');
  await world.pass(1_000);
  assert.deepEqual(passenger.problems, []);
  world.server.refuse = () => null;
  await world.pass(5_000);
  assert.equal(world.server.receipts.passenger.delivered, 1);
});

afterEach(() => delete globalThis.document);

test('a hidden page is away by itself, and back when it is visible', async () => {
  globalThis.document = Object.assign(new EventTarget(), { visibilityState: 'hidden' });
  const { world, passenger } = await pair();
  assert.equal(passenger.socket.away, true);
  document.visibilityState = 'visible';
  document.dispatchEvent(new Event('visibilitychange'));
  await world.pass(200);
  assert.equal(passenger.socket.away, false);
  document.visibilityState = 'hidden';
  document.dispatchEvent(new Event('visibilitychange'));
  await world.pass(200);
  assert.equal(passenger.socket.away, true);
  passenger.chat.close();
  document.visibilityState = 'visible';
  document.dispatchEvent(new Event('visibilitychange'));
  assert.equal(passenger.chat.away, true);
});

test('without a page, the option watch tells when the app is away and when it wakes', async () => {
  const world = new World();
  let app;
  let watching = false;
  const watch = (told) => {
    app = told;
    watching = true;
    return () => (watching = false);
  };
  const { chat, WebSocket } = world.device('driver', { watch });
  await world.pass(10_000);
  app.away(true);
  await world.pass(100);
  assert.equal(WebSocket.latest.away, true);
  WebSocket.latest.cut({ silent: true });
  app.away(false);
  app.wake();
  await world.pass(11_000);
  assert.equal(chat.state, 'open');
  assert.equal(world.server.connections.size, 1);
  chat.close();
  assert.equal(watching, false);
});
