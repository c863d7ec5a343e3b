import { Timer, backoff, within } from './clock.js';
import { NavieTakieError, closed } from './errors.js';
import { flaw, messageFrame } from './frames.js';
import { newId } from './ids.js';
import { parsed } from './store.js';

const ACK_MS = 10_000;
const STORAGE_MS = 10_000;

/**
 * Messages on their way to the server, in the order of writing and one at a time. Each is kept until it is acknowledged.
 *
 * Every try of a message carries the same id, so the server stores it once however often it is sent. An entry is
 * `{id, message, message_type, metadata, created_at, state, error, stored}`; its `state` is `waiting` (its turn will
 * come), `sending`, `sent` (stored, but messages before it are still missing here) or `failed` (refused, with `error`;
 * the entries after it are sent all the same). Each entry is an item of its own in the storage: a reload loses none, and
 * two windows do not overwrite each other's. Entries belong to one user. Those of other users are neither shown nor sent.
 */
export class Outbox {
  /**
   * Neither the list nor an entry is changed in place: a changed one is a new object.
   *
   * @type {readonly import('./types.js').OutboxEntry[]}
   */
  entries = [];
  #options;
  #user;
  /** Counts the loads from the storage: only the result of the latest one is used. */
  #loads = 0;
  #loading = false;
  /** The id of the message in flight. */
  #inFlight = null;
  #timer;
  #open = false;
  #closed = false;
  #promises = new Map();

  /**
   * @param {object} options
   * @param {import('./store.js').Store} options.store
   * @param {import('./types.js').Clock} options.clock
   * @param {string} options.name of this conversation in the store
   * @param {string | null | undefined} options.user whose messages these are; null if there are no users, undefined as
   *   long as it is not known
   * @param {(frame: object) => boolean} options.send false when the line is down
   * @param {() => void} options.changed
   */
  constructor(options) {
    this.#options = options;
    this.#timer = new Timer(options.clock);
    this.#user = options.user;
    if (this.#user !== undefined) this.#load();
  }

  /**
   * Says which user's messages these are. Messages written before the user was known belong to this user. Messages of
   * another user stay in the storage until that user is back.
   */
  belongTo(user) {
    if (user === this.#user) return;
    this.#land();
    const mine = this.#user === undefined ? this.entries : [];
    if (this.#user !== undefined) this.#abandon();
    for (const entry of mine) this.#options.store.write(this.#key(entry.id), null);
    this.#user = user;
    this.#load(mine);
    this.#options.changed();
  }

  /** Adds a message. Returns its entry and a promise of the stored message, rejected if the server refuses it. */
  add(content) {
    const { clock } = this.#options;
    const last = this.entries[this.entries.length - 1]?.created_at ?? 0;
    const entry = {
      id: newId(),
      ...content,
      created_at: Math.max(clock.now(), last + 1), // their order, also after a reload
      state: 'waiting',
      error: null,
    };
    const error = flaw(messageFrame(entry));
    this.entries = [...this.entries, entry];
    this.#save(entry);
    const stored = new Promise((resolve, reject) => this.#promises.set(entry.id, { resolve, reject }));
    stored.catch(() => {}); // an app may ignore it: a rejection must not count as unhandled
    if (this.#closed) this.close();
    if (error) this.refused(entry.id, error);
    this.#pump();
    return { ...this.#find(entry.id), stored };
  }

  /** Whether a message waits for its ack. */
  get waiting() {
    return this.#inFlight !== null;
  }

  /** Sends a failed message again, under the same id. */
  retry(id) {
    const entry = this.#find(id);
    if (entry?.state !== 'failed' || flaw(messageFrame(entry))) return;
    this.#save(this.#change(id, { state: 'waiting', error: null }));
    this.#pump();
    this.#options.changed();
  }

  /** Forgets a message that failed or has not been tried. */
  discard(id) {
    const entry = this.#find(id);
    if (!entry || id === this.#inFlight || entry.state === 'sent') return false;
    this.#options.store.write(this.#key(id), null);
    this.entries = this.entries.filter((each) => each !== entry);
    this.#pump();
    this.#options.changed();
    return true;
  }

  lineOpened() {
    this.#land();
    this.#open = true;
    this.#pump();
  }

  lineLost() {
    this.#open = false;
    this.#land();
  }

  /** Notes that `message` is stored. Returns whether that is news about an entry of ours. */
  stored(message) {
    const entry = this.#find(message.client_message_id);
    if (!entry || entry.state === 'sent') return false;
    if (entry.id === this.#inFlight) this.#land();
    this.#change(entry.id, { state: 'sent', seq: message.seq, error: null });
    this.#options.store.write(this.#key(entry.id), null);
    this.#promises.get(entry.id)?.resolve(message);
    this.#promises.delete(entry.id);
    this.#pump();
    return true;
  }

  /** Drops the entries of stored messages up to the sequence `through`: they are in the history now. */
  shown(through) {
    const left = this.entries.filter((each) => each.state !== 'sent' || each.seq > through);
    if (left.length < this.entries.length) this.entries = left;
  }

  /** Takes an error for the entry with this id. Returns whether there is one. */
  refused(id, error) {
    const entry = this.#find(id);
    if (!entry) return false;
    if (entry.state === 'sent') return true;
    const inFlight = id === this.#inFlight;
    if (inFlight) this.#land();
    if (error.retryable) {
      this.#change(id, { error });
      const pause = error.retryAfterMs ?? backoff(entry.tries ?? 0, this.#options.clock, 1_000);
      if (inFlight) this.#timer.set(pause, () => this.#pump());
    } else {
      this.#save(this.#change(id, { state: 'failed', error }));
      this.#promises.get(id)?.reject(error);
      this.#promises.delete(id);
      this.#pump();
    }
    this.#options.changed();
    return true;
  }

  /** Takes an error without an id: it may belong to the message in flight. Returns whether there is one. */
  disturbed(error) {
    return this.#inFlight !== null && this.refused(this.#inFlight, error);
  }

  /** Stops sending. Messages that the server has not stored stay in the storage for the next conversation. */
  close() {
    this.#closed = true;
    this.lineLost();
    this.#abandon();
  }

  #pump() {
    const { send, changed } = this.#options;
    if (!this.#open || this.#loading || this.#inFlight || this.#timer.due) return;
    const next = this.entries.find((each) => each.state === 'waiting');
    if (!next || !send(messageFrame(next))) return;
    this.#change(next.id, { state: 'sending', tries: (next.tries ?? 0) + 1 });
    this.#inFlight = next.id;
    this.#timer.set(ACK_MS, () => {
      this.#land();
      this.#pump();
    });
    changed();
  }

  /** Ends the flight of the message in flight. If it is still `sending`, it waits for another try. */
  #land() {
    this.#timer.stop();
    const id = this.#inFlight;
    this.#inFlight = null;
    if (id && this.#find(id)?.state === 'sending') this.#change(id, { state: 'waiting' });
  }

  #abandon() {
    for (const { reject } of this.#promises.values()) reject(closed());
    this.#promises.clear();
  }

  /** Reads the entries from the storage. `mine` were written meanwhile and come after them. */
  #load(mine = []) {
    const load = ++this.#loads;
    const { store, clock } = this.#options;
    const texts = store.readAll(this.#key(''));
    const take = (found) => load === this.#loads && this.#merge(found);
    this.entries = mine;
    for (const entry of mine) this.#save(entry);
    if (!texts.then) {
      take(texts);
      return;
    }
    this.#loading = true;
    const begin = () => {
      if (load !== this.#loads) return;
      this.#loading = false;
      this.#pump();
    };
    within(STORAGE_MS, clock, texts.then(take)).then(begin, begin);
  }

  #merge(texts) {
    const known = new Set(this.entries.map(({ id }) => id));
    const found = texts
      .map(parsed)
      .filter((entry) => entry?.id && !known.has(entry.id))
      .map(({ error, ...entry }) => ({ ...entry, error: error && new NavieTakieError(error) }))
      .sort((a, b) => a.created_at - b.created_at);
    let last = found[found.length - 1]?.created_at ?? 0;
    const mine = this.entries.map((entry) => {
      last = Math.max(entry.created_at, last + 1); // the clock may have been put back since the others were written
      if (last === entry.created_at) return entry;
      const later = { ...entry, created_at: last };
      this.#save(later);
      return later;
    });
    this.entries = [...found, ...mine];
    this.#options.changed();
  }

  #find(id) {
    return this.entries.find((each) => each.id === id);
  }

  #change(id, what) {
    const changed = { ...this.#find(id), ...what };
    this.entries = this.entries.map((each) => (each.id === id ? changed : each));
    return changed;
  }

  #save({ tries, error, ...kept }) {
    const why = error && { code: error.code, message: error.message };
    this.#options.store.write(this.#key(kept.id), { ...kept, error: why });
  }

  #key(id) {
    const whose = this.#user ? `of ${encodeURIComponent(this.#user)} ` : '';
    return `navietakie outbox ${whose}${this.#options.name} ${id}`;
  }
}
