import { Timer, backoff } from './clock.js';
import { NavieTakieError } from './errors.js';
import { parsed } from './store.js';

const HANDSHAKE_MS = 15_000;
const PROBE_EVERY = 4;
const OPEN = 1;

/**
 * One WebSocket at a time, and a new one whenever it breaks.
 *
 * `state` is `connecting`, `open`, `waiting` (for the next try, at `retryAt`), `refused` (with `refusal`; only `retry`
 * leaves it) or `closed`. Frames are objects.
 */
export class Line {
  #options;
  state = 'connecting';
  /** Why the server does not let us in, while `refused`. */
  refusal = null;
  /** When the next try is due, in milliseconds since 1970, while `waiting`. */
  retryAt = null;
  #attempt = 0;
  #failedHandshakes = 0;
  #turn = 0;
  #socket = null;
  #next = null;
  #timer;

  /**
   * @param {object} options
   * @param {typeof WebSocket} options.WebSocket
   * @param {import('./types.js').Clock} options.clock
   * @param {import('./access.js').Access} options.access asked for the address before every try. After a failed
   *   handshake asked for the reason, which browsers keep secret
   * @param {(error: Error) => void} options.problem told why a try could not begin
   * @param {(state: string) => void} options.onState
   * @param {(frame: import('./types.js').Frame, text: string) => void} options.onFrame
   * @param {(frame: import('./types.js').Frame, text: string) => void} options.onSent
   */
  constructor(options) {
    this.#options = options;
    this.#timer = new Timer(options.clock);
  }

  /** Opens the line now. Ends a refusal, and replaces a try that is due or hangs. */
  retry() {
    if (this.state === 'open' || this.state === 'closed') return;
    this.refusal = null;
    this.#connect();
  }

  /**
   * Opens another socket, with another token, and closes this one when the other is open. If it does not open, nothing
   * changes.
   */
  async renew() {
    if (this.state !== 'open') return;
    const turn = this.#turn;
    const socket = await this.#dial(turn);
    if (!socket) return;
    shut(this.#next);
    this.#next = socket;
    socket.onopen = () => {
      this.#next = null;
      this.#release();
      this.#adopt(socket);
    };
    socket.onerror = () => {};
  }

  /** Sends a frame if the line is open. Returns whether it was. */
  send(frame) {
    if (this.state !== 'open' || this.#socket.readyState !== OPEN) return false;
    const text = JSON.stringify(frame);
    this.#socket.send(text);
    this.#options.onSent(frame, text);
    return true;
  }

  /** Notes that the line works: the next failure counts as the first one again. */
  settle() {
    this.#attempt = 0;
  }

  /** Gives up this socket, which seems dead, and connects again after a wait. */
  drop() {
    if (this.state !== 'open' && this.state !== 'connecting') return;
    this.#release();
    this.#wait();
  }

  /** Closes the line because of a refusal. Only `retry` opens it again. */
  refuse(refusal) {
    this.#release();
    this.refusal = refusal;
    this.#become('refused');
  }

  close() {
    this.#release();
    this.#become('closed');
  }

  async #connect() {
    const turn = this.#release();
    this.#become('connecting');
    const socket = await this.#dial(turn);
    if (!socket) return;
    this.#socket = socket;
    this.#timer.set(HANDSHAKE_MS, () => this.#lost());
    socket.onopen = () => this.#adopt(socket);
    socket.onerror = () => this.state === 'connecting' && this.#lost(); // Node 20 sends no close after it
    socket.onclose = () => this.#lost();
  }

  /** A socket that is being opened; undefined if that could not begin. Then a problem is told, and another try follows. */
  async #dial(turn) {
    const { access, problem, WebSocket } = this.#options;
    try {
      const { url, protocols } = await access.address();
      if (turn === this.#turn) return new WebSocket(url, protocols);
    } catch (error) {
      if (turn !== this.#turn) return;
      if (error instanceof NavieTakieError && !error.retryable) {
        this.refuse(error);
        return;
      }
      problem(error);
      if (turn === this.#turn && this.state === 'connecting') this.#wait(); // a listener may have closed the line
    }
  }

  #adopt(socket) {
    this.#timer.stop();
    this.#failedHandshakes = 0;
    this.#socket = socket;
    socket.onopen = null;
    socket.onmessage = (event) => this.#received(event.data);
    socket.onclose = () => this.#lost();
    this.#become('open');
  }

  #lost() {
    const probes = this.state !== 'open' && this.#failedHandshakes++ % PROBE_EVERY === 0;
    this.#release();
    this.#wait(probes ? this.#options.access.diagnose().catch(() => null) : null);
  }

  /** Waits for the next try, and for the diagnosis of the last one. If that is a refusal for good, there is no next try. */
  #wait(diagnosis = null, delay = backoff(this.#attempt++, this.#options.clock)) {
    const turn = this.#turn;
    this.retryAt = this.#options.clock.now() + delay;
    this.#timer.set(delay, async () => {
      const refusal = await diagnosis;
      if (turn !== this.#turn) return;
      if (refusal && !refusal.retryable) this.refuse(refusal);
      else if (refusal?.retryAfterMs > delay) this.#wait(null, refusal.retryAfterMs - delay);
      else this.#connect();
    });
    this.#become('waiting');
  }

  #received(data) {
    const frame = parsed(data);
    if (frame !== null && typeof frame === 'object') this.#options.onFrame(frame, data);
  }

  /** Lets go of the sockets and the timer. Begins a new turn: what an older turn still does is ignored. */
  #release() {
    this.#timer.stop();
    this.retryAt = null;
    shut(this.#socket);
    shut(this.#next);
    this.#socket = this.#next = null;
    return ++this.#turn;
  }

  #become(state) {
    this.state = state;
    this.#options.onState(state);
  }
}

function shut(socket) {
  if (!socket) return;
  socket.onopen = socket.onmessage = socket.onclose = null;
  socket.onerror = () => {}; // some classes throw an error that has no listener
  try {
    socket.close();
  } catch {
    // It was never open, so there is nothing to close.
  }
}
