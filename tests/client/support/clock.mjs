/** A clock that stands still until a test moves it, and random numbers that are the same in every run. */
export class VirtualClock {
  #now = Date.UTC(2026, 0, 31, 8);
  #timers = new Map();
  #count = 0;
  #state;

  constructor(seed = 1) {
    this.#state = seed >>> 0;
    for (const name of ['now', 'random', 'setTimeout', 'clearTimeout']) this[name] = this[name].bind(this);
  }

  now() {
    return this.#now;
  }

  /** Mulberry32. */
  random() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  between(low, high) {
    return low + this.random() * (high - low);
  }

  chance(probability) {
    return this.random() < probability;
  }

  pick(list) {
    return list[Math.floor(this.random() * list.length)];
  }

  setTimeout(callback, ms = 0) {
    this.#timers.set(++this.#count, { at: this.#now + Math.max(0, ms), order: this.#count, callback });
    return this.#count;
  }

  clearTimeout(timer) {
    this.#timers.delete(timer);
  }

  /** Lets `ms` milliseconds pass, and does everything that is due in them. */
  async pass(ms) {
    const end = this.#now + ms;
    await settled();
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= end);
      if (!due.length) break;
      const [key, next] = due.reduce((a, b) => ((b[1].at - a[1].at || b[1].order - a[1].order) < 0 ? b : a));
      this.#timers.delete(key);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await settled();
    }
    this.#now = end;
  }
}

/** Resolves when all promises have settled that can settle without time passing. */
export function settled() {
  return new Promise((resolve) => setImmediate(resolve));
}
