import assert from 'node:assert/strict';
import { connect } from '../../../web/navietakie.js';
import { VirtualClock, settled } from './clock.mjs';
import { MemoryStorage } from './storage.mjs';

const BOOKING = 'test';
const STEP_MS = 10;

/**
 * Plays one scenario of docs/conformance: a client, a clock, and a line whose other end follows the scenario.
 * docs/conformance/README.md says what each step means, and which values are used if a step leaves them out.
 */
export class Stage {
  #clock = new VirtualClock();
  #storage = new MemoryStorage();
  #given;
  #chat = null;
  #sockets = [];
  #said = [];
  #fired = [];
  #names = new Map();
  #rest = null;
  /** The standing of the booking, as far as the server has told it. */
  #stands = { head: 0, epoch: null, call: null, receipts: receipts(), presence: presence() };

  constructor({ sender = 'driver', pings = 'answered', ignores = ['delivered', 'away'], tokens, ...options }) {
    if (tokens) options.token = () => (tokens.length > 1 ? tokens.shift() : tokens[0]);
    this.#given = { sender, pings, ignores, options };
    this.#open();
  }

  /** Plays a step: `{says: …}`, `{hears: …}` and so on. */
  async play({ within, ...step }) {
    const [[verb, what], ...more] = Object.entries(step);
    assert.deepEqual(more, [], 'a step does one thing');
    assert.ok(verbs.has(verb), `there is no step "${verb}"`);
    await settled();
    await this[verb](what, within);
    await settled();
  }

  end() {
    this.#chat.close();
  }

  async connects(query, within = 0) {
    await this.#until(within, () => this.#latest?.readyState === 0);
    assert.equal(this.#latest?.readyState, 0, 'the client opens no connection');
    const { searchParams } = new URL(this.#latest.url);
    const bearer = this.#latest.protocols.find((each) => each.startsWith('bearer.'));
    const offered = { ...Object.fromEntries(searchParams), token: bearer?.slice('bearer.'.length) };
    if (query !== true) this.#match(offered, query);
    this.#latest.opened();
  }

  async refuses(answer, within = 0) {
    await this.#until(within, () => this.#latest?.readyState === 0);
    assert.equal(this.#latest?.readyState, 0, 'the client opens no connection');
    this.#rest = answer === true ? null : answer;
    this.#latest.broken();
  }

  passes(ms) {
    return this.#clock.pass(ms);
  }

  async says(wanted, within = 0) {
    if (wanted === 'nothing') {
      assert.deepEqual(this.#said, []);
      return;
    }
    await this.#until(within, () => this.#said.length);
    assert.ok(this.#said.length, 'the client says nothing');
    this.#match(this.#said.shift(), wanted);
  }

  hears(frame) {
    this.#deliver(this.#whole(this.#named(frame)));
  }

  hears_raw(frame) {
    this.#latest.delivers(frame);
  }

  breaks(how) {
    if (how === 'silently') this.#latest.mute = true;
    else this.#latest.broken();
  }

  async drops(_, within = 0) {
    const socket = this.#latest;
    await this.#until(within, () => socket.closed || this.#latest !== socket);
    assert.ok(socket.closed, 'the client keeps its line');
  }

  reloads() {
    this.#chat.close();
    this.#fired = [];
    this.#open();
  }

  async does(act) {
    const chat = this.#chat;
    const [[name, value]] = Object.entries(this.#named(act));
    const acts = {
      send: () => chat.send(value),
      mark_read: () => (value === true ? chat.markRead() : chat.markRead(value)),
      type: () => chat.sayTyping(value),
      retry: () => chat.retry(chat.outbox[value].id),
      discard: () => chat.discard(chat.outbox[value].id),
      reconnect: () => chat.reconnect(value === true ? {} : value),
      away: () => chat.setAway(value),
      wake: () => chat.wake(),
      close: () => chat.close(),
      call: () => chat.calls.start().catch(() => {}),
      answer: () => chat.calls.accept().catch(() => {}),
      hang_up: () => chat.calls.hangUp().catch(() => {}),
    };
    assert.ok(acts[name], `nobody does "${name}"`);
    acts[name]();
  }

  sees(wanted) {
    const { messages, outbox, typing, calls, ...chat } = view(this.#chat);
    const seen = { ...chat, messages, outbox, typing, ...calls };
    for (const [name, value] of Object.entries(this.#named(wanted))) {
      assert.ok(name in seen, `nobody sees "${name}"`);
      const listed = name === 'messages' && value.map((each) => (typeof each === 'number' ? { seq: each } : each));
      this.#match(seen[name], listed || value, name);
    }
  }

  fires(wanted) {
    const fired = this.#fired.splice(0);
    const shown = (event) => (typeof event === 'string' ? { [event]: undefined } : event);
    assert.deepEqual(fired.map(nameOf), wanted.map(shown).map(nameOf));
    wanted.map(shown).forEach((event, index) => {
      const [[name, detail]] = Object.entries(event);
      if (detail !== undefined) this.#match(fired[index][name], typeof detail === 'number' ? { seq: detail } : detail, name);
    });
  }

  get #latest() {
    return this.#sockets.at(-1);
  }

  #open() {
    const stage = this;
    class WebSocket {
      readyState = 0;
      closed = false;
      mute = false;
      constructor(url, protocols = []) {
        Object.assign(this, { url, protocols });
        stage.#sockets.push(this);
      }
      send(text) {
        if (!this.mute) stage.#hear(JSON.parse(text));
      }
      close() {
        this.closed = true;
        this.readyState = 3;
      }
      opened() {
        this.readyState = 1;
        this.onopen?.({});
      }
      broken() {
        this.readyState = 3;
        this.onclose?.({});
      }
      delivers(frame) {
        if (!this.mute && this.readyState === 1) this.onmessage?.({ data: JSON.stringify(frame) });
      }
    }
    const { sender, options } = this.#given;
    const addresses = { api: 'http://fake', ws: 'ws://fake/ws' };
    const own = { storage: this.#storage, clock: this.#clock, fetch: () => this.#fetch(), WebSocket };
    this.#chat = connect({ bookingCode: BOOKING, sender, deviceId: 'd1', ...addresses, ...own, ...options });
    for (const name of ['ready', 'message', 'sent', 'redacted', 'healed', 'reset', 'problem']) {
      this.#chat.on(name, (detail) => this.#fired.push({ [name]: detail }));
    }
  }

  #hear(frame) {
    if (frame.action === 'ping' && this.#given.pings === 'answered') {
      queueMicrotask(() => this.#deliver(this.#whole({ type: 'pong', id: frame.id }))); // not within its `send`
    } else if (!this.#given.ignores.includes(frame.action)) {
      this.#said.push(frame);
    }
  }

  async #fetch() {
    if (this.#rest === null) throw new TypeError('fetch failed');
    const { status = 200, ...body } = this.#rest;
    return { ok: status < 300, status, headers: new Headers(), json: async () => structuredClone(body) };
  }

  async #until(ms, condition) {
    for (let waited = 0; waited < ms && !condition(); waited += STEP_MS) await this.#clock.pass(STEP_MS);
  }

  #deliver(frame) {
    this.#latest.delivers(frame);
  }

  /** The frame with everything that the scenario leaves out. */
  #whole({ message, messages, call, ...frame }) {
    const stands = this.#stands;
    const whole = { v: 1, booking_code: BOOKING, ts: new Date(this.#clock.now()).toISOString(), ...frame };
    if (message !== undefined && frame.type !== 'error') whole.message = wholeMessage(message);
    if (messages !== undefined) whole.messages = messages.map(wholeMessage);
    if (call !== undefined) whole.call = call && wholeCall(call);
    const shown = [...(whole.messages ?? []), ...(whole.message ? [whole.message] : [])];
    stands.head = Math.max(stands.head, frame.head_seq ?? 0, ...shown.map((each) => each.seq));
    if (frame.epoch !== undefined) stands.epoch = frame.epoch;
    else if (stands.head) stands.epoch ??= 'e1';
    if (whole.call) stands.call = whole.call;
    if (frame.receipts) stands.receipts = frame.receipts;
    if (frame.presence) stands.presence = frame.presence;
    return this.#filled(whole);
  }

  #filled(frame) {
    const { head, epoch, call, receipts, presence } = this.#stands;
    const booking = { closed_at: null, muted: [] };
    const short = call && { call_id: call.call_id, state: call.state, version: call.version, ring_ms_left: call.ring_ms_left };
    const time = new Date(this.#clock.now()).toISOString();
    switch (frame.type) {
      case 'sync': {
        const messages = frame.messages ?? [];
        const last = !frame.has_more;
        const through_seq = last ? head : (messages.at(-1)?.seq ?? head);
        const standing = last ? { call, presence, receipts, booking } : {};
        return { part: 0, has_more: false, through_seq, head_seq: head, epoch, ...standing, messages, ...frame };
      }
      case 'pong': {
        const own = { server_time: time, connection_id: 'c', away: false };
        return { head_seq: head, epoch, call: short, receipts, presence, booking, ...own, ...frame };
      }
      case 'message':
        return { sender: frame.message.sender, ...frame };
      case 'ack':
        return frame.call ? { ice_servers: [], ice_transport_policy: 'all', reached: 1, ...frame } : { duplicate: false, ...frame };
      case 'call':
        return { sender: 'passenger', call_id: frame.call.call_id, ...frame };
      case 'error': {
        const error = { message: frame.error.code, retryable: false, retry_after_ms: null, details: {}, ...frame.error };
        if (error.details.call) error.details = { call: wholeCall(error.details.call) };
        return { id: null, ...frame, error };
      }
      default:
        return frame;
    }
  }

  /** The step with the values of its `$names`. */
  #named(value) {
    if (typeof value === 'string' && value.startsWith('$')) {
      assert.ok(this.#names.has(value), `${value} has not been said`);
      return this.#names.get(value);
    }
    if (Array.isArray(value)) return value.map((each) => this.#named(each));
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, this.#named(inner)]));
  }

  /** Asserts that a value has everything that is wanted. Objects may have more fields, lists no more elements. */
  #match(real, wanted, place = 'it') {
    if (typeof wanted === 'string' && wanted.startsWith('$')) {
      if (!this.#names.has(wanted)) {
        assert.ok(real !== undefined && real !== null, `${place} is missing`);
        this.#names.set(wanted, real);
      }
      assert.deepEqual(real, this.#names.get(wanted), place);
    } else if (Array.isArray(wanted)) {
      assert.ok(Array.isArray(real), `${place} is no list`);
      assert.equal(real.length, wanted.length, `${place} has another length: ${JSON.stringify(real)}`);
      wanted.forEach((each, index) => this.#match(real[index], each, `${place}[${index}]`));
    } else if (wanted !== null && typeof wanted === 'object') {
      assert.ok(real, `${place} is missing`);
      for (const [key, inner] of Object.entries(wanted)) this.#match(real[key], inner, `${place}.${key}`);
    } else {
      assert.deepEqual(real ?? null, wanted, place);
    }
  }
}

const verbs = new Set(Object.getOwnPropertyNames(Stage.prototype).filter((each) => !['constructor', 'play', 'end'].includes(each)));

/** What a user can see of the client, in the words of docs/conformance. */
function view(chat) {
  const { phase, call } = chat.calls;
  const { state, ready, messages, unread, receipts, presence, typing, outbox } = chat;
  const refusal = chat.refusal?.code ?? null;
  return { state, refusal, ready, messages, unread, receipts, presence, typing: [...typing], outbox, calls: { phase, call } };
}

const nameOf = (event) => Object.keys(event)[0];

function wholeMessage(given) {
  const { seq, ...fields } = typeof given === 'number' ? { seq: given } : given;
  return {
    message_id: `m${seq}`,
    booking_code: BOOKING,
    seq,
    timestamp: `2026-01-31T08:00:00.${String(seq).padStart(6, '0')}Z`,
    sender: 'passenger',
    sender_id: null,
    message_type: 'text',
    message: `text ${seq}`,
    redacted_at: null,
    client_message_id: null,
    metadata: null,
    ...fields,
  };
}

function wholeCall(given) {
  const { state = 'ringing' } = given;
  const ringing = state === 'ringing';
  const answered = state === 'connected' ? '2026-01-31T08:00:10.000000Z' : null;
  return {
    call_id: 'call-1',
    booking_code: BOOKING,
    timestamp: '2026-01-31T08:00:00.000000Z',
    caller: 'passenger',
    callee: 'driver',
    state,
    end_reason: state === 'ended' ? 'completed' : null,
    answered_at: answered,
    ended_at: state === 'ended' ? '2026-01-31T08:01:00.000000Z' : null,
    duration_seconds: 0,
    rings_until: ringing ? '2026-01-31T08:00:45.000000Z' : null,
    ring_ms_left: ringing ? 45_000 : null,
    answered_by: null,
    version: { ringing: 1, connected: 2, ended: 3 }[state],
    ...given,
  };
}

function receipts() {
  return { driver: { delivered: 0, read: 0 }, passenger: { delivered: 0, read: 0 } };
}

function presence() {
  return { driver: true, passenger: true, agent: false };
}
