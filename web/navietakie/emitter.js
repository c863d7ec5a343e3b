/** Events by name. If a listener throws, its error is reported, and the other listeners are still called. */
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
