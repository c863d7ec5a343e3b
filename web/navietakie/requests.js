import { Timer } from './clock.js';
import { closed, timeout } from './errors.js';

const RESEND_MS = 5_000;
const UNSENT_MS = 20_000;

/**
 * Requests over the line that need an answer. Each is sent again with the same id, on every new line and every five
 * seconds, until it is answered or its time is up. Use it only for actions that are harmless to repeat.
 */
export class Requests {
  #pending = new Map();
  #count = 0;
  #closed = false;
  #send;
  #clock;

  constructor({ send, clock }) {
    this.#send = send;
    this.#clock = clock;
  }

  /**
   * Resolves with the answering frame. Rejects with the server's refusal, or with `timeout` if the frame was not sent
   * within 20 s or no answer came within `patience` milliseconds. A frame that is `withdrawn` before it was sent is never
   * sent. One that is withdrawn later is not sent again, but its answer still counts. `sent` is called when it is sent.
   *
   * @param {object} fields
   * @param {{withdrawn?: AbortSignal, patience?: number, sent?: () => void}} [how]
   */
  ask(fields, { withdrawn, patience = UNSENT_MS, sent } = {}) {
    if (this.#closed) return Promise.reject(closed());
    const frame = { id: `ask-${++this.#count}`, ...fields };
    return new Promise((resolve, reject) => {
      const [again, end] = [new Timer(this.#clock), new Timer(this.#clock)];
      const asked = { frame, resolve, reject, again, end, tell: sent, sent: false, quiet: false };
      this.#pending.set(frame.id, asked);
      const late = () => this.#reject(frame.id, timeout());
      const unsent = () => (asked.sent ? end.set(patience - UNSENT_MS, late) : late());
      if (patience < Infinity) end.set(UNSENT_MS, unsent);
      withdrawn?.addEventListener('abort', () => {
        asked.quiet = true;
        again.stop();
        if (!asked.sent) this.#reject(frame.id, closed());
      });
      this.#transmit(asked);
    });
  }

  /** Whether the server owes an answer. */
  get waiting() {
    return [...this.#pending.values()].some((asked) => asked.sent && !asked.quiet);
  }

  lineOpened() {
    this.repeat();
  }

  /** Sends every request without an answer again: on a new line, or when an answer seems to be lost. */
  repeat() {
    for (const asked of this.#pending.values()) this.#transmit(asked);
  }

  /** Takes an answer; returns whether it belongs to a request. */
  answered(frame) {
    const asked = this.#take(frame.id);
    asked?.resolve(frame);
    return Boolean(asked);
  }

  /** Takes a refusal; returns whether it belongs to a request. After a retryable one the request is sent again. */
  refused(id, error) {
    const asked = this.#pending.get(id);
    if (!asked) return false;
    if (error.retryable) this.#again(asked, error.retryAfterMs ?? 1_000);
    else this.#reject(id, error);
    return true;
  }

  /** Takes an error without an id: it may belong to any request. Returns whether there is one. */
  disturbed(error) {
    for (const id of this.#pending.keys()) this.refused(id, error);
    return this.#pending.size > 0;
  }

  close() {
    this.#closed = true;
    for (const id of this.#pending.keys()) this.#reject(id, closed());
  }

  #transmit(asked) {
    if (asked.quiet) return;
    if (this.#send(asked.frame) && !asked.sent) {
      asked.sent = true;
      asked.tell?.();
    }
    this.#again(asked, RESEND_MS);
  }

  #again(asked, ms) {
    asked.again.set(ms, () => this.#transmit(asked));
  }

  #reject(id, error) {
    this.#take(id)?.reject(error);
  }

  #take(id) {
    const asked = this.#pending.get(id);
    this.#pending.delete(id);
    asked?.again.stop();
    asked?.end.stop();
    return asked;
  }
}
