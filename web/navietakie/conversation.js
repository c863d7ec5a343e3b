import { Access } from './access.js';
import { Calls } from './calls.js';
import { systemClock } from './clock.js';
import { Emitter } from './emitter.js';
import { NavieTakieError } from './errors.js';
import { flaw, messageFrame } from './frames.js';
import { newId } from './ids.js';
import { Line } from './line.js';
import { Outbox } from './outbox.js';
import { memory, onWake, surroundings } from './platform.js';
import { Receipts } from './receipts.js';
import { Requests } from './requests.js';
import { Rest } from './rest.js';
import { Sync } from './sync.js';
import { Timeline } from './timeline.js';
import { Typing } from './typing.js';

const SENDERS = ['driver', 'passenger', 'system'];

/**
 * What the server says of a frame that it could not read as far as the id. That may be the message in flight, which
 * would fail at every try; if it was another frame, the message's own ack comes all the same and makes it good.
 */
const UNREAD = ['invalid_request', 'too_large'];

/**
 * One side's view of a booking. Read its properties when `change` says that one of them moved.
 *
 * Events: `change`; `message` (each message once, in order, after the first page of history); `ready` (the first page is
 * there), `reset` (the history began anew: what was shown is void); `healed` (`{messages, ms}`: missed messages were
 * brought in); `sent` (one of this client's messages is stored); `problem` (an error that no promise carries: a
 * NavieTakieError, or what `token` or WebSocket has thrown); `frame` (`{direction, frame, text}`, whatever passes on
 * the line).
 */
export class Conversation extends Emitter {
  bookingCode;
  sender;
  deviceId;
  /** `{driver, passenger}`: who has a connection, as far as known. */
  presence = { driver: false, passenger: false };
  #clock;
  #timeline = new Timeline();
  #ready = false;
  #changeDue = false;
  #parts;
  #stopListening;

  constructor(options) {
    super();
    if (!options.bookingCode) throw new TypeError('connect: bookingCode is required');
    if (!SENDERS.includes(options.sender)) throw new TypeError('connect: sender is driver, passenger or system');
    const { bookingCode, sender, deviceId = newId(), clock = systemClock } = options;
    Object.assign(this, { bookingCode, sender, deviceId });
    this.#clock = clock;
    const { storage, WebSocket, fetch, api, ws, RTCPeerConnection, getUserMedia } = surroundings(options);
    const send = (frame) => this.#parts.line.send(frame);
    const changed = () => this.#changed();
    const problem = (error) => this.emit('problem', error);
    const rest = new Rest({ base: api, fetch, token: () => access.token() });
    const access = new Access({ bookingCode, sender, deviceId, ws, rest, token: options.token });
    const requests = new Requests({ send, clock });
    const name = `${ws} ${bookingCode} ${sender}`;
    this.#parts = {
      requests,
      rest,
      access,
      line: new Line({
        WebSocket,
        clock,
        address: () => access.address(),
        diagnose: () => access.diagnose(),
        problem,
        onState: (state) => this.#lineBecame(state),
        onFrame: (frame, text) => this.#received(frame, text),
        onSent: (frame, text) => this.emit('frame', { direction: 'out', frame, text }),
      }),
      outbox: new Outbox({
        storage,
        clock,
        newId,
        prefix: `navietakie outbox ${name} `,
        flaw: (entry) => flaw(messageFrame(entry)),
        transmit: (entry) => send(messageFrame(entry)),
        changed,
      }),
      sync: new Sync(this.#timeline, {
        send,
        clock,
        inCall: () => this.calls.live,
        fresh: (messages) => this.#took(messages),
        standing: (frame) => this.#stands(frame),
        synced: (healed) => this.#synced(healed),
        startedOver: () => this.#startedOver(),
        dead: () => this.#parts.line.drop(),
      }),
      receipts: new Receipts({ side: sender, send, clock }),
      typing: new Typing({ send, clock, changed }),
      calls: new Calls({
        side: sender,
        deviceId,
        ask: (fields, withdrawn) => requests.ask(fields, withdrawn),
        repeat: () => requests.repeat(),
        send,
        clock,
        changed,
        problem,
        RTCPeerConnection,
        getUserMedia,
        memory: memory(storage, `navietakie call ${name} ${deviceId}`),
      }),
    };
    this.#stopListening = onWake(() => this.#woke());
    this.#parts.line.retry();
  }

  /** `connecting`, `open`, `waiting` (for the next try, at `retryAt`), `refused` (see `refusal`) or `closed`. */
  get state() {
    return this.#parts.line.state;
  }

  get refusal() {
    return this.#parts.line.refusal;
  }

  get retryAt() {
    return this.#parts.line.retryAt;
  }

  /** Whether the first page of history is there. */
  get ready() {
    return this.#ready;
  }

  /** The messages so far, oldest first, without a hole from the first one here to the last. */
  get messages() {
    return this.#timeline.messages;
  }

  /** Messages of this device on their way: see Outbox. They come after `messages`. */
  get outbox() {
    return this.#parts.outbox.entries;
  }

  get hasOlder() {
    return this.#timeline.hasOlder;
  }

  /** `{seq, head, epoch}`: up to where nothing is missing here, and how far the server is known to be. */
  get position() {
    const { through, head, epoch } = this.#timeline;
    return { seq: through, head: Math.max(head, through), epoch };
  }

  /** `{driver: {delivered, read}, passenger: …}`: how far each side has got and read. */
  get receipts() {
    return this.#parts.receipts.known;
  }

  /** Messages of others that this side has not read; of those before `messages`, all are taken for others'. */
  get unread() {
    const { read } = this.#parts.receipts.own;
    const here = this.messages.filter((message) => message.seq > read && message.sender !== this.sender).length;
    return here + Math.max(0, this.#timeline.floor - read);
  }

  /** The other senders that are typing, as a Set. */
  get typing() {
    return this.#parts.typing.who;
  }

  /** The call and its actions: see Calls. */
  get calls() {
    return this.#parts.calls;
  }

  /**
   * Sends a message, now or as soon as the line is up, once. Returns its entry in the outbox; `stored` of it is a
   * promise of the stored message.
   */
  send(message, { message_type = 'text', metadata = null } = {}) {
    this.#parts.typing.sent();
    const entry = this.#parts.outbox.add({ message, message_type, metadata });
    this.#changed();
    return entry;
  }

  /** Sends a failed message again. */
  retry(id) {
    this.#parts.outbox.retry(id);
  }

  /** Forgets a message that failed or has not been tried. */
  discard(id) {
    return this.#parts.outbox.discard(id);
  }

  /** Says that this side types, or has stopped; call it at every key. */
  sayTyping(on = true) {
    this.#parts.typing.say(on);
  }

  /** Says that this side has read everything up to `seq`: all of it by default. */
  markRead(seq = this.#timeline.through) {
    const foreign = this.messages.findLast((message) => message.seq <= seq && message.sender !== this.sender);
    const read = foreign?.seq ?? Math.min(seq, this.#timeline.floor);
    if (this.#parts.receipts.note('read', read)) this.#changed();
  }

  /** Fetches messages before the first one here. Resolves with them: with none before the first page is there. */
  async loadOlder(limit = 50) {
    if (!this.hasOlder) return [];
    const before = this.messages[0]?.timestamp;
    const epoch = this.#timeline.epoch;
    const query = { booking_code: this.bookingCode, limit, order: 'desc', before };
    const page = await this.#parts.rest.get('get_message', query);
    if (epoch !== this.#timeline.epoch || before !== this.messages[0]?.timestamp) return [];
    const older = this.#timeline.prepend(page.messages, page.next_cursor !== null);
    this.#changed();
    return older;
  }

  /**
   * A page of the booking's calls, newest first.
   *
   * @param {{limit?: number, cursor?: string}} [page]
   * @returns {Promise<{calls: import('./types.js').Call[], next_cursor: string | null}>}
   */
  callLog({ limit = 20, cursor } = {}) {
    return this.#parts.rest.get('calls', { booking_code: this.bookingCode, limit, cursor });
  }

  /**
   * Tries at once instead of waiting; after a refusal perhaps with another token. What is closed stays closed.
   *
   * @param {{token?: string | ((refused: boolean) => Promise<string> | string)}} [options]
   */
  reconnect({ token } = {}) {
    if (this.state === 'closed') return;
    if (token !== undefined) this.#parts.access.replace(token);
    this.#parts.line.retry();
  }

  /** Ends it for good. Unsent messages stay in the storage; whatever is waited for rejects with `closed`. */
  close() {
    this.#stopListening();
    const { line, requests, calls, receipts, typing, outbox, sync } = this.#parts;
    for (const part of [calls, requests, receipts, typing, outbox]) part.close();
    sync.lineLost();
    line.close();
  }

  #lineBecame(state) {
    const { line, sync, outbox, requests, calls } = this.#parts;
    if (state === 'open') {
      this.#parts.access.refused = false;
      sync.lineOpened();
      outbox.lineOpened();
      requests.repeat();
      calls.lineOpened();
    } else {
      sync.lineLost();
      outbox.lineLost();
      this.#parts.typing.close();
      if (line.state === 'refused') this.emit('problem', line.refusal);
    }
    this.#changed();
  }

  #received(frame, text) {
    this.emit('frame', { direction: 'in', frame, text });
    const { sync, calls, receipts, typing, requests } = this.#parts;
    switch (frame.type) {
      case 'message':
        this.#heard(frame.message);
        break;
      case 'ack':
        if (frame.message) this.#acknowledged(frame.message);
        else requests.answered(frame);
        break;
      case 'sync':
        sync.took(frame);
        break;
      case 'pong':
        sync.ponged(frame, calls.isBehind(frame.call));
        break;
      case 'receipt':
        if (receipts.merge(frame.receipts)) this.#changed();
        break;
      case 'typing':
        if (frame.sender !== this.sender) typing.heard(frame.sender, frame.on, frame.ts);
        break;
      case 'presence':
        this.#sees(frame.presence ?? { ...this.presence, [frame.sender]: frame.online });
        break;
      case 'call':
        calls.adopt(frame.call);
        sync.hurry();
        break;
      case 'signal':
        calls.signalled(frame.call_id, frame.data);
        break;
      case 'error':
        this.#refused(frame);
        break;
      case undefined:
        if (frame.requestId) this.#failed(frame);
        break;
      default: // a later server may say more: that is for later clients
    }
  }

  #heard(message) {
    if (this.#timeline.contradicts(message)) {
      this.#parts.sync.ask(); // an old message said again, or another history
      return;
    }
    this.#took(this.#timeline.offer(message));
    this.#parts.sync.look();
  }

  #acknowledged(message) {
    const { outbox } = this.#parts;
    if (outbox.stored(message)) this.emit('sent', message);
    this.#heard(message);
    outbox.shown(this.#timeline.through);
    this.#changed();
  }

  /** Takes messages that are in order now. */
  #took(messages) {
    const { outbox, typing, receipts } = this.#parts;
    for (const message of messages) {
      if (message.sender === this.sender) {
        if (outbox.stored(message)) this.emit('sent', message);
      } else {
        typing.messaged(message);
        receipts.note('delivered', message.seq);
      }
      if (this.#ready) this.emit('message', message);
    }
    outbox.shown(this.#timeline.through);
    if (messages.length) this.#changed();
  }

  /** Takes how things stand, from the end of a sync or from a pong. */
  #stands(frame) {
    const { receipts, calls, sync } = this.#parts;
    receipts.merge(frame.receipts);
    receipts.owed();
    if (frame.type === 'sync') calls.adopt(frame.call);
    this.#sees(frame.presence);
    sync.hurry();
  }

  #sees(presence) {
    this.presence = { ...this.presence, ...presence };
    this.#changed();
  }

  #synced(healed) {
    this.#parts.line.settle();
    if (!this.#ready) {
      this.#ready = true;
      this.emit('ready');
    } else if (healed.messages) {
      this.emit('healed', healed);
    }
    this.#changed();
  }

  #startedOver() {
    this.#ready = false;
    this.#parts.outbox.shown(Infinity);
    this.#parts.receipts.startOver();
    this.#parts.calls.startOver();
    this.emit('reset');
    this.#changed();
  }

  #refused(frame) {
    const error = new NavieTakieError(frame.error ?? { code: 'internal' });
    const { access, line, outbox, sync, requests } = this.#parts;
    if (error.code === 'token_expired' || error.code === 'unauthorized') {
      access.refused = true;
      if (access.renewable) line.drop();
      else line.refuse(error);
      return;
    }
    if (error.code === 'not_found' && frame.booking_code === null) {
      line.drop(); // the server has forgotten this connection
      return;
    }
    const known =
      outbox.refused(frame.id, error) ||
      sync.refused(frame.id, error) ||
      requests.refused(frame.id, error) ||
      (frame.id == null && UNREAD.includes(error.code) && outbox.disturbed(error));
    if (!known) this.emit('problem', error);
  }

  /**
   * Takes API Gateway's own frame: a function failed, or a route is throttled. It does not say which frame it answers,
   * so whatever is outstanding is sent again soon; that is harmless for what did arrive.
   */
  #failed({ message, requestId }) {
    const error = new NavieTakieError({ code: 'unavailable', message, retryable: true, request_id: requestId });
    const { outbox, sync, requests } = this.#parts;
    const known = [outbox, sync, requests].map((part) => part.disturbed(error));
    if (!known.includes(true)) this.emit('problem', error);
  }

  /** Tells of changes once for everything that happened together. */
  #changed() {
    if (this.#changeDue) return;
    this.#changeDue = true;
    queueMicrotask(() => {
      this.#changeDue = false;
      this.emit('change');
    });
  }

  /** A device that wakes up or finds a network again does not wait for its next try, and trusts no silent line. */
  #woke() {
    const { line, sync } = this.#parts;
    if (line.state === 'open') sync.ping();
    else if (line.state === 'waiting') line.retry();
  }
}
