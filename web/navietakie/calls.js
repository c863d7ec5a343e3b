import { NavieTakieError } from './errors.js';
import { newId } from './ids.js';
import { Voice } from './voice.js';

/**
 * The booking's latest call, and this device's part in it.
 *
 * `call` is as the server tells it. `phase` is what it means here: `idle`, `dialling` (asking the server), `calling`
 * (the other side rings), `ringing` (we do), `answering`, `talking`, or `elsewhere` (another device of this side has
 * it). `voice` carries the sound while `talking`, where the platform has WebRTC.
 */
export class Calls {
  /** @type {import('./types.js').Call | null} */
  call = null;
  /** @type {Voice | null} */
  voice = null;
  /** When the ring ends, in milliseconds since 1970 by this device's clock. */
  ringsUntil = null;
  /** How many connections of the other side took the last action's frame. */
  reached = null;
  #options;
  #asking = null;
  /** Of what the user last wanted; aborted when the user wants something else. */
  #intent = new AbortController();
  #part = null;
  #microphone = null;

  /**
   * @param {object} options
   * @param {import('./types.js').Sender} options.side
   * @param {string} options.deviceId
   * @param {(fields: object, withdrawn?: AbortSignal) => Promise<object>} options.ask a request that may be repeated
   * @param {() => void} options.repeat asks again at once
   * @param {(frame: object) => boolean} options.send
   * @param {{read: () => object|null, write: (part: object|null) => void}} options.memory survives a reload
   * @param {typeof RTCPeerConnection} [options.RTCPeerConnection]
   * @param {(constraints: object) => Promise<MediaStream>} [options.getUserMedia]
   * @param {import('./types.js').Clock} options.clock
   * @param {() => void} options.changed
   * @param {(error: NavieTakieError) => void} options.problem
   */
  constructor(options) {
    this.#options = options;
    this.#part = options.memory.read();
  }

  get phase() {
    if (this.#asking) return this.#asking;
    if (!this.live) return 'idle';
    if (this.call.state === 'connected') return this.#isOurs(this.call) ? 'talking' : 'elsewhere';
    if (this.call.callee === this.#options.side) return 'ringing';
    return this.#isOurs(this.call) ? 'calling' : 'elsewhere';
  }

  get live() {
    return this.call !== null && this.call.state !== 'ended';
  }

  /** Calls the other side. Rejects with `microphone`, or what the server says. */
  async start() {
    if (this.live || this.#asking) return;
    await this.#join('dialling', 'initiate', { client_call_id: newId() }); // however often it is said, it rings once
  }

  /** Answers the call that rings here. */
  async accept() {
    if (this.phase !== 'ringing') return;
    await this.#join('answering', 'accept', { call_id: this.call.call_id });
  }

  /** Declines, cancels or hangs up, whichever it is by now. What is heard stops at once. */
  async hangUp() {
    this.#intend();
    this.#asking = null;
    this.#silence();
    this.#options.changed();
    if (this.live) await this.#leave(this.call);
  }

  /** Takes the call as a frame tells it. Older news than ours is dropped. */
  adopt(call) {
    if (!call || !this.#isNews(call)) return;
    const { clock } = this.#options;
    this.call = call;
    this.ringsUntil = call.ring_ms_left == null ? null : clock.now() + call.ring_ms_left;
    this.#settle();
    if (this.#asking) this.#options.repeat(); // it moves on before we are answered: the answer may be lost
    this.#options.changed();
  }

  /** Whether a pong's short form of the call is ahead of ours. */
  isBehind(short) {
    if (!short) return false;
    return this.call?.call_id !== short.call_id || this.call.version < short.version;
  }

  /** Takes what the other side's device says about the connection. */
  signalled(callId, data) {
    if (this.voice?.callId === callId) this.voice.receive(data);
  }

  lineOpened() {
    this.voice?.nudge();
  }

  startOver() {
    this.#silence();
    this.call = null;
  }

  close() {
    this.#intend();
    this.#silence();
  }

  /** Lets go of what was wanted before. */
  #intend() {
    this.#intent.abort();
    this.#intent = new AbortController();
    return this.#intent.signal;
  }

  async #join(phase, action, fields) {
    const intent = this.#intend();
    this.#asking = phase;
    this.#options.changed();
    try {
      await this.#openMicrophone();
      if (intent.aborted) return;
      const { call, ice_servers: iceServers } = await this.#act(action, fields, intent);
      if (intent.aborted) {
        await this.#leave(call); // it was hung up before the server had answered
        return;
      }
      this.#take({ call_id: call.call_id, ice_servers: iceServers ?? [] });
      this.#asking = null;
      this.adopt(call);
    } catch (error) {
      if (intent.aborted) return;
      this.#asking = null;
      this.adopt(error.details?.call);
      throw error;
    } finally {
      if (!intent.aborted) {
        this.#asking = null;
        this.#settle();
      }
      if (this.phase !== 'talking' && this.phase !== 'calling' && !this.#asking) this.#silence();
      this.#options.changed();
    }
  }

  async #leave(call) {
    const action = call.state === 'ringing' && call.callee === this.#options.side ? 'reject' : 'end';
    try {
      this.adopt((await this.#act(action, { call_id: call.call_id })).call);
    } catch (error) {
      this.adopt(error.details?.call);
      if (this.live && this.call.call_id === call.call_id) throw error;
    }
  }

  async #act(action, fields, withdrawn) {
    const { ask, deviceId } = this.#options;
    const answer = await ask({ action: 'call', call_action: action, ...fields, device_id: deviceId }, withdrawn);
    this.reached = answer.reached ?? null;
    return answer;
  }

  /** Brings microphone and voice in line with the call. */
  #settle() {
    if (this.#asking) return;
    if (!this.live || !this.#isOurs(this.call)) {
      this.#silence();
      if (!this.live) this.#take(null);
    } else if (this.call.state === 'connected' && !this.voice) {
      this.#talk(this.call);
    }
  }

  async #talk(call) {
    const { RTCPeerConnection, side, send, clock, changed } = this.#options;
    if (!RTCPeerConnection) return;
    const voice = new Voice({
      callId: call.call_id,
      offers: call.caller === side,
      iceServers: this.#part?.ice_servers ?? [],
      RTCPeerConnection,
      send: (data) => send({ action: 'signal', call_id: call.call_id, data }),
      clock,
      changed,
    });
    this.voice = voice;
    try {
      const microphone = await this.#openMicrophone();
      if (this.voice === voice) voice.start(microphone);
    } catch (error) {
      this.#options.problem(error); // after a reload: the call goes on, but nobody is heard
    }
  }

  async #openMicrophone() {
    const { RTCPeerConnection, getUserMedia } = this.#options;
    if (!RTCPeerConnection || this.#microphone) return this.#microphone;
    const { signal: intent } = this.#intent;
    let stream;
    try {
      stream = await getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true } });
    } catch (error) {
      throw new NavieTakieError({ code: 'microphone', message: error?.message ?? 'There is no microphone' });
    }
    if (intent.aborted) stop(stream);
    else this.#microphone = stream;
    return this.#microphone;
  }

  #silence() {
    this.voice?.close();
    this.voice = null;
    stop(this.#microphone);
    this.#microphone = null;
  }

  /** Remembers which call is this device's, and by which servers it finds its way; null forgets it. */
  #take(part) {
    if (part === null && this.#part === null) return;
    this.#part = part;
    this.#options.memory.write(part);
  }

  #isOurs(call) {
    return call.answered_by === this.#options.deviceId || this.#part?.call_id === call.call_id;
  }

  #isNews(call) {
    if (!this.call) return true;
    if (this.call.call_id === call.call_id) return call.version > this.call.version;
    return call.timestamp > this.call.timestamp;
  }
}

function stop(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
