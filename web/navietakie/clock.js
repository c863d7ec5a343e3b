import { timeout } from './errors.js';

/**
 * Time and random numbers for the client. Tests pass their own.
 *
 * @type {import('./types.js').Clock}
 */
export const systemClock = {
  now: () => Date.now(),
  random: () => Math.random(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};

/** One thing that is due later, or nothing. */
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

  /** Calls `then` in `ms` milliseconds, instead of what was due before. */
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
 * How long to wait before another try: between half of a ceiling and all of it, at random, so that clients that lost
 * their lines together do not come back together. The ceiling doubles from `first` to `cap` milliseconds.
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
