import { newId } from './ids.js';

const CLAIM_MS = 500;

/**
 * Which device of its side this is. A name belongs to one tab at a time: a duplicated tab has the same
 * `sessionStorage`, finds the name taken, and takes another. Where the platform has no locks, no name is kept.
 */
export class Device {
  id;
  #options;
  #kept;
  #release = () => {};

  /**
   * @param {object} options
   * @param {string} [options.given] the name that the app wants
   * @param {string} options.key of the name in the tab's storage
   * @param {Storage | null} options.session
   * @param {LockManager} [options.locks]
   * @param {import('./types.js').Clock} options.clock
   */
  constructor(options) {
    this.#options = options;
    this.#kept = options.given == null && Boolean(options.locks);
    this.id = options.given ?? this.#recall() ?? newId();
    this.#remember();
  }

  /** Makes sure that no other tab has the name: a promise of that, or null where there is nothing to wait for. */
  claim() {
    const { locks, key } = this.#options;
    if (!locks) return null;
    return this.#lock(locks, `${key} ${this.id}`).then((free) => {
      if (free) return;
      this.id = newId();
      this.#remember();
    });
  }

  /** Another tab may have the name from now on. */
  release() {
    this.#release();
  }

  #lock(locks, name) {
    const { clock } = this.#options;
    const giveUp = new AbortController();
    const timer = clock.setTimeout(() => giveUp.abort(), CLAIM_MS); // a page that was reloaded lets go at once
    return new Promise((resolve) => {
      const hold = () =>
        new Promise((release) => {
          clock.clearTimeout(timer);
          this.#release = release;
          resolve(true);
        });
      locks.request(name, { signal: giveUp.signal }, hold).catch(() => resolve(!giveUp.signal.aborted));
    });
  }

  #recall() {
    if (!this.#kept) return null;
    try {
      return this.#options.session?.getItem(this.#options.key) ?? null;
    } catch {
      return null;
    }
  }

  #remember() {
    if (!this.#kept) return;
    try {
      this.#options.session?.setItem(this.#options.key, this.id);
    } catch {
      // Forbidden: a reload makes another device of it.
    }
  }
}
