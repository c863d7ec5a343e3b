const NOTES = [659.25, 783.99, 987.77];
const BAR_MS = 2_400;

/** Three soft notes, every 2.4 seconds. Silent until the user has touched the page once, as browsers demand. */
export class Ringtone {
  #context = null;
  #timer = null;

  play(on) {
    if (on === Boolean(this.#timer)) return;
    clearInterval(this.#timer);
    this.#timer = null;
    if (!on) return;
    this.#bar();
    this.#timer = setInterval(() => this.#bar(), BAR_MS);
  }

  #bar() {
    if (!navigator.userActivation?.hasBeenActive || !globalThis.AudioContext) return;
    this.#context ??= new AudioContext();
    NOTES.forEach((pitch, index) => this.#note(pitch, this.#context.currentTime + 0.02 + index * 0.14));
  }

  #note(pitch, start) {
    const tone = this.#context.createOscillator();
    const volume = this.#context.createGain();
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0, start);
    volume.gain.linearRampToValueAtTime(0.06, start + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.0005, start + 0.7);
    tone.connect(volume).connect(this.#context.destination);
    tone.start(start);
    tone.stop(start + 0.75);
  }
}
