/** Whether the app is in the background, told until the server knows it. A new connection counts as present. */
export class Away {
  on = false;
  #send;

  constructor({ send }) {
    this.#send = send;
  }

  /** Says that the app is in the background, or is not any more. Says whether that is news. */
  say(on) {
    if (on === this.on) return false;
    this.on = on;
    this.#tell();
    return true;
  }

  lineOpened() {
    if (this.on) this.#tell();
  }

  /** Takes what the server knows, from a pong. */
  heard(on) {
    if (on !== undefined && on !== this.on) this.#tell();
  }

  #tell() {
    this.#send({ action: 'away', id: 'away', on: this.on });
  }
}
