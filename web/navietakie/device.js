import { newId } from './ids.js';
import { Store } from './store.js';

const CLAIM_MS = 3_000;

/**
 * The name of this device among those of its side. A name belongs to one tab at a time: a duplicated tab has the same
 * `sessionStorage`, finds the name taken, and takes another. On a platform without locks no name is kept.
 */
export class Device {
  id;
  #options;
  #key;
  #session;
  #release = () => {};

  /**
   * @param {object} options
   * @param {string | null} [options.given] the name that the app wants
   * @param {string} options.name of this conversation
   * @param {Storage | null} options.session the tab's storage
   * @param {LockManager} [options.locks]
   * @param {import('./types.js').Clock} options.clock
   */
  constructor(options) {
    this.#options = options;
    const { given, name, locks, session } = options;
    this.#key = `navietakie device ${name}`;
    this.#session = new Store(session);
    this.id = given ?? ((locks && this.#session.read(this.#key)) || newId());
    this.#keep();
  }

  /** Makes sure that no other tab has the name. Returns a promise of that, or null if there is nothing to wait for. */
  claim() {
    const { clock, locks } = this.#options;
    if (!locks) return null;
    const giveUp = new AbortController();
    clock.setTimeout(() => giveUp.abort(), CLAIM_MS); // a reloaded page lets go sooner, also on a slow machine
    const released = new Promise((release) => (this.#release = release)); // perhaps before the name is held
    return new Promise((resolve) => {
      const hold = () => {
        resolve();
        return released;
      };
      locks.request(`${this.#key} ${this.id}`, { signal: giveUp.signal }, hold).catch(() => {
        if (giveUp.signal.aborted) {
          this.id = newId();
          locks.request(`${this.#key} ${this.id}`, {}, hold).catch(() => {}); // so a copy of this tab takes yet another
        }
        this.#keep();
        resolve();
      });
    });
  }

  /** Lets another tab have the name from now on. */
  release() {
    this.#release();
  }

  #keep() {
    const { given, locks } = this.#options;
    if (locks && given == null) this.#session.write(this.#key, this.id);
  }
}
