/**
 * What survives a reload. A storage that answers at once (`localStorage`) is read at once; one that answers by promises
 * (React Native's `AsyncStorage`) by a promise, and what is written of one key stays in order. A storage that fails or is
 * forbidden costs the survival, nothing else.
 */
export class Store {
  #storage;
  #tails = new Map();

  /** @param {Storage | import('./types.js').AsyncStorage | null} storage */
  constructor(storage) {
    if (storage && !storage.getAllKeys && !storage.key) throw new TypeError('connect: storage needs key or getAllKeys');
    this.#storage = storage;
  }

  get #slow() {
    return Boolean(this.#storage?.getAllKeys);
  }

  /** The texts under all keys that begin with `prefix`: at once, or a promise of them. */
  readAll(prefix) {
    if (this.#slow) return this.#readSlowly(prefix);
    try {
      const storage = this.#storage;
      const keys = Array.from({ length: storage?.length ?? 0 }, (_, index) => storage.key(index));
      return keys.filter((key) => key?.startsWith(prefix)).map((key) => storage.getItem(key));
    } catch {
      return [];
    }
  }

  /** The value under a key, or null: at once, or a promise of it. */
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
      const tail = (this.#tails.get(key) ?? Promise.resolve()).then(act).catch(() => {});
      this.#tails.set(key, tail);
      tail.then(() => this.#tails.get(key) === tail && this.#tails.delete(key));
      return;
    }
    try {
      act();
    } catch {
      // Full or forbidden.
    }
  }

  async #readSlowly(prefix) {
    try {
      const keys = (await this.#storage.getAllKeys()).filter((key) => key.startsWith(prefix));
      return await Promise.all(keys.map((key) => this.#storage.getItem(key)));
    } catch {
      return [];
    }
  }
}

/** The value of a JSON text; null for what is none. */
export function parsed(text) {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return null;
  }
}
