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

/** The actions that the server always answers, apart from `ping`. */
const ANSWERED = ['message', 'sync', 'call', 'redact', 'attach'];

/**
 * Errors for a frame whose id the server could not read. The frame may be the message in flight, which would then fail
 * at every try. If it was another frame, the message still gets its ack, which corrects the mistake.
 */
const UNREAD = ['invalid_request', 'too_large'];

/** A booking for which the company has ordered nothing. */
const OPEN = { closed_at: null, muted: [] };

const RECALL_MS = 10_000;

/**
 * One side's view of a booking. Read its properties when `change` says that one of them moved.
 *
 * Events: `change`; `message` (each message once, in order, after the first page of history); `ready` (the first page is
 * there); `reset` (the server has another history: clear what you show); `healed` (`{messages, ms}`: missed messages
 * were fetched); `sent` (one of this client's messages is stored); `problem` (an error that no promise reports: a
 * NavieTakieError, or what `token` or WebSocket has thrown); `frame` (`{direction, frame, text}`: every frame, sent or
 * received).
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
    /** The options of all parts. The constructor of a part says which of them it uses. */
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

  /** Opens the line as soon as the device's name is settled and its stored call is read. */
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

  /** `{seq, head, epoch}`: nothing is missing here up to `seq`; `head` is the server's last message, as far as known. */
  get position() {
    const { through, head, epoch } = this.#timeline;
    return (this.#position = same(this.#position, { seq: through, head: Math.max(head, through), epoch }));
  }

  /** `{driver: {delivered, read}, passenger: …}`: how far each side has got and read. */
  get receipts() {
    return this.#parts.receipts.known;
  }

  /** How many messages of others this side has not read. Of those before `messages`, all count: nobody knows whose they are. */
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
   * Sends a message, now or as soon as the line is open; it is stored once. Returns its entry in the outbox, with
   * `stored`, a promise of the stored message.
   */
  send(message, { message_type = 'text', metadata = null } = {}) {
    this.#parts.typing.sent();
    const entry = this.#parts.outbox.add({ message, message_type, metadata });
    this.#changed();
    return entry;
  }

  /** Calls `listener` at every change. Returns a function that stops this. For `useSyncExternalStore` and the like. */
  subscribe = (listener) => this.on('change', listener);

  /** All properties as they are now: the same object until one of them changes. */
  getSnapshot = () => {
    return (this.#snapshot = same(this.#snapshot, { ...picked(this, SHOWN), calls: this.calls.snapshot }));
  };

  /**
   * Uploads a photo or a voice note and sends it with a text, which may be empty. Resolves with the stored message;
   * rejects with the server's error, or `upload`.
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

  /** Resolves with the address of an attachment. It works for some minutes; then ask for another. */
  attachmentUrl(id) {
    return this.#parts.attachments.url(id);
  }

  /**
   * Removes the content of a message (or of the message with that timestamp) from the history. Resolves with the
   * server's notice when that is done.
   *
   * @param {import('./types.js').Message | string} message
   */
  async redact(message) {
    const { timestamp = message } = message;
    const { message: notice } = await this.#parts.requests.ask({ action: 'redact', timestamp });
    return notice;
  }

  /** Says that the app is in the background, where the other side sees it as absent, or that it is back. */
  setAway(on = true) {
    this.#parts.away.say(on);
  }

  /** Call it when the device woke up or found a network. Tries to connect at once, or checks whether the line still works. */
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
   * Says that this side has read everything up to `seq`, by default all. Nothing is sent if only own messages are new
   * in it.
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

  /** Fetches older messages and resolves with them; with none as long as the first page is not there. */
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
   * Connects now instead of later, perhaps with another token. A closed conversation stays closed.
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

  /** Closes the conversation for good. Unsent messages stay in the storage; open promises reject with `closed`. */
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

  /** Calls the method of that name on every part that has it. */
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
        calls.heard(frame.ts);
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
      // Other types are of a later server, for later clients.
    }
    if (answers && frame.type !== 'pong') sync.relax(outbox.waiting || requests.waiting);
  }

  #heard(message) {
    const { sync } = this.#parts;
    this.#redacts(message);
    if (this.#timeline.contradicts(message)) sync.ask(); // an old message was broadcast again, or this is another history
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

  /** If `notice` says that another message was redacted, removes that message's content here too. */
  #redacts(notice) {
    if (eventOf(notice) !== 'message_redacted') return;
    const message = this.#timeline.redact(notice.metadata.seq, notice.timestamp);
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
      // It may be an order: the pong says which rights hold now.
      if (this.#ready && eventOf(message)) sync.ping();
      if (this.#ready) this.emit('message', message);
    }
    outbox.shown(this.#timeline.through);
    if (messages.length) this.#changed();
  }

  /** Takes the booking's standing from the last frame of a sync, or from a pong. */
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
      line.refuse(error); // this side has too many connections: a new one would close another device's
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
      frame.id === 'away' || // the next pong makes us send it again
      (frame.id == null && error.code === 'rate_limited') || // a receipt, say: it is sent again after a pong
      (frame.id == null && UNREAD.includes(error.code) && outbox.disturbed(error));
    if (!known) this.emit('problem', error);
  }

  /** The server does not accept this token any more: connects with another, or stays refused. */
  #shutOut(error) {
    const { access, line } = this.#parts;
    access.refused = true;
    if (access.renewable) line.drop();
    else line.refuse(error);
  }

  /**
   * Takes API Gateway's own error frame: a function failed, or a route is throttled. It does not say which frame it
   * answers, so everything that waits for an answer is sent again soon. The server drops the duplicates.
   */
  #failed({ message, requestId }) {
    const error = fault('unavailable', message, { retryable: true, request_id: requestId });
    const { outbox, sync, requests } = this.#parts;
    const known = [outbox, sync, requests].map((part) => part.disturbed(error));
    if (!known.includes(true)) this.emit('problem', error);
  }

  /** Emits `change`, once for all changes of one moment. */
  #changed() {
    this.#parts?.sync.hurry(); // there may be a call now, which needs pings more often
    if (this.#changeDue) return;
    this.#changeDue = true;
    Promise.resolve().then(() => {
      this.#changeDue = false;
      this.emit('change');
    });
  }
}

/** The event that a system message carries. Only the company and the server can write one. */
const eventOf = ({ sender, message_type, metadata }) =>
  sender === 'system' && message_type === 'system' && metadata?.event;

/** The user whose unsent messages these are: null if there are no tokens, undefined until `token` was called. */
function ownerOf(token) {
  if (typeof token === 'function') return undefined;
  return (token && claimsOf(token).sub) || null;
}
