/**
 * What survives a reload. Reads of a storage that answers at once (`localStorage`) return values. Reads of one that
 * returns promises (React Native's `AsyncStorage`) return promises, and its writes keep their order. If a storage fails
 * or is forbidden, nothing survives a reload, and everything else works.
 */
export class Store {
  #storage;
  #written = Promise.resolve();

  /** @param {Storage | import('./types.js').AsyncStorage | null} storage */
  constructor(storage) {
    if (storage && !storage.getAllKeys && !storage.key) throw new TypeError('connect: storage needs key or getAllKeys');
    this.#storage = storage;
  }

  get #slow() {
    return Boolean(this.#storage?.getAllKeys);
  }

  /** The texts of all keys that begin with `prefix`, or a promise of them. */
  readAll(prefix) {
    const storage = this.#storage;
    const texts = (keys) => keys.filter((key) => key?.startsWith(prefix)).map((key) => storage.getItem(key));
    const slowly = async () => Promise.all(texts(await storage.getAllKeys()));
    if (this.#slow) return slowly().catch(() => []);
    try {
      return texts(Array.from({ length: storage?.length ?? 0 }, (_, index) => storage.key(index)));
    } catch {
      return [];
    }
  }

  /** The value of a key, or null; or a promise of it. */
  read(key) {
    try {
      const text = this.#storage?.getItem(key);
      return text?.then ? text.then(parsed, () => null) : parsed(text);
    } catch {
      return null;
    }
  }

  /** Writes a value; null removes it. */
  write(key, value) {
    const act = () =>
      value === null ? this.#storage?.removeItem(key) : this.#storage?.setItem(key, JSON.stringify(value));
    if (this.#slow) {
      this.#written = this.#written.then(act).catch(() => {});
      return;
    }
    try {
      act();
    } catch {
      // The storage is full or forbidden.
    }
  }
}

/** The value of a JSON text; null if it is not JSON. */
export function parsed(text) {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return null;
  }
}
