/** Counts down to an instant, also if the device's clock is set meanwhile: the instant is compared with that clock once. */
export class Steady {
  #instant = null;
  #end = 0;

  /** Whole seconds until `instant` (milliseconds since 1970), at least 0. */
  secondsTo(instant) {
    if (instant !== this.#instant) this.#end = performance.now() + instant - Date.now();
    this.#instant = instant;
    return Math.max(0, Math.ceil((this.#end - performance.now()) / 1_000));
  }
}
