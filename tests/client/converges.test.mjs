import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jwt } from './support/tokens.mjs';
import { World, seqs } from './support/world.mjs';

const SEEDS = Number(process.env.SEEDS ?? 1_000);
const FIRST = Number(process.env.SEED ?? 1);
const STEPS = 150;

/** A bad network: it is slow, reorders, loses and refuses, and sometimes breaks silently. */
function spoil(world) {
  const { server, clock } = world;
  world.givesTokens = () => clock.chance(0.9);
  server.latency = () => clock.between(5, clock.chance(0.1) ? 900 : 60);
  server.loses = () => clock.chance(0.12);
  server.refuse = () => {
    if (clock.chance(0.06)) return 'lost';
    if (clock.chance(0.04)) return { code: 'unavailable', retryable: true, retry_after_ms: 700 };
    if (clock.chance(0.02)) return { code: 'internal', retryable: true };
    if (clock.chance(0.02)) return 'failed';
    return null;
  };
  server.admits = () => clock.chance(0.8);
}

function mend(world) {
  const { server } = world;
  world.givesTokens = () => true;
  server.latency = () => 20;
  server.loses = () => false;
  server.refuse = () => null;
  server.admits = () => true;
}

/** Opens a device with tokens that are valid for a minute or two by the server's clock, and sometimes not available. */
function open(world, sender, same) {
  const { clock, server } = world;
  const token = async () => {
    if (!world.givesTokens()) throw new Error('The backend cannot be reached');
    const exp = Math.floor((clock.now() + server.ahead) / 1_000) + clock.between(40, 150);
    return jwt({ sub: `${sender}-1`, role: sender, booking_code: 'test', exp });
  };
  return world.device(sender, { token, user: `${sender}-1`, ...same }); // they write before the first token too
}

/** The actions of a user on calls. Keeps the calls that were hung up: they must end, unless another device was faster. */
function call({ clock }, { chat }, hungUp) {
  const { calls } = chat;
  const act = calls.phase === 'ringing' && clock.chance(0.6) ? 'accept' : calls.phase === 'idle' ? 'start' : 'hangUp';
  if (act === 'hangUp' && ['calling', 'talking'].includes(calls.phase)) hungUp.add(calls.call.call_id);
  calls[act]().catch(() => {});
}

function redact({ clock }, { chat, sender }) {
  const own = chat.messages.filter((each) => each.sender === sender && !each.redacted_at);
  if (own.length) chat.redact(clock.pick(own)).catch(() => {});
}

function step(world, written, hungUp) {
  const { clock, server, devices } = world;
  const device = clock.pick(devices);
  const dice = clock.random();
  if (dice < 0.5) {
    const text = `${device.deviceId} ${written[device.deviceId].length}`;
    written[device.deviceId].push(text);
    device.chat.send(text);
  } else if (dice < 0.62) {
    device.socket?.cut({ silent: clock.chance(0.3) });
  } else if (dice < 0.72) {
    device.chat.markRead();
  } else if (dice < 0.76) {
    server.store({ sender: 'system', message: 'A word from the company', message_type: 'system' });
  } else if (dice < 0.78) {
    reload(world, device);
  } else if (dice < 0.84) {
    call(world, device, hungUp);
  } else if (dice < 0.86) {
    redact(world, device);
  } else if (dice < 0.88) {
    device.chat.setAway(!device.chat.away);
  }
}

/** Leaves the page and opens it again: only what is stored survives. */
function reload(world, device) {
  device.chat.close();
  world.devices.splice(world.devices.indexOf(device), 1);
  open(world, device.sender, { storage: device.storage, deviceId: device.deviceId });
}

/** Checks that only devices with the call talk, that calls that were hung up are over, and that no call is left at the end. */
async function noGhost(world, hungUp) {
  const { server, devices } = world;
  const phases = () => devices.map(({ chat }) => chat.calls.phase);
  const live = server.call && server.call.state !== 'ended';
  assert.equal(live && hungUp.has(server.call.call_id), live && false, 'what was hung up is over');
  for (const side of ['driver', 'passenger']) {
    const talking = devices.filter(({ chat, sender }) => sender === side && chat.calls.phase === 'talking');
    assert.equal(talking.length, live ? 1 : 0, `${side}: ${phases()} of ${server.call?.state}`);
  }
  for (const { chat } of devices) chat.calls.hangUp().catch(() => {});
  await world.pass(10_000);
  assert.deepEqual([...new Set(phases())], ['idle']);
  assert.equal(server.call === null || server.call.state === 'ended', true, 'nobody rings');
  for (const { storage, deviceId } of devices) assert.equal(storage.length, 0, `${deviceId}: nothing left to remember`);
}

for (let seed = FIRST; seed < FIRST + SEEDS; seed += 1) {
  test(`whatever the network does, every device ends with the history as stored (seed ${seed})`, async () => {
    const world = new World(seed);
    const { clock, server } = world;
    const written = {};
    const hungUp = new Set();
    server.ahead = clock.between(-300_000, 300_000);
    spoil(world);
    for (const sender of ['driver', 'passenger', 'driver']) written[open(world, sender).deviceId] = [];
    for (let count = 0; count < STEPS; count += 1) {
      step(world, written, hungUp);
      await world.pass(clock.between(0, clock.chance(0.05) ? 20_000 : 700));
    }
    mend(world);
    await world.pass(200_000);

    const stored = server.messages.map((each) => each.message);
    for (const [deviceId, wanted] of Object.entries(written)) {
      const own = stored.filter((text) => text.startsWith(`${deviceId} `));
      const left = wanted.filter((text) => !server.removed.includes(text));
      assert.deepEqual(own, left, `${deviceId}: each once, in the order of writing`);
    }
    for (const { chat, deviceId, heard } of world.devices) {
      assert.deepEqual(chat.outbox, [], `${deviceId}: nothing left to send`);
      while (chat.hasOlder) await chat.loadOlder();
      assert.deepEqual(chat.messages, server.messages, `${deviceId}: the same history`);
      const first = heard[0]?.seq ?? 0;
      assert.deepEqual(
        seqs(heard),
        heard.map((_, index) => first + index),
        `${deviceId}: told of each once, in order`,
      );
      assert.deepEqual(chat.receipts, server.receipts, `${deviceId}: the same receipts`);
    }
    for (const side of ['driver', 'passenger']) {
      const foreign = server.messages.findLast((each) => each.sender !== side);
      const { delivered, read } = server.receipts[side];
      assert.equal(delivered, Math.max(foreign.seq, read), `${side} has said that it got everything`);
    }
    await noGhost(world, hungUp);
    world.close();
  });
}
