import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeMicrophones, fakeWebRtc } from './support/webrtc.mjs';
import { World } from './support/world.mjs';

/** A driver and a passenger with microphones. */
async function pair() {
  const world = new World();
  const webRtc = fakeWebRtc(world.clock);
  const media = { RTCPeerConnection: webRtc.RTCPeerConnection };
  const ears = { driver: fakeMicrophones(), passenger: fakeMicrophones() };
  const phone = (sender, more = {}) =>
    world.device(sender, { ...media, getUserMedia: ears[sender].getUserMedia, ...more });
  const driver = phone('driver');
  const passenger = phone('passenger');
  await world.pass(200);
  return { world, driver, passenger, phone, ears, ...webRtc };
}

/** Lets the driver call and the passenger answer. */
async function talking(scene) {
  const { world, driver, passenger } = scene;
  const started = driver.chat.calls.start();
  await world.pass(200);
  await started;
  const answered = passenger.chat.calls.accept();
  await world.pass(500);
  await answered;
}

const phases = (...devices) => devices.map(({ chat }) => chat.calls.phase);
const voices = (...devices) => devices.map(({ chat }) => chat.calls.voice?.state);

test('a call rings, is answered, carries a voice each way and is hung up', async () => {
  const scene = await pair();
  const { world, driver, passenger, ears } = scene;
  const started = driver.chat.calls.start();
  assert.deepEqual(phases(driver, passenger), ['dialling', 'idle']);
  await world.pass(200);
  await started;
  assert.deepEqual(phases(driver, passenger), ['calling', 'ringing']);
  assert.equal(passenger.chat.calls.ringsUntil > world.clock.now() + 44_000, true);
  passenger.chat.calls.accept();
  await world.pass(500);
  assert.deepEqual(phases(driver, passenger), ['talking', 'talking']);
  assert.deepEqual(voices(driver, passenger), ['connected', 'connected']);
  driver.chat.calls.hangUp();
  await world.pass(200);
  assert.deepEqual(phases(driver, passenger), ['idle', 'idle']);
  assert.deepEqual(voices(driver, passenger), [undefined, undefined]);
  assert.deepEqual(
    [...ears.driver.microphones, ...ears.passenger.microphones].map((each) => each.running),
    [false, false],
  );
});

test('the connection uses the ICE servers of the answer', async () => {
  const scene = await pair();
  await talking(scene);
  assert.deepEqual(
    scene.peers.map((each) => each.config.iceServers),
    Array(2).fill([{ urls: 'stun:example.org' }]),
  );
});

test('a declined call is over on both sides', async () => {
  const { world, driver, passenger } = await pair();
  driver.chat.calls.start();
  await world.pass(200);
  passenger.chat.calls.hangUp();
  await world.pass(200);
  assert.deepEqual(phases(driver, passenger), ['idle', 'idle']);
  assert.equal(driver.chat.calls.call.state, 'ended');
});

test('both call at once: one call, both talk', async () => {
  const { world, driver, passenger } = await pair();
  driver.chat.calls.start();
  passenger.chat.calls.start();
  await world.pass(1_000);
  assert.deepEqual(phases(driver, passenger), ['talking', 'talking']);
  assert.deepEqual(voices(driver, passenger), ['connected', 'connected']);
  assert.equal(driver.chat.calls.call.call_id, passenger.chat.calls.call.call_id);
});

test('a call that another device answers stops ringing here', async () => {
  const scene = await pair();
  const tablet = scene.phone('passenger');
  await scene.world.pass(200);
  await talking(scene);
  assert.deepEqual(phases(scene.passenger, tablet), ['talking', 'elsewhere']);
  assert.equal(tablet.chat.calls.voice, null);
  assert.deepEqual(voices(scene.driver), ['connected']);
});

test('the second device to answer is refused and sees the call as it stands', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  const tablet = scene.phone('passenger');
  await world.pass(200);
  driver.chat.calls.start();
  await world.pass(200);
  const outcomes = Promise.allSettled([passenger.chat.calls.accept(), tablet.chat.calls.accept()]);
  await world.pass(500);
  assert.deepEqual(
    (await outcomes).map((each) => each.reason?.code),
    [undefined, 'illegal_transition'],
  );
  assert.deepEqual(phases(passenger, tablet), ['talking', 'elsewhere']);
  assert.equal(scene.ears.passenger.microphones[1].running, false);
});

test('a call that is hung up before the server has answered is ended', async () => {
  const { world, driver, passenger } = await pair();
  driver.chat.calls.start();
  await world.pass(10);
  driver.chat.calls.hangUp();
  assert.equal(driver.chat.calls.phase, 'idle');
  await world.pass(500);
  assert.deepEqual(phases(driver, passenger), ['idle', 'idle']);
  assert.equal(world.server.call.state, 'ended');
});

test('an action whose answer is lost is sent again on the next line', async () => {
  const { world, driver, passenger } = await pair();
  let lost = 1;
  world.server.loses = (frame) => frame.type === 'ack' && lost-- > 0;
  driver.chat.calls.start();
  await world.pass(100);
  driver.socket.cut();
  await world.pass(2_000);
  assert.deepEqual(phases(driver, passenger), ['calling', 'ringing']);
  assert.equal(world.server.call.version, 1);
});

/** Loses the answer to the first action on a call. */
function losesAnswer({ server }) {
  let lost = 1;
  server.loses = (frame) => frame.type === 'ack' && frame.call && lost-- > 0;
}

test('a call that was declined before its answer came does not ring again', async () => {
  const { world, driver, passenger } = await pair();
  losesAnswer(world);
  const started = driver.chat.calls.start();
  await world.pass(200);
  assert.deepEqual(phases(driver, passenger), ['dialling', 'ringing']);
  passenger.chat.calls.hangUp();
  await world.pass(12_000);
  await started;
  assert.deepEqual(phases(driver, passenger), ['idle', 'idle']);
  assert.equal(world.server.call.call_id, 'call-1');
  assert.deepEqual(driver.chat.calls.call, world.server.call);
});

test('a call that is accepted before the answer to initiate comes uses the ICE servers too, at once', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  losesAnswer(world);
  driver.chat.calls.start();
  await world.pass(200);
  passenger.chat.calls.accept();
  await world.pass(500);
  assert.deepEqual(phases(driver, passenger), ['talking', 'talking']);
  assert.deepEqual(voices(driver, passenger), ['connected', 'connected']);
  assert.deepEqual(
    scene.peers.map((each) => each.config.iceServers),
    Array(2).fill([{ urls: 'stun:example.org' }]),
  );
});

test('each call has another client_call_id', async () => {
  const { world, driver, passenger } = await pair();
  for (const name of ['call-1', 'call-2']) {
    driver.chat.calls.start();
    await world.pass(200);
    assert.equal(passenger.chat.calls.call.call_id, name);
    passenger.chat.calls.hangUp();
    await world.pass(200);
  }
});

test('a device does not take over a call from another device of its side', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  const tablet = scene.phone('driver');
  await world.pass(200);
  const { server } = world;
  const tell = server.tell.bind(server);
  server.tell = (frame, to) => tell(frame, (each) => to(each) && each.deviceId !== tablet.deviceId);
  await talking(scene);
  assert.equal(tablet.chat.calls.phase, 'idle');
  const started = assert.rejects(tablet.chat.calls.start(), { code: 'call_in_progress' });
  await world.pass(500);
  await started;
  assert.deepEqual(phases(driver, passenger, tablet), ['talking', 'talking', 'elsewhere']);
  assert.equal(tablet.chat.calls.voice, null);
});

test('a call that is hung up before it was sent rings nowhere', async () => {
  const { world, driver, passenger, ears } = await pair();
  world.server.admits = () => false;
  driver.socket.cut();
  const started = driver.chat.calls.start();
  await world.pass(100);
  driver.chat.calls.hangUp();
  await started;
  assert.equal(driver.chat.calls.phase, 'idle');
  world.server.admits = () => true;
  await world.pass(5_000);
  assert.equal(driver.chat.state, 'open');
  assert.equal(world.server.call, null);
  assert.equal(ears.driver.microphones[0].running, false);

  driver.chat.calls.start();
  await world.pass(200);
  assert.deepEqual(phases(driver, passenger), ['calling', 'ringing']);
});

test('a call that is hung up after it was sent on a dead line is ended on the next one', async () => {
  const { world, driver, passenger } = await pair();
  losesAnswer(world);
  driver.chat.calls.start();
  await world.pass(200);
  driver.socket.cut();
  driver.chat.calls.hangUp();
  await world.pass(3_000);
  assert.equal(world.server.call.state, 'ended');
  assert.deepEqual(phases(driver, passenger), ['idle', 'idle']);
});

test('a ping reveals a call frame that never came', async () => {
  const { world, driver, passenger } = await pair();
  world.server.loses = (frame) => frame.type === 'call';
  driver.chat.calls.start();
  await world.pass(500);
  assert.deepEqual(phases(passenger), ['idle']);
  await world.pass(4_000);
  assert.deepEqual(phases(passenger), ['ringing']);
});

test('without a microphone nobody is called', async () => {
  const world = new World();
  const { RTCPeerConnection } = fakeWebRtc(world.clock);
  const getUserMedia = async () => {
    throw new Error('Permission denied');
  };
  const { chat } = world.device('driver', { RTCPeerConnection, getUserMedia });
  await world.pass(200);
  await assert.rejects(chat.calls.start(), { code: 'microphone' });
  assert.equal(chat.calls.phase, 'idle');
  assert.equal(world.server.call, null);
});

test('without WebRTC calls still have a state', async () => {
  const world = new World();
  const [driver, passenger] = [world.device('driver'), world.device('passenger')];
  await world.pass(200);
  await talking({ world, driver, passenger });
  assert.deepEqual(phases(driver, passenger), ['talking', 'talking']);
});

test('an action fails in time if there is no line', async () => {
  const { world, driver } = await pair();
  world.server.admits = () => false;
  driver.socket.cut();
  const started = assert.rejects(driver.chat.calls.start(), { code: 'timeout' });
  await world.pass(25_000);
  await started;
  assert.equal(driver.chat.calls.phase, 'idle');
});

test('the voice connects although signals are lost, doubled and late', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  world.server.loses = (frame) => frame.type === 'signal' && world.clock.chance(0.4);
  world.server.latency = () => world.clock.between(5, 500);
  driver.chat.calls.start();
  await world.pass(2_000);
  passenger.chat.calls.accept();
  await world.pass(120_000);
  assert.deepEqual(voices(driver, passenger), ['connected', 'connected']);
});

test('a lost offer is repeated when the other device sends hello', async () => {
  const scene = await pair();
  let lost = 1;
  scene.world.server.loses = (frame) => Boolean(frame.data?.description) && lost-- > 0;
  await talking(scene);
  await scene.world.pass(1_000);
  assert.deepEqual(voices(scene.driver, scene.passenger), ['connected', 'connected']);
});

test('a lost answer is asked for again', async () => {
  const scene = await pair();
  let lost = 1;
  scene.world.server.loses = (frame) => frame.data?.description?.type === 'answer' && lost-- > 0;
  await talking(scene);
  await scene.world.pass(3_500);
  assert.deepEqual(voices(scene.driver, scene.passenger), ['connected', 'connected']);
});

test('an unanswered offer is repeated every three seconds', async () => {
  const scene = await pair();
  const until = scene.world.clock.now() + 2_000;
  scene.world.server.loses = (frame) => frame.type === 'signal' && scene.world.clock.now() < until;
  await talking(scene);
  await scene.world.pass(4_000);
  assert.deepEqual(voices(scene.driver, scene.passenger), ['connected', 'connected']);
});

test('an offer that overtakes the answer to accept is made again for it', async () => {
  const scene = await pair();
  scene.world.server.latency = (frame) => (frame?.type === 'ack' ? 400 : 20);
  scene.driver.chat.calls.start();
  await scene.world.pass(800);
  scene.passenger.chat.calls.accept();
  await scene.world.pass(1_500);
  assert.deepEqual(voices(scene.driver, scene.passenger), ['connected', 'connected']);
});

for (const [who, type] of [
  ['caller', 'offer'],
  ['callee', 'answer'],
]) {
  test(`a voice that fails for the ${who} alone begins anew`, async () => {
    const scene = await pair();
    await talking(scene);
    scene.peers.find((each) => each.localDescription.type === type).fail();
    await scene.world.pass(8_000);
    assert.deepEqual(voices(scene.driver, scene.passenger), ['connected', 'connected']);
  });
}

test('a late frame reopens neither its call nor an earlier one', async () => {
  const { world, driver, passenger } = await pair();
  const ring = async () => {
    driver.chat.calls.start();
    await world.pass(200);
    return world.server.call;
  };
  const first = await ring();
  passenger.chat.calls.hangUp();
  await world.pass(200);
  world.server.tell({ type: 'call', sender: 'driver', call: first });
  await world.pass(200);
  assert.deepEqual(phases(passenger), ['idle']);
  const second = await ring();
  world.server.tell({ type: 'call', sender: 'driver', call: { ...first, state: 'ended', version: 9 } });
  await world.pass(200);
  assert.deepEqual(phases(driver, passenger), ['calling', 'ringing']);
  assert.equal(passenger.chat.calls.call.call_id, second.call_id);
});

test('a voice that fails connects again', async () => {
  const scene = await pair();
  await talking(scene);
  for (const peer of scene.peers) peer.fail();
  assert.deepEqual(voices(scene.driver, scene.passenger), ['reconnecting', 'reconnecting']);
  await scene.world.pass(8_000);
  assert.deepEqual(voices(scene.driver, scene.passenger), ['connected', 'connected']);
});

for (const side of ['driver', 'passenger']) {
  test(`a ${side}'s device that is reloaded in mid-call finds its voice again`, async () => {
    const scene = await pair();
    await talking(scene);
    const { chat, storage, deviceId } = scene[side];
    const other = side === 'driver' ? scene.passenger : scene.driver;
    chat.close();
    await scene.world.pass(1_000);
    const reloaded = scene.phone(side, { storage, deviceId });
    await scene.world.pass(15_000);
    assert.deepEqual(phases(reloaded, other), ['talking', 'talking']);
    assert.deepEqual(voices(reloaded, other), ['connected', 'connected']);
  });
}

test('mute silences the microphone, and every later one', async () => {
  const scene = await pair();
  await talking(scene);
  const [track] = scene.ears.driver.microphones;
  scene.driver.chat.calls.voice.muted = true;
  assert.equal(track.enabled, false);
  scene.driver.chat.calls.voice.muted = false;
  assert.equal(track.enabled, true);
});

test('after the close of the conversation nobody is called', async () => {
  const world = new World();
  const { chat } = world.device('driver');
  await world.pass(100);
  chat.close();
  await assert.rejects(chat.calls.start(), { code: 'closed' });
  assert.equal(chat.calls.phase, 'idle');
});
