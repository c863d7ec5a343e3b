import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeMicrophones, fakeWebRtc } from './support/webrtc.mjs';
import { World } from './support/world.mjs';

/** A driver and a passenger in a call. */
async function talking(world = new World()) {
  const webRtc = fakeWebRtc(world.clock);
  const ears = { driver: fakeMicrophones(), passenger: fakeMicrophones() };
  const devices = { driver: new EventTarget(), passenger: new EventTarget() };
  const phone = (sender, more = {}) =>
    world.device(sender, {
      RTCPeerConnection: webRtc.RTCPeerConnection,
      mediaDevices: Object.assign(devices[sender], { getUserMedia: ears[sender].getUserMedia }),
      ...more,
    });
  const [driver, passenger] = [phone('driver'), phone('passenger')];
  await world.pass(200);
  driver.chat.calls.start();
  await world.pass(200);
  passenger.chat.calls.accept();
  await world.pass(500);
  return { world, driver, passenger, phone, ears, devices, ...webRtc };
}

const acts = ({ server }, action) => server.handled.filter((each) => each.call_action === action);
const voices = (...devices) => devices.map(({ chat }) => chat.calls.voice?.state);

test('with the policy relay no other address is shown', async () => {
  const world = new World();
  world.server.iceTransportPolicy = 'relay';
  const { peers } = await talking(world);
  assert.deepEqual(peers.map((peer) => peer.config.iceTransportPolicy), ['relay', 'relay']);
});

test('a voice that fails asks for fresh servers before it starts again', async () => {
  const { world, peers, driver, passenger } = await talking();
  assert.equal(acts(world, 'ice').length, 0);
  for (const peer of peers) peer.fail();
  await world.pass(10_000);
  assert.deepEqual(voices(driver, passenger), ['connected', 'connected']);
  assert.equal(acts(world, 'ice').length >= 1, true);
  assert.match(peers[0].config.iceServers[0].urls, /^turn:fresh/);
});

test('without fresh servers a failed voice starts again with those it has', async () => {
  const { world, peers, driver, passenger } = await talking();
  world.server.refuse = ({ call_action: action }) => (action === 'ice' ? 'lost' : null);
  for (const peer of peers) peer.fail();
  await world.pass(20_000);
  assert.deepEqual(voices(driver, passenger), ['connected', 'connected']);
});

test('a device that lost its stored call asks for servers and talks', async () => {
  const { world, passenger, phone, peers } = await talking();
  passenger.chat.close();
  await world.pass(500);
  const reloaded = phone('passenger', { deviceId: passenger.deviceId });
  await world.pass(15_000);
  assert.equal(reloaded.chat.calls.phase, 'talking');
  assert.deepEqual(voices(reloaded), ['connected']);
  assert.equal(peers.some((peer) => peer.config.iceServers[0].urls.startsWith('turn:fresh')), true);
  assert.equal(peers.every((peer) => peer.config.iceServers.length === 1), true);
});

test('many new sessions of the other end do not cause a new connection each time', async () => {
  const { world, passenger, peers } = await talking();
  const { call_id } = world.server.call;
  for (let count = 0; count < 100; count += 1) {
    world.server.tell(
      { type: 'signal', sender: 'driver', call_id, data: { session: `s${count}`, hello: true } },
      (each) => each.deviceId === passenger.deviceId,
    );
    await world.pass(100);
  }
  assert.equal(peers.length <= 2 + 2, true, `${peers.length} connections in ten seconds`);
});

test('a microphone that is pulled out is replaced, and stays muted if it was', async () => {
  const { world, driver, ears, peers } = await talking();
  const { voice } = driver.chat.calls;
  voice.muted = true;
  ears.driver.microphones[0].end();
  await world.pass(100);
  const [, second] = ears.driver.microphones;
  assert.equal(voice.microphone, 'live');
  assert.equal(peers[0].tracks[0], second);
  assert.equal(second.enabled, false);
  driver.chat.calls.hangUp();
  await world.pass(200);
  assert.equal(second.running, false);
});

test('a lost microphone without a replacement is reported until there is one', async () => {
  const { world, driver, ears, devices, peers } = await talking();
  const { voice } = driver.chat.calls;
  ears.driver.there.missing = true;
  ears.driver.microphones[0].end();
  await world.pass(100);
  assert.equal(voice.microphone, 'lost');
  assert.deepEqual(driver.problems.map((each) => each.code), ['microphone']);
  ears.driver.there.missing = false;
  devices.driver.dispatchEvent(new Event('devicechange'));
  await world.pass(100);
  assert.equal(voice.microphone, 'live');
  assert.equal(peers[0].tracks[0], ears.driver.microphones[1]);
});

for (const [where, kept] of [
  ['a page that is reloaded in a call', (driver) => driver],
  ['a page that is reloaded without its storage', ({ deviceId }) => ({ deviceId })],
]) {
  test(`${where} and gets no microphone says that it is lost, and talks when there is one`, async () => {
    const { driver, passenger, phone, ears, devices, world } = await talking();
    driver.chat.calls.hangUp();
    await world.pass(200);
    passenger.chat.calls.start(); // so the driver answers, and has the call without a storage too
    await world.pass(200);
    driver.chat.calls.accept();
    await world.pass(200);
    driver.chat.close();
    ears.driver.there.missing = true;
    const { chat, problems } = phone('driver', kept(driver));
    await world.pass(2_000);
    assert.deepEqual(problems.map((each) => each.code), ['microphone']);
    assert.deepEqual([chat.calls.phase, chat.calls.voice.microphone], ['talking', 'lost']);
    ears.driver.there.missing = false;
    devices.driver.dispatchEvent(new Event('devicechange'));
    await world.pass(10_000);
    assert.equal(chat.calls.voice.microphone, 'live');
    assert.deepEqual([chat, passenger.chat].map(({ calls }) => calls.voice.state), ['connected', 'connected']);
  });
}

test('a microphone that was replaced while servers are asked for is the one that is heard', async () => {
  const { world, driver, phone, ears, peers } = await talking();
  driver.chat.calls.hangUp();
  await world.pass(200);
  world.devices[1].chat.calls.start();
  await world.pass(200);
  driver.chat.calls.accept();
  await world.pass(200);
  driver.chat.close();
  world.server.latency = () => 300;
  phone('driver', { deviceId: driver.deviceId });
  await world.pass(1_000); // it knows the call, and asks
  const [first] = ears.driver.microphones.slice(-1);
  first.end();
  await world.pass(5_000);
  const second = ears.driver.microphones.at(-1);
  assert.notEqual(second, first);
  assert.deepEqual([first, second].map((each) => peers.filter(({ tracks }) => tracks.includes(each)).length), [0, 1]);
});

test('a microphone that is pulled out while new servers are asked for is replaced in the connection', async () => {
  const { world, driver, passenger, ears, devices, peers } = await talking();
  world.server.refuse = ({ call_action: action }) => (action === 'ice' ? 'lost' : null);
  for (const peer of peers) peer.fail();
  await world.pass(3_500);
  ears.driver.there.missing = true;
  ears.driver.microphones[0].end();
  await world.pass(10_000);
  assert.equal(driver.chat.calls.voice.microphone, 'lost');
  ears.driver.there.missing = false;
  devices.driver.dispatchEvent(new Event('devicechange'));
  await world.pass(20_000);
  assert.deepEqual(voices(driver, passenger), ['connected', 'connected']);
  assert.equal(peers[0].tracks[0], ears.driver.microphones[1]);
});

test('after a call one report is sent', async () => {
  const { world, driver, passenger, peers } = await talking();
  peers[0].stats = new Map(
    [
      { id: 'in', type: 'inbound-rtp', kind: 'audio', packetsReceived: 500, packetsLost: 7, jitter: 0.012 },
      { id: 'out', type: 'outbound-rtp', kind: 'audio', bytesSent: 9 },
      { id: 'pair', type: 'candidate-pair', nominated: true, currentRoundTripTime: 0.08, localCandidateId: 'here' },
      { id: 'here', type: 'local-candidate', candidateType: 'relay' },
    ].map((each) => [each.id, each]),
  );
  await world.pass(60_000);
  assert.deepEqual(acts(world, 'report'), []);
  passenger.chat.calls.hangUp();
  await world.pass(30_000);
  const reports = acts(world, 'report');
  assert.equal(reports.length, 2); // one of each device
  const { call_id, report } = reports.find((each) => each.device_id === driver.deviceId);
  assert.equal(call_id, world.server.call.call_id);
  const { setup_ms, seconds, ...figures } = report;
  assert.deepEqual(figures, { relayed: true, rtt_ms: 80, jitter_ms: 12, lost: 7, received: 500 });
  assert.equal(setup_ms >= 0 && setup_ms < 1_000, true);
  assert.equal(seconds, 60);
});

test('a call that was hung up on a dead line is reported when its end is known', async () => {
  const { world, driver, passenger } = await talking();
  driver.socket.cut({ silent: true });
  driver.chat.calls.hangUp();
  await world.pass(30_000);
  assert.equal(world.server.call.state, 'ended');
  assert.equal(acts(world, 'report').filter((each) => each.device_id === driver.deviceId).length, 1);
  assert.deepEqual(voices(driver, passenger), [undefined, undefined]);
});

test('a call that nobody answered is not reported', async () => {
  const world = new World();
  const { RTCPeerConnection } = fakeWebRtc(world.clock);
  const { chat } = world.device('driver', { RTCPeerConnection, ...fakeMicrophones() });
  await world.pass(200);
  chat.calls.start();
  await world.pass(60_000);
  assert.equal(chat.calls.phase, 'idle');
  assert.deepEqual(acts(world, 'report'), []);
});
