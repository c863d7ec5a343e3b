import { backoff } from './clock.js';
import { NavieTakieError } from './errors.js';

const OVERTAKING_MS = 300;
const ANSWER_MS = 10_000;
const FIRST_PING_MS = 3_000;
const PING_MS = 60_000;
const PING_IN_CALL_MS = 10_000;
const PONG_MS = 10_000;
const DOUBT_MS = 2_000;
/** How long frames that carry the head may stand in for pings: a pong tells of calls and presence too. */
const UNPINGED_MS = 240_000;

/**
 * Keeps a timeline in step with the server: asks for what is missing when the line opens, when a hole shows (pushes may
 * overtake each other: it is given 300 ms to close) and when a pong is ahead; starts over when the history has.
 *
 * It also knows whether the line lives. What is asked and not answered within 2 s makes it ping, and a ping that brings
 * no answer within 10 s, to whatever was asked, means that the line is dead.
 */
export class Sync {
  #timeline;
  #options;
  #count = 0;
  #asked = null;
  /** Of an answer that was only the beginning: when it was asked for, and how many messages it brought. */
  #since = null;
  #holeTimer = null;
  #retryTimer = null;
  #pingTimer = null;
  #pingAt = 0;
  #pongTimer = null;
  #pongAt = null;
  #doubtTimer = null;
  #fruitless = 0;

  /**
   * @param {import('./timeline.js').Timeline} timeline
   * @param {object} options
   * @param {import('./types.js').Clock} options.clock
   * @param {(frame: import('./types.js').Frame) => boolean} options.send
   * @param {() => boolean} options.inCall pings come more often then
   * @param {(messages: import('./types.js').Message[]) => void} options.fresh takes messages that are in order now
   * @param {(frame: import('./types.js').Frame) => void} options.standing takes the last frame of a sync, or a pong: how things stand
   * @param {(healed: {messages: number, ms: number}) => void} options.synced
   * @param {() => void} options.startedOver
   * @param {() => void} options.dead the line does not answer
   */
  constructor(timeline, options) {
    this.#timeline = timeline;
    this.#options = options;
  }

  lineOpened() {
    this.lineLost();
    this.ask();
    this.#pingIn(FIRST_PING_MS);
  }

  lineLost() {
    const { clock } = this.#options;
    for (const timer of [this.#asked?.timer, this.#holeTimer, this.#retryTimer, this.#pingTimer]) clock.clearTimeout(timer);
    this.#asked = this.#since = this.#holeTimer = this.#retryTimer = this.#pingTimer = this.#pongAt = null;
    this.#trust();
  }

  /** Takes note that something was asked which wants an answer. */
  expect() {
    this.#doubtTimer ??= this.#options.clock.setTimeout(() => this.ping(), DOUBT_MS);
  }

  /**
   * Takes note that something was answered: both directions work. That says nothing of what is still `waited` for, unless
   * it was a ping's answer.
   */
  sawLife(waited) {
    this.#trust();
    if (waited) this.expect();
    if (!this.#pingTimer) this.#pingIn(this.#pace());
  }

  /** Takes the head as another frame tells it than a sync or a pong. */
  sawHead(seq) {
    if (!this.#timeline.begun) return;
    this.#timeline.head = Math.max(this.#timeline.head, seq);
    this.#postpone();
    this.look();
  }

  /** The line and the head are known to be well: the next ping has time. */
  #postpone() {
    const { clock, inCall } = this.#options;
    if (this.#pongAt === null || inCall()) return;
    this.#pingIn(Math.min(PING_MS, Math.max(0, this.#pongAt + UNPINGED_MS - clock.now())));
  }

  /** Asks for everything after the last message before any hole. */
  ask() {
    const { clock, send } = this.#options;
    if (this.#asked) {
      this.#asked.again = true;
      return;
    }
    clock.clearTimeout(this.#holeTimer);
    clock.clearTimeout(this.#retryTimer);
    this.#holeTimer = this.#retryTimer = null;
    const id = `sync-${++this.#count}`;
    const after = this.#timeline.cursor;
    if (!send({ action: 'sync', id, ...(after === undefined ? {} : { after }) })) return;
    const since = this.#since ?? { since: clock.now(), messages: 0 };
    this.#asked = { id, parts: new Set(), size: null, again: false, rest: false, cursor: after, timer: null, ...since };
    this.#since = null;
    this.#await();
  }

  /** Looks for a hole, after anything that may have shown one. */
  look() {
    const { clock } = this.#options;
    if (!this.#timeline.hole) this.#fruitless = 0;
    if (!this.#timeline.hole || this.#holeTimer || this.#asked || this.#retryTimer) return;
    const wait = this.#fruitless ? backoff(this.#fruitless, clock, OVERTAKING_MS) : OVERTAKING_MS;
    this.#holeTimer = clock.setTimeout(() => {
      this.#holeTimer = null;
      if (this.#timeline.hole) this.ask();
    }, wait);
  }

  /** Takes a `sync` frame. An answer is whole when all its parts are here; they may overtake each other, or get lost. */
  took(frame) {
    const asked = this.#asked;
    if (frame.id !== asked?.id) return;
    if (this.#timeline.epoch !== null && frame.epoch !== this.#timeline.epoch) {
      this.#startOver();
      return;
    }
    const part = frame.part ?? asked.parts.size; // while a release goes out, a version may answer that numbers none
    const fresh = this.#timeline.admit({ ...frame, part });
    asked.messages += fresh.length;
    asked.parts.add(part);
    if (!frame.has_more) {
      asked.size = part + 1;
      asked.rest = frame.through_seq < frame.head_seq;
    }
    if (fresh.length) this.#fruitless = 0;
    this.#postpone();
    this.#options.fresh(fresh);
    if (!frame.has_more) this.#options.standing(frame);
    if (asked !== this.#asked) return; // who was told has closed the conversation
    if (asked.parts.size === asked.size) this.#finish();
    else this.#await();
  }

  /** Takes a `pong`. */
  ponged(frame, behind) {
    this.#pongAt = this.#options.clock.now();
    this.#pingIn(this.#pace());
    if (!this.#timeline.begun) return; // the first sync is under way
    if (this.#timeline.epoch !== null && frame.epoch !== this.#timeline.epoch) {
      this.#startOver();
      return;
    }
    this.#timeline.head = Math.max(this.#timeline.head, frame.head_seq);
    this.#options.standing(frame);
    if (behind) this.ask();
    else this.look();
  }

  /** Takes a refusal of a sync or a ping; says whether the id is one of ours. */
  refused(id, error) {
    if (this.#asked && id === this.#asked.id) {
      this.#again(error.retryAfterMs ?? backoff(this.#fruitless++, this.#options.clock, 500, 10_000));
      return true;
    }
    return /^ping-\d+$/.test(id ?? '');
  }

  /** Takes an error that names no id: it may be of a sync or a ping. Says whether one is under way. */
  disturbed(error) {
    const asked = this.#asked !== null;
    if (asked) this.refused(this.#asked.id, error);
    return asked;
  }

  /** Whether a ping is under way. */
  get pinging() {
    return this.#pongTimer !== null;
  }

  /** Whether a sync is under way. */
  get asking() {
    return this.#asked !== null;
  }

  /** Brings the next ping forward if a call asks for it. */
  hurry() {
    const due = this.#options.clock.now() + this.#pace();
    if (this.#pingTimer && due < this.#pingAt) this.#pingIn(this.#pace());
  }

  /** Pings now: after sleep, say, when the line may be dead without knowing it. */
  ping() {
    const { clock, send, dead } = this.#options;
    if (this.#pongTimer || !send({ action: 'ping', id: `ping-${++this.#count}` })) return;
    this.#pongTimer = clock.setTimeout(dead, PONG_MS);
  }

  #trust() {
    const { clock } = this.#options;
    clock.clearTimeout(this.#pongTimer);
    clock.clearTimeout(this.#doubtTimer);
    this.#pongTimer = this.#doubtTimer = null;
  }

  #pace() {
    return this.#options.inCall() ? PING_IN_CALL_MS : PING_MS;
  }

  #pingIn(ms) {
    const { clock } = this.#options;
    clock.clearTimeout(this.#pingTimer);
    this.#pingAt = clock.now() + ms;
    this.#pingTimer = clock.setTimeout(() => {
      this.#pingTimer = null;
      this.ping();
    }, ms);
  }

  #await() {
    const { clock } = this.#options;
    clock.clearTimeout(this.#asked.timer);
    const late = new NavieTakieError({ code: 'timeout', message: 'No answer came', retryable: true });
    const patience = this.#asked.size === null ? ANSWER_MS : OVERTAKING_MS;
    this.#asked.timer = clock.setTimeout(() => this.refused(this.#asked?.id, late), patience);
  }

  #finish() {
    const { clock, synced } = this.#options;
    const { timer, again, since, messages, rest, cursor } = this.#asked;
    clock.clearTimeout(timer);
    this.#asked = null;
    this.#fruitless = messages || !this.#timeline.hole ? 0 : this.#fruitless + 1;
    if (rest && cursor !== undefined && this.#timeline.cursor !== cursor && this.#timeline.hole) {
      this.#since = { since, messages };
      this.ask(); // it was only as much as one answer may be
      return;
    }
    synced({ messages, ms: clock.now() - since });
    if (again) this.ask();
    else this.look();
  }

  #startOver() {
    this.#options.clock.clearTimeout(this.#asked?.timer);
    this.#asked = null;
    this.#timeline.startOver();
    this.#options.startedOver();
    this.ask();
  }

  #again(ms) {
    const { clock } = this.#options;
    clock.clearTimeout(this.#asked?.timer);
    this.#asked = null;
    this.#retryTimer = clock.setTimeout(() => {
      this.#retryTimer = null;
      this.ask();
    }, ms);
  }
}
