/** Whether the app is in the background, told until the server knows it. A new connection counts as present. */
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

  /** Takes what the server knows, from a pong. */
  heard(on) {
    if (on !== undefined && on !== this.on) this.#tell();
  }

  #tell() {
    this.#options.send({ action: 'away', id: 'away', on: this.on });
  }
}
