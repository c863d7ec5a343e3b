import { Timer, within } from './clock.js';
import { closed, fault } from './errors.js';
import { newId } from './ids.js';
import { picked, same } from './same.js';
import { Voice } from './voice.js';

/** How long to wait for the answer to `initiate` or `accept`: about as long as it rings. */
const STEP_MS = 50_000;
/** A pong that differs by more is not late: the device's clock was set. */
const CLOCK_SET_MS = 20_000;
/** Longer than any ring: a call that has not appeared by then was never made. */
const LAPSE_MS = 200_000;
/** For so long after a ring the server still takes an answer, and no other call. */
const GRACE_MS = 2_500;

/** The properties of a snapshot, and of its voice. */
const SHOWN = ['phase', 'call', 'ringsUntil', 'talkingSince', 'reached', 'live'];
const HEARD = ['state', 'stream', 'muted', 'microphone'];

/**
 * The booking's latest call, and this device's part in it.
 *
 * `call` is the server's record of it. `phase` is what it means here: `idle`, `dialling` (asking the server), `calling`
 * (the other side rings), `ringing` (we do), `answering`, `talking`, or `elsewhere` (another device of this side has
 * it). `voice` carries the sound while `talking`, where the platform has WebRTC.
 *
 * Three things are kept apart: the call as the server has it; the *step* that the user is taking here, which the server
 * has not confirmed; and the call that the user has *left*, which the server does not know yet. A call that was left is
 * over on this device at once. The client tells the server until it knows, even after a reload.
 */
export class Calls {
  /** @type {import('./types.js').Call | null} */
  call = null;
  /** @type {Voice | null} */
  voice = null;
  /** When ringing stops, with or without a frame: milliseconds since 1970 by this device's clock. */
  ringsUntil = null;
  /** When the call was answered, in milliseconds since 1970 by this device's clock. */
  talkingSince = null;
  /** How many present connections of the other side took the frame of the last action. */
  reached = null;
  #options;
  /** What the user is doing: `{phase, action, fields, intent, said, ended}`. */
  #step = null;
  /** This device's call: `{call_id, ice_servers, ice_transport_policy}`. */
  #part = null;
  /**
   * What the user has left: `{call_id, action}`; `{name, until}` if the server has not sent the id yet; `name` and
   * `call_id` if the client has to make sure first that the call is this device's.
   */
  #left = null;
  /** Resolves when the server knows what was left. */
  #farewell = null;
  #ring;
  #lapse;
  #microphone = null;
  #forgetDevices = null;
  /** The report about a voice, until it can be sent. */
  #quality = null;
  #snapshot = null;
  #closed = false;

  /**
   * @param {object} options
   * @param {import('./types.js').Sender} options.side
   * @param {() => string} options.deviceId
   * @param {import('./requests.js').Requests} options.requests
   * @param {(frame: object) => boolean} options.send
   * @param {import('./store.js').Store} options.store survives a reload
   * @param {string} options.name of this conversation in the store
   * @param {typeof RTCPeerConnection} [options.RTCPeerConnection]
   * @param {(constraints: object) => Promise<MediaStream>} [options.getUserMedia]
   * @param {MediaDevices} [options.mediaDevices] tells when a microphone comes or goes
   * @param {import('./types.js').Clock} options.clock
   * @param {() => void} options.changed
   * @param {(error: NavieTakieError) => void} options.problem
   */
  constructor(options) {
    this.#options = options;
    this.#ring = new Timer(options.clock);
    this.#lapse = new Timer(options.clock);
  }

  /** Reads what was stored before a reload. Returns a promise if the storage does. */
  recall() {
    const take = (kept) => {
      if (!kept || this.#part || this.#left) return; // a slow storage may answer after the next call began
      this.#keep(kept.part, kept.left);
      this.#say();
      this.#settle();
    };
    const kept = this.#options.store.read(this.#key);
    return kept?.then ? kept.then(take) : take(kept);
  }

  get phase() {
    const step = this.#step;
    const there = this.#there;
    return !step || (there === 'ringing' && step.phase === 'dialling' && !step.said) ? there : step.phase;
  }

  /** Whether there is a call that the user has not left. */
  get live() {
    const { call } = this;
    if (!this.pending || call.call_id === this.#left?.call_id) return false;
    if (call.state !== 'ringing' || this.ringsUntil === null) return true;
    return this.#ring.due && this.#options.clock.now() < this.ringsUntil; // the clock may be put back, and the timer late
  }

  /** Whether the server has a call that has not ended, as far as the client knows. */
  get pending() {
    return this.call !== null && this.call.state !== 'ended';
  }

  /** `{phase, call, ringsUntil, talkingSince, reached, live, voice}`: the same object until one of them changes. */
  get snapshot() {
    const voice = this.voice && same(this.#snapshot?.voice, picked(this.voice, HEARD));
    return (this.#snapshot = same(this.#snapshot, { ...picked(this, SHOWN), voice }));
  }

  /** Calls the other side. Rejects with `microphone`, or the server's error. */
  async start() {
    if (this.live || this.#step) return;
    if (!this.#left?.call_id) this.#leave(null); // this call replaces one from an earlier try
    await this.#take('dialling', 'initiate', { client_call_id: newId() }); // sent several times, it still rings once
  }

  /** Answers the call that rings here. */
  async accept() {
    if (this.phase !== 'ringing') return;
    await this.#take('answering', 'accept', { call_id: this.call.call_id });
  }

  /** Declines, cancels or hangs up, as the call requires. The sound stops at once. Resolves when the server knows. */
  async hangUp() {
    const step = this.#step;
    this.#drop();
    this.#silence();
    if (this.live) {
      const { call_id, state, callee } = this.call;
      const declines = state === 'ringing' && callee === this.#options.side;
      this.#leave({ call_id, action: declines ? 'reject' : 'end' });
    } else if (step?.said) {
      this.#leave(this.#remains(step));
    }
    this.#options.changed();
    await this.#farewell;
  }

  /** Takes the call from a frame that the server made at `ts`. Ignores a call that is not newer than ours. */
  adopt(call, ts) {
    if (!call || !this.#isNews(call)) return;
    const now = this.#options.clock.now();
    this.call = call;
    this.ringsUntil = call.ring_ms_left == null ? null : now + call.ring_ms_left;
    const since = this.#answeredAt(ts);
    this.talkingSince = Number.isNaN(since) ? now : since;
    this.#ring.stop();
    if (this.ringsUntil !== null) this.#ring.set(call.ring_ms_left, () => this.#rangOut());
    this.#recognize(call);
    this.#check();
    this.#settle();
    if (this.#step) this.#options.requests.repeat(); // the call has changed and our answer is missing: it may be lost
    this.#options.changed();
  }

  /** Takes the `ts` of a pong. The user may have set the clock since the call was answered. */
  heard(ts) {
    const since = this.#answeredAt(ts);
    if (!(Math.abs(since - this.talkingSince) > CLOCK_SET_MS)) return;
    this.talkingSince = since;
    this.#options.changed();
  }

  /** When the call was answered, by this device's clock; null if it was not, NaN if a time is missing. */
  #answeredAt(ts) {
    const { state, answered_at } = this.call ?? {};
    const talked = Math.max(0, Date.parse(ts) - Date.parse(answered_at)); // both by the server's clock
    return state === 'connected' ? this.#options.clock.now() - talked : null;
  }

  /** Whether a pong's short form of the call is ahead of ours. */
  isBehind(short) {
    if (!short) return false;
    return this.call?.call_id !== short.call_id || this.call.version < short.version;
  }

  /** Takes a signal of the other side's device. */
  signalled(callId, data) {
    if (this.voice?.callId === callId) this.voice.receive(data);
  }

  lineOpened() {
    this.voice?.nudge();
    this.#say();
  }

  startOver() {
    this.#silence();
    this.#quality = this.call = this.ringsUntil = this.talkingSince = null;
  }

  close() {
    this.#closed = true;
    this.#drop(closed());
    this.#silence();
    this.#ring.stop();
    this.#lapse.stop();
  }

  /** What the server's call means on this device. */
  get #there() {
    const { side } = this.#options;
    if (!this.live || ![this.call.caller, this.call.callee].includes(side)) return 'idle'; // an agent has no part in it
    if (this.call.state === 'connected') return this.#isOurs(this.call) ? 'talking' : 'elsewhere';
    if (this.call.callee === side) return 'ringing';
    return this.#isOurs(this.call) ? 'calling' : 'elsewhere';
  }

  /** Takes a step for the user. Ends when the server has answered, or when the step has become pointless. */
  async #take(phase, action, fields) {
    this.#drop();
    const step = { phase, action, fields, intent: new AbortController(), said: false };
    const ended = new Promise((resolve, reject) => (step.ended = (error) => (error ? reject(error) : resolve())));
    ended.catch(() => {}); // the answer may have come first
    this.#step = step;
    this.#options.changed();
    await Promise.race([this.#carry(step), ended]);
  }

  async #carry(step) {
    const { clock, side } = this.#options;
    try {
      await this.#openMicrophone(step.intent.signal);
      if (this.#step === step) await within(STEP_MS, clock, this.#farewell);
      if (step.phase === 'dialling' && this.pending && !this.live && this.call.caller === side) {
        await new Promise((go) => clock.setTimeout(go, this.ringsUntil + GRACE_MS - clock.now()));
      }
      if (this.#step !== step) return;
      const sent = () => {
        step.said = true;
        if (step.phase === 'dialling') this.#save(this.#part, this.#remains(step)); // in case the page is left meanwhile
      };
      const how = { withdrawn: step.intent.signal, patience: STEP_MS, sent };
      const answer = await this.#act(step.action, step.fields, how);
      if (this.#step !== step) {
        this.#comeTooLate(step, answer.call);
        return;
      }
      this.#step = null;
      this.#keep(partOf(answer), null);
      this.adopt(answer.call, answer.ts);
      this.#settle();
    } catch (error) {
      if (this.#step !== step) return;
      this.#step = null;
      if (error.code === 'timeout' && step.said) this.#leave(this.#remains(step));
      this.adopt(error.details?.call);
      throw error;
    } finally {
      if (!this.#closed) {
        this.#save(this.#part, this.#left);
        this.#settle();
      }
      this.#options.changed();
    }
  }

  /** Drops the step that the user was taking; with an error, the step rejects. */
  #drop(error) {
    const step = this.#step;
    this.#step = null;
    step?.intent.abort();
    step?.ended(error);
  }

  /** Ends the step if the server's call has made it pointless. */
  #check() {
    const { call } = this;
    const step = this.#step;
    if (!step || !call) return;
    const gone = call.state === 'ended' || call.call_id !== step.fields.call_id;
    const elsewhere = this.#there === 'elsewhere';
    const late = !step.said && !this.live;
    const answering = step.phase === 'answering';
    if (answering ? !gone && !elsewhere && !late : step.said || !elsewhere) return;
    const code = answering ? 'illegal_transition' : 'call_in_progress';
    this.#drop(fault(code, 'The call is over, or another device has it', { details: { call } }));
  }

  /** Takes the late answer to a step that the user has left. Ends its call, unless another step wants that call. */
  #comeTooLate(step, call) {
    if (!call || call.state === 'ended' || this.#step || this.#part?.call_id === call.call_id) return;
    if (this.#left?.call_id !== call.call_id || this.#left.name) {
      this.#leave({ call_id: call.call_id, action: 'end' });
    }
    this.adopt(call);
  }

  /** Finds out whether this is the call that the user has left, or whether the call that was left is over. */
  #recognize(call) {
    const { side, deviceId } = this.#options;
    if (!this.#left) return;
    if (this.#left.call_id) {
      const over = call.call_id !== this.#left.call_id || call.state === 'ended';
      if (over) this.#keep(this.#part, null);
      return;
    }
    if (call.state === 'ended' || this.#part?.call_id === call.call_id) return;
    const answered = call.callee === side && call.answered_by === deviceId();
    if (answered) this.#leave({ call_id: call.call_id, action: 'end' });
    else if (call.caller === side) this.#leave({ call_id: call.call_id, action: 'end', name: this.#left.name });
  }

  /** What to remember of a step that was sent and is no longer waited for. */
  #remains({ fields: { call_id, client_call_id: name } }) {
    return call_id ? { call_id, action: 'reject' } : { name, until: this.#options.clock.now() + LAPSE_MS };
  }

  #leave(what) {
    this.#keep(this.#part?.call_id === what?.call_id ? null : this.#part, what);
    this.#say();
  }

  /** Tells the server which call was left, until the server knows. */
  #say() {
    if (this.#farewell || !this.#left?.call_id || this.#closed) return;
    this.#farewell = this.#sayLeft().finally(() => {
      this.#farewell = null;
      this.#options.changed();
    });
    this.#farewell.catch(() => {}); // `#left` still remembers it
  }

  async #sayLeft() {
    while (this.#left?.call_id) {
      const what = this.#left;
      const { call_id, action, name } = what;
      try {
        if (name) {
          const { call } = await this.#act('initiate', { client_call_id: name }, { patience: Infinity });
          this.#keep(this.#part, call.state === 'ended' ? null : { call_id: call.call_id, action });
          continue;
        }
        const answer = await this.#act(action, { call_id }, { patience: Infinity });
        this.adopt(answer.call, answer.ts);
      } catch (error) {
        if (error.code === 'closed') throw error;
        const call = error.details?.call;
        this.adopt(call);
        const answered = call?.call_id === call_id && call.state === 'connected' && this.#isOurs(call);
        if (action === 'reject' && answered && this.#left === what) {
          this.#leave({ call_id, action: 'end' }); // our own accept was faster
          continue;
        }
      }
      if (this.#left === what) this.#keep(this.#part, null);
    }
  }

  async #act(action, fields, how) {
    const { requests, deviceId } = this.#options;
    const answer = await requests.ask({ action: 'call', call_action: action, ...fields, device_id: deviceId() }, how);
    if (answer.reached != null) this.reached = answer.reached;
    return answer;
  }

  #rangOut() {
    this.#check();
    this.#settle();
    this.#options.changed();
  }

  /** Brings microphone and voice in line with the call. */
  #settle() {
    if (this.#step) return;
    if (!this.live || !this.#isOurs(this.call)) {
      this.#silence();
      if (this.call?.state === 'ended') this.#bury();
    } else if (this.call.state === 'connected' && !this.voice) {
      this.#talk(this.call);
    }
  }

  /** The call has ended: reports its quality, once. */
  #bury() {
    if (this.#part) this.#keep(null, this.#left);
    const quality = this.#quality;
    this.#quality = null;
    if (quality?.call_id === this.call.call_id) this.#act('report', quality).catch(() => {});
  }

  async #talk(call) {
    const { RTCPeerConnection, side, send, clock, changed, problem } = this.#options;
    if (!RTCPeerConnection) return;
    const voice = new Voice({
      callId: call.call_id,
      offers: call.caller === side,
      RTCPeerConnection,
      freshServers: () => this.#askServers(call.call_id),
      send: (data) => send({ action: 'signal', call_id: call.call_id, data }),
      clock,
      changed,
    });
    this.voice = voice;
    try {
      const known = this.#part?.call_id === call.call_id ? this.#part : this.#askServers(call.call_id);
      const [microphone, servers] = await Promise.all([this.#openMicrophone(voice.gone.signal), known]);
      if (this.voice === voice) voice.start(this.#microphone ?? microphone, servers); // it may have been replaced
    } catch (error) {
      if (this.voice !== voice) return;
      if (error.code === 'microphone') {
        voice.lose();
        this.#watch();
      }
      problem(error); // the call goes on, but without sound
    }
  }

  /** The call's ICE servers, fresh from the server: the credentials of the old ones may have expired. */
  async #askServers(callId) {
    const withdrawn = this.voice?.gone.signal;
    const answer = await this.#act('ice', { call_id: callId }, { withdrawn, patience: STEP_MS });
    if (this.live && this.call.call_id === callId) this.#keep(partOf(answer), this.#left);
    return partOf(answer);
  }

  async #openMicrophone(gone) {
    const { RTCPeerConnection, getUserMedia } = this.#options;
    if (!RTCPeerConnection || this.#microphone) return this.#microphone;
    let stream;
    try {
      stream = await getUserMedia({ audio: true });
    } catch (error) {
      throw fault('microphone', error?.message ?? 'There is no microphone');
    }
    if (gone.aborted || this.#microphone) stop(stream);
    else this.#watch((this.#microphone = stream));
    return this.#microphone;
  }

  /** If the microphone is unplugged during a call, or there is none, takes another, or tells a problem. */
  #watch(microphone) {
    for (const track of microphone?.getAudioTracks() ?? []) track.onended = () => this.#replaceMicrophone(microphone);
    if (this.#forgetDevices) return;
    const { mediaDevices } = this.#options;
    const look = () => {
      const dead = this.#microphone?.getAudioTracks().every((track) => track.readyState === 'ended');
      if (dead || this.voice?.microphone === 'lost') this.#replaceMicrophone(this.#microphone);
    };
    mediaDevices?.addEventListener?.('devicechange', look);
    this.#forgetDevices = () => mediaDevices?.removeEventListener?.('devicechange', look);
  }

  async #replaceMicrophone(lost) {
    if (lost !== this.#microphone) return;
    this.#microphone = null;
    const { voice } = this;
    voice?.lose();
    try {
      const microphone = await this.#openMicrophone(voice?.gone.signal ?? this.#step?.intent.signal ?? {});
      if (this.voice === voice) voice?.replace(microphone, this.#part);
    } catch (error) {
      if (this.voice === voice) this.#options.problem(error);
    }
  }

  #silence() {
    const { voice } = this;
    if (voice) {
      this.#quality = { call_id: voice.callId, report: voice.report() };
      voice.close();
    }
    this.voice = null;
    this.#forgetDevices?.();
    this.#forgetDevices = null;
    stop(this.#microphone);
    this.#microphone = null;
  }

  #save(part, left) {
    this.#options.store.write(this.#key, part || left ? { part, left } : null);
  }

  get #key() {
    const { name, deviceId } = this.#options;
    return `navietakie call ${name} ${deviceId()}`;
  }

  /** Remembers which call is this device's, and which the user has left. */
  #keep(part, left) {
    if (part === this.#part && left === this.#left) return;
    this.#part = part;
    this.#left = left;
    const { clock } = this.#options;
    this.#lapse.stop();
    if (left?.until) this.#lapse.set(Math.max(0, left.until - clock.now()), () => this.#keep(this.#part, null));
    this.#save(part, left);
  }

  /** Whether this device has the call. The other side may use the same device name, so our side has to match as well. */
  #isOurs(call) {
    const { side, deviceId } = this.#options;
    return (call.callee === side && call.answered_by === deviceId()) || this.#part?.call_id === call.call_id;
  }

  #isNews(call) {
    if (!this.call) return true;
    if (this.call.call_id === call.call_id) return call.version > this.call.version;
    return call.timestamp > this.call.timestamp;
  }
}

const partOf = ({ call, ice_servers = [], ice_transport_policy = 'all' }) => ({
  call_id: call.call_id,
  ice_servers,
  ice_transport_policy,
});

function stop(stream) {
  for (const track of stream?.getTracks() ?? []) {
    track.onended = null;
    track.stop();
  }
}
