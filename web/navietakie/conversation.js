import { Access } from './access.js';
import { Attachments } from './attachments.js';
import { Away } from './away.js';
import { Calls } from './calls.js';
import { systemClock, within } from './clock.js';
import { Device } from './device.js';
import { Emitter } from './emitter.js';
import { NavieTakieError, fault } from './errors.js';
import { Line } from './line.js';
import { Outbox } from './outbox.js';
import { surroundings } from './platform.js';
import { Receipts } from './receipts.js';
import { Requests } from './requests.js';
import { Rest } from './rest.js';
import { picked, same } from './same.js';
import { Store } from './store.js';
import { Sync } from './sync.js';
import { Timeline } from './timeline.js';
import { claimsOf } from './token.js';
import { Typing } from './typing.js';

const SENDERS = ['driver', 'passenger', 'agent', 'system'];

/** The properties of a snapshot, `calls` aside. */
const SHOWN = (
  'state refusal retryAt ready messages outbox hasOlder receipts unread ' +
  'typing presence away booking position deviceId'
).split(' ');

/** What the server answers. A ping is a question of its own. */
const ANSWERED = ['message', 'sync', 'call', 'redact', 'attach'];

/**
 * What the server says of a frame that it could not read as far as the id. That may be the message in flight, which
 * would fail at every try; if it was another frame, the message's own ack comes all the same and makes it good.
 */
const UNREAD = ['invalid_request', 'too_large'];

/** A booking of which nothing was ordered. */
const OPEN = { closed_at: null, muted: [] };

const RECALL_MS = 10_000;

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
  /** `{driver, passenger, agent}`: who is there, as far as known. Never changed in place. */
  presence = { driver: false, passenger: false, agent: false };
  /** `{closed_at, muted}`: what the company has ordered, as far as known. Never changed in place. */
  booking = OPEN;
  #clock;
  #timeline = new Timeline();
  #device;
  #begun = false;
  #ready = false;
  #changeDue = false;
  #position = null;
  #snapshot = null;
  #parts;
  #stopWatching;

  constructor(options) {
    super();
    const { bookingCode, sender, token, user = ownerOf(token), clock = systemClock } = options;
    if (!bookingCode) throw new TypeError('connect: bookingCode is required');
    if (!SENDERS.includes(sender)) throw new TypeError('connect: sender is driver, passenger, agent or system');
    Object.assign(this, { bookingCode, sender });
    this.#clock = clock;
    const platform = surroundings(options);
    const name = `${platform.ws} ${bookingCode} ${sender}`;
    /** What the parts have in common: each takes from it what its constructor names. */
    const common = {
      ...platform,
      ...{ bookingCode, sender, side: sender, name, clock, token, user },
      store: new Store(platform.storage),
      deviceId: () => this.deviceId,
      send: (frame) => this.#send(frame),
      changed: () => this.#changed(),
      problem: (error) => this.emit('problem', error),
    };
    this.#device = new Device({ ...common, given: options.deviceId });
    const requests = (common.requests = new Requests(common));
    const rest = (common.rest = new Rest({ ...common, bearer: () => access.token() }));
    const access = (common.access = new Access({
      ...common,
      owner: (owner) => options.user === undefined && this.#parts.outbox.belongTo(owner),
      renew: () => this.#parts.line.renew(),
      expired: (error) => this.#shutOut(error),
    }));
    this.#parts = {
      rest,
      access,
      sync: new Sync(this.#timeline, {
        ...common,
        inCall: () => this.calls.pending,
        fresh: (messages) => this.#took(messages),
        standing: (frame) => this.#stands(frame),
        synced: (healed) => this.#synced(healed),
        startedOver: () => this.#startedOver(),
        dead: () => this.#parts.line.drop(),
      }),
      away: new Away(common),
      outbox: new Outbox(common),
      requests,
      calls: new Calls(common),
      receipts: new Receipts(common),
      typing: new Typing(common),
      attachments: new Attachments(common),
      line: new Line({
        ...common,
        onState: (state) => this.#lineBecame(state),
        onFrame: (frame, text) => this.#received(frame, text),
        onSent: (frame, text) => this.emit('frame', { direction: 'out', frame, text }),
      }),
    };
    this.#stopWatching = platform.watch?.({ wake: () => this.wake(), away: (on) => this.setAway(on) });
    this.#begin();
  }

  #send(frame) {
    const sent = this.#parts.line.send(frame);
    if (sent && ANSWERED.includes(frame.action)) this.#parts.sync.expect();
    return sent;
  }

  /** Opens the line, when it is known which device this is and what it has kept. */
  #begin() {
    const { calls, line } = this.#parts;
    const open = () => {
      this.#begun = true;
      line.retry();
    };
    const claimed = this.#device.claim();
    const recalled = claimed ? claimed.then(() => calls.recall()) : calls.recall();
    if (recalled?.then) within(RECALL_MS, this.#clock, recalled).then(open, open);
    else open();
  }

  /** Which device of its side this is; settled before the line opens. */
  get deviceId() {
    return this.#device.id;
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
    return (this.#position = same(this.#position, { seq: through, head: Math.max(head, through), epoch }));
  }

  /** `{driver: {delivered, read}, passenger: …}`: how far each side has got and read. */
  get receipts() {
    return this.#parts.receipts.known;
  }

  /** How many messages after what this side has read others have sent; those before `messages` count all. */
  get unread() {
    const { read } = this.#parts.receipts.own;
    return Math.max(0, this.#timeline.floor - read) + this.#foreign(read).length;
  }

  /** The other senders that are typing, as a Set. */
  get typing() {
    return this.#parts.typing.who;
  }

  /** Whether this device says that it is in the background. */
  get away() {
    return this.#parts.away.on;
  }

  /** The call and its actions: see Calls. Always the same object. */
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

  /** Calls `listener` at every change; returns what ends that. For `useSyncExternalStore` and the like. */
  subscribe = (listener) => this.on('change', listener);

  /** All properties as they are now: the same object until one of them changes. */
  getSnapshot = () => {
    return (this.#snapshot = same(this.#snapshot, { ...picked(this, SHOWN), calls: this.calls.snapshot }));
  };

  /**
   * Uploads a photo or a voice note and sends it with a text, which may be empty. Resolves with the stored message;
   * rejects with what the server says, or `upload`.
   *
   * @param {Blob | {uri: string, type: string, size: number, name?: string}} file
   * @param {string} [text]
   * @param {{metadata?: Record<string, any> | null}} [options]
   * @returns {Promise<import('./types.js').Message>}
   */
  async attach(file, text = '', { metadata } = {}) {
    const { id } = await this.#parts.attachments.upload(file);
    return this.send(text, { metadata: { ...metadata, attachment: { id } } }).stored;
  }

  /** Resolves with an address of an attachment, which works for some minutes; ask again for another. */
  attachmentUrl(id) {
    return this.#parts.attachments.url(id);
  }

  /**
   * Takes the content of a message, or of the one with that timestamp, out of the history. Resolves when the server has
   * done so, with the note about it.
   *
   * @param {import('./types.js').Message | string} message
   */
  async redact(message) {
    const { timestamp = message } = message;
    const { message: note } = await this.#parts.requests.ask({ action: 'redact', timestamp });
    return note;
  }

  /** Says that the app is in the background, or back: the other side sees it as absent then. */
  setAway(on = true) {
    this.#parts.away.say(on);
  }

  /** The device woke up or found a network: it does not wait for its next try, and trusts no silent line. */
  wake() {
    const { line, sync } = this.#parts;
    sync.ping();
    if (line.state === 'waiting') line.retry();
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

  /**
   * Says that this side has read everything up to `seq`: all of it by default. Own messages after the last one of
   * another go with it, but are not said for themselves.
   */
  markRead(seq = this.#timeline.through) {
    const { receipts } = this.#parts;
    const { floor, through } = this.#timeline;
    const { read } = receipts.own;
    const upTo = Math.min(seq, through);
    const foreign = this.#foreign(read)[0]?.seq <= upTo;
    if ((foreign || Math.min(floor, upTo) > read) && receipts.note('read', upTo)) this.#changed();
  }

  /** The messages of others after the sequence `read`. */
  #foreign(read) {
    return this.messages.filter(({ seq, sender }) => seq > read && sender !== this.sender);
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
    const { access, line } = this.#parts;
    const other = token !== undefined && access.replace(token);
    if (!this.#begun) return;
    line.retry();
    if (other) line.renew();
  }

  /** Ends it for good. Unsent messages stay in the storage; whatever is waited for rejects with `closed`. */
  close() {
    this.#stopWatching?.();
    this.#device.release();
    this.#tell('close');
  }

  #lineBecame(state) {
    this.#tell(state === 'open' ? 'lineOpened' : 'lineLost');
    if (state === 'refused') this.emit('problem', this.refusal);
    this.#changed();
  }

  /** Tells the parts, in their order, as far as they want to know. */
  #tell(what) {
    for (const part of Object.values(this.#parts)) part[what]?.();
  }

  #received(frame, text) {
    this.emit('frame', { direction: 'in', frame, text });
    const { access, away, outbox, sync, calls, receipts, typing, requests } = this.#parts;
    access.heard(frame.ts);
    const answers = frame.id != null || frame.type === 'error';
    if (answers) sync.sawLife();
    switch (frame.type) {
      case 'message':
        this.#heard(frame.message);
        break;
      case 'ack':
        requests.answered(frame);
        if (frame.message) this.#acknowledged(frame.message);
        break;
      case 'sync':
        sync.took(frame);
        break;
      case 'pong':
        sync.ponged(frame, calls.isBehind(frame.call));
        away.heard(frame.away);
        break;
      case 'receipt':
        if (receipts.merge(frame.receipts)) this.#changed();
        if (frame.head_seq !== undefined) sync.sawHead(frame.head_seq);
        break;
      case 'typing':
        if (frame.sender !== this.sender) typing.heard(frame.sender, frame.on, frame.ts);
        break;
      case 'presence':
        this.#sees(frame.presence ?? { ...this.presence, [frame.sender]: frame.online });
        break;
      case 'call':
        calls.adopt(frame.call, frame.ts);
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
      // A later server may say more: that is for later clients.
    }
    if (answers && frame.type !== 'pong') sync.relax(outbox.waiting || requests.waiting);
  }

  #heard(message) {
    const { sync } = this.#parts;
    this.#redacts(message);
    if (this.#timeline.contradicts(message)) sync.ask(); // an old message said again, or another history
    else this.#took(this.#timeline.offer(message));
    sync.sawHead(message.seq);
  }

  #acknowledged(message) {
    const { outbox } = this.#parts;
    if (outbox.stored(message)) this.emit('sent', message);
    this.#heard(message);
    outbox.shown(this.#timeline.through);
    this.#changed();
  }

  /** Takes a note that another message was redacted, wherever it stands: nobody but the server can write one. */
  #redacts(note) {
    if (eventOf(note) !== 'message_redacted') return;
    const message = this.#timeline.redact(note.metadata.seq, note.timestamp);
    if (!message) return;
    this.emit('redacted', message);
    this.#changed();
  }

  /** Takes messages that are in order now. */
  #took(messages) {
    const { outbox, typing, receipts, sync } = this.#parts;
    for (const message of messages) {
      this.#redacts(message);
      if (message.sender === this.sender) {
        if (outbox.stored(message)) this.emit('sent', message);
      } else {
        typing.messaged(message);
        receipts.note('delivered', message.seq);
      }
      // An order, perhaps: the pong tells what holds.
      if (this.#ready && eventOf(message)) sync.ping();
      if (this.#ready) this.emit('message', message);
    }
    outbox.shown(this.#timeline.through);
    if (messages.length) this.#changed();
  }

  /** Takes how things stand, from the end of a sync or from a pong. */
  #stands(frame) {
    const { receipts, calls } = this.#parts;
    const { booking = OPEN } = frame;
    receipts.merge(frame.receipts);
    receipts.owed();
    if (frame.type === 'sync') calls.adopt(frame.call, frame.ts);
    if (JSON.stringify(booking) !== JSON.stringify(this.booking)) this.booking = booking;
    this.#sees(frame.presence);
  }

  #sees(presence) {
    this.presence = same(this.presence, { ...this.presence, ...presence });
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
    this.booking = OPEN;
    this.emit('reset');
    this.#changed();
  }

  #refused(frame) {
    const error = new NavieTakieError(frame.error ?? { code: 'internal' });
    const { line, outbox, sync, requests } = this.#parts;
    if (error.code === 'token_expired' || error.code === 'unauthorized') {
      this.#shutOut(error);
      return;
    }
    if (error.code === 'connection_replaced') {
      line.refuse(error); // this side has too many: coming back would drive out another
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
      frame.id === 'away' || // it is said again after the next pong
      (frame.id == null && error.code === 'rate_limited') || // of a receipt, say: it is said again after the next pong
      (frame.id == null && UNREAD.includes(error.code) && outbox.disturbed(error));
    if (!known) this.emit('problem', error);
  }

  /** The server takes this token no longer: goes on with another, or not at all. */
  #shutOut(error) {
    const { access, line } = this.#parts;
    access.refused = true;
    if (access.renewable) line.drop();
    else line.refuse(error);
  }

  /**
   * Takes API Gateway's own frame: a function failed, or a route is throttled. It does not say which frame it answers,
   * so whatever is outstanding is sent again soon; that is harmless for what did arrive.
   */
  #failed({ message, requestId }) {
    const error = fault('unavailable', message, { retryable: true, request_id: requestId });
    const { outbox, sync, requests } = this.#parts;
    const known = [outbox, sync, requests].map((part) => part.disturbed(error));
    if (!known.includes(true)) this.emit('problem', error);
  }

  /** Tells of changes once for everything that happened together. */
  #changed() {
    this.#parts?.sync.hurry(); // a call, perhaps
    if (this.#changeDue) return;
    this.#changeDue = true;
    Promise.resolve().then(() => {
      this.#changeDue = false;
      this.emit('change');
    });
  }
}

/** The event of a message that only the company or the server can have written. */
const eventOf = ({ sender, message_type, metadata }) =>
  sender === 'system' && message_type === 'system' && metadata?.event;

/** Whose unsent messages a token shows: null where there are no tokens, undefined where that has yet to be seen. */
function ownerOf(token) {
  if (typeof token === 'function') return undefined;
  return (token && claimsOf(token).sub) || null;
}
