import { Timer, within } from './clock.js';
import { newId } from './ids.js';

const NUDGE_MS = 3_000;
const HELLO_MS = 700;
const STUCK_MS = 9_000;
const GATHER_MS = 80;
const SERVERS_MS = 5_000;
/** For so long after a new session of the other end, another new session is ignored. */
const STRANGER_MS = 5_000;

/**
 * The sound of one call: a WebRTC connection between this device and one of the other side, signalled through the
 * conversation.
 *
 * Only the caller makes offers, so offers never cross. Signals may be lost, doubled or overtaken: the caller repeats its
 * offer until it is answered, and an answer names its offer. Both ends send a `session`: if it changes, the other device
 * was reloaded, and this one makes a new connection. `data` of a signal is `{session, offer, description}`,
 * `{session, candidates}`, `{session, hello: true}` ("I am here: make me an offer") or `{session, restart: true}`.
 */
export class Voice {
  /** `connecting`, `connected`, `reconnecting` or `closed`. */
  state = 'connecting';
  /**
   * What the other side sends: give it to an `<audio>` element's `srcObject`.
   *
   * @type {MediaStream | null}
   */
  stream = null;
  /** `live`, or `lost` until there is another microphone. */
  microphone = 'live';
  callId;
  /** Aborted when this voice is over. */
  gone = new AbortController();
  #options;
  #servers;
  #restarting = false;
  #peer = null;
  #microphone = null;
  #session = newId();
  #remote = null;
  #offer = 0;
  #muted = false;
  #since;
  #timer;
  #gathered = [];
  #gathering;
  #waiting = [];
  #work = Promise.resolve();
  #metAt = -Infinity;
  #begunAt;
  /** When the present connection was made. For the report: how long it took to the first one, and how long all lasted. */
  #connectedAt = null;
  #setupMs;
  #connectedMs = 0;
  /** The latest statistics. */
  #figures = {};

  constructor(options) {
    this.#options = options;
    this.callId = options.callId;
    this.#timer = new Timer(options.clock);
    this.#gathering = new Timer(options.clock);
    this.#since = this.#begunAt = options.clock.now();
  }

  /** Begins. `microphone`: its stream; `servers`: `{ice_servers, ice_transport_policy}`. */
  start(microphone, servers) {
    this.#microphone = microphone;
    this.#servers = servers;
    this.muted = this.#muted;
    this.#enqueue(async () => {
      this.#build();
      if (this.#options.offers) await this.#makeOffer();
    });
    this.#tick(this.#options.offers ? NUDGE_MS : HELLO_MS); // usually the offer is on its way already
  }

  get muted() {
    return this.#muted;
  }

  set muted(on) {
    this.#muted = on;
    for (const track of this.#microphone?.getAudioTracks() ?? []) track.enabled = !on;
    this.#options.changed();
  }

  /** The microphone is gone. */
  lose() {
    this.microphone = 'lost';
    this.#options.changed();
  }

  /** Continues with another microphone, or begins with it if there was none. */
  replace(microphone, servers) {
    this.#microphone = microphone;
    this.microphone = 'live';
    this.muted = this.#muted;
    if (!this.#servers && servers) this.start(microphone, servers);
    const [track] = microphone.getAudioTracks();
    for (const sender of this.#peer?.getSenders() ?? []) sender.replaceTrack(track)?.catch?.(() => this.lose());
  }

  /** Takes a signal of the other side. */
  receive(data) {
    if (data === null || typeof data !== 'object') return;
    this.#enqueue(async () => {
      if (!this.#peer) return; // too early: it is no loss, because both ends send something when they begin
      if (!(await this.#meet(data))) return;
      if (data.hello) await this.#greet();
      if (data.restart && this.#options.offers) this.#restart();
      if (data.description?.type === 'offer') await this.#answer(data);
      if (data.description?.type === 'answer') await this.#conclude(data);
      for (const candidate of data.candidates ?? []) await this.#addCandidate(candidate);
    });
  }

  /** Helps a connection that is not made yet: sends again what may have been lost, or starts again. */
  nudge() {
    this.#enqueue(async () => {
      const peer = this.#peer;
      if (!peer || this.state === 'connected') return;
      const { offers, clock } = this.#options;
      const stuck = peer.connectionState === 'failed' || clock.now() - this.#since > STUCK_MS;
      if (offers && peer.signalingState === 'have-local-offer') this.#sayDescription();
      else if (!offers && !peer.remoteDescription) this.#say({ hello: true });
      else if (stuck) this.#restart();
      if (stuck) this.#since = clock.now();
    });
  }

  /** `{bytesReceived, bytesSent, packetsLost, roundTripMs, level, …}`, as far as known; `level` is 0 to 1. */
  async stats() {
    const report = await this.#peer?.getStats();
    const all = [...(report?.values() ?? [])];
    const audio = (type) => all.find((each) => each.type === type && each.kind === 'audio') ?? {};
    const { bytesReceived = 0, packetsLost = 0, packetsReceived = 0, ...inbound } = audio('inbound-rtp');
    const { bytesSent = 0 } = audio('outbound-rtp');
    const pair = all.find((each) => each.type === 'candidate-pair' && each.nominated && each.currentRoundTripTime >= 0);
    const ends = [pair?.localCandidateId, pair?.remoteCandidateId].map((id) => report?.get(id)?.candidateType);
    return {
      bytesReceived,
      bytesSent,
      packetsLost: Math.max(0, packetsLost),
      packetsReceived,
      jitterMs: Math.round((inbound.jitter ?? 0) * 1_000),
      roundTripMs: pair ? Math.round(pair.currentRoundTripTime * 1_000) : null,
      relayed: pair && ends.includes('relay'),
      level: inbound.audioLevel ?? 0,
    };
  }

  /** The report: statistics of the last connection, and how long there was one. What is not known is undefined. */
  report() {
    const { roundTripMs, jitterMs, relayed, packetsLost, packetsReceived } = this.#figures;
    this.#count();
    return {
      setup_ms: this.#setupMs,
      relayed,
      rtt_ms: roundTripMs ?? undefined,
      jitter_ms: jitterMs,
      lost: packetsLost,
      received: packetsReceived,
      seconds: Math.round(this.#connectedMs / 1_000),
    };
  }

  close() {
    this.#timer.stop();
    this.gone.abort();
    this.#dismantle();
    this.state = 'closed';
  }

  #build() {
    this.#dismantle();
    const peer = new this.#options.RTCPeerConnection(this.#config);
    this.#peer = peer;
    this.#offer += 1;
    for (const track of this.#microphone.getAudioTracks()) peer.addTrack(track, this.#microphone);
    peer.ontrack = (event) => {
      this.stream = event.streams[0] ?? null;
      this.#options.changed();
    };
    peer.onicecandidate = (event) => this.#gather(event.candidate);
    peer.onconnectionstatechange = () => this.#observe(peer);
  }

  get #config() {
    const { ice_servers: iceServers, ice_transport_policy: iceTransportPolicy } = this.#servers;
    return { iceServers, iceTransportPolicy };
  }

  /** Looks for another way, with fresh servers: the credentials of the old ones may have expired. */
  async #restart() {
    const { offers, clock, freshServers } = this.#options;
    if (this.#restarting) return;
    this.#restarting = true;
    // This is not in the queue: signals must not wait for it.
    this.#servers = await within(SERVERS_MS, clock, freshServers()).catch(() => this.#servers);
    this.#restarting = false;
    this.#enqueue(async () => {
      if (!this.#peer) return;
      this.#peer.setConfiguration?.(this.#config);
      if (offers) await this.#makeOffer(true);
      else this.#say({ restart: true });
    });
  }

  #dismantle() {
    this.#gathering.stop();
    this.#gathered = [];
    this.#waiting = [];
    this.#count();
    const peer = this.#peer;
    this.#peer = null;
    if (!peer) return;
    peer.ontrack = peer.onicecandidate = peer.onconnectionstatechange = null;
    peer.close();
  }

  /**
   * Looks at the session of a signal. If it is new, our connection is of no use any more, and we start again, but at most
   * every five seconds, and not for candidates: late ones come from a page that is gone. Returns whether to take the signal.
   */
  async #meet({ session, candidates }) {
    if (session === this.#remote) return true;
    const now = this.#options.clock.now();
    const stranger = this.#remote !== null;
    if (stranger && (candidates || now - this.#metAt < STRANGER_MS)) return false; // who is there says more, and again
    this.#remote = session;
    if (!stranger) return true;
    this.#metAt = now;
    this.#build();
    this.#become('connecting');
    if (this.#options.offers) await this.#makeOffer();
    return true;
  }

  async #greet() {
    if (!this.#options.offers) return;
    if (this.#peer.signalingState === 'have-local-offer') this.#sayDescription();
    else if (!this.#peer.remoteDescription) await this.#makeOffer();
  }

  async #makeOffer(restart = false) {
    this.#offer += 1;
    await this.#peer.setLocalDescription(await this.#peer.createOffer({ iceRestart: restart }));
    this.#sayDescription();
  }

  async #answer({ offer, description }) {
    this.#offer = offer;
    await this.#peer.setRemoteDescription(description);
    await this.#peer.setLocalDescription(await this.#peer.createAnswer());
    this.#sayDescription();
    await this.#addWaiting();
  }

  async #conclude({ offer, description }) {
    if (offer !== this.#offer || this.#peer.signalingState !== 'have-local-offer') return;
    await this.#peer.setRemoteDescription(description);
    await this.#addWaiting();
  }

  async #addCandidate(candidate) {
    if (this.#peer.remoteDescription)
      await this.#peer.addIceCandidate(candidate).catch(() => {}); // it belongs to an older offer
    else this.#waiting.push(candidate);
  }

  async #addWaiting() {
    for (const candidate of this.#waiting.splice(0)) await this.#addCandidate(candidate);
  }

  #gather(candidate) {
    if (!candidate) return;
    this.#gathered.push(candidate);
    if (!this.#gathering.due) {
      this.#gathering.set(GATHER_MS, () => this.#say({ candidates: this.#gathered.splice(0) }));
    }
  }

  #observe(peer) {
    const now = peer.connectionState;
    if (now === 'connected') this.#become('connected');
    else if (now === 'disconnected' || now === 'failed') this.#become('reconnecting');
  }

  #become(state) {
    if (this.state === state || this.state === 'closed') return;
    const now = this.#options.clock.now();
    if (this.state === 'connected' || state === 'connecting') this.#since = now;
    if (state === 'connected') {
      this.#setupMs ??= now - this.#begunAt;
      this.#connectedAt = now;
    } else {
      this.#count();
    }
    this.state = state;
    this.#options.changed();
  }

  /** Adds the time of the present connection to the total. */
  #count() {
    if (this.#connectedAt !== null) this.#connectedMs += this.#options.clock.now() - this.#connectedAt;
    this.#connectedAt = null;
  }

  #tick(ms) {
    this.#timer.set(ms, () => {
      this.nudge();
      this.#sample();
      this.#tick(NUDGE_MS);
    });
  }

  async #sample() {
    const peer = this.#peer;
    const figures = await this.stats().catch(() => null);
    if (peer && peer === this.#peer && figures) this.#figures = figures;
  }

  #sayDescription() {
    this.#say({ offer: this.#offer, description: this.#peer.localDescription });
  }

  #say(data) {
    this.#options.send({ session: this.#session, ...data });
  }

  /** Does one step after the other, so that negotiations do not mix. If a step fails, the next tick repairs it. */
  #enqueue(step) {
    this.#work = this.#work
      .then(async () => {
        if (this.state !== 'closed') await step();
      })
      .catch(() => {});
  }
}
