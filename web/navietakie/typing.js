import { Timer } from './clock.js';

const REPEAT_MS = 3_000;
const IDLE_MS = 4_000;
const STALE_MS = 6_000;

/**
 * Who is typing. Tells the others that this side types (at most every three seconds) and that it has stopped. Believes
 * what others say for six seconds.
 */
export class Typing {
  /** The senders that are typing now. Never changed in place. */
  who = new Set();
  #options;
  #saidAt = null;
  #idle;
  #stale = new Map();
  #messagedAt = new Map();

  constructor(options) {
    this.#options = options;
    this.#idle = new Timer(options.clock);
  }

  /** Tells the others that this side types, or has stopped. Call it at every key. */
  say(on) {
    const { clock, send } = this.#options;
    this.#idle.stop();
    if (!on) {
      if (this.#saidAt !== null) send({ action: 'typing', on: false });
      this.#saidAt = null;
      return;
    }
    this.#idle.set(IDLE_MS, () => this.say(false));
    if (this.#saidAt !== null && clock.now() - this.#saidAt < REPEAT_MS) return;
    this.#saidAt = clock.now();
    send({ action: 'typing', on: true });
  }

  /** Call it when a message was sent: to the others, the message itself means that this side has stopped. */
  sent() {
    this.#idle.stop();
    this.#saidAt = null;
  }

  /** Takes note of a message: its sender has stopped typing. */
  messaged({ sender, timestamp }) {
    this.#messagedAt.set(sender, timestamp);
    this.heard(sender, false);
  }

  /** Takes from a frame whether another sender types; `ts` is the frame's. Ignores an `on` that is older than a message. */
  heard(sender, on, ts = '') {
    const { clock, changed } = this.#options;
    if (on && ts < (this.#messagedAt.get(sender) ?? '')) return;
    const stale = this.#stale.get(sender) ?? new Timer(clock);
    this.#stale.set(sender, stale);
    stale.stop();
    if (on) stale.set(STALE_MS, () => this.heard(sender, false));
    if (on === this.who.has(sender)) return;
    this.who = new Set(this.who);
    this.who[on ? 'add' : 'delete'](sender);
    changed();
  }

  lineLost() {
    this.#idle.stop();
    for (const timer of this.#stale.values()) timer.stop();
    this.#saidAt = null;
    if (this.who.size) this.who = new Set();
  }
}
