import { newId } from './ids.js';

const CLAIM_MS = 500;

/**
 * Which device of its side this is. A name belongs to one tab at a time: a duplicated tab has the same
 * `sessionStorage`, finds the name taken, and takes another. Where the platform has no locks, no name is kept.
 */
export class Device {
  id;
  #options;
  #release = () => {};

  /**
   * @param {object} options
   * @param {string | null} [options.given] the name that the app wants
   * @param {string} options.key of the name in the tab's storage
   * @param {import('./store.js').Store} options.session
   * @param {LockManager} [options.locks]
   * @param {import('./types.js').Clock} options.clock
   */
  constructor(options) {
    this.#options = options;
    const { given, key, locks, session } = options;
    this.id = given ?? ((locks && session.read(key)) || newId());
    this.#keep();
  }

  /** Makes sure that no other tab has the name: a promise of that, or null where there is nothing to wait for. */
  claim() {
    const { clock, key, locks } = this.#options;
    if (!locks) return null;
    const giveUp = new AbortController();
    clock.setTimeout(() => giveUp.abort(), CLAIM_MS); // a page that was reloaded lets go at once
    return new Promise((resolve) => {
      const hold = () =>
        new Promise((release) => {
          this.#release = release;
          resolve();
        });
      locks.request(`${key} ${this.id}`, { signal: giveUp.signal }, hold).catch(() => {
        if (giveUp.signal.aborted) this.id = newId();
        this.#keep();
        resolve();
      });
    });
  }

  /** Another tab may have the name from now on. */
  release() {
    this.#release();
  }

  #keep() {
    const { given, key, locks, session } = this.#options;
    if (locks && given == null) session.write(key, this.id);
  }
}
