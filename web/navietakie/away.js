/** Whether the app is in the background. Tells the server until it knows. A new connection counts as present. */
export class Away {
  on = false;
  #options;

  constructor(options) {
    this.#options = options;
  }

  /** Says that the app is in the background, or is not any more. */
  say(on) {
    if (on === this.on) return;
    this.on = on;
    this.#tell();
    this.#options.changed();
  }

  lineOpened() {
    if (this.on) this.#tell();
  }

  /** Takes from a pong what the server believes. */
  heard(on) {
    if (on !== undefined && on !== this.on) this.#tell();
  }

  #tell() {
    this.#options.send({ action: 'away', id: 'away', on: this.on });
  }
}
