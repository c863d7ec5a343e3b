import { timeout } from './errors.js';

/**
 * Time and chance as the client uses them; tests put in their own.
 *
 * @type {import('./types.js').Clock}
 */
export const systemClock = {
  now: () => Date.now(),
  random: () => Math.random(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};

/** Something that is due later, or nothing. */
export class Timer {
  #clock;
  #running = null;

  constructor(clock) {
    this.#clock = clock;
  }

  /** Whether something is due. */
  get due() {
    return this.#running !== null;
  }

  /** Does `then` in `ms` milliseconds, instead of what was due. */
  set(ms, then) {
    this.stop();
    this.#running = this.#clock.setTimeout(() => {
      this.#running = null;
      then();
    }, ms);
  }

  stop() {
    this.#clock.clearTimeout(this.#running);
    this.#running = null;
  }
}

/**
 * How long to wait before another try: doubling from `first` to `cap` milliseconds, the upper half of it by chance, so
 * that clients that were cut together do not come back together.
 */
export function backoff(attempt, clock, first = 500, cap = 30_000) {
  const ceiling = Math.min(cap, first * 2 ** attempt);
  return ceiling * (0.5 + clock.random() / 2);
}

/** Settles as `promise` does, or rejects with `timeout` when that takes longer than `ms` milliseconds. */
export function within(ms, clock, promise) {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimeout(() => reject(timeout()), ms);
    Promise.resolve(promise)
      .then(resolve, reject)
      .then(() => clock.clearTimeout(timer));
  });
}
