/** Events by name. A listener that throws is reported and does not keep the others from hearing. */
export class Emitter {
  #listeners = new Map();

  /**
   * Calls `listener` at every event of that name.
   * @returns {() => void} stops it
   */
  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.#listeners.get(name)?.delete(listener);
  }

  emit(name, detail) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(detail);
      } catch (error) {
        setTimeout(() => {
          throw error;
        });
      }
    }
  }
}
