/** The line by itself, on sockets that the test moves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NavieTakieError, fault } from '../../web/navietakie/errors.js';
import { Line } from '../../web/navietakie/line.js';
import { VirtualClock, settled } from './support/clock.mjs';

/** `sockets` are those that the line made; `access` is what it asks for addresses and reasons. */
function line(access = {}) {
  const clock = new VirtualClock();
  const [sockets, states, heard, sent, problems] = [[], [], [], [], []];
  const asked = { address: 0, diagnose: 0 };
  class WebSocket {
    readyState = 0;
    sent = [];
    constructor(url, protocols) {
      Object.assign(this, { url, protocols });
      sockets.push(this);
    }
    send(text) {
      this.sent.push(text);
    }
    close() {
      if (this.closed) throw new Error('closed already');
      this.closed = true;
    }
    opens() {
      this.readyState = 1;
      this.onopen?.({});
    }
    breaks() {
      this.readyState = 3;
      this.onclose?.({});
    }
  }
  const made = new Line({
    WebSocket,
    clock,
    access: {
      address: async () => ((asked.address += 1), access.address ? access.address() : { url: 'ws://a', protocols: ['p'] }),
      diagnose: async () => ((asked.diagnose += 1), access.diagnose ? access.diagnose() : null),
    },
    problem: (error) => problems.push(error.message),
    onState: (state) => states.push(state),
    onFrame: (frame, text) => heard.push([frame, text]),
    onSent: (frame, text) => sent.push([frame, text]),
  });
  return { clock, sockets, states, heard, sent, problems, asked, line: made };
}

/** An open one. */
async function opened(access) {
  const scene = line(access);
  scene.line.retry();
  await settled();
  scene.sockets[0].opens();
  return scene;
}

test('a line begins closed, connects when it is told to, and is open when its socket is', async () => {
  const { sockets, states, line: it } = line();
  assert.equal(it.state, 'connecting');
  it.retry();
  await settled();
  assert.deepEqual([sockets[0].url, sockets[0].protocols], ['ws://a', ['p']]);
  sockets[0].opens();
  assert.deepEqual([it.state, states], ['open', ['connecting', 'open']]);
  it.retry();
  await settled();
  assert.equal(sockets.length, 1);
});

test('frames go both ways while it is open, and only then', async () => {
  const { sockets, heard, sent, line: it } = await opened();
  assert.equal(it.send({ action: 'a' }), true);
  assert.deepEqual(sockets[0].sent, ['{"action":"a"}']);
  assert.deepEqual(sent, [[{ action: 'a' }, '{"action":"a"}']]);
  for (const data of ['{"type":"b"}', 'no JSON', 'null', '7', '"text"']) sockets[0].onmessage({ data });
  assert.deepEqual(heard, [[{ type: 'b' }, '{"type":"b"}']]);
  sockets[0].readyState = 2;
  assert.equal(it.send({ action: 'a' }), false);
  sockets[0].readyState = 1;
  sockets[0].breaks();
  assert.equal(it.send({ action: 'a' }), false);
  assert.equal(sockets[0].sent.length, 1);
});

test('a line that breaks waits, says until when, and connects again', async () => {
  const { clock, sockets, asked, line: it } = await opened();
  const [first] = sockets;
  first.breaks();
  assert.equal(it.state, 'waiting');
  const wait = it.retryAt - clock.now();
  assert.equal(wait >= 250 && wait <= 500, true);
  assert.deepEqual([first.onopen, first.onmessage, first.onclose], [null, null, null]);
  first.onerror({}); // nobody is hurt
  await clock.pass(wait - 1);
  assert.equal(sockets.length, 1);
  await clock.pass(2);
  assert.deepEqual([sockets.length, it.state, it.retryAt, asked.diagnose], [2, 'connecting', null, 0]);
});

test('pauses grow while nothing is heard, and a line that has settled begins with short ones again', async () => {
  const { clock, sockets, line: it } = await opened();
  const breaks = async () => {
    sockets.at(-1).breaks();
    const wait = it.retryAt - clock.now();
    await clock.pass(wait);
    sockets.at(-1).opens();
    return wait;
  };
  await breaks();
  await breaks();
  const third = await breaks();
  assert.equal(third >= 1_000 && third <= 2_000, true);
  it.settle();
  assert.equal((await breaks()) <= 500, true);
});

test('a handshake that does not end is given up after 15 seconds', async () => {
  const { clock, sockets, line: it } = line();
  it.retry();
  await clock.pass(14_990);
  assert.equal(it.state, 'connecting');
  await clock.pass(20);
  assert.deepEqual([it.state, sockets[0].closed], ['waiting', true]);
});

test('why handshakes fail is asked for at the first failure, and at every fourth after it', async () => {
  const { clock, sockets, asked, line: it } = line();
  it.retry();
  await settled();
  const seen = [];
  for (let count = 0; count < 9; count += 1) {
    sockets.at(-1).breaks();
    seen.push(asked.diagnose);
    await clock.pass(it.retryAt - clock.now());
  }
  assert.deepEqual(seen, [1, 1, 1, 1, 2, 2, 2, 2, 3]);
});

test('the end of an open line is asked no reason', async () => {
  const { clock, sockets, asked } = await opened();
  sockets[0].breaks();
  await clock.pass(500);
  sockets[1].breaks();
  assert.equal(asked.diagnose, 1);
});

for (const [what, diagnose, state] of [
  ['a refusal', async () => fault('forbidden', 'No'), 'refused'],
  ['a refusal for the moment', async () => fault('unavailable', 'Busy', { retryable: true }), 'connecting'],
  ['nothing', async () => null, 'connecting'],
  ['an error', async () => Promise.reject(new Error('no answer')), 'connecting'],
]) {
  test(`after ${what} as the reason of a failed handshake, the line is ${state}`, async () => {
    const { clock, sockets, line: it } = line({ diagnose });
    it.retry();
    await settled();
    sockets[0].breaks();
    await clock.pass(500);
    assert.equal(it.state, state);
    assert.equal(it.refusal?.code, state === 'refused' ? 'forbidden' : undefined);
  });
}

test('a server that says when to come back is left alone until then', async () => {
  const diagnose = async () => new NavieTakieError({ code: 'rate_limited', retryable: true, retry_after_ms: 10_000 });
  const { clock, sockets, line: it } = line({ diagnose });
  it.retry();
  await settled();
  const began = clock.now();
  sockets[0].breaks();
  await clock.pass(9_990);
  assert.deepEqual([it.state, it.retryAt - began, sockets.length], ['waiting', 10_000, 1]);
  await clock.pass(20);
  assert.equal(sockets.length, 2);
});

test('a reason that comes after the line was opened otherwise means nothing', async () => {
  let tell;
  const { clock, sockets, line: it } = line({ diagnose: () => new Promise((resolve) => (tell = resolve)) });
  it.retry();
  await settled();
  sockets[0].breaks();
  await clock.pass(500);
  it.retry();
  await settled();
  sockets[1].opens();
  tell(fault('forbidden', 'No'));
  await clock.pass(60_000);
  assert.deepEqual([it.state, sockets.length], ['open', 2]);
});

test('a refused line stays so until it is told to try, and forgets the reason then', async () => {
  const { clock, sockets, line: it } = await opened();
  it.refuse(fault('forbidden', 'No'));
  assert.deepEqual([it.state, it.refusal.code, sockets[0].closed], ['refused', 'forbidden', true]);
  await clock.pass(100_000);
  assert.equal(sockets.length, 1);
  it.retry();
  await settled();
  assert.deepEqual([it.state, it.refusal, sockets.length], ['connecting', null, 2]);
});

test('a closed line stays closed', async () => {
  const { clock, sockets, states, line: it } = await opened();
  it.close();
  it.retry();
  it.drop();
  await it.renew();
  await clock.pass(100_000);
  assert.deepEqual([states, sockets.length, sockets[0].closed], [['connecting', 'open', 'closed'], 1, true]);
});

test('a line that is given up comes back; one that waits or is refused is not given up', async () => {
  const { clock, sockets, states, line: it } = await opened();
  it.drop();
  assert.deepEqual([it.state, sockets[0].closed], ['waiting', true]);
  const { retryAt } = it;
  it.drop();
  assert.equal(it.retryAt, retryAt);
  await clock.pass(500);
  assert.equal(it.state, 'connecting');
  it.drop();
  assert.equal(it.state, 'waiting');
  it.refuse(fault('forbidden', 'No'));
  it.drop();
  assert.deepEqual(states.slice(-2), ['waiting', 'refused']);
});

test('a try that is overtaken by another opens nothing', async () => {
  const waiting = [];
  const { sockets, line: it } = line({ address: () => new Promise((resolve) => waiting.push(resolve)) });
  it.retry();
  it.retry();
  for (const give of waiting) give({ url: 'ws://a', protocols: [] });
  await settled();
  assert.equal(sockets.length, 1);
});

test('an address that cannot be had is a problem, and tried again', async () => {
  const answers = [() => Promise.reject(new Error('the backend says 500')), () => ({ url: 'ws://a', protocols: [] })];
  const { clock, sockets, problems, line: it } = line({ address: () => answers.shift()() });
  it.retry();
  await settled();
  assert.deepEqual([it.state, problems], ['waiting', ['the backend says 500']]);
  await clock.pass(500);
  assert.equal(sockets.length, 1);
});

test('who is told that no address can be had may try at once', async () => {
  const answers = [() => Promise.reject(new Error('no')), () => ({ url: 'ws://a', protocols: [] })];
  const { clock, sockets, problems, line: it } = line({ address: () => answers.shift()() });
  problems.push = () => it.retry();
  it.retry();
  await settled();
  assert.deepEqual([it.state, it.retryAt, sockets.length], ['connecting', null, 1]);
  await clock.pass(10_000);
  assert.equal(sockets.length, 1);
});

test('an address that is refused for good is the refusal, and for the moment a problem', async () => {
  const refused = line({ address: () => Promise.reject(fault('unauthorized', 'The token is no JWT')) });
  refused.line.retry();
  await settled();
  assert.deepEqual([refused.line.state, refused.line.refusal.code, refused.problems], ['refused', 'unauthorized', []]);
  const moment = line({ address: () => Promise.reject(fault('network', 'Not now', { retryable: true })) });
  moment.line.retry();
  await settled();
  assert.deepEqual([moment.line.state, moment.problems], ['waiting', ['Not now']]);
});

test('an address that fails after the line was closed is nobody\'s business', async () => {
  let fail;
  const { problems, states, line: it } = line({ address: () => new Promise((_, reject) => (fail = reject)) });
  it.retry();
  await settled();
  it.close();
  fail(new Error('late'));
  await settled();
  assert.deepEqual([problems, states], [[], ['connecting', 'closed']]);
});

test('a line that is renewed goes on until the next socket is open', async () => {
  const { sockets, states, line: it } = await opened();
  await it.renew();
  assert.equal(sockets.length, 2);
  it.send({ action: 'a' });
  assert.equal(sockets[0].sent.length, 1);
  sockets[1].opens();
  assert.equal(sockets[0].closed, true);
  it.send({ action: 'b' });
  assert.deepEqual([sockets[1].sent, states], [['{"action":"b"}'], ['connecting', 'open', 'open']]);
  sockets[1].breaks();
  assert.equal(it.state, 'waiting');
});

test('a renewal that fails changes nothing, and the next one takes its place', async () => {
  const { clock, sockets, line: it } = await opened();
  await it.renew();
  sockets[1].onerror({});
  sockets[1].breaks();
  await clock.pass(60_000);
  assert.deepEqual([it.state, sockets.length], ['open', 2]);
  await it.renew();
  assert.equal(sockets[1].closed, true);
  sockets[2].opens();
  assert.deepEqual([it.state, sockets[0].closed], ['open', true]);
});

test('a renewal ends with the line that it was for', async () => {
  const { sockets, line: it } = await opened();
  await it.renew();
  it.close();
  assert.equal(sockets[1].closed, true);
  assert.equal(sockets[1].onopen, null);
});

test('a line that is not open is not renewed, and one whose address cannot be had goes on', async () => {
  const waiting = line();
  await waiting.line.renew();
  assert.equal(waiting.asked.address, 0);
  const answers = [() => ({ url: 'ws://a', protocols: [] }), () => Promise.reject(new Error('no'))];
  const { line: it, problems, sockets } = await opened({ address: () => answers.shift()() });
  await it.renew();
  assert.deepEqual([it.state, problems, sockets.length], ['open', ['no'], 1]);
});

test('an error of a handshake counts as its end, and one of an open line does not', async () => {
  const { sockets, line: it } = line();
  it.retry();
  await settled();
  sockets[0].onerror({});
  assert.equal(it.state, 'waiting');
  const { sockets: others, line: open } = await opened();
  others[0].onerror({});
  assert.equal(open.state, 'open');
});
