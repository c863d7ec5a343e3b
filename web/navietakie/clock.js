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

/**
 * How long to wait before another try: doubling from `first` to `cap` milliseconds, the upper half of it by chance, so
 * that clients that were cut together do not come back together.
 */
export function backoff(attempt, clock, first = 500, cap = 30_000) {
  const ceiling = Math.min(cap, first * 2 ** Math.min(attempt, 16));
  return ceiling * (0.5 + clock.random() / 2);
}
