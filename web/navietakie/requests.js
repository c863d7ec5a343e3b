import { NavieTakieError, closed } from './errors.js';

const RESEND_MS = 5_000;
const ANSWER_MS = 20_000;

/**
 * Requests over the line that want an answer: each is sent again, under the same id, on every new line and every five
 * seconds, until it is answered or its time is up. For actions whose repeats are harmless.
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
   * Resolves with the answering frame; rejects with the server's refusal, or `timeout`, or where it was `withdrawn`
   * before any line had taken it. After that it may have reached the server, and is asked until it is answered.
   *
   * @param {object} fields
   * @param {AbortSignal} [withdrawn]
   */
  ask(fields, withdrawn) {
    if (this.#closed) return Promise.reject(closed());
    const frame = { id: `ask-${++this.#count}`, ...fields };
    return new Promise((resolve, reject) => {
      const asked = { frame, resolve, reject, timer: null, endTimer: null, sent: false };
      this.#pending.set(frame.id, asked);
      const late = () => this.#reject(frame.id, new NavieTakieError({ code: 'timeout', message: 'No answer came' }));
      asked.endTimer = this.#clock.setTimeout(late, ANSWER_MS);
      withdrawn?.addEventListener('abort', () => asked.sent || this.#reject(frame.id, withdrawn.reason));
      this.#transmit(asked);
    });
  }

  /** Sends whatever is unanswered again: on a new line, or where an answer seems to be lost. */
  repeat() {
    for (const asked of this.#pending.values()) this.#transmit(asked);
  }

  /** Takes an answer; says whether anybody asked. */
  answered(frame) {
    const asked = this.#take(frame.id);
    asked?.resolve(frame);
    return Boolean(asked);
  }

  /** Takes a refusal; says whether anybody asked. A passing one is not the last word: the request is sent again. */
  refused(id, error) {
    const asked = this.#pending.get(id);
    if (!asked) return false;
    if (error.retryable) this.#again(asked, error.retryAfterMs ?? 1_000);
    else this.#reject(id, error);
    return true;
  }

  /** Takes an error that names no id: it may be of anything that was asked. Says whether anything was. */
  disturbed(error) {
    for (const id of [...this.#pending.keys()]) this.refused(id, error);
    return this.#pending.size > 0;
  }

  close() {
    this.#closed = true;
    for (const id of [...this.#pending.keys()]) this.#reject(id, closed());
  }

  #transmit(asked) {
    asked.sent = this.#send(asked.frame) || asked.sent;
    this.#again(asked, RESEND_MS);
  }

  #again(asked, ms) {
    this.#clock.clearTimeout(asked.timer);
    asked.timer = this.#clock.setTimeout(() => this.#transmit(asked), ms);
  }

  #reject(id, error) {
    this.#take(id)?.reject(error);
  }

  #take(id) {
    const asked = this.#pending.get(id);
    this.#pending.delete(id);
    this.#clock.clearTimeout(asked?.timer);
    this.#clock.clearTimeout(asked?.endTimer);
    return asked;
  }
}
