import { randomUUID } from 'node:crypto';
import { claims } from './tokens.mjs';

const FIRST_PAGE = 50;
const SYNC_FRAMES = 8;
const RING_MS = 45_000;

/**
 * The server in memory: one booking, its connections and its call. A test decides when its network is slow, loses,
 * reorders or cuts.
 */
export class FakeServer {
  messages = [];
  epoch = null;
  receipts = emptyReceipts();
  call = null;
  connections = new Set();
  /**
   * Called before a client's frame is handled. Returns an error to refuse it, `'lost'` to lose it, or `'failed'` for
   * API Gateway's own error frame, as if a function failed or a route was throttled.
   */
  refuse = () => null;
  /** Whether a frame to a client is lost. */
  loses = () => false;
  /** How many messages fit into a `sync` frame. */
  frameMessages = 10;
  /** Whether `sync` frames have their `part`. */
  numbersParts = true;
  /** Milliseconds that a frame takes in either direction. Gets the frame if it goes to a client. */
  latency = () => 20;
  /** Whether a connection is let in. */
  admits = () => true;
  /** REST's answer to a diagnosis: an error body with its status, or null for the page. */
  restRefusal = null;
  handled = [];
  /** By how many milliseconds the server's clock is ahead of the devices'. */
  ahead = 0;
  iceTransportPolicy = 'all';
  booking = { closed_at: null, muted: [] };
  /** The uploads to the storage of attachments. */
  uploads = [];
  /** The texts that were redacted. */
  removed = [];
  #count = 0;
  #ringEnd = 0;
  #markers = new Map();
  /** The `client_call_id` with which each side initiated the latest call. */
  #initiates = {};
  #clock;

  constructor(clock) {
    this.#clock = clock;
  }

  /** Forgets the history, as if the table had been made anew. */
  wipe() {
    this.messages = [];
    this.epoch = null;
    this.receipts = emptyReceipts();
    this.#markers.clear();
  }

  /** Stores a message and tells everybody but `from`. */
  store({ sender, message, message_type = 'text', metadata = null, client_message_id = null }, from = null) {
    const key = client_message_id && `${sender} ${client_message_id}`;
    const known = key && this.#markers.get(key);
    const stored = known ?? this.#append({ sender, message, message_type, metadata, client_message_id });
    if (key) this.#markers.set(key, stored);
    this.tell({ type: 'message', sender, message: stored }, (each) => each !== from);
    return { message: stored, duplicate: Boolean(known) };
  }

  /** Posts a frame to the connections of the booking whose tokens are valid. */
  tell(frame, to = () => true) {
    for (const connection of this.connections) {
      if (to(connection) && !this.#isExpired(connection)) connection.post(frame);
    }
  }

  #isExpired({ protocols }) {
    const bearer = protocols.find((each) => each.startsWith('bearer.'));
    return Boolean(bearer) && claims(bearer).exp * 1_000 <= this.#clock.now() + this.ahead;
  }

  presence() {
    const there = (side) => [...this.connections].some((each) => each.sender === side && !each.away);
    return { driver: there('driver'), passenger: there('passenger'), agent: there('agent') };
  }

  /** What a client's `fetch` gets: history pages, and refusals. */
  fetch = async (url, { method, body } = {}) => {
    const query = new URL(url).searchParams;
    if (method === 'POST') {
      this.uploads.push({ url, fields: [...body.entries()] });
      return answer(this.restRefusal?.status ?? 204, null);
    }
    if (this.restRefusal) return answer(this.restRefusal.status, { error: this.restRefusal });
    if (url.includes('/attachment?')) return answer(200, { url: `http://storage/${++this.#count}` });
    const before = query.get('before');
    const all = this.messages.filter((each) => !before || each.timestamp < before).reverse();
    const limit = Number(query.get('limit') ?? 50);
    const messages = all.slice(0, limit);
    return answer(200, { messages, next_cursor: all.length > limit ? 'more' : null, ...this.head() });
  };

  head() {
    return { head_seq: this.messages.length, epoch: this.epoch, receipts: structuredClone(this.receipts) };
  }

  handle(connection, frame) {
    this.handled.push(frame);
    const expired = this.#isExpired(connection) && { code: 'token_expired' };
    const verdict = this.refuse(frame, connection) ?? expired;
    if (verdict === 'lost') return;
    if (verdict === 'failed') {
      const requestId = `r-${this.handled.length}`;
      connection.deliver({ message: 'Internal server error', connectionId: 'c', requestId });
      return;
    }
    if (verdict) {
      connection.post({ type: 'error', id: frame.id, error: { retryable: false, retry_after_ms: null, ...verdict } });
      return;
    }
    this[`on_${frame.action}`]?.(connection, frame);
  }

  on_message(connection, { id, message, message_type, metadata = null }) {
    const content = { sender: connection.sender, message, message_type, metadata, client_message_id: id };
    connection.post({ type: 'ack', id, ...this.store(content, connection) });
  }

  on_sync(connection, { id, after }) {
    const missed =
      after === undefined ? this.messages.slice(-FIRST_PAGE) : this.messages.filter((each) => each.timestamp > after);
    const head = this.head();
    const parts = [];
    for (let at = 0; at < missed.length || !parts.length; at += this.frameMessages) {
      parts.push(missed.slice(at, at + this.frameMessages));
    }
    const whole = parts.length <= SYNC_FRAMES;
    parts.length = Math.min(parts.length, SYNC_FRAMES);
    parts.forEach((messages, part) => {
      const last = part === parts.length - 1;
      const { callNow: call, booking } = this;
      const standing = last ? { call, presence: this.presence(), receipts: head.receipts, booking } : {};
      const through_seq = last && whole ? head.head_seq : messages.at(-1).seq;
      const through = last && whole ? (this.messages.at(-1)?.timestamp ?? null) : messages.at(-1).timestamp;
      const { head_seq, epoch } = head;
      const numbered = this.numbersParts ? { part } : {};
      const upTo = { through_seq, through, head_seq, epoch, has_more: !last };
      connection.post({ type: 'sync', id, ...numbered, messages, ...upTo, ...standing });
    });
  }

  on_ping(connection, { id }) {
    const call = this.call && { call_id: this.call.call_id, state: this.call.state, version: this.call.version };
    const { away, booking } = { away: Boolean(connection.away), ...this };
    connection.post({ type: 'pong', id, ...this.head(), call, presence: this.presence(), away, booking });
  }

  on_away(connection, { on }) {
    connection.away = on;
    this.tell({ type: 'presence', sender: connection.sender, online: !on }, (each) => each !== connection);
  }

  on_redact(connection, { id, timestamp }) {
    const found = this.messages.find((each) => each.timestamp === timestamp);
    if (!found) {
      connection.post({ type: 'error', id, error: { code: 'not_found', retryable: false } });
      return;
    }
    const metadata = { event: 'message_redacted', seq: found.seq, timestamp, by: connection.sender };
    const note = { sender: 'system', message: 'Message removed', message_type: 'system', metadata };
    const duplicate = Boolean(found.redacted_at);
    const message = duplicate ? this.messages.find((each) => each.metadata?.seq === found.seq) : this.#append(note);
    const blank = { ...found, message: '', metadata: null, redacted_at: found.redacted_at ?? message.timestamp };
    if (!duplicate) this.removed.push(found.message);
    this.messages[found.seq - 1] = blank;
    connection.post({ type: 'ack', id, message, duplicate });
    this.tell({ type: 'message', sender: 'system', message }, (each) => each !== connection);
  }

  on_attach(connection, { id, content_type, bytes }) {
    const attachment = { id: `a${++this.#count}`, content_type, bytes };
    const upload = { url: 'http://storage/upload', fields: { key: `upload/${attachment.id}`, policy: 'p' } };
    connection.post({ type: 'ack', id, attachment, upload });
  }

  on_delivered(connection, { seq }) {
    this.#mark(connection, 'delivered', seq);
  }

  on_read(connection, { seq }) {
    this.#mark(connection, 'read', seq);
  }

  on_typing(connection, { on }) {
    this.tell({ type: 'typing', sender: connection.sender, ts: this.#now(), on }, (each) => each !== connection);
  }

  on_signal(connection, { call_id, data }) {
    this.tell(
      { type: 'signal', sender: connection.sender, call_id, data },
      (each) => each.sender !== connection.sender,
    );
  }

  on_call(connection, { id, call_action: action, call_id: callId, client_call_id: name }) {
    const { sender, deviceId } = connection;
    const ice_servers = [{ urls: 'stun:example.org' }];
    const how = { ice_transport_policy: this.iceTransportPolicy, reached: 1 };
    if (action === 'ice' || action === 'report') {
      const fits = this.call?.call_id === callId && (this.call.state === 'ended') === (action === 'report');
      if (!fits) connection.post({ type: 'error', id, error: { code: 'illegal_transition', retryable: false } });
      else if (action === 'report') connection.post({ type: 'ack', id, call: this.call });
      else connection.post({ type: 'ack', id, call: this.call, ice_servers: this.freshServers(), ...how });
      return;
    }
    const act = `${action} ${sender} ${deviceId}`;
    const call = this.call;
    const live = call && call.state !== 'ended';
    const change = {
      initiate: !live ? 'ringing' : call.state === 'ringing' && call.callee === sender ? 'connected' : null,
      accept: live && call.state === 'ringing' && call.callee === sender ? 'connected' : null,
      reject: live && call.state === 'ringing' && call.callee === sender ? 'ended' : null,
      end: live && (call.state === 'connected' || call.caller === sender) ? 'ended' : null,
    }[action];
    const named = action === 'initiate' && name !== undefined && this.#initiates[sender] === name;
    const repeat = named || (call?.act === act && (action === 'initiate' || call.call_id === callId));
    if (!repeat && (!change || (action !== 'initiate' && call.call_id !== callId))) {
      const code = action === 'initiate' && call?.state === 'connected' ? 'call_in_progress' : 'illegal_transition';
      connection.post({ type: 'error', id, error: { code, retryable: false, details: { call } } });
      return;
    }
    if (!repeat) {
      this.changeCall(change, { sender, deviceId, act }, connection);
      if (action === 'initiate') this.#initiates[sender] = name;
    }
    connection.post({ type: 'ack', id, call: this.callNow, ice_servers, ...how });
  }

  /** The call as frames show it now, with the rest of its ring time. */
  get callNow() {
    if (this.call?.state !== 'ringing') return this.call;
    return { ...this.call, ring_ms_left: this.#ringEnd - this.#clock.now() };
  }

  /** ICE servers with credentials that nobody else got. */
  freshServers() {
    return [{ urls: `turn:fresh-${++this.#count}.example.org` }];
  }

  /** Changes the call, or begins one, and tells everybody but `from`. */
  changeCall(state, { sender, deviceId, act = null } = {}, from = null) {
    if (state === 'ringing') {
      this.#initiates = {};
      const count = Number(this.call?.timestamp ?? 0) + 1;
      const callee = sender === 'driver' ? 'passenger' : 'driver';
      this.call = { call_id: `call-${count}`, timestamp: String(count).padStart(4, '0'), caller: sender, callee, version: 0 };
    }
    const answered = state === 'connected' ? { answered_by: deviceId, answered_at: this.#now() } : {};
    const ring_ms_left = state === 'ringing' ? RING_MS : null;
    if (state === 'ringing') this.#ringsUntil(this.call.call_id);
    this.call = { ...this.call, ...answered, state, act, ring_ms_left, version: this.call.version + 1 };
    this.tell({ type: 'call', sender: sender ?? 'system', call: this.call }, (each) => each !== from);
  }

  #append(content) {
    this.epoch ??= randomUUID();
    const seq = this.messages.length + 1;
    const last = this.messages.at(-1)?.timestamp ?? '';
    const timestamp = last < this.#now() ? this.#now() : next(last);
    const message = { message_id: randomUUID(), booking_code: 'test', seq, timestamp, sender_id: null, ...content };
    this.messages.push(message);
    return message;
  }

  /** A ring ends two seconds after its deadline, because an accept may be on its way. */
  #ringsUntil(callId) {
    const end = () => this.call?.call_id === callId && this.call.state === 'ringing' && this.changeCall('ended');
    this.#ringEnd = this.#clock.now() + RING_MS;
    this.#clock.setTimeout(end, RING_MS + 2_000);
  }

  #now() {
    return new Date(this.#clock.now() + this.ahead).toISOString().replace('Z', '000Z');
  }

  #mark(connection, kind, seq) {
    const mine = this.receipts[connection.sender];
    if (seq > this.messages.length || seq <= mine[kind]) return;
    mine[kind] = seq;
    mine.delivered = Math.max(mine.delivered, mine.read);
    const told = {
      type: 'receipt',
      sender: connection.sender,
      action: kind,
      seq,
      receipts: structuredClone(this.receipts),
    };
    this.tell(told, (each) => each !== connection);
  }

  /** The WebSocket class of one device: its sockets end here. */
  get WebSocket() {
    const server = this;
    const clock = this.#clock;
    return class FakeWebSocket {
      readyState = 0;
      onopen = null;
      onmessage = null;
      onclose = null;
      static latest = null;

      constructor(url, protocols = []) {
        const query = new URL(url).searchParams;
        this.sender = query.get('sender');
        this.deviceId = query.get('device_id');
        this.protocols = protocols;
        FakeWebSocket.latest = this;
        clock.setTimeout(() => this.#shake(), server.latency());
      }

      #shake() {
        if (this.readyState !== 0) return;
        if (!server.admits(this)) return this.cut();
        this.readyState = 1;
        server.connections.add(this);
        server.tell({ type: 'presence', sender: this.sender, online: true }, (each) => each !== this);
        this.onopen?.({});
      }

      send(text) {
        clock.setTimeout(() => server.connections.has(this) && server.handle(this, JSON.parse(text)), server.latency());
      }

      /** Sends a frame to the device. */
      post(frame) {
        this.deliver({ v: 1, booking_code: 'test', ts: new Date(clock.now() + server.ahead).toISOString(), ...frame });
      }

      /** Sends a frame as it is. */
      deliver(frame) {
        const text = JSON.stringify(frame);
        if (server.loses(frame)) return;
        clock.setTimeout(() => this.readyState === 1 && this.onmessage?.({ data: text }), server.latency(frame));
      }

      /** Breaks the line. If the cut is silent, the device does not notice. */
      cut({ silent = false } = {}) {
        server.connections.delete(this);
        this.cutSilently = silent;
        if (silent) {
          this.deliver = () => {};
          return;
        }
        this.readyState = 3;
        this.onclose?.({});
      }

      close() {
        if (server.connections.delete(this)) {
          server.tell({ type: 'presence', sender: this.sender, online: false });
        }
        this.readyState = 3;
      }
    };
  }
}

/** The timestamp a microsecond after `timestamp`. */
function next(timestamp) {
  const micros = BigInt(Date.parse(timestamp)) * 1000n + BigInt(timestamp.slice(-4, -1)) + 1n;
  return new Date(Number(micros / 1000n)).toISOString().replace('Z', `${String(micros % 1000n).padStart(3, '0')}Z`);
}

function answer(status, body) {
  return { ok: status < 300, status, headers: new Headers(), json: async () => structuredClone(body) };
}

function emptyReceipts() {
  return { driver: { delivered: 0, read: 0 }, passenger: { delivered: 0, read: 0 } };
}
