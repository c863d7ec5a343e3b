/** The client in front of the functions' dampers: a ride never asks for more than they admit. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Damper, UNITS_AT_ONCE } from './support/damper.mjs';
import { fakeMicrophones, fakeWebRtc } from './support/webrtc.mjs';
import { World } from './support/world.mjs';

const PAGE = readFileSync(new URL('../../docs/security.md', import.meta.url), 'utf8').replace(/\s+/g, ' ');
const MINUTE = 60_000;
const HALF_SECOND = 500;

/** The most units of any side, by function. */
function most(damper) {
  const found = {};
  for (const [key, units] of Object.entries(damper.most)) {
    const [name] = key.split(' ');
    found[name] = Math.max(found[name] ?? 0, units);
  }
  return found;
}

/** A world behind the damper. Its devices have microphones and find many candidates, one after the other. */
function lively() {
  const world = new World(7);
  const damper = new Damper(world);
  const { RTCPeerConnection } = fakeWebRtc(world.clock);
  class Peer extends RTCPeerConnection {
    async setLocalDescription(description) {
      await super.setLocalDescription(description);
      const find = (number) => this.onicecandidate?.({ candidate: { candidate: `another ${number}` } });
      for (let number = 1; number <= 20; number += 1) world.clock.setTimeout(() => find(number), number * 100);
    }
  }
  const phone = (sender, options) => {
    const { getUserMedia } = fakeMicrophones();
    const media = { RTCPeerConnection: Peer, getUserMedia, FormData };
    return world.device(sender, { ...media, fetch: damper.fetchOf(sender), ...options });
  };
  return { world, damper, phone };
}

test('forty lively minutes never meet the damper', async () => {
  const { world, damper, phone } = lively();
  const devices = [phone('driver'), phone('passenger'), phone('driver')];
  const [driver, passenger] = devices;
  const began = world.clock.now();
  const phases = [];
  for (let second = 10; second < 2_400; second += 10) {
    await world.pass(began + second * 1_000 - world.clock.now());
    const [writer, reader] = second % 20 ? [driver, passenger] : [passenger, driver];
    for (let key = 0; key < 6; key += 1) {
      writer.chat.sayTyping();
      await world.pass(500);
    }
    if (second % 240 === 0) writer.chat.attach(new Blob(['a photo'], { type: 'image/jpeg' }), 'Look').catch(() => {});
    else writer.chat.send(`At second ${second}`);
    await world.pass(2_000);
    reader.chat.markRead();
    const photo = reader.chat.messages.at(-1).metadata?.attachment;
    for (const { chat } of photo ? devices : []) await chat.attachmentUrl(photo.id);
    if (second % 400 === 0) for (const { socket } of devices) socket.cut();
    if (second % 600 === 0) writer.chat.redact(writer.chat.messages.findLast((each) => each.sender === writer.sender));
    if (second % 300 === 0) await reader.chat.callLog();
    for (const { chat } of devices) chat.setAway(second % 600 === 100);
    if ([300, 900, 1_800].includes(second)) {
      driver.chat.calls.start();
      await world.pass(3_000);
      passenger.chat.calls.accept();
    }
    if ([600, 1_200, 2_100].includes(second)) {
      phases.push(driver.chat.calls.voice.state);
      passenger.chat.calls.hangUp();
    }
  }
  assert.deepEqual(damper.refused, []);
  assert.deepEqual(phases, Array(3).fill('connected'));
  const { message, attach, redact, call, delivered, read, typing, signal } = damper.asked;
  assert.deepEqual({ message, attach, redact, call }, { message: 239, attach: 9, redact: 3, call: 15 });
  for (const often of [delivered, read, typing, signal]) assert.ok(often > 100);
  for (const [name, units] of Object.entries(most(damper))) assert.match(PAGE, new RegExp(`\`${name}\` ${units}\\b`));
  world.close();
});

/** A history of 11 MB that a device has missed, in the largest possible messages: one of 24 KB per frame. */
function miss(server) {
  server.frameMessages = 1;
  const large = 'x'.repeat(24 * 1_024);
  const count = Math.ceil((11 * 1_024) / 24);
  for (let number = 0; number < count; number += 1) server.store({ sender: 'passenger', message: large });
  return count;
}

test('a catch-up of 11 MB never meets the damper', async () => {
  const { world, damper, phone } = lively();
  const driver = phone('driver');
  await world.pass(1_000);
  driver.socket.cut();
  const count = miss(world.server);
  const began = world.clock.now();
  const end = () => driver.chat.messages.length === count;
  while (!end() && world.clock.now() - began < 5 * MINUTE) await world.pass(100);
  const seconds = Math.round((world.clock.now() - began) / 1_000);
  assert.deepEqual(damper.refused, []);
  assert.equal(end(), true);
  const told = `${damper.asked.sync} syncs in ${seconds} s, ${most(damper)['get-message']} units`;
  assert.ok(PAGE.includes(told), told);
  world.close();
});

test('two devices of a side that catch up at once wait as long as the damper says, and miss nothing', async () => {
  const { world, damper, phone } = lively();
  const devices = [phone('driver'), phone('driver')];
  await world.pass(1_000);
  for (const { socket } of devices) socket.cut();
  const count = miss(world.server);
  await world.pass(5 * MINUTE);
  assert.deepEqual([...new Set(damper.refused.map(({ route }) => route))], ['sync']);
  for (const { chat, heard, problems } of devices) {
    assert.deepEqual([chat.messages.length, heard.length, problems], [count, count, []]);
  }
  world.close();
});

test('a clock that is put back in a long catch-up delays it by no more than its pace', async () => {
  const { world, phone } = lively();
  let back = 0;
  const driver = phone('driver', { clock: { ...world.clock, now: () => world.clock.now() - back } });
  await world.pass(1_000);
  driver.socket.cut();
  const count = miss(world.server);
  await world.pass(2_000);
  back = 60 * MINUTE;
  await world.pass(2 * MINUTE);
  assert.equal(driver.chat.messages.length, count);
  world.close();
});
