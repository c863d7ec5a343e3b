import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Voice } from '../../web/navietakie/voice.js';
import { VirtualClock } from './support/clock.mjs';

const SERVERS = { ice_servers: [{ urls: 'turn:a' }], ice_transport_policy: 'relay' };

/** A microphone with one track. */
function microphone() {
  const track = { enabled: true };
  return { track, getAudioTracks: () => [track] };
}

/** What `getStats` of a browser gives. */
const statsOf = (...entries) => new Map(entries.map((each, index) => [each.id ?? `s${index}`, each]));

/**
 * A voice whose other end is the test: `peers` are the connections that it made, `said` is what it has signalled.
 * `offers` says whether it is the caller's.
 */
function voice({ offers = true, freshServers = async () => ({ ice_servers: [{ urls: 'turn:fresh' }], ice_transport_policy: 'all' }) } = {}) {
  const clock = new VirtualClock();
  const said = [];
  const peers = [];
  const seen = { changes: 0 };
  class Peer {
    signalingState = 'stable';
    connectionState = 'new';
    remoteDescription = null;
    localDescription = null;
    stats = statsOf();
    tracks = [];
    done = [];
    constructor(config) {
      this.config = config;
      peers.push(this);
    }
    addTrack(track, stream) {
      this.tracks.push(track);
      this.stream = stream;
    }
    getSenders() {
      return this.tracks.map(() => ({ replaceTrack: (track) => this.replaced(track) }));
    }
    async replaced(track) {
      this.tracks = [track];
    }
    setConfiguration(config) {
      this.config = config;
    }
    async createOffer(options) {
      this.done.push(['offer', options]);
      return { type: 'offer', sdp: `o${this.done.length}` };
    }
    async createAnswer() {
      return { type: 'answer', sdp: 'a' };
    }
    async setLocalDescription(description) {
      this.localDescription = description;
      this.signalingState = description.type === 'offer' ? 'have-local-offer' : 'stable';
    }
    async setRemoteDescription(description) {
      this.remoteDescription = description;
      if (description.type === 'answer') this.signalingState = 'stable';
    }
    async addIceCandidate(candidate) {
      this.done.push(['candidate', candidate]);
    }
    async getStats() {
      return this.stats;
    }
    becomes(state) {
      this.connectionState = state;
      this.onconnectionstatechange();
    }
    close() {
      this.closed = true;
    }
  }
  const options = { callId: 'call-1', offers, RTCPeerConnection: Peer, freshServers, clock };
  const made = new Voice({ ...options, send: (data) => said.push(data), changed: () => (seen.changes += 1) });
  return { clock, said, peers, seen, voice: made };
}

/** The caller's voice, connected. */
async function connected(given) {
  const scene = voice(given);
  scene.voice.start(microphone(), SERVERS);
  await scene.clock.pass(0);
  const { offer } = scene.said[0];
  scene.voice.receive({ session: 'theirs', offer, description: { type: 'answer', sdp: 'a' } });
  await scene.clock.pass(0);
  scene.peers[0].becomes('connected');
  return scene;
}

test('before there is a connection, nothing is known of how it sounds', async () => {
  const { voice: silent } = voice();
  assert.deepEqual(await silent.stats(), {
    bytesReceived: 0,
    bytesSent: 0,
    packetsLost: 0,
    packetsReceived: 0,
    jitterMs: 0,
    roundTripMs: null,
    relayed: undefined,
    level: 0,
  });
});

test('how it sounds is read from what the browser knows of the sound and of the pair in use', async () => {
  const { voice: talking, peers } = await connected();
  peers[0].stats = statsOf(
    { type: 'inbound-rtp', kind: 'video', bytesReceived: 1 },
    { type: 'inbound-rtp', kind: 'audio', bytesReceived: 10, packetsLost: -2, packetsReceived: 5, jitter: 0.0126, audioLevel: 0.5 },
    { type: 'outbound-rtp', kind: 'audio', bytesSent: 20 },
    { type: 'candidate-pair', nominated: false, currentRoundTripTime: 9 },
    { type: 'candidate-pair', nominated: true },
    { type: 'transport', nominated: true, currentRoundTripTime: 9 },
    { type: 'candidate-pair', nominated: true, currentRoundTripTime: 0.0814, localCandidateId: 'l', remoteCandidateId: 'r' },
    { id: 'l', candidateType: 'host' },
    { id: 'r', candidateType: 'srflx' },
  );
  assert.deepEqual(await talking.stats(), {
    bytesReceived: 10,
    bytesSent: 20,
    packetsLost: 0,
    packetsReceived: 5,
    jitterMs: 13,
    roundTripMs: 81,
    relayed: false,
    level: 0.5,
  });
});

for (const end of ['localCandidateId', 'remoteCandidateId']) {
  test(`sound is relayed where the ${end.replace('CandidateId', '')} end of the pair is a relay`, async () => {
    const { voice: talking, peers } = await connected();
    const pair = { type: 'candidate-pair', nominated: true, currentRoundTripTime: 0, [end]: 'it' };
    peers[0].stats = statsOf(pair, { id: 'it', candidateType: 'relay' });
    const { relayed, roundTripMs } = await talking.stats();
    assert.deepEqual([relayed, roundTripMs], [true, 0]);
  });
}

test('the report of a voice that never connected holds what is known: nothing', () => {
  assert.deepEqual(voice().voice.report(), {
    setup_ms: undefined,
    relayed: undefined,
    rtt_ms: undefined,
    jitter_ms: undefined,
    lost: undefined,
    received: undefined,
    seconds: 0,
  });
});

test('the report adds up how long there was a connection, and how long the first took', async () => {
  const scene = voice();
  const { clock, peers, said, voice: it } = scene;
  await clock.pass(400);
  it.start(microphone(), SERVERS);
  await clock.pass(600);
  it.receive({ session: 'theirs', offer: said[0].offer, description: { type: 'answer', sdp: 'a' } });
  await clock.pass(0);
  peers[0].becomes('connected');
  await clock.pass(10_000);
  peers[0].becomes('disconnected');
  await clock.pass(1_000);
  peers[0].becomes('connected');
  await clock.pass(5_000);
  const { setup_ms, seconds } = it.report();
  assert.deepEqual([setup_ms, seconds], [1_000, 15]);
  it.close();
  await clock.pass(5_000);
  assert.equal(it.report().seconds, 15);
});

const offered = (said) => said.filter((each) => each.description);
const answerTo = ({ offer }) => ({ session: 'theirs', offer, description: { type: 'answer', sdp: 'a' } });

test('the caller offers at once, by the servers and with the microphone that it was given', async () => {
  const { clock, said, peers, voice: caller } = voice();
  const given = microphone();
  caller.start(given, SERVERS);
  await clock.pass(0);
  assert.deepEqual(peers[0].config, { iceServers: SERVERS.ice_servers, iceTransportPolicy: 'relay' });
  assert.deepEqual([peers[0].tracks, peers[0].stream], [[given.track], given]);
  assert.deepEqual(peers[0].done, [['offer', { iceRestart: false }]]);
  assert.deepEqual(said.map(({ description }) => description), [peers[0].localDescription]);
  assert.match(said[0].session, /^[0-9a-f]{32}$/);
});

test('an offer that is not answered is said again every three seconds, as it is', async () => {
  const { clock, said, voice: caller } = voice();
  caller.start(microphone(), SERVERS);
  await clock.pass(2_990);
  assert.equal(said.length, 1);
  await clock.pass(20);
  await clock.pass(3_000);
  assert.deepEqual(said, [said[0], said[0], said[0]]);
});

test('who is called shows itself after 0.7 s, then every three seconds, until there is an offer', async () => {
  const { clock, said, peers, voice: callee } = voice({ offers: false });
  callee.start(microphone(), SERVERS);
  await clock.pass(690);
  assert.deepEqual(said, []);
  await clock.pass(20);
  const { session } = said[0];
  assert.deepEqual(said, [{ session, hello: true }]);
  await clock.pass(3_000);
  assert.equal(said.length, 2);
  callee.receive({ session: 'theirs', offer: 7, description: { type: 'offer', sdp: 'o' } });
  await clock.pass(0);
  assert.deepEqual(said[2], { session, offer: 7, description: { type: 'answer', sdp: 'a' } });
  assert.deepEqual(peers[0].remoteDescription, { type: 'offer', sdp: 'o' });
  await clock.pass(3_000);
  assert.equal(said.length, 3);
});

test('a caller to whom the other end shows itself says its offer again, or makes one', async () => {
  const { clock, said, peers, voice: caller } = voice();
  caller.start(microphone(), SERVERS);
  await clock.pass(0);
  caller.receive({ session: 'theirs', hello: true });
  await clock.pass(0);
  assert.deepEqual(said, [said[0], said[0]]);
  peers[0].signalingState = 'stable'; // as if the offer had been withdrawn
  caller.receive({ session: 'theirs', hello: true });
  await clock.pass(0);
  assert.equal(said[2].offer, said[0].offer + 1);
  caller.receive(answerTo(said[2]));
  caller.receive({ session: 'theirs', hello: true });
  await clock.pass(0);
  assert.equal(said.length, 3);
});

test('who is called makes no offer to one who shows itself', async () => {
  const { clock, said, voice: callee } = voice({ offers: false });
  callee.start(microphone(), SERVERS);
  await clock.pass(0);
  callee.receive({ session: 'theirs', hello: true });
  callee.receive({ session: 'theirs', restart: true });
  await clock.pass(0);
  assert.deepEqual(said, []);
});

test('an answer counts for the offer that it names, once', async () => {
  const { clock, said, peers, voice: caller } = voice();
  caller.start(microphone(), SERVERS);
  await clock.pass(0);
  caller.receive({ ...answerTo(said[0]), offer: said[0].offer - 1 });
  await clock.pass(0);
  assert.equal(peers[0].remoteDescription, null);
  caller.receive(answerTo(said[0]));
  await clock.pass(0);
  const { remoteDescription } = peers[0];
  assert.equal(remoteDescription.sdp, 'a');
  caller.receive(answerTo(said[0]));
  await clock.pass(0);
  assert.equal(peers[0].remoteDescription, remoteDescription);
});

for (const offers of [true, false]) {
  test(`for the ${offers ? 'caller' : 'callee'}, candidates that overtake the description wait for it`, async () => {
    const { clock, said, peers, voice: it } = voice({ offers });
    it.start(microphone(), SERVERS);
    await clock.pass(0);
    const candidates = () => peers[0].done.filter(([what]) => what === 'candidate').map(([, candidate]) => candidate);
    it.receive({ session: 'theirs', candidates: ['one', 'two'] });
    await clock.pass(0);
    assert.deepEqual(candidates(), []);
    it.receive(offers ? answerTo(said[0]) : { session: 'theirs', offer: 1, description: { type: 'offer', sdp: 'o' } });
    it.receive({ session: 'theirs', candidates: ['three'] });
    await clock.pass(0);
    assert.deepEqual(candidates(), ['one', 'two', 'three']);
  });
}

test('a candidate that does not fit keeps none after it from being taken', async () => {
  const { clock, peers, voice: caller } = await connected();
  const { addIceCandidate } = peers[0];
  peers[0].addIceCandidate = async (candidate) => {
    if (candidate === 'old') throw new Error('of an older offer');
    await addIceCandidate.call(peers[0], candidate);
  };
  caller.receive({ session: 'theirs', candidates: ['old', 'new'] });
  await clock.pass(0);
  assert.deepEqual(peers[0].done.at(-1), ['candidate', 'new']);
});

test('candidates that are found within 80 ms are said together', async () => {
  const { clock, said, peers } = await connected();
  const before = said.length;
  for (const candidate of ['one', 'two', null]) peers[0].onicecandidate({ candidate });
  await clock.pass(70);
  assert.equal(said.length, before);
  await clock.pass(20);
  assert.deepEqual(said.slice(before).map((each) => each.candidates), [['one', 'two']]);
  peers[0].onicecandidate({ candidate: 'three' });
  await clock.pass(50);
  peers[0].onicecandidate({ candidate: 'four' });
  await clock.pass(40);
  assert.deepEqual(said.at(-1).candidates, ['three', 'four']);
});

test('the end of the candidates says nothing', async () => {
  const { clock, said, peers } = await connected();
  const before = said.length;
  peers[0].onicecandidate({ candidate: null });
  await clock.pass(1_000);
  assert.equal(said.length, before);
});

test('what the other side sends is its stream, if there is one', async () => {
  const { peers, seen, voice: it } = await connected();
  const { changes } = seen;
  peers[0].ontrack({ streams: ['sound'] });
  assert.equal(it.stream, 'sound');
  assert.equal(seen.changes, changes + 1);
  peers[0].ontrack({ streams: [] });
  assert.equal(it.stream, null);
});

test('the state follows the connection, and each change is told once', async () => {
  const { peers, seen, voice: it } = await connected();
  assert.equal(it.state, 'connected');
  const { changes } = seen;
  for (const [state, expected] of [
    ['connected', 'connected'],
    ['disconnected', 'reconnecting'],
    ['failed', 'reconnecting'],
    ['connecting', 'reconnecting'],
    ['connected', 'connected'],
  ]) {
    peers[0].becomes(state);
    assert.equal(it.state, expected, state);
  }
  assert.equal(seen.changes, changes + 2);
});

test('a voice that is over lets go of everything, and hears and says nothing any more', async () => {
  const { clock, said, peers, seen, voice: it } = await connected();
  peers[0].onicecandidate({ candidate: 'late' });
  const { onconnectionstatechange } = peers[0];
  it.close();
  const [words, { changes }] = [said.length, seen];
  assert.deepEqual([it.state, it.gone.signal.aborted, peers[0].closed], ['closed', true, true]);
  assert.deepEqual([peers[0].ontrack, peers[0].onicecandidate, peers[0].onconnectionstatechange], [null, null, null]);
  onconnectionstatechange();
  it.receive({ session: 'another', hello: true });
  it.nudge();
  await clock.pass(20_000);
  assert.deepEqual([it.state, said.length, seen.changes, peers.length], ['closed', words, changes, 1]);
});

test('signals that are no objects, or come before the beginning, are ignored', async () => {
  const { clock, said, voice: it } = voice({ offers: false });
  it.receive({ session: 'theirs', hello: true });
  await clock.pass(0);
  it.start(microphone(), SERVERS);
  for (const data of [null, 'text', 7]) it.receive(data);
  it.receive({ session: 'theirs', offer: 3, description: { type: 'offer', sdp: 'o' } });
  await clock.pass(0);
  assert.equal(offered(said).length, 1);
});

test('muted before it begins, the microphone is muted when it does; without one, muting is kept', () => {
  const { seen, voice: it } = voice();
  it.muted = true;
  assert.deepEqual([it.muted, seen.changes], [true, 1]);
  const given = microphone();
  it.start(given, SERVERS);
  assert.equal(given.track.enabled, false);
  it.muted = false;
  assert.equal(given.track.enabled, true);
});

test('a microphone that takes the place of a lost one is heard, and as muted as that was', async () => {
  const { peers, seen, voice: it } = await connected();
  it.muted = true;
  let { changes } = seen;
  it.lose();
  assert.deepEqual([it.microphone, seen.changes], ['lost', ++changes]);
  const other = microphone();
  it.replace(other);
  assert.deepEqual([it.microphone, peers[0].tracks, other.track.enabled], ['live', [other.track], false]);
});

test('a microphone that the connection does not take is lost', async () => {
  const { clock, peers, voice: it } = await connected();
  peers[0].replaced = async () => Promise.reject(new Error('no'));
  it.replace(microphone());
  await clock.pass(0);
  assert.equal(it.microphone, 'lost');
});

test('a microphone may be replaced before there is a connection, and where nothing is promised', async () => {
  const { clock, peers, voice: it } = voice();
  it.replace(microphone());
  assert.equal(it.microphone, 'live');
  it.start(microphone(), SERVERS);
  await clock.pass(0);
  for (const promised of [undefined, {}]) {
    peers[0].getSenders = () => [{ replaceTrack: () => promised }];
    it.replace(microphone());
    assert.equal(it.microphone, 'live');
  }
});

test('a connection that failed is made again by fresh servers, once at a time', async () => {
  let asked = 0;
  let give;
  const fresh = { ice_servers: [{ urls: 'turn:new' }], ice_transport_policy: 'all' };
  const freshServers = () => new Promise((resolve) => (asked += 1) && (give = () => resolve(fresh)));
  const { clock, said, peers, voice: it } = await connected({ freshServers });
  peers[0].becomes('failed');
  it.nudge();
  await clock.pass(0);
  it.nudge();
  it.receive({ session: 'theirs', restart: true });
  await clock.pass(0);
  assert.deepEqual([asked, offered(said).length], [1, 1]);
  give();
  await clock.pass(0);
  assert.deepEqual(peers[0].config, { iceServers: fresh.ice_servers, iceTransportPolicy: 'all' });
  assert.deepEqual(peers[0].done.at(-1), ['offer', { iceRestart: true }]);
  assert.equal(offered(said).length, 2);
  it.receive(answerTo(said.at(-1)));
  await clock.pass(0);
  it.receive({ session: 'theirs', restart: true });
  await clock.pass(0);
  assert.equal(asked, 2);
});

test('fresh servers that do not come within five seconds are done without', async () => {
  const { clock, said, peers } = await connected({ freshServers: () => new Promise(() => {}) });
  peers[0].becomes('failed');
  await clock.pass(3_000); // the next nudge
  await clock.pass(4_900);
  assert.equal(offered(said).length, 1);
  await clock.pass(200);
  assert.equal(offered(said).length, 2);
  assert.deepEqual(peers[0].config.iceServers, SERVERS.ice_servers);
});

test('who is called and cannot hear asks the caller to begin again', async () => {
  const { clock, said, peers, voice: it } = voice({ offers: false });
  it.start(microphone(), SERVERS);
  it.receive({ session: 'theirs', offer: 1, description: { type: 'offer', sdp: 'o' } });
  await clock.pass(0);
  peers[0].becomes('connected');
  await clock.pass(30_000);
  assert.equal(said.length, 1);
  peers[0].becomes('disconnected');
  await clock.pass(9_000);
  assert.equal(said.length, 1);
  await clock.pass(3_100);
  assert.deepEqual(said.slice(1), [{ session: said[0].session, restart: true }]);
  await clock.pass(8_000);
  assert.equal(said.length, 2); // it is given another nine seconds
});

test('a connection that is there is left alone', async () => {
  const { clock, said, voice: it } = await connected();
  await clock.pass(60_000);
  it.nudge();
  await clock.pass(0);
  assert.equal(said.length, 1);
});

test('another session of the other end is met by another connection, though not within five seconds of the last', async () => {
  const { clock, said, peers, voice: it } = await connected();
  it.receive({ session: 'second', hello: true });
  await clock.pass(0);
  assert.deepEqual([peers.length, peers[0].closed, it.state], [2, true, 'connecting']);
  assert.equal(offered(said).length, 3); // the new one, and once more for the hello
  assert.notEqual(said[1].offer, said[0].offer); // a late answer to the old one is none to the new one
  await clock.pass(2_000);
  it.receive({ session: 'third', hello: true });
  await clock.pass(0);
  assert.deepEqual([peers.length, offered(said).length], [2, 3]);
  await clock.pass(3_000);
  it.receive({ session: 'third', hello: true });
  await clock.pass(0);
  assert.equal(peers.length, 3);
});

test('late candidates of a page that was reloaded are not taken for another session', async () => {
  const { clock, said, peers, voice: it } = await connected();
  it.receive({ session: 'second', hello: true });
  await clock.pass(5_000);
  const before = said.length;
  it.receive({ session: 'first', candidates: [{ candidate: 'late' }] });
  await clock.pass(0);
  assert.deepEqual([peers.length, said.length], [2, before]);
  it.receive({ session: 'second', candidates: [{ candidate: 'present' }] });
  it.receive({ session: 'second', offer: said.at(-1).offer, description: { type: 'answer', sdp: 'a' } });
  await clock.pass(0);
  assert.deepEqual(peers[1].done.at(-1), ['candidate', { candidate: 'present' }]);
});

test('who is called meets another session without an offer of its own', async () => {
  const { clock, said, peers, voice: it } = voice({ offers: false });
  it.start(microphone(), SERVERS);
  it.receive({ session: 'first', offer: 1, description: { type: 'offer', sdp: 'o' } });
  it.receive({ session: 'second', offer: 2, description: { type: 'offer', sdp: 'o2' } });
  await clock.pass(0);
  assert.equal(peers.length, 2);
  assert.deepEqual(said.map(({ offer, description }) => [offer, description.type]), [
    [1, 'answer'],
    [2, 'answer'],
  ]);
});

test('the latest figures are those of the connection in use', async () => {
  const { clock, peers, voice: it } = await connected();
  const packetsReceived = (count) => statsOf({ type: 'inbound-rtp', kind: 'audio', packetsReceived: count });
  peers[0].stats = packetsReceived(1);
  await clock.pass(3_000);
  peers[0].stats = packetsReceived(2);
  await clock.pass(3_000);
  assert.equal(it.report().received, 2);
  peers[0].getStats = async () => Promise.reject(new Error('no'));
  await clock.pass(3_000);
  assert.equal(it.report().received, 2);
});

test('signals that are no objects are not taken for another session', async () => {
  const { clock, peers, voice: it } = await connected();
  for (const data of ['text', 7, null]) it.receive(data);
  await clock.pass(0);
  assert.equal(peers.length, 1);
});

test('a session that showed itself before the beginning is not the one that was met', async () => {
  const { clock, peers, voice: it } = voice({ offers: false });
  it.receive({ session: 'first', hello: true });
  await clock.pass(0);
  it.start(microphone(), SERVERS);
  it.receive({ session: 'second', offer: 1, description: { type: 'offer', sdp: 'o' } });
  await clock.pass(0);
  assert.equal(peers.length, 1);
});

test('a connection that takes no other servers is made again by those it has', async () => {
  const { clock, peers, said, voice: it } = await connected();
  peers[0].setConfiguration = undefined;
  peers[0].becomes('failed');
  it.nudge();
  await clock.pass(0);
  assert.equal(offered(said).length, 2);
});

test('a connection that is being made is not yet one that is lost', () => {
  const { peers, voice: it } = voice();
  it.start(microphone(), SERVERS);
  return Promise.resolve().then(() => {
    peers[0].becomes('connecting');
    assert.equal(it.state, 'connecting');
  });
});

/** Who is called, with an offer that was answered. */
async function answering() {
  const scene = voice({ offers: false });
  scene.voice.start(microphone(), SERVERS);
  scene.voice.receive({ session: 'first', offer: 1, description: { type: 'offer', sdp: 'o' } });
  await scene.clock.pass(0);
  return { ...scene, restarts: () => scene.said.filter((each) => each.restart).length };
}

test('a connection that never was is given nine seconds from its beginning', async () => {
  const { clock, peers, restarts } = await answering();
  await clock.pass(5_000);
  peers[0].becomes('disconnected');
  await clock.pass(4_600); // the tick after nine seconds is at 9.7
  assert.equal(restarts(), 0);
  await clock.pass(200);
  assert.equal(restarts(), 1);
});

test('a connection with another session is given nine seconds of its own', async () => {
  const { clock, peers, restarts, voice: it } = await answering();
  peers[0].becomes('connected');
  await clock.pass(60_000);
  peers[0].becomes('disconnected');
  await clock.pass(8_000);
  it.receive({ session: 'second', offer: 1, description: { type: 'offer', sdp: 'o' } });
  await clock.pass(8_900);
  assert.equal(restarts(), 0);
  await clock.pass(3_100);
  assert.equal(restarts(), 1);
});

test('figures of a connection that was replaced meanwhile do not count', async () => {
  const { clock, peers, voice: it } = await connected();
  let give;
  peers[0].getStats = () => new Promise((resolve) => (give = resolve));
  await clock.pass(3_000);
  it.receive({ session: 'second', hello: true });
  await clock.pass(0);
  give(statsOf({ type: 'inbound-rtp', kind: 'audio', packetsReceived: 5 }));
  await clock.pass(0);
  assert.equal(it.report().received, undefined);
});

test('a voice that is over before its beginning makes no connection', async () => {
  const { clock, peers, said, voice: it } = voice();
  it.close();
  it.start(microphone(), SERVERS);
  await clock.pass(0);
  assert.deepEqual([peers, said], [[], []]);
});
