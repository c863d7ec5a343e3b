import { backoff } from './clock.js';
import { NavieTakieError } from './errors.js';

const OVERTAKING_MS = 300;
const ANSWER_MS = 10_000;
const FIRST_PING_MS = 3_000;
const PING_MS = 60_000;
const PING_IN_CALL_MS = 10_000;
const PONG_MS = 10_000;

/**
 * Keeps a timeline in step with the server: asks for what is missing when the line opens, when a hole shows (pushes may
 * overtake each other: it is given 300 ms to close) and when a pong is ahead; starts over when the history has.
 */
export class Sync {
  #timeline;
  #options;
  #count = 0;
  #asked = null;
  #holeTimer = null;
  #retryTimer = null;
  #pingTimer = null;
  #pingAt = 0;
  #pongTimer = null;
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
    for (const timer of [this.#asked?.timer, this.#holeTimer, this.#retryTimer, this.#pingTimer, this.#pongTimer]) {
      clock.clearTimeout(timer);
    }
    this.#asked = this.#holeTimer = this.#retryTimer = this.#pingTimer = this.#pongTimer = null;
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
    this.#asked = { id, parts: new Set(), size: null, again: false, since: clock.now(), messages: 0, timer: null };
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
    if (!frame.has_more) asked.size = part + 1;
    if (fresh.length) this.#fruitless = 0;
    this.#options.fresh(fresh);
    if (!frame.has_more) this.#options.standing(frame);
    if (asked !== this.#asked) return; // who was told has closed the conversation
    if (asked.parts.size === asked.size) this.#finish();
    else this.#await();
  }

  /** Takes a `pong`. */
  ponged(frame, behind) {
    this.#sawLife();
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
    if (!/^ping-\d+$/.test(id ?? '')) return false;
    this.#sawLife(); // a refusal is one
    return true;
  }

  /** Takes an error that names no id: it may be of a sync or a ping. Says whether one is under way. */
  disturbed(error) {
    const [asked, pinged] = [this.#asked !== null, this.#pongTimer !== null];
    if (asked) this.refused(this.#asked.id, error);
    if (pinged) this.#sawLife();
    return asked || pinged;
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

  /** The line lives: the next ping is in its own time. */
  #sawLife() {
    this.#options.clock.clearTimeout(this.#pongTimer);
    this.#pongTimer = null;
    this.#pingIn(this.#pace());
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
    const { timer, again, since, messages } = this.#asked;
    clock.clearTimeout(timer);
    this.#asked = null;
    this.#fruitless = messages || !this.#timeline.hole ? 0 : this.#fruitless + 1;
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
