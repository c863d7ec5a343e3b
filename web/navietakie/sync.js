import { Timer, backoff } from './clock.js';
import { timeout } from './errors.js';

const OVERTAKING_MS = 300;
const ANSWER_MS = 10_000;
const FIRST_PING_MS = 3_000;
const PING_MS = 60_000;
const PING_IN_CALL_MS = 10_000;
const PONG_MS = 10_000;
const DOUBT_MS = 2_000;
/** How long other frames that carry the head may replace pings. After that a pong is due: it tells of calls and presence too. */
const UNPINGED_MS = 240_000;
/** How long the server's damper remembers a sync: it costs 8 units, and the damper forgets 5 a second. */
const COST_MS = 1_600;
/** If the damper remembers more than this, the next sync waits: nine tenths of the 400 units that it admits. */
const OWED_MS = 72_000;

/**
 * Keeps a timeline in step with the server. It asks for what is missing when the line opens, when a pong is ahead, and
 * when a hole does not close within 300 ms (pushes may overtake each other). If the server has another history, it
 * starts over.
 *
 * It also knows whether the line is alive. If something is not answered within 2 s, it pings. If no answer to anything
 * comes within 10 s after a ping, the line is dead.
 */
export class Sync {
  #options;
  #timeline;
  #count = 0;
  #asked = null;
  #timers;
  #answer;
  #hole;
  #retry;
  #ping;
  #pingAt = 0;
  #pong;
  #pongAt = null;
  #doubt;
  #fruitless = 0;
  /** When the damper will have forgotten the syncs so far. */
  #forgottenAt = 0;

  /**
   * @param {import('./timeline.js').Timeline} timeline
   * @param {object} options
   * @param {import('./types.js').Clock} options.clock
   * @param {(frame: import('./types.js').Frame) => boolean} options.send
   * @param {() => boolean} options.inCall pings come more often then
   * @param {(messages: import('./types.js').Message[]) => void} options.fresh takes messages that are in order now
   * @param {(frame: import('./types.js').Frame) => void} options.standing takes the last frame of a sync, or a pong
   * @param {(healed: {messages: number, ms: number}) => void} options.synced
   * @param {() => void} options.startedOver
   * @param {() => void} options.dead the line does not answer
   */
  constructor(timeline, options) {
    this.#timeline = timeline;
    this.#options = options;
    this.#timers = Array.from({ length: 6 }, () => new Timer(options.clock));
    [this.#answer, this.#hole, this.#retry, this.#ping, this.#pong, this.#doubt] = this.#timers;
  }

  lineOpened() {
    this.lineLost();
    this.ask();
    this.#pingIn(FIRST_PING_MS);
  }

  lineLost() {
    for (const timer of this.#timers) timer.stop();
    this.#asked = this.#pongAt = null;
  }

  /** Call it when a frame was sent that the server has to answer. */
  expect() {
    if (!this.#doubt.due) this.#doubt.set(DOUBT_MS, () => this.ping());
  }

  /** Call it when a frame other than a ping was answered. `owed` says whether other answers are still missing. */
  relax(owed) {
    this.#doubt.stop();
    if (owed) this.expect();
  }

  /** Call it at every answer: it proves that the line worked in both directions. */
  sawLife() {
    this.#pong.stop();
    if (!this.#ping.due) this.#pingIn(this.#pace());
  }

  /** Takes the head from a frame that is neither a sync nor a pong. */
  sawHead(seq) {
    if (!this.#timeline.begun) return;
    this.#timeline.reaches(seq);
    this.#postpone();
    this.look();
  }

  /** Puts off the next ping: the frame has shown that the line works, and where the head is. */
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
    this.#hole.stop();
    this.#retry.stop();
    const id = `sync-${++this.#count}`;
    const after = this.#timeline.cursor;
    if (!send({ action: 'sync', id, after })) return;
    const since = clock.now();
    this.#forgottenAt = Math.max(this.#forgottenAt, since) + COST_MS;
    this.#asked = { id, after, since, parts: new Set(), size: null, again: false, rest: false, messages: 0 };
    this.#await();
  }

  /** Looks for a hole. Call it after everything that may have shown one. */
  look() {
    const { clock } = this.#options;
    if (!this.#timeline.hole) this.#fruitless = 0;
    if (!this.#timeline.hole || this.#hole.due || this.#asked || this.#retry.due) return;
    const wait = this.#fruitless ? backoff(this.#fruitless, clock, OVERTAKING_MS) : OVERTAKING_MS;
    this.#hole.set(wait, () => this.#timeline.hole && this.ask());
  }

  /** Takes a `sync` frame. An answer is whole when all its parts are here; they may overtake each other, or get lost. */
  took(frame) {
    const asked = this.#asked;
    if (frame.id !== asked?.id || this.#startsOver(frame)) return;
    const part = frame.part ?? asked.parts.size; // an older server, while a release goes out, does not number them
    const fresh = this.#timeline.admit({ ...frame, part });
    asked.messages += fresh.length;
    asked.parts.add(part);
    if (!frame.has_more) {
      asked.size = part + 1;
      asked.rest = frame.through_seq < frame.head_seq; // one answer has 8 frames at most
    }
    if (fresh.length) this.#fruitless = 0;
    this.#postpone();
    this.#options.fresh(fresh);
    if (!frame.has_more) this.#options.standing(frame);
    if (asked !== this.#asked) return; // a listener has closed the conversation
    if (asked.parts.size === asked.size) this.#finish();
    else this.#await();
  }

  /** Takes a `pong`. */
  ponged(frame, behind) {
    this.#pongAt = this.#options.clock.now();
    this.#pingIn(this.#pace());
    if (!this.#timeline.begun || this.#startsOver(frame)) return; // the first sync is under way
    this.#timeline.epoch = frame.epoch;
    this.#timeline.reaches(frame.head_seq);
    this.#options.standing(frame);
    if (behind) this.ask();
    else this.look();
  }

  /** Takes a refusal. Returns whether it belongs to a sync or a ping. */
  refused(id, error) {
    if (this.#asked && id === this.#asked.id) {
      this.#again(error.retryAfterMs ?? backoff(this.#fruitless++, this.#options.clock, 500, 10_000));
      return true;
    }
    return id === 'ping';
  }

  /** Takes an error without an id: it may belong to a sync or a ping. Returns whether one is under way. */
  disturbed(error) {
    const [asked, pinged] = [this.#asked, this.#pong.due];
    if (asked) this.refused(asked.id, error);
    this.sawLife();
    return Boolean(asked || pinged);
  }

  /** Brings the next ping forward if a call asks for it. */
  hurry() {
    const due = this.#options.clock.now() + this.#pace();
    if (this.#ping.due && due < this.#pingAt) this.#pingIn(this.#pace());
  }

  /** Pings now. After the device slept, the line may be dead although it looks open. */
  ping() {
    const { send, dead } = this.#options;
    if (this.#pong.due || !send({ action: 'ping', id: 'ping' })) return;
    this.#pong.set(PONG_MS, dead);
  }

  #pace() {
    return this.#options.inCall() ? PING_IN_CALL_MS : PING_MS;
  }

  #pingIn(ms) {
    this.#pingAt = this.#options.clock.now() + ms;
    this.#ping.set(ms, () => this.ping());
  }

  #await() {
    const patience = this.#asked.size === null ? ANSWER_MS : OVERTAKING_MS;
    this.#answer.set(patience, () => this.refused(this.#asked.id, timeout()));
  }

  #finish() {
    const { clock, synced } = this.#options;
    const { after, again, rest, since, messages } = this.#asked;
    this.#answer.stop();
    this.#asked = null;
    this.#fruitless = messages || !this.#timeline.hole ? 0 : this.#fruitless + 1;
    synced({ messages, ms: clock.now() - since });
    const early = this.#forgottenAt - OWED_MS - clock.now();
    if (!again && !(rest && after && after !== this.#timeline.cursor)) this.look();
    else if (early > 0) this.#again(Math.min(early, COST_MS)); // the clock may have been put back
    else this.ask();
  }

  /** Starts over if the frame is of another history. Returns whether it is. */
  #startsOver({ epoch, messages = [] }) {
    const { epoch: known } = this.#timeline; // null if the booking was empty when we asked
    if (known === null ? !messages.some((each) => this.#timeline.contradicts(each)) : epoch === known) return false;
    this.#answer.stop();
    this.#asked = null;
    this.#timeline.startOver();
    this.#options.startedOver();
    this.ask();
    return true;
  }

  #again(ms) {
    this.#answer.stop();
    this.#asked = null;
    this.#retry.set(ms, () => this.ask());
  }
}
