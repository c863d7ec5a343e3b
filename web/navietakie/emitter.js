/** Events by name. A listener that throws is reported and does not keep the others from hearing. */
export class Emitter {
  #listeners = Object.create(null);

  /**
   * Calls `listener` at every event of that name.
   * @returns {() => void} stops it
   */
  on(name, listener) {
    const listeners = (this.#listeners[name] ??= new Set());
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  emit(name, detail) {
    for (const listener of [...(this.#listeners[name] ?? [])]) {
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
