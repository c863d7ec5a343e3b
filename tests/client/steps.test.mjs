import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Calls } from '../../web/navietakie/calls.js';
import { NavieTakieError, closed, timeout } from '../../web/navietakie/errors.js';
import { VirtualClock, settled } from './support/clock.mjs';
import { fakeWebRtc } from './support/webrtc.mjs';

/** The calls of the driver's device d1. `asked` are its requests, which the test answers; `kept` is its storage. */
function phone({ sound = false, kept = new Map(), ...options } = {}) {
  const clock = new VirtualClock();
  const [asked, said, problems, seen] = [[], [], [], { changes: 0, repeats: 0 }];
  const ask = ({ action, call_action, device_id, ...fields }, how) =>
    new Promise((resolve, reject) => {
      assert.deepEqual([action, device_id], ['call', 'd1']);
      const settles = (act) => (what) => (act(what), settled());
      asked.push({ does: call_action, ...fields, how, answer: settles(resolve), refuse: settles(reject) });
    });
  const store = {
    read: (key) => kept.get(key) ?? null,
    write: (key, value) => (value === null ? kept.delete(key) : kept.set(key, structuredClone(value))),
  };
  const { RTCPeerConnection } = sound ? fakeWebRtc(clock) : {};
  const calls = new Calls({
    side: 'driver',
    deviceId: () => 'd1',
    name: 'chat',
    requests: { ask, repeat: () => (seen.repeats += 1) },
    send: (frame) => said.push(frame),
    changed: () => (seen.changes += 1),
    problem: (error) => problems.push(error),
    ...{ store, clock, RTCPeerConnection, ...options },
  });
  const does = () => asked.map((each) => [each.does, each.call_id ?? 'by name']);
  return { clock, calls, asked, does, said, problems, seen, kept, memory: () => [...kept.values()][0] };
}

/** A call of the passenger to the driver, as the server tells it. */
function call(state, more = {}) {
  const ringing = state === 'ringing';
  return {
    call_id: 'c1',
    timestamp: '2026-01-31T08:00:00Z',
    ...{ caller: 'passenger', callee: 'driver', state, version: { ringing: 1, connected: 2, ended: 3 }[state] },
    ...{ answered_at: null, answered_by: null, ring_ms_left: ringing ? 45_000 : null, ...more },
  };
}
const ours = (state, more = {}) => call(state, { caller: 'driver', callee: 'passenger', ...more });
const later = { call_id: 'c2', timestamp: '2026-01-31T08:05:00Z' };
const refusal = (code, details) => new NavieTakieError({ code, details });

/** The driver calls, and hangs up when the line has taken that, but no answer has come. */
async function leftUnanswered() {
  const device = phone();
  device.calls.start();
  await settled();
  device.asked[0].how.sent();
  device.calls.hangUp();
  await settled();
  return device;
}

/** The driver's call c1 rings on the other side. */
async function calling(options) {
  const device = phone(options);
  device.calls.start();
  await settled();
  await device.asked[0].answer({ call: ours('ringing'), ts: 't', ...options?.answer });
  device.asked.splice(0);
  return device;
}

/** A `getUserMedia` that gives its microphones when the test says so, each with `tracks` tracks. */
function microphones(tracks = 1) {
  const asked = [];
  const getUserMedia = (constraints) =>
    new Promise((resolve, reject) => {
      const made = Array.from({ length: tracks }, () => {
        const track = { enabled: true, running: true, readyState: 'live', stop: () => (track.running = false) };
        track.ends = () => {
          track.readyState = 'ended';
          track.onended?.();
        };
        return track;
      });
      const give = () => (resolve({ getTracks: () => made, getAudioTracks: () => made }), settled());
      asked.push({ constraints, tracks: made, give, refuse: (error) => (reject(error), settled()) });
    });
  return { getUserMedia, prompts: asked };
}

test('a call that rings is shown with its deadline; one that is answered, with its beginning', () => {
  const { clock, calls } = phone();
  const idle = { phase: 'idle', call: null, ringsUntil: null, talkingSince: null, reached: null, live: false, voice: null };
  assert.deepEqual(calls.snapshot, idle);
  calls.adopt(call('ringing'), 't');
  const ringsUntil = clock.now() + 45_000;
  assert.deepEqual(calls.snapshot, { ...idle, phase: 'ringing', call: calls.call, ringsUntil, live: true });
  const answered = { answered_by: 'd1', answered_at: '2026-01-31T08:00:10Z' };
  calls.adopt(call('connected', answered), '2026-01-31T08:00:12Z');
  const talkingSince = clock.now() - 2_000;
  assert.deepEqual(calls.snapshot, { ...idle, phase: 'talking', call: calls.call, talkingSince, live: true });
  assert.equal(calls.snapshot, calls.snapshot);
});

test('a call without a deadline rings on, and one that is answered has none', async () => {
  const { clock, calls, seen } = phone();
  calls.adopt(call('ringing', { ring_ms_left: null }), 't');
  await clock.pass(0);
  assert.deepEqual([calls.phase, calls.ringsUntil, seen.changes], ['ringing', null, 1]);
  calls.adopt(call('connected', { answered_by: 'd1', ring_ms_left: 10 }), 't');
  await clock.pass(1_000);
  assert.deepEqual([calls.phase, calls.live], ['talking', true]);
});

for (const [what, answered_at, ts] of [
  ['a pong without a time', '2026-01-31T08:00:10Z', undefined],
  ['a pong, where the call does not say when it was answered,', undefined, '2026-01-31T08:01:12Z'],
  ['a pong that is late by twenty seconds', '2026-01-31T08:00:10Z', '2026-01-31T08:00:52Z'],
]) {
  test(`${what} leaves the time of a call as it is`, async () => {
    const { clock, calls, seen } = phone();
    calls.adopt(call('connected', { answered_by: 'd1', answered_at }), '2026-01-31T08:00:12Z');
    const { talkingSince } = calls;
    assert.equal(talkingSince, clock.now() - (answered_at ? 2_000 : 0));
    await clock.pass(60_000);
    const { changes } = seen;
    calls.heard(ts);
    assert.deepEqual([calls.talkingSince, seen.changes], [talkingSince, changes]);
  });
}

test('a pong tells nothing of a call that rings, or of none', () => {
  const { calls, seen } = phone();
  calls.heard('2026-01-31T08:00:12Z');
  calls.adopt(call('ringing'), '2026-01-31T08:00:12Z');
  const { changes } = seen;
  calls.heard('2026-01-31T09:00:12Z');
  assert.deepEqual([calls.talkingSince, seen.changes], [null, changes]);
});

test('only another call, or a later version of it, is news', () => {
  const { calls } = phone();
  calls.adopt(call('ringing'), 't');
  const { call: known } = calls;
  for (const old of [call('ended', { version: 1 }), call('ringing', { call_id: 'c0' }), null, undefined]) {
    calls.adopt(old, 't');
    assert.equal(calls.call, known);
  }
  const shorts = [null, { call_id: 'c1', version: 1 }, { call_id: 'c1', version: 2 }, { call_id: 'c2', version: 1 }];
  assert.deepEqual(shorts.map((short) => calls.isBehind(short)), [false, false, true, true]);
});

test('another history has no call, and the end of a ring of the old one does nothing', async () => {
  const { clock, calls } = phone();
  calls.adopt(call('ringing'), 't');
  calls.startOver();
  assert.deepEqual([calls.call, calls.phase], [null, 'idle']);
  await clock.pass(60_000);
  assert.equal(calls.phase, 'idle');
});

test('what cannot be done asks nothing', async () => {
  const { calls, asked, kept } = phone();
  await calls.accept();
  await calls.hangUp();
  assert.deepEqual([asked, kept.size], [[], 0]);
  calls.adopt(call('ringing'), 't');
  await calls.start();
  assert.deepEqual(asked, []);
  calls.accept();
  calls.accept();
  await settled();
  assert.equal(asked.length, 1);
});

test('who calls twice calls once', async () => {
  const { calls, asked } = phone();
  calls.start();
  calls.start();
  await settled();
  assert.equal(asked.length, 1);
  assert.equal(asked[0].how.patience, 50_000);
});

test('how many devices ring is known from the answer, until another says it', async () => {
  const { calls, asked } = await calling({ answer: { reached: 2 } });
  assert.equal(calls.reached, 2);
  calls.hangUp();
  await asked[0].answer({ call: ours('ended') });
  assert.equal(calls.reached, 2);
});

test("what is kept of this device's call is what the server gave, and nothing of it remains when it is left", async () => {
  const { calls, memory, does, asked, kept } = await calling();
  const part = { call_id: 'c1', ice_servers: [], ice_transport_policy: 'all' };
  assert.deepEqual(memory(), { part, left: null });
  const done = calls.hangUp();
  assert.deepEqual(memory(), { part: null, left: { call_id: 'c1', action: 'end' } });
  assert.deepEqual(does(), [['end', 'c1']]);
  assert.equal(asked[0].how.patience, Infinity);
  await asked[0].answer({ call: ours('ended') });
  await done;
  assert.equal(kept.size, 0);
});

for (const [what, news, phase] of [
  ['its end', ours('ended'), 'idle'],
  ['another call', call('ringing', later), 'ringing'],
]) {
  test(`a call that was left is forgotten with the news of ${what}`, async () => {
    const { calls, kept } = await calling();
    calls.hangUp();
    calls.adopt(news, 't');
    assert.deepEqual([kept.size, calls.phase], [0, phase]);
  });
}

test('a call that is left while another one is being told is told next', async () => {
  const { calls, asked, does, kept } = await calling();
  calls.hangUp();
  calls.adopt(call('ringing', later), 't');
  calls.hangUp();
  assert.deepEqual(does(), [['end', 'c1']]);
  await asked[0].answer({ call: ours('ended') });
  assert.deepEqual(does(), [['end', 'c1'], ['reject', 'c2']]);
  await asked[1].answer({ call: call('ended', later) });
  assert.deepEqual([asked.length, kept.size], [2, 0]);
});

test('who hangs up and calls again waits until the server knows of the end', async () => {
  const { calls, asked, does } = await calling();
  calls.hangUp();
  calls.start();
  await settled();
  assert.deepEqual(does(), [['end', 'c1']]);
  await asked[0].answer({ call: ours('ended') });
  assert.deepEqual(does(), [['end', 'c1'], ['initiate', 'by name']]);
});

test('a conversation that is closed keeps what was left, and says why it cannot tell', async () => {
  const { calls, asked, memory } = await calling();
  const told = assert.rejects(calls.hangUp(), { code: 'closed' });
  calls.close();
  await asked[0].refuse(closed());
  await told;
  assert.deepEqual(memory().left, { call_id: 'c1', action: 'end' });
  assert.equal(asked.length, 1);
});

for (const [what, action, found, follows] of [
  ['answered here', 'reject', call('connected', { answered_by: 'd1' }), [['end', 'c1']]],
  ['answered by another device', 'reject', call('connected', { answered_by: 'd2' }), []],
  ['ringing all the same', 'reject', call('ringing', { answered_by: 'd1', version: 1 }), []],
  ['not the latest', 'reject', call('connected', { ...later, answered_by: 'd1' }), []],
  ['unknown', 'reject', undefined, []],
  ['answered here', 'end', call('connected', { answered_by: 'd1', version: 9 }), []],
]) {
  test(`a refused ${action} of a call that is ${what} is ${follows.length ? 'made good by an end' : 'left at that'}`, async () => {
    const { calls, asked, does, kept } = phone();
    calls.adopt(call('ringing', { version: 0 }), 't');
    if (action === 'end') calls.adopt(call('connected', { answered_by: 'd1' }), 't');
    calls.hangUp();
    await asked[0].refuse(found ? refusal('illegal_transition', { call: found }) : new Error('odd'));
    assert.deepEqual(does(), [[action, 'c1'], ...follows]);
    assert.equal(kept.size, follows.length);
  });
}

test('a call that was left before its answer came is asked for by its name when it shows, and ended', async () => {
  const { calls, asked, does, kept } = await leftUnanswered();
  assert.equal(asked.length, 1);
  calls.adopt(ours('ringing'), 't');
  assert.deepEqual([calls.phase, does()], ['idle', [['initiate', 'by name'], ['initiate', 'by name']]]);
  assert.equal(asked[1].client_call_id, asked[0].client_call_id);
  assert.equal(asked[1].how.patience, Infinity);
  await asked[1].answer({ call: ours('ringing', { call_id: 'c7' }) });
  assert.deepEqual(does().at(-1), ['end', 'c7']);
  await asked[2].answer({ call: ours('ended') });
  assert.deepEqual([asked.length, kept.size], [3, 0]);
});

test('a call that was left and is found to be over needs no end', async () => {
  const { calls, asked, kept } = await leftUnanswered();
  calls.adopt(ours('ringing'), 't');
  await asked[1].answer({ call: ours('ended') });
  assert.deepEqual([asked.length, kept.size], [2, 0]);
});

for (const [what, shown, phase] of [
  ['an old call of this side', ours('ended'), 'idle'],
  ['a call of the other side', call('ringing'), 'ringing'],
  ['a call that another device of this side answers', call('connected', { answered_by: 'd2' }), 'elsewhere'],
]) {
  test(`${what} is not taken for the one that was left`, async () => {
    const { calls, asked } = await leftUnanswered();
    calls.adopt(shown, 't');
    assert.deepEqual([asked.length, calls.phase], [1, phase]);
  });
}

test('who called and left while the other side called too has that call ended', async () => {
  const { calls, does } = await leftUnanswered();
  calls.adopt(call('connected', { answered_by: 'd1' }), 't');
  assert.deepEqual(does(), [['initiate', 'by name'], ['end', 'c1']]);
});

test('a device of the other side that has our name answers nothing here', async () => {
  const { calls, does } = await leftUnanswered();
  calls.adopt(ours('connected', { answered_by: 'd1' }), 't');
  assert.deepEqual(does(), [['initiate', 'by name'], ['initiate', 'by name']]);
});

test('a call that was left and never showed is forgotten after 200 seconds, over a reload too', async () => {
  const { clock, calls, kept, asked } = await leftUnanswered();
  await clock.pass(199_000);
  assert.equal(kept.size, 1);
  const reloaded = phone({ kept: new Map([...kept]), clock });
  reloaded.calls.recall();
  await clock.pass(2_000);
  assert.deepEqual([kept.size, reloaded.kept.size], [0, 0]);
  calls.adopt(ours('ringing'), 't');
  assert.equal(asked.length, 1);
});

test('who calls again after having left means the call that shows then', async () => {
  const { calls, asked } = await leftUnanswered();
  calls.start();
  await settled();
  asked[1].how.sent();
  calls.adopt(ours('ringing'), 't');
  await settled();
  assert.equal(asked.length, 2);
  await asked[1].answer({ call: ours('ringing', { version: 2 }) });
  assert.equal(calls.phase, 'calling');
  await asked[0].answer({ call: ours('ringing', { version: 3 }) });
  assert.deepEqual([asked.length, calls.phase], [2, 'calling']);
});

test("a call that rang out here and is answered all the same is this device's, though another was tried meanwhile", async () => {
  const { clock, calls, asked, memory } = await calling();
  await clock.pass(48_000);
  calls.start();
  await clock.pass(10);
  asked[0].how.sent();
  calls.hangUp();
  assert.equal(memory().part.call_id, 'c1');
  calls.adopt(ours('connected', { answered_by: 'p1' }), 't');
  assert.deepEqual([calls.phase, asked.length], ['talking', 1]);
});

test('a decline that failed does not hide that another call was declined meanwhile', async () => {
  const { calls, asked, does } = phone();
  calls.adopt(call('ringing'), 't');
  calls.hangUp();
  calls.adopt(call('ringing', later), 't');
  calls.hangUp();
  await asked[0].refuse(refusal('illegal_transition', { call: call('connected', { answered_by: 'd1' }) }));
  assert.deepEqual(does(), [['reject', 'c1'], ['reject', 'c2']]);
});

test('the late answer to a call that was left ends it, once', async () => {
  const { calls, asked, does, kept } = await leftUnanswered();
  await asked[0].answer({ call: ours('ringing') });
  assert.deepEqual([calls.phase, does().at(-1)], ['idle', ['end', 'c1']]);
  await asked[1].answer({ call: ours('ended') });
  assert.deepEqual([asked.length, kept.size], [2, 0]);
});

test('a late answer adds nothing to an end that is being told', async () => {
  const { calls, asked, does } = phone();
  calls.start();
  await settled();
  asked[0].how.sent();
  calls.adopt(ours('ringing'), 't');
  calls.hangUp();
  await asked[0].answer({ call: ours('ringing', { version: 2 }) });
  await asked[1].answer({ call: ours('ended') });
  assert.deepEqual(does(), [['initiate', 'by name'], ['end', 'c1']]);
});

for (const [what, late] of [
  ['over', ours('ended')],
  ['unknown', undefined],
]) {
  test(`a late answer whose call is ${what} asks nothing`, async () => {
    const { asked } = await leftUnanswered();
    await asked[0].answer({ call: late });
    assert.equal(asked.length, 1);
  });
}

test('a late answer does not end what is being called again', async () => {
  const { calls, asked } = await leftUnanswered();
  calls.start();
  await settled();
  await asked[0].answer({ call: ours('ringing') });
  assert.deepEqual([asked.length, calls.phase], [2, 'dialling']);
});

test('a decline that comes after the ring, while the answer is on its way, is said', async () => {
  const { clock, calls, asked, does, memory } = phone();
  calls.adopt(call('ringing'), 't');
  calls.accept().catch(() => {});
  await settled();
  asked[0].how.sent();
  await clock.pass(46_000);
  assert.equal(calls.phase, 'answering');
  calls.hangUp();
  assert.deepEqual(does(), [['accept', 'c1'], ['reject', 'c1']]);
  assert.deepEqual(memory().left, { call_id: 'c1', action: 'reject' });
});

for (const [what, news, phase] of [
  ['has ended', call('ended'), 'idle'],
  ['was answered by another device', call('connected', { answered_by: 'd2' }), 'elsewhere'],
  ['was followed by another', call('ringing', later), 'ringing'],
]) {
  test(`who answers a call that ${what} is told so, and the answer is withdrawn`, async () => {
    const { calls, asked } = phone();
    calls.adopt(call('ringing'), 't');
    const answered = calls.accept();
    await settled();
    asked[0].how.sent();
    calls.adopt(news, 't');
    const message = 'The call is over, or another device has it';
    await assert.rejects(answered, { code: 'illegal_transition', message, details: { call: news } });
    assert.deepEqual([asked[0].how.withdrawn.aborted, calls.phase], [true, phase]);
  });
}

test('who calls while another device of the side talks is told so, unless it was said already', async () => {
  const taken = ours('connected', { answered_by: 'p1' });
  const early = phone();
  const started = early.calls.start();
  early.calls.adopt(taken, 't');
  await assert.rejects(started, { code: 'call_in_progress', details: { call: taken } });
  assert.equal(early.calls.phase, 'elsewhere');

  const said = phone();
  said.calls.start();
  await settled();
  said.asked[0].how.sent();
  said.calls.adopt(taken, 't');
  assert.equal(said.calls.phase, 'dialling');
  assert.equal(said.seen.repeats, 1);
});

test('a call that is refused leaves nothing behind but the reason', async () => {
  const { getUserMedia, prompts } = microphones();
  const { calls, asked, kept, memory } = phone({ sound: true, getUserMedia });
  const started = calls.start();
  await prompts[0].give();
  asked[0].how.sent();
  assert.equal(memory().left.name, asked[0].client_call_id);
  asked[0].refuse(refusal('booking_closed'));
  await assert.rejects(started, { code: 'booking_closed' });
  assert.deepEqual([kept.size, prompts[0].tracks[0].running, calls.phase], [0, false, 'idle']);
  calls.adopt(ours('ringing'), 't');
  assert.equal(asked.length, 1);
});

test('an error of another kind is told as it is', async () => {
  const { calls, asked } = phone();
  const started = calls.start();
  await settled();
  asked[0].refuse(new Error('odd'));
  await assert.rejects(started, { message: 'odd' });
});

test('a call that a line took and nobody answered counts as left', async () => {
  const { calls, asked, memory } = phone();
  const started = calls.start();
  await settled();
  asked[0].how.sent();
  asked[0].refuse(timeout());
  await assert.rejects(started, { code: 'timeout' });
  assert.equal(memory().left.name, asked[0].client_call_id);
  calls.adopt(ours('ringing'), 't');
  assert.deepEqual([asked.length, calls.phase], [2, 'idle']);
});

test('a page that is left between a call and its answer keeps that it called', async () => {
  const { calls, asked, memory } = phone();
  calls.start().catch(() => {});
  await settled();
  asked[0].how.sent();
  calls.close();
  await asked[0].refuse(closed());
  assert.equal(memory().left.name, asked[0].client_call_id);
});

test('a call that is withdrawn while the user is asked for the microphone is not made, and the microphone released', async () => {
  const { getUserMedia, prompts } = microphones();
  const { calls, asked, kept } = phone({ sound: true, getUserMedia });
  calls.start();
  assert.deepEqual(prompts[0].constraints, { audio: true });
  calls.hangUp();
  await prompts[0].give();
  assert.deepEqual([asked.length, prompts[0].tracks[0].running, kept.size], [0, false, 0]);
});

test('news of an old call leave the microphone of the next one alone', async () => {
  const { getUserMedia, prompts } = microphones();
  const { calls } = phone({ sound: true, getUserMedia });
  calls.start();
  await prompts[0].give();
  calls.adopt(ours('ended', { call_id: 'c0' }), 't');
  assert.equal(prompts[0].tracks[0].running, true);
});

for (const [given, message] of [
  [new Error('Permission denied'), 'Permission denied'],
  [undefined, 'There is no microphone'],
]) {
  test(`without a microphone (${given?.message}) nobody is called: ${message}`, async () => {
    const { getUserMedia, prompts } = microphones();
    const { calls } = phone({ sound: true, getUserMedia });
    const started = calls.start();
    prompts[0].refuse(given);
    await assert.rejects(started, { code: 'microphone', message });
  });
}

/** The driver's call is answered, and its sound begins. */
async function talking({ tracks, ...options } = {}) {
  const { getUserMedia, prompts } = microphones(tracks);
  const device = phone({ sound: true, getUserMedia, ...options });
  device.calls.start();
  await prompts[0].give();
  await device.asked[0].answer({ call: ours('ringing'), ice_servers: [{ urls: 'stun:a' }] });
  device.asked.splice(0);
  device.calls.adopt(ours('connected', { answered_by: 'p1' }), 't');
  await device.clock.pass(0);
  return { ...device, prompts };
}

test('the caller offers a voice, which is shown', async () => {
  const { calls, said } = await talking();
  assert.deepEqual(said.map(({ action, call_id, data }) => [action, call_id, data.description.type]), [
    ['signal', 'c1', 'offer'],
  ]);
  const shown = calls.snapshot.voice;
  assert.deepEqual(shown, { state: 'connecting', stream: null, muted: false, microphone: 'live' });
  assert.equal(calls.snapshot.voice, shown);
  calls.voice.muted = true;
  assert.deepEqual(calls.snapshot.voice, { ...shown, muted: true });
});

test('where there is no WebRTC, a call has no voice', async () => {
  const { calls } = await calling();
  calls.adopt(ours('connected', { answered_by: 'p1' }), 't');
  assert.deepEqual([calls.phase, calls.voice, calls.snapshot.voice], ['talking', null, null]);
});

test('a device that does not know its servers asks for them, and keeps them while the call lasts', async () => {
  const { getUserMedia, prompts } = microphones();
  const { calls, asked, does, memory } = phone({ sound: true, getUserMedia });
  const connected = call('connected', { answered_by: 'd1' });
  calls.adopt(connected, 't');
  assert.deepEqual(does(), [['ice', 'c1']]);
  assert.equal(asked[0].how.patience, 50_000);
  assert.equal(asked[0].how.withdrawn, calls.voice.gone.signal);
  await prompts[0].give();
  await asked[0].answer({ call: connected, ice_servers: [{ urls: 'turn:b' }], ice_transport_policy: 'relay' });
  assert.deepEqual(memory().part, { call_id: 'c1', ice_servers: [{ urls: 'turn:b' }], ice_transport_policy: 'relay' });
});

for (const [what, news] of [
  ['its end', call('ended')],
  ['another call', call('connected', { ...later, answered_by: 'd1' })],
]) {
  test(`servers that come after the news of ${what} are not kept`, async () => {
    const { getUserMedia } = microphones();
    const { calls, asked, kept } = phone({ sound: true, getUserMedia });
    const connected = call('connected', { answered_by: 'd1' });
    calls.adopt(connected, 't');
    calls.adopt(news, 't');
    await asked[0].answer({ call: connected });
    assert.equal(kept.size, 0);
  });
}

for (const [ended, told] of [
  [false, ['microphone']],
  [true, []],
]) {
  test(`a microphone that cannot be had in a call is ${ended ? 'no problem after its end' : 'a problem'}`, async () => {
    const { getUserMedia, prompts } = microphones();
    const { calls, problems } = phone({ sound: true, getUserMedia });
    calls.adopt(call('connected', { answered_by: 'd1' }), 't');
    if (ended) calls.adopt(call('ended'), 't');
    await prompts[0].refuse(new Error('no'));
    assert.deepEqual(problems.map((each) => each.code), told);
  });
}

/** A `mediaDevices` that tells how many listen to it. */
function devices() {
  const listening = new Set();
  return {
    listening,
    addEventListener: (name, listener) => listening.add(`${name}`) && listening.add(listener),
    removeEventListener: (name, listener) => listening.delete(`${name}`) && listening.delete(listener),
    changes: () => ([...listening].find((each) => typeof each === 'function')(), settled()),
  };
}

test('microphones that come and go are watched during a call', async () => {
  const mediaDevices = devices();
  const { calls, prompts } = await talking({ tracks: 2, mediaDevices });
  assert.equal(mediaDevices.listening.size, 2);
  await mediaDevices.changes();
  prompts[0].tracks[0].readyState = 'ended';
  await mediaDevices.changes();
  assert.equal(prompts.length, 1); // one of its tracks is left
  prompts[0].tracks[1].readyState = 'ended';
  await mediaDevices.changes();
  assert.deepEqual([prompts.length, calls.voice.microphone], [2, 'lost']);
  await prompts[1].give();
  assert.deepEqual([calls.voice.microphone, mediaDevices.listening.size], ['live', 2]);
  calls.adopt(ours('ended'), 't');
  assert.deepEqual([mediaDevices.listening.size, prompts[1].tracks[0].running], [0, false]);
});

test('a microphone that ends twice is replaced once', async () => {
  const { prompts } = await talking();
  prompts[0].tracks[0].ends();
  prompts[0].tracks[0].onended?.();
  await settled();
  assert.equal(prompts.length, 2);
});

test('a microphone that is pulled out while it rings is replaced too', async () => {
  const mediaDevices = devices();
  const { getUserMedia, prompts } = microphones();
  const { calls, asked, problems } = phone({ sound: true, getUserMedia, mediaDevices });
  calls.start();
  await prompts[0].give();
  await asked[0].answer({ call: ours('ringing') });
  await mediaDevices.changes();
  prompts[0].tracks[0].ends();
  await prompts[1].give();
  assert.deepEqual([prompts[1].tracks[0].running, problems], [true, []]);
  calls.hangUp();
  assert.equal(prompts[1].tracks[0].running, false);
});

test('a microphone that comes after the call was withdrawn is released, also in the place of another', async () => {
  const { getUserMedia, prompts } = microphones();
  const { calls } = phone({ sound: true, getUserMedia });
  calls.start();
  await prompts[0].give();
  prompts[0].tracks[0].ends();
  calls.hangUp();
  await prompts[1].give();
  assert.equal(prompts[1].tracks[0].running, false);
});

for (const how of ['give', 'refuse']) {
  test(`another microphone that comes after the call (${how}) is of no use to anybody`, async () => {
    const { calls, prompts, problems } = await talking();
    prompts[0].tracks[0].ends();
    calls.adopt(ours('ended'), 't');
    await prompts[1][how](new Error('no'));
    assert.deepEqual(problems, []);
    if (how === 'give') assert.equal(prompts[1].tracks[0].running, false);
  });
}

test('a platform that tells nothing of its microphones is served too', async () => {
  const { calls } = await talking({ mediaDevices: {} });
  assert.equal(calls.phase, 'talking');
  calls.adopt(ours('ended'), 't');
  assert.equal(calls.phase, 'idle');
});
