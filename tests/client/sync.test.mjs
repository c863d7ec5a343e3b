import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NavieTakieError } from '../../web/navietakie/errors.js';
import { Sync } from '../../web/navietakie/sync.js';
import { Timeline } from '../../web/navietakie/timeline.js';
import { VirtualClock } from './support/clock.mjs';

const message = (seq) => ({ message_id: `m${seq}`, seq, timestamp: `t${String(seq).padStart(4, '0')}` });
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => message(from + index));

/** A sync on a line that is up or down. `said` is what it sends, `told` what it tells the conversation. */
function sync({ up = true } = {}) {
  const clock = new VirtualClock();
  const timeline = new Timeline();
  const [said, told, state] = [[], [], { up, inCall: false }];
  const notes = (what) => (detail) => told.push([what, detail]);
  const made = new Sync(timeline, {
    clock,
    send: (frame) => state.up && said.push(frame) > 0,
    inCall: () => state.inCall,
    fresh: (messages) => messages.length && told.push(['fresh', messages.map(({ seq }) => seq)]),
    standing: (frame) => told.push(['standing', frame.type ?? 'sync']),
    synced: notes('synced'),
    startedOver: notes('started over'),
    dead: notes('dead'),
  });
  const answer = (from, to, { head = to, ...more } = {}) => {
    const id = said.findLast(({ action }) => action === 'sync').id;
    const frame = { id, part: 0, messages: range(from, to), through_seq: to, head_seq: head, epoch: 'e', has_more: false };
    made.took({ ...frame, ...more });
  };
  const pong = (head, more = {}) => made.ponged({ type: 'pong', head_seq: head, epoch: 'e', ...more }, false);
  const pings = () => said.filter(({ action }) => action === 'ping').length;
  const syncs = () => said.filter(({ action }) => action === 'sync').length;
  return { clock, timeline, said, told, state, answer, pong, pings, syncs, sync: made };
}

/** One whose first page, up to message 3, is there. */
function begun() {
  const scene = sync();
  scene.sync.lineOpened();
  scene.answer(1, 3);
  scene.told.splice(0);
  return scene;
}

const refusal = (more) => new NavieTakieError({ code: 'unavailable', retryable: true, ...more });

test('a line that opens is asked for the newest page, and the answer is told in order', async () => {
  const { clock, said, told, answer, sync: it } = sync();
  it.lineOpened();
  assert.deepEqual(said, [{ action: 'sync', id: 'sync-1', after: undefined }]);
  await clock.pass(40);
  answer(1, 3);
  assert.deepEqual(told, [
    ['fresh', [1, 2, 3]],
    ['standing', 'sync'],
    ['synced', { messages: 3, ms: 40 }],
  ]);
  it.lineOpened();
  assert.deepEqual(said[1], { action: 'sync', id: 'sync-2', after: 't0003' });
});

test('pings come 3 s after the line opened, a minute after each pong, and every ten seconds in a call', async () => {
  const { clock, state, pong, pings } = begun();
  const waits = async (ms) => {
    const before = pings();
    await clock.pass(ms - 10);
    assert.equal(pings(), before);
    await clock.pass(20);
    assert.equal(pings(), before + 1);
    pong(3);
  };
  await waits(3_000);
  await waits(60_000);
  state.inCall = true;
  pong(3);
  await waits(10_000);
});

test('a call brings the next ping forward, and nothing puts it off', async () => {
  const { clock, state, pong, pings, sync: it } = begun();
  await clock.pass(3_000);
  pong(3);
  it.hurry();
  await clock.pass(30_000);
  assert.equal(pings(), 1);
  state.inCall = true;
  it.hurry();
  await clock.pass(6_000);
  it.hurry();
  it.sawHead(3);
  await clock.pass(4_010);
  assert.equal(pings(), 2);
});

test('where no ping is due, a call makes none due', async () => {
  const { clock, state, pings, sync: it } = begun();
  it.lineLost();
  state.inCall = true;
  it.hurry();
  await clock.pass(60_000);
  assert.equal(pings(), 0);
});

test('frames that tell the head put the next ping off, to four minutes after the last pong at most', async () => {
  const { clock, pong, pings, sync: it } = begun();
  it.sawHead(3);
  await clock.pass(3_010);
  assert.equal(pings(), 1); // no pong has been yet
  pong(3);
  for (let passed = 0; passed < 200_000; passed += 50_000) {
    await clock.pass(50_000);
    it.sawHead(3);
  }
  await clock.pass(39_980);
  assert.equal(pings(), 1);
  await clock.pass(20);
  assert.equal(pings(), 2);
});

test('a ping that is not answered within ten seconds tells that the line is dead, once', async () => {
  const { clock, told, pings, sync: it } = begun();
  it.ping();
  it.ping();
  assert.equal(pings(), 1);
  await clock.pass(9_990);
  assert.deepEqual(told, []);
  await clock.pass(20);
  assert.deepEqual(told.map(([what]) => what), ['dead']);
});

test('any answer after a ping shows that the line lives, and the next ping comes in its time', async () => {
  const { clock, told, pings, sync: it } = begun();
  await clock.pass(3_000);
  it.sawLife();
  await clock.pass(59_990);
  assert.deepEqual([told, pings()], [[], 1]);
  it.sawLife();
  await clock.pass(20);
  assert.equal(pings(), 2);
});

test('a ping that no line takes waits for no answer', async () => {
  const { clock, state, told, sync: it } = begun();
  state.up = false;
  it.ping();
  await clock.pass(20_000);
  assert.deepEqual(told, []);
});

test('what is not answered within two seconds is a reason to ping', async () => {
  const { clock, pings, pong, sync: it } = begun();
  await clock.pass(3_000);
  pong(3);
  it.sawLife();
  it.expect();
  await clock.pass(1_000);
  it.expect();
  await clock.pass(990);
  assert.equal(pings(), 1);
  await clock.pass(20);
  assert.equal(pings(), 2);
  it.sawLife();
  it.expect();
  it.relax(false);
  await clock.pass(5_000);
  assert.equal(pings(), 2);
  it.expect();
  await clock.pass(1_500);
  it.relax(true); // something else is owed
  await clock.pass(1_990);
  assert.equal(pings(), 2);
  await clock.pass(20);
  assert.equal(pings(), 3);
});

test('a line that is lost is not pinged, asked or waited for', async () => {
  const { clock, said, told, sync: it } = begun();
  it.expect();
  it.ping();
  it.ask();
  const before = said.length;
  it.lineLost();
  await clock.pass(300_000);
  assert.deepEqual([said.length, told], [before, []]);
});

test('a sync that is asked for while one is under way is asked for after it', () => {
  const { answer, syncs, sync: it } = begun();
  it.ask();
  it.ask();
  it.ask();
  assert.equal(syncs(), 2);
  answer(4, 4);
  assert.equal(syncs(), 3);
  answer(5, 5);
  assert.equal(syncs(), 3);
});

test('a sync that no line takes is asked for by the next line', () => {
  const { state, syncs, sync: it } = begun();
  state.up = false;
  it.ask();
  state.up = true;
  it.lineOpened();
  assert.equal(syncs(), 2);
});

test('an answer to an older sync is no answer', () => {
  const { told, answer, sync: it } = begun();
  it.ask();
  answer(4, 4, { id: 'sync-1' });
  assert.deepEqual(told, []);
  answer(4, 4);
  answer(5, 5);
  assert.deepEqual(told.filter(([what]) => what === 'fresh'), [['fresh', [4]]]);
});

test('a sync is waited for ten seconds, and asked for again by pauses that grow', async () => {
  const { clock, syncs, sync: it } = begun();
  it.sawLife();
  it.ask();
  await clock.pass(9_990);
  assert.equal(syncs(), 2);
  await clock.pass(520);
  assert.equal(syncs(), 3); // after 250 to 500 ms
  await clock.pass(10_000 + 230);
  assert.equal(syncs(), 3);
  await clock.pass(770);
  assert.equal(syncs(), 4); // after 500 to 1,000 ms
});

test('once the last part of a sync is there, the others are waited for 300 ms', async () => {
  const { clock, answer, syncs, sync: it } = begun();
  it.ask();
  answer(6, 6, { part: 1, head: 6 });
  await clock.pass(290);
  answer(4, 4, { part: 0, head: 7, has_more: true }); // and another part is lost
  assert.equal(syncs(), 2);
  const lost = begun();
  lost.sync.ask();
  lost.answer(6, 6, { part: 1, head: 6 });
  await lost.clock.pass(290);
  assert.equal(lost.syncs(), 2);
  await lost.clock.pass(520);
  assert.equal(lost.syncs(), 3);
});

test('parts without numbers are taken in the order in which they come', () => {
  const { told, answer, sync: it } = begun();
  it.ask();
  answer(4, 5, { part: undefined, head: 6, has_more: true });
  answer(6, 6, { part: undefined });
  assert.deepEqual(told.map(([what]) => what), ['fresh', 'fresh', 'standing', 'synced']);
  assert.equal(told.at(-1)[1].messages, 3);
});

test('how things stand is told by the last part alone', () => {
  const { told, answer, sync: it } = begun();
  it.ask();
  answer(4, 4, { head: 5, has_more: true });
  assert.deepEqual(told, [['fresh', [4]]]);
});

test('an answer that ends before the head is followed by another sync at once, while it brings something', () => {
  const { answer, syncs, said, sync: it } = begun();
  it.ask();
  answer(4, 9, { head: 20 });
  assert.equal(syncs(), 3);
  assert.equal(said.at(-1).after, 't0009');
  answer(10, 9, { head: 20, through_seq: 9 });
  assert.equal(syncs(), 3);
});

test('a hole is waited for 300 ms, then asked for; if that helps nothing, by pauses that grow', async () => {
  const { clock, timeline, answer, syncs, sync: it } = begun();
  timeline.offer(message(5));
  it.look();
  await clock.pass(200);
  it.look();
  await clock.pass(90);
  assert.equal(syncs(), 1);
  await clock.pass(20);
  assert.equal(syncs(), 2);
  answer(4, 3, { head: 5, part: 1 }); // of a server that lags
  answer(4, 3, { head: 5, has_more: true });
  assert.equal(syncs(), 2);
  await clock.pass(290);
  assert.equal(syncs(), 2);
  await clock.pass(320);
  assert.equal(syncs(), 3); // 300 to 600 ms
});

test('a hole that closes meanwhile is not asked for', async () => {
  const { clock, timeline, syncs, sync: it } = begun();
  timeline.offer(message(5));
  it.look();
  await clock.pass(200);
  timeline.offer(message(4));
  it.look();
  await clock.pass(1_000);
  assert.equal(syncs(), 1);
});

test('a head that is told before the first page asks for nothing more', async () => {
  const { clock, timeline, syncs, sync: it } = sync();
  it.lineOpened();
  it.sawHead(9);
  assert.deepEqual([timeline.head, syncs()], [0, 1]);
  const { clock: other, timeline: known, syncs: asked, sync: ready } = begun();
  ready.sawHead(4);
  await other.pass(310);
  assert.deepEqual([known.head, asked()], [4, 2]);
  await clock.pass(310);
  assert.equal(syncs(), 1);
});

test('a pong tells how things stand, and a head or a call that is ahead is asked for', async () => {
  const { clock, told, syncs, pong, sync: it } = begun();
  pong(3);
  assert.deepEqual([told, syncs()], [[['standing', 'pong']], 1]);
  pong(4);
  await clock.pass(310);
  assert.equal(syncs(), 2);
  const other = begun();
  other.sync.ponged({ type: 'pong', head_seq: 3, epoch: 'e' }, true);
  assert.equal(other.syncs(), 2);
});

test('a pong before the first page tells nothing', () => {
  const { told, pong, sync: it } = sync();
  it.lineOpened();
  pong(9);
  assert.deepEqual(told, []);
});

for (const frame of ['sync', 'pong']) {
  test(`a ${frame} of another history starts over`, async () => {
    const { clock, timeline, told, said, answer, pong, syncs, sync: it } = begun();
    it.ask();
    if (frame === 'sync') answer(1, 1, { epoch: 'other' });
    else pong(1, { epoch: 'other' });
    assert.deepEqual(told.map(([what]) => what), ['started over']);
    assert.deepEqual([timeline.begun, said.at(-1).after, syncs()], [false, undefined, 3]);
    answer(1, 1, { epoch: 'other' });
    await clock.pass(2_000);
    assert.deepEqual([told.at(-1)[0], syncs()], ['synced', 3]);
  });
}

test('a refused sync is asked for again when the server says, or soon', async () => {
  const { clock, syncs, sync: it } = begun();
  it.ask();
  assert.equal(it.refused('sync-2', refusal({ retry_after_ms: 2_000 })), true);
  await clock.pass(1_990);
  assert.equal(syncs(), 2);
  await clock.pass(20);
  assert.equal(syncs(), 3);
  assert.equal(it.refused('sync-3', refusal()), true);
  await clock.pass(510);
  assert.equal(syncs(), 4);
});

test('a refusal is known by its id: of the sync under way, or of a ping', () => {
  const { sync: it } = begun();
  const known = () => ['sync-1', 'ping', 'other', undefined].map((id) => it.refused(id, refusal()));
  assert.deepEqual(known(), [false, true, false, false]);
  it.ask();
  assert.deepEqual(known(), [false, true, false, false]);
});

test('an error without an id is of what is under way', async () => {
  const { clock, told, syncs, sync: it } = begun();
  assert.equal(it.disturbed(refusal()), false);
  it.ask();
  assert.equal(it.disturbed(refusal({ retry_after_ms: 100 })), true);
  await clock.pass(110);
  assert.equal(syncs(), 3);
  const pinged = begun();
  pinged.sync.ping();
  assert.equal(pinged.sync.disturbed(refusal()), true);
  await pinged.clock.pass(12_000);
  assert.deepEqual([pinged.told, told], [[], []]); // the line lives
});

test('a conversation that is closed by who hears a message asks for no more', () => {
  const clock = new VirtualClock();
  const said = [];
  const told = [];
  const it = new Sync(new Timeline(), {
    clock,
    send: (frame) => said.push(frame) > 0,
    inCall: () => false,
    fresh: () => it.lineLost(),
    standing() {},
    synced: () => told.push('synced'),
  });
  it.lineOpened();
  it.took({ id: 'sync-1', part: 0, messages: range(1, 1), through_seq: 1, head_seq: 1, epoch: 'e', has_more: false });
  assert.deepEqual(told, []);
});
