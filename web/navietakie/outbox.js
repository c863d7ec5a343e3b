import { backoff } from './clock.js';
import { NavieTakieError, closed } from './errors.js';

const ACK_MS = 10_000;

/**
 * Messages on their way to the server: kept until it says that it has them, one in flight, in the order of writing.
 *
 * Every try of a message carries the same id, so the server stores it once however often it is sent. An entry is
 * `{id, message, message_type, metadata, created_at, state, error, stored}`; its `state` is `waiting` (its turn will
 * come), `sending`, `sent` (stored, but messages before it are still missing here) or `failed` (refused, with `error`;
 * the ones after it go on). Entries are kept in `storage`, one item each, so that a reload loses none and two windows
 * do not overwrite each other's.
 */
export class Outbox {
  /** @type {import('./types.js').OutboxEntry[]} */
  entries = [];
  #options;
  #inFlight = null;
  #timer = null;
  #open = false;
  #closed = false;
  #promises = new Map();

  /**
   * @param {object} options
   * @param {Storage|null} options.storage `localStorage` or anything like it
   * @param {() => string} options.newId
   * @param {import('./types.js').Clock} options.clock
   * @param {string} options.prefix of this conversation's items in it
   * @param {(entry: object) => NavieTakieError | null} options.flaw why an entry must never be tried
   * @param {(entry: object) => boolean} options.transmit sends an entry; false when the line is down
   * @param {() => void} options.changed
   */
  constructor(options) {
    this.#options = options;
    this.#load();
  }

  /** Adds a message. Returns its entry and a promise of the stored message, rejected if the server refuses it. */
  add(content) {
    const { clock, newId, flaw } = this.#options;
    const last = this.entries.at(-1)?.created_at ?? 0;
    const entry = {
      id: newId(),
      ...content,
      created_at: Math.max(clock.now(), last + 1), // their order, also after a reload
      state: 'waiting',
      error: null,
    };
    const error = flaw(entry);
    this.entries.push(entry);
    this.#save(entry);
    const stored = new Promise((resolve, reject) => this.#promises.set(entry.id, { resolve, reject }));
    stored.catch(() => {}); // nobody has to listen
    if (this.#closed) this.close();
    if (error) this.refused(entry.id, error);
    this.#pump();
    return { ...entry, stored };
  }

  /** Sends a failed message again, under the same id. */
  retry(id) {
    const entry = this.entries.find((each) => each.id === id && each.state === 'failed');
    if (!entry || this.#options.flaw(entry)) return;
    entry.state = 'waiting';
    entry.error = null;
    this.#save(entry);
    this.#pump();
    this.#options.changed();
  }

  /** Forgets a message that failed or has not been tried. */
  discard(id) {
    const entry = this.entries.find((each) => each.id === id);
    if (!entry || entry === this.#inFlight || entry.state === 'sent') return false;
    this.#remove(entry);
    this.#options.changed();
    return true;
  }

  lineOpened() {
    this.#open = true;
    this.#pump();
  }

  lineLost() {
    this.#open = false;
    this.#land();
  }

  /** Takes the news that `message` is stored, by ack or because it was seen. Says whether it is from here. */
  stored(message) {
    const entry = this.entries.find((each) => each.id === message.client_message_id);
    if (!entry) return false;
    if (entry === this.#inFlight) this.#land();
    entry.state = 'sent';
    entry.seq = message.seq;
    entry.error = null;
    this.#forget(entry);
    this.#promises.get(entry.id)?.resolve(message);
    this.#promises.delete(entry.id);
    this.#pump();
    return true;
  }

  /** Drops the entries of stored messages up to the sequence `through`: they are history from now on. */
  shown(through) {
    this.entries = this.entries.filter((each) => each.state !== 'sent' || each.seq > through);
  }

  /** Takes an error for the entry of that id. Says whether there is one. */
  refused(id, error) {
    const entry = this.entries.find((each) => each.id === id);
    if (!entry) return false;
    if (entry.state === 'sent') return true;
    const inFlight = entry === this.#inFlight;
    if (inFlight) this.#land();
    if (error.retryable) {
      entry.error = error;
      if (inFlight) this.#pause(error.retryAfterMs ?? backoff(entry.tries ?? 0, this.#options.clock, 1_000));
    } else {
      entry.state = 'failed';
      entry.error = error;
      this.#save(entry);
      this.#promises.get(id)?.reject(error);
      this.#promises.delete(id);
      this.#pump();
    }
    this.#options.changed();
    return true;
  }

  /** Takes an error that names no id: it may be of what is in flight. Says whether anything is. */
  disturbed(error) {
    return this.#inFlight !== null && this.refused(this.#inFlight.id, error);
  }

  /** Nothing is sent from here any more: what is not stored stays in the storage, for the next conversation. */
  close() {
    this.#closed = true;
    this.lineLost();
    for (const { reject } of this.#promises.values()) reject(closed());
    this.#promises.clear();
  }

  #pump() {
    const { clock, transmit, changed } = this.#options;
    if (!this.#open || this.#inFlight || this.#timer) return;
    const next = this.entries.find((each) => each.state === 'waiting');
    if (!next || !transmit(next)) return;
    next.state = 'sending';
    next.tries = (next.tries ?? 0) + 1;
    this.#inFlight = next;
    this.#timer = clock.setTimeout(() => {
      this.#land();
      this.#pump();
    }, ACK_MS);
    changed();
  }

  #pause(ms) {
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#timer = null;
      this.#pump();
    }, ms);
  }

  /** Nothing is in flight any more; what was is tried again unless it has become something else. */
  #land() {
    this.#options.clock.clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#inFlight?.state === 'sending') this.#inFlight.state = 'waiting';
    this.#inFlight = null;
  }

  #load() {
    const { storage, prefix } = this.#options;
    try {
      const keys = Array.from({ length: storage?.length ?? 0 }, (_, index) => storage.key(index));
      for (const key of keys) if (key?.startsWith(prefix)) this.#read(storage.getItem(key));
    } catch {
      // The storage is forbidden: go on without.
    }
    this.entries.sort((a, b) => a.created_at - b.created_at);
  }

  #read(text) {
    try {
      const { error, ...entry } = JSON.parse(text);
      this.entries.push({ ...entry, error: error && new NavieTakieError(error) });
    } catch {
      // Not written by us.
    }
  }

  #save(entry) {
    const { storage, prefix } = this.#options;
    const { id, message, message_type, metadata, created_at, state, error } = entry;
    const why = error && { code: error.code, message: error.message };
    const kept = { id, message, message_type, metadata, created_at, state, error: why };
    try {
      storage?.setItem(prefix + id, JSON.stringify(kept));
    } catch {
      // Full or forbidden: it stays in memory.
    }
  }

  #forget(entry) {
    try {
      this.#options.storage?.removeItem(this.#options.prefix + entry.id);
    } catch {
      // Then it is sent once more after a reload, and the server knows it already.
    }
  }

  #remove(entry) {
    this.#forget(entry);
    this.entries = this.entries.filter((each) => each !== entry);
    this.#pump();
  }
}
