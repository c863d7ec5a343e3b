import { Timer, within } from './clock.js';
import { fault } from './errors.js';
import { query } from './platform.js';
import { claimsOf } from './token.js';

const TOKEN_MS = 15_000;
const DAY_MS = 86_400_000;

/** How this client gets in: the address, the token and its expiry, and why it was refused. */
export class Access {
  #options;
  /** Whether the server has refused the last token, or that token is about to expire. */
  refused = false;
  #token;
  /** The claims of the connection's token, and of the token of the connection that is being opened. */
  #held = {};
  #offered = {};
  /** By how much the server's clock is ahead of ours; null until the connection has brought a frame. */
  #ahead = null;
  #expiry;

  /**
   * @param {object} options
   * @param {string} options.bookingCode
   * @param {import('./types.js').Sender} options.sender
   * @param {() => string} options.deviceId
   * @param {string} options.ws
   * @param {import('./rest.js').Rest} options.rest
   * @param {import('./types.js').Clock} options.clock
   * @param {string | ((refused: boolean) => Promise<string> | string)} [options.token]
   * @param {(user: string | null) => void} options.owner told whose token it is, before the token is used
   * @param {() => void} options.renew opens a connection with another token
   * @param {(error: NavieTakieError) => void} options.expired told when no token lets us in any more
   */
  constructor(options) {
    this.#options = options;
    this.#expiry = new Timer(options.clock);
    this.#token = options.token;
  }

  /** Whether there may be another token than the one that was refused. */
  get renewable() {
    return typeof this.#token === 'function';
  }

  /** Uses this token from now on. Returns whether it differs from the one before. */
  replace(token) {
    const other = token !== this.#token;
    this.#token = token;
    return other;
  }

  /** The token to use now, or null. A text that is no JWT is neither sent nor shown: it may be another secret. */
  async token() {
    const { bookingCode, sender, clock, owner } = this.#options;
    const source = this.#token;
    const token = await within(TOKEN_MS, clock, this.renewable ? source(this.refused) : source);
    if (source !== this.#token) return this.token(); // another was given meanwhile, perhaps another user's
    if (!token) {
      owner(null);
      return null;
    }
    if (!/^[\w.-]+$/.test(token)) {
      throw fault('unauthorized', 'The token is no JWT', { retryable: this.renewable });
    }
    const { role = sender, booking_code: booking = bookingCode, sub } = claimsOf(token);
    if (role !== sender || booking !== bookingCode) throw fault('forbidden', `The token is for ${role} of ${booking}`);
    owner(sub ?? null);
    return token;
  }

  /** The address of the WebSocket, and the subprotocols. A token is a subprotocol, and never in the address. */
  async address() {
    const { ws, bookingCode, sender } = this.#options;
    const deviceId = this.#options.deviceId();
    if (!/^[ -~]{1,64}$/.test(deviceId)) {
      const message = 'deviceId: 1 to 64 printable ASCII characters';
      throw fault('invalid_request', message, { details: { field: 'device_id' } });
    }
    const token = await this.token();
    this.#offered = token ? claimsOf(token) : {};
    const asked = query({ booking_code: bookingCode, sender, device_id: deviceId });
    const url = `${ws}${ws.includes('?') ? '&' : '?'}${asked}`;
    return { url, protocols: token ? ['navietakie.v1', `bearer.${token}`] : [] };
  }

  lineOpened() {
    this.refused = false;
    this.#held = this.#offered;
    this.#ahead = null;
    this.lineLost();
  }

  lineLost() {
    this.#expiry.stop();
  }

  /** Takes a frame's `ts`. The token expires by the server's clock, and ours may be wrong. */
  heard(ts) {
    if (this.#ahead !== null || !ts) return;
    this.#ahead = Date.parse(ts) - this.#options.clock.now();
    this.#watchExpiry();
  }

  /** Asks REST why a handshake failed. Null if REST lets us in or cannot be reached, or if a new token may help. */
  async diagnose() {
    try {
      await this.#options.rest.get('get_message', { booking_code: this.#options.bookingCode, limit: 1 });
      return null;
    } catch (error) {
      const { status, code, retryable } = error;
      if (!status) return code && !retryable ? error : null; // the token is for somebody else, or nobody answered
      this.refused = status === 401;
      return this.refused && this.renewable ? null : error;
    }
  }

  /** Renews shortly before the token expires: the server sends nothing to an expired one. */
  #watchExpiry() {
    const { clock, renew, expired } = this.#options;
    this.#expiry.stop();
    const left = this.#held.exp * 1_000 - clock.now() - this.#ahead;
    if (!(left < DAY_MS)) return; // API Gateway ends a connection after two hours
    const early = this.renewable && left > 1_000 ? Math.min(30_000, left / 5) : 0;
    this.#expiry.set(Math.max(0, left - early), () => {
      if (!early) {
        expired(fault('token_expired', 'The token has expired'));
        return;
      }
      this.refused = true;
      renew();
      this.#watchExpiry(); // the new connection may fail
    });
  }
}
