import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeMicrophones, fakeWebRtc } from './support/webrtc.mjs';
import { World } from './support/world.mjs';

/** A driver and a passenger. A device may have a microphone whose prompt stays open until the test answers it. */
async function pair() {
  const world = new World();
  const webRtc = fakeWebRtc(world.clock);
  const { getUserMedia, microphones } = fakeMicrophones();
  const prompts = [];
  const media = { RTCPeerConnection: webRtc.RTCPeerConnection, getUserMedia };
  const asks = () => new Promise((resolve) => prompts.push(() => resolve(getUserMedia())));
  const phone = (sender, more = {}) => world.device(sender, { ...media, ...more });
  const [driver, passenger] = [phone('driver'), phone('passenger')];
  await world.pass(200);
  return { world, driver, passenger, phone, prompts, asks, microphones, ...webRtc };
}

const phases = (...devices) => devices.map(({ chat }) => chat.calls.phase);
const acts = ({ server }, action) => server.handled.filter((each) => each.call_action === action);

/** Makes the line dead, and no other can be opened until the returned function is called. */
function cutOff(world, device) {
  const admits = world.server.admits;
  world.server.admits = (socket) => socket.deviceId !== device.deviceId && admits(socket);
  device.socket.cut();
  return () => (world.server.admits = admits);
}

async function rings({ world, driver, passenger }) {
  driver.chat.calls.start();
  await world.pass(200);
  assert.deepEqual(phases(driver, passenger), ['calling', 'ringing']);
}

async function talks(scene) {
  await rings(scene);
  scene.passenger.chat.calls.accept();
  await scene.world.pass(500);
  assert.deepEqual(phases(scene.driver, scene.passenger), ['talking', 'talking']);
}

test('without a line a ring still ends at its deadline', async () => {
  const scene = await pair();
  const { world, passenger } = scene;
  await rings(scene);
  cutOff(world, passenger);
  const { ringsUntil } = passenger.chat.calls;
  await world.pass(ringsUntil - world.clock.now() - 1);
  assert.deepEqual(phases(passenger), ['ringing']);
  let told = 0;
  passenger.chat.on('change', () => (told += 1));
  await world.pass(2);
  assert.deepEqual(phases(passenger), ['idle']);
  assert.equal(told > 0, true);
  assert.equal(passenger.chat.calls.live, false);
});

test('calling ends at the deadline too, and the microphone is released', async () => {
  const scene = await pair();
  const { world, driver, microphones } = scene;
  await rings(scene);
  cutOff(world, driver);
  assert.deepEqual(microphones.map((each) => each.running), [true]);
  await world.pass(45_100);
  assert.deepEqual(phases(driver), ['idle']);
  assert.deepEqual(microphones.map((each) => each.running), [false]);
});

/** A device's clock that the user can set: `step` puts it forward by so many milliseconds. */
function settable({ clock }) {
  let ahead = 0;
  return { clock: { ...clock, now: () => clock.now() + ahead }, step: (ms) => (ahead += ms) };
}

test('without a line a ring ends in its time, though the clock was put back by ten minutes', async () => {
  const scene = await pair();
  const { world, driver } = scene;
  const { clock, step } = settable(world);
  const tablet = scene.phone('passenger', { clock });
  await world.pass(200);
  driver.chat.calls.start();
  await world.pass(200);
  cutOff(world, tablet);
  step(-600_000);
  await world.pass(44_000);
  assert.deepEqual(phases(tablet), ['ringing']);
  await world.pass(1_000);
  assert.deepEqual(phases(tablet), ['idle']);
});

test('who calls again in the two seconds after a ring, when the server takes no other call yet, rings again', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  await rings(scene);
  await world.pass(driver.chat.calls.ringsUntil - world.clock.now() + 100);
  assert.deepEqual([...phases(driver), world.server.call.state], ['idle', 'ringing']);
  const started = driver.chat.calls.start();
  await world.pass(100);
  assert.deepEqual(phases(driver), ['dialling']);
  await world.pass(3_000);
  await started;
  assert.deepEqual(phases(driver, passenger), ['calling', 'ringing']);
  assert.equal(world.server.call.call_id, 'call-2');
});

test('who calls again after a ring, and hangs up before that could be said, calls nobody', async () => {
  const scene = await pair();
  const { world, driver, passenger, microphones } = scene;
  await rings(scene);
  await world.pass(driver.chat.calls.ringsUntil - world.clock.now() + 100);
  driver.chat.calls.start();
  await world.pass(500);
  driver.chat.calls.hangUp();
  await world.pass(5_000);
  assert.deepEqual(phases(driver, passenger), ['idle', 'idle']);
  assert.deepEqual([world.server.call.call_id, acts(world, 'initiate').length], ['call-1', 1]);
  assert.equal(microphones.some((each) => each.running), false);
});

test('who calls again after a ring that is answered in the last moment talks, with sound', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  await rings(scene);
  await world.pass(driver.chat.calls.ringsUntil - world.clock.now() - 500);
  world.server.latency = (frame) => (frame ? 20 : 1_500);
  passenger.chat.calls.accept();
  await world.pass(700);
  world.server.latency = () => 20;
  const started = assert.rejects(driver.chat.calls.start(), { code: 'call_in_progress' });
  await world.pass(5_000);
  await started;
  assert.deepEqual(phases(driver, passenger), ['talking', 'talking']);
  assert.deepEqual([driver, passenger].map(({ chat }) => chat.calls.voice.state), ['connected', 'connected']);
});

test('an accept in the last moment is shown after the deadline', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  await rings(scene);
  world.server.latency = (frame) => (frame ? 20 : 1_500);
  await world.pass(driver.chat.calls.ringsUntil - world.clock.now() - 500);
  passenger.chat.calls.accept();
  await world.pass(1_000);
  assert.deepEqual(phases(driver, passenger), ['idle', 'answering']);
  await world.pass(4_000);
  assert.deepEqual(phases(driver, passenger), ['talking', 'talking']);
});

test('the time of a call is counted by the server, whatever the clock of the device says', async () => {
  const scene = await pair();
  const { world, passenger } = scene;
  world.server.ahead = 300_000;
  await talks(scene);
  await world.pass(60_000);
  const seconds = ({ chat }) => Math.round((world.clock.now() - chat.calls.talkingSince) / 1_000);
  assert.equal(seconds(passenger), 60);
  passenger.chat.close();
  const reloaded = scene.phone('passenger', passenger);
  await world.pass(1_000);
  assert.equal(seconds(reloaded), 61);
});

for (const ms of [-300_000, 300_000]) {
  test(`the time of a call goes on when the device's clock is set in it (by ${ms / 1_000} s)`, async () => {
    const scene = await pair();
    const { world, driver } = scene;
    const { clock, step } = settable(world);
    const tablet = scene.phone('passenger', { clock });
    await world.pass(200);
    driver.chat.calls.start();
    await world.pass(200);
    tablet.chat.calls.accept();
    await world.pass(5_000);
    const { talkingSince } = tablet.chat.calls;
    await world.pass(20_000);
    assert.equal(tablet.chat.calls.talkingSince, talkingSince); // pongs alone change nothing
    step(ms);
    let changes = 0;
    tablet.chat.on('change', () => (changes += 1));
    await world.pass(10_500); // a ping
    assert.equal(Math.round((clock.now() - tablet.chat.calls.talkingSince) / 1_000), 35);
    assert.equal(changes > 0, true);
    await world.pass(60_000);
    driver.chat.calls.hangUp();
    await world.pass(70_000);
    assert.equal(tablet.chat.calls.talkingSince, null);
  });
}

for (const [what, prepare, expected] of [
  ['declined', rings, 'reject'],
  ['hung up', talks, 'end'],
]) {
  test(`a call that is ${what} on a dead line is over at once, and it is said on the next line`, async () => {
    const scene = await pair();
    const { world, driver, passenger } = scene;
    await prepare(scene);
    const mend = cutOff(world, passenger);
    passenger.chat.calls.hangUp();
    assert.deepEqual(phases(passenger), ['idle']);
    await world.pass(25_000); // longer than any request is waited for
    assert.deepEqual(phases(passenger), ['idle']);
    mend();
    await world.pass(31_000);
    assert.equal(acts(world, expected).length, 1);
    assert.equal(world.server.call.state, 'ended');
    assert.deepEqual(phases(driver, passenger), ['idle', 'idle']);
  });

  test(`a call that is ${what} on a dead line before a reload is ended after it`, async () => {
    const scene = await pair();
    const { world, driver, passenger } = scene;
    await prepare(scene);
    const mend = cutOff(world, passenger);
    passenger.chat.calls.hangUp().catch(() => {});
    await world.pass(1_000);
    passenger.chat.close();
    const reloaded = scene.phone('passenger', passenger);
    mend();
    const seen = [];
    reloaded.chat.on('change', () => seen.push(reloaded.chat.calls.phase));
    await world.pass(2_000);
    assert.deepEqual(new Set(seen), new Set(['idle']));
    assert.equal(world.server.call.state, 'ended');
    assert.deepEqual(phases(driver, reloaded), ['idle', 'idle']);
    assert.equal(scene.passenger.storage.length, 0);
  });
}

test('a call that ended meanwhile needs no end, and the next one rings', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  await rings(scene);
  const mend = cutOff(world, passenger);
  passenger.chat.calls.hangUp();
  driver.chat.calls.hangUp();
  await world.pass(500);
  driver.chat.calls.start();
  await world.pass(500);
  mend();
  await world.pass(5_000);
  assert.deepEqual(phases(driver, passenger), ['calling', 'ringing']);
});

test('after a hang-up on a dead line, the old call is ended before a new one begins', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  await talks(scene);
  const mend = cutOff(world, driver);
  driver.chat.calls.hangUp();
  driver.chat.calls.start();
  await world.pass(1_000);
  assert.deepEqual(phases(driver), ['dialling']);
  mend();
  await world.pass(5_000);
  assert.deepEqual(phases(driver, passenger), ['calling', 'ringing']);
  assert.equal(world.server.call.call_id, 'call-2');
});

test('a decline becomes a hang-up if an accept of the same device was faster', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  await rings(scene);
  world.server.loses = (frame) => frame.type === 'ack' || frame.type === 'call';
  passenger.chat.calls.accept();
  await world.pass(100);
  assert.equal(world.server.call.state, 'connected');
  world.server.loses = () => false;
  passenger.chat.calls.hangUp();
  await world.pass(6_000);
  assert.equal(world.server.call.state, 'ended');
  assert.deepEqual(phases(driver, passenger), ['idle', 'idle']);
});

for (const who of ['driver', 'passenger']) {
  test(`the ${who}'s answer is lost for 24 seconds, and there is sound all the same`, async () => {
    const scene = await pair();
    const { world, driver, passenger } = scene;
    if (who === 'passenger') await rings(scene);
    const until = world.clock.now() + 24_000;
    const lost = (frame) => frame.type === 'ack' && frame.call && world.clock.now() < until;
    world.server.loses = lost;
    const { calls } = scene[who].chat;
    const step = who === 'driver' ? calls.start() : calls.accept();
    await world.pass(10_000);
    if (who === 'driver') {
      world.server.loses = (frame) => lost(frame) && frame.id.startsWith('ask-1');
      passenger.chat.calls.accept();
    }
    await world.pass(20_000);
    await step;
    assert.deepEqual(phases(driver, passenger), ['talking', 'talking']);
    assert.deepEqual([driver, passenger].map(({ chat }) => chat.calls.voice.state), ['connected', 'connected']);
    assert.equal(scene.peers.every((peer) => peer.config.iceServers.length === 1), true);
  });
}

test('a call whose answer came too late is ended when it appears', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  world.server.loses = (frame) => frame.type === 'ack';
  driver.chat.calls.start();
  await world.pass(100);
  assert.equal(world.server.call.state, 'ringing');
  const mend = cutOff(world, driver);
  await driver.chat.calls.hangUp();
  driver.chat.close();
  world.server.loses = () => false;
  const reloaded = scene.phone('driver', driver);
  mend();
  await world.pass(3_000);
  assert.equal(world.server.call.state, 'ended');
  assert.equal(world.server.call.call_id, 'call-1');
  assert.deepEqual(phases(reloaded, passenger), ['idle', 'idle']);
});

test('a page that is left before the answer to its call has the call ended when it is back', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  world.server.loses = (frame) => frame.type === 'ack';
  driver.chat.calls.start().catch(() => {});
  await world.pass(100);
  driver.chat.close();
  world.server.loses = () => false;
  const reloaded = scene.phone('driver', driver);
  await world.pass(1_000);
  assert.deepEqual(phases(reloaded, passenger), ['idle', 'idle']);
  assert.equal(world.server.call.state, 'ended');
  assert.equal(driver.storage.length, 0);
});

test('a page that is left before the answer to its accept talks when it is back', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  await rings(scene);
  world.server.loses = (frame) => frame.type === 'ack';
  passenger.chat.calls.accept().catch(() => {});
  await world.pass(100);
  passenger.chat.close();
  world.server.loses = () => false;
  const reloaded = scene.phone('passenger', passenger);
  await world.pass(15_000);
  assert.deepEqual(phases(driver, reloaded), ['talking', 'talking']);
  assert.equal(reloaded.chat.calls.voice.state, 'connected');
});

test('a call whose accept got no answer and was hung up on a dead line is ended after a reload', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  await rings(scene);
  world.server.loses = (frame) => frame.type === 'ack' || frame.type === 'call';
  passenger.chat.calls.accept().catch(() => {});
  await world.pass(100);
  assert.equal(world.server.call.state, 'connected');
  const mend = cutOff(world, passenger);
  passenger.chat.calls.hangUp().catch(() => {});
  await world.pass(100);
  passenger.chat.close();
  world.server.loses = () => false;
  const reloaded = scene.phone('passenger', passenger);
  mend();
  await world.pass(3_000);
  assert.equal(world.server.call.state, 'ended');
  assert.deepEqual(phases(driver, reloaded), ['idle', 'idle']);
  assert.equal(passenger.storage.length, 0);
});

test('a call on a dead line after an unsent hang-up fails in time', async () => {
  const scene = await pair();
  const { world, driver } = scene;
  await talks(scene);
  cutOff(world, driver);
  driver.chat.calls.hangUp();
  const started = assert.rejects(driver.chat.calls.start(), { code: 'timeout' });
  await world.pass(60_000);
  await started;
  assert.deepEqual(phases(driver), ['idle']);
});

test('a call that never reached the server does not ring after it was hung up', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  world.server.refuse = ({ action }) => (action === 'call' ? 'lost' : null);
  driver.chat.calls.start();
  await world.pass(100);
  await driver.chat.calls.hangUp();
  world.server.refuse = () => null;
  driver.socket.cut();
  await world.pass(60_000);
  assert.equal(world.server.call, null);
  assert.deepEqual(phases(driver, passenger), ['idle', 'idle']);
});

test("another device's call is not ended for one that was hung up here", async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  const tablet = scene.phone('driver');
  await world.pass(200);
  const lost = (frame, { deviceId }) => frame.action === 'call' && deviceId === driver.deviceId;
  world.server.refuse = (frame, connection) => (lost(frame, connection) ? 'lost' : null);
  driver.chat.calls.start();
  await world.pass(100);
  await driver.chat.calls.hangUp();
  world.server.refuse = () => null;
  tablet.chat.calls.start();
  await world.pass(2_000);
  assert.deepEqual(phases(driver, passenger, tablet), ['elsewhere', 'ringing', 'calling']);
});

test('with the prompt for the microphone open, a call that is cancelled stops, and the next one rings', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  const tablet = scene.phone('passenger', { getUserMedia: scene.asks });
  passenger.chat.close();
  await world.pass(200);
  driver.chat.calls.start();
  await world.pass(200);
  const accepted = assert.rejects(tablet.chat.calls.accept(), { code: 'illegal_transition' });
  assert.deepEqual(phases(tablet), ['answering']);
  driver.chat.calls.hangUp();
  await world.pass(200);
  await accepted;
  assert.deepEqual(phases(tablet), ['idle']);
  driver.chat.calls.start();
  await world.pass(200);
  assert.deepEqual(phases(driver, tablet), ['calling', 'ringing']);
  scene.prompts[0](); // the old prompt is answered at last
  await world.pass(200);
  assert.deepEqual(phases(driver, tablet), ['calling', 'ringing']);
  tablet.chat.calls.accept();
  scene.prompts[1]();
  await world.pass(500);
  assert.deepEqual(phases(driver, tablet), ['talking', 'talking']);
});

test('with the prompt for the microphone open, a call that was cancelled while the line was dead is not missed', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  const tablet = scene.phone('passenger', { getUserMedia: scene.asks });
  passenger.chat.close();
  await world.pass(200);
  driver.chat.calls.start();
  await world.pass(200);
  const accepted = assert.rejects(tablet.chat.calls.accept(), { code: 'illegal_transition' });
  const mend = cutOff(world, tablet);
  driver.chat.calls.hangUp();
  await world.pass(200);
  driver.chat.calls.start();
  await world.pass(1_000);
  assert.deepEqual(phases(tablet), ['answering']);
  mend();
  await world.pass(5_000);
  await accepted;
  assert.deepEqual(phases(driver, tablet), ['calling', 'ringing']);
});

test('with the prompt for the microphone open, a ring that is over is missed', async () => {
  const scene = await pair();
  const { world, driver } = scene;
  const tablet = scene.phone('passenger', { getUserMedia: scene.asks });
  await world.pass(200);
  driver.chat.calls.start();
  await world.pass(200);
  const accepted = assert.rejects(tablet.chat.calls.accept(), { code: 'illegal_transition' });
  cutOff(world, tablet);
  await world.pass(45_000);
  await accepted;
  assert.deepEqual(phases(tablet), ['idle']);
});

test('with the prompt for the microphone open, a device that dials sees that it is called', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  const tablet = scene.phone('passenger', { getUserMedia: scene.asks });
  passenger.chat.close();
  await world.pass(200);
  tablet.chat.calls.start();
  assert.deepEqual(phases(tablet), ['dialling']);
  for (let count = 0; count < 2; count += 1) {
    driver.chat.calls.start();
    await world.pass(200);
    assert.deepEqual(phases(driver, tablet), ['calling', 'ringing']);
    if (count === 0) driver.chat.calls.hangUp();
    await world.pass(200);
  }
  scene.prompts[0](); // both want to talk
  await world.pass(500);
  assert.deepEqual(phases(driver, tablet), ['talking', 'talking']);
});

test('with the prompt for the microphone open, a conversation that is closed ends the wait for it', async () => {
  const scene = await pair();
  const tablet = scene.phone('driver', { getUserMedia: scene.asks });
  await scene.world.pass(200);
  const started = assert.rejects(tablet.chat.calls.start(), { code: 'closed' });
  tablet.chat.close();
  await started;
});

test('a device that only the other side names as answering does not talk', async () => {
  const scene = await pair();
  const { world, driver, passenger } = scene;
  const tablet = scene.phone('driver');
  await world.pass(200);
  await rings(scene);
  world.server.changeCall('connected', { sender: 'passenger', deviceId: tablet.deviceId });
  await world.pass(500);
  assert.deepEqual(phases(driver, passenger, tablet), ['talking', 'elsewhere', 'elsewhere']);
  assert.equal(tablet.chat.calls.voice, null);
});
