/** Before every message: a `sync` after it brings the whole history. */
export const ORIGIN = '1970-01-01T00:00:00.000000Z';

/**
 * The messages of a conversation, in order and without a hole.
 *
 * Messages come by push, by ack and by sync, in any order and more than once. Messages after a hole are held back until
 * the hole is filled, so `messages` is always a stretch of the history without a gap. Redacted messages are blank, even
 * if a copy with the content arrives later. Pure: no clock, no network.
 */
export class Timeline {
  /**
   * Names the history on the server; if it changes, this is another history.
   *
   * @type {string | null}
   */
  epoch;
  /**
   * The sequence before the first message here; null until the first sync.
   *
   * @type {number | null}
   */
  floor;
  /** Nothing is missing up to this sequence. */
  through;
  /** The highest sequence that is known to exist. */
  head;
  /** The stretch without a gap, and the copy of it that callers have. */
  #messages;
  #shown;
  #behindHole;
  #ids;
  /** Sequence → when that message was redacted. */
  #redacted;
  /** How far a sync has got, as `{seq, timestamp}`. It may be after our last message, if later ones have expired. */
  #reached;

  constructor() {
    this.startOver();
  }

  /**
   * The stretch without a gap, oldest first. Never changed in place: if it changes, it is another array.
   *
   * @type {readonly import('./types.js').Message[]}
   */
  get messages() {
    return (this.#shown ??= [...this.#messages]);
  }

  get begun() {
    return this.floor !== null;
  }

  /** Whether the server holds older messages than the first one here. */
  get hasOlder() {
    return this.begun && this.floor > 0;
  }

  /** Whether a message is known to exist and is not here. */
  get hole() {
    return this.begun && (this.#behindHole.size > 0 || this.head > this.through);
  }

  /** What to ask `sync` for: the timestamp up to which nothing is missing; undefined for the newest page. */
  get cursor() {
    if (!this.begun) return undefined;
    const last = this.#messages[this.#messages.length - 1];
    return last && last.seq >= this.#reached.seq ? last.timestamp : this.#reached.timestamp;
  }

  /** Whether a message cannot belong to this history: another message has its place, or it is before the first one. */
  contradicts(message) {
    return this.begun && message.seq <= this.through && !this.#ids.has(message.message_id);
  }

  /** Learns that there is a message `seq`. */
  reaches(seq) {
    this.head = Math.max(this.head, seq);
  }

  /** Takes a message from a push or an ack. Returns the messages that are new and in order now. */
  offer(message) {
    this.reaches(message.seq);
    if (!this.begun || message.seq > this.through) this.#behindHole.set(message.seq, message);
    return this.begun ? this.#closeUp() : [];
  }

  /**
   * Notes that the message `seq` was redacted at `timestamp`. If it was shown with its content, returns the blank
   * message; otherwise null.
   */
  redact(seq, timestamp) {
    this.#redacted.set(seq, timestamp);
    const at = this.#messages.findIndex((message) => message.seq === seq);
    if (at < 0 || this.#messages[at].redacted_at) return null;
    this.#shown = null;
    return (this.#messages[at] = this.#blanked(this.#messages[at]));
  }

  /**
   * Takes a `sync` frame. Returns the messages that are new and in order now.
   *
   * A gap before part 0 means that messages have expired, because part 0 continues directly where we stopped. A gap
   * before a later part is a hole: the frame between is lost or late.
   */
  admit(frame) {
    const first = frame.part === 0;
    this.epoch = frame.epoch;
    this.reaches(frame.head_seq);
    if (first && !this.begun) this.#begin(frame);
    for (const message of frame.messages) {
      if (message.seq > this.through) this.#behindHole.set(message.seq, message);
    }
    const fresh = [];
    if (first) {
      const known = [...this.#behindHole.keys()].filter((seq) => seq <= frame.through_seq).sort((a, b) => a - b);
      for (const seq of known) fresh.push(this.#append(seq));
      this.through = Math.max(this.through, frame.through_seq);
    }
    if (this.begun) fresh.push(...this.#closeUp());
    if (frame.through && this.begun && this.through >= frame.through_seq && frame.through_seq >= this.#reached.seq)
      this.#reached = { seq: frame.through_seq, timestamp: frame.through };
    return fresh;
  }

  /** Puts a page of older messages, in any order, before the first one; `more`: there are still older ones. */
  prepend(messages, more) {
    const older = messages
      .filter((message) => message.seq <= this.floor && !this.#ids.has(message.message_id))
      .sort((a, b) => a.seq - b.seq)
      .map((message) => this.#blanked(message));
    for (const message of older) this.#ids.add(message.message_id);
    this.#messages.unshift(...older);
    this.#shown = null;
    this.floor = more && older.length > 0 ? older[0].seq - 1 : 0;
    return older;
  }

  /** Forgets everything. */
  startOver() {
    this.#messages = [];
    this.#shown = null;
    this.#behindHole = new Map();
    this.#ids = new Set();
    this.#redacted = new Map();
    this.#reached = { seq: 0, timestamp: ORIGIN };
    this.epoch = null;
    this.floor = null;
    this.through = 0;
    this.head = 0;
  }

  #begin(frame) {
    const before = (frame.messages[0]?.seq ?? frame.through_seq + 1) - 1;
    this.floor = before;
    this.through = before;
    for (const seq of this.#behindHole.keys()) if (seq <= before) this.#behindHole.delete(seq);
  }

  #closeUp() {
    const fresh = [];
    while (this.#behindHole.has(this.through + 1)) fresh.push(this.#append(this.through + 1));
    return fresh;
  }

  #append(seq) {
    const message = this.#blanked(this.#behindHole.get(seq));
    this.#behindHole.delete(seq);
    this.#messages.push(message);
    this.#shown = null;
    this.#ids.add(message.message_id);
    this.through = seq;
    return message;
  }

  #blanked(message) {
    const redacted_at = this.#redacted.get(message.seq);
    if (!redacted_at || message.redacted_at) return message;
    return { ...message, message: '', metadata: null, redacted_at };
  }
}
