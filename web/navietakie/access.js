import { NavieTakieError } from './errors.js';

/** How this client is let in: by which address, with which token, and if not, why not. */
export class Access {
  /** Whether the server has refused the last token. */
  refused = false;
  #token;
  #options;

  /**
   * @param {object} options
   * @param {string} options.bookingCode
   * @param {import('./types.js').Sender} options.sender
   * @param {string} options.deviceId
   * @param {string} options.ws
   * @param {import('./rest.js').Rest} options.rest
   * @param {string | ((refused: boolean) => Promise<string> | string)} [options.token]
   */
  constructor(options) {
    this.#options = options;
    this.#token = options.token;
  }

  /** Whether there may be another token than the one that was refused. */
  get renewable() {
    return typeof this.#token === 'function';
  }

  replace(token) {
    this.#token = token;
  }

  /** The token to use now, or null. What is none is neither sent nor named: it may be another secret. */
  async token() {
    const token = typeof this.#token === 'function' ? await this.#token(this.refused) : this.#token;
    if (token && !/^[\w.-]+$/.test(token)) {
      throw new NavieTakieError({ code: 'unauthorized', message: 'The token is no JWT', retryable: this.renewable });
    }
    return token || null;
  }

  /** Where the WebSocket is, and what to offer there: a token travels as a subprotocol, in no address. */
  async address() {
    const { ws, bookingCode, sender, deviceId } = this.#options;
    const url = new URL(ws);
    url.searchParams.set('booking_code', bookingCode);
    url.searchParams.set('sender', sender);
    url.searchParams.set('device_id', deviceId);
    const token = await this.token();
    return { url: url.href, protocols: token ? ['navietakie.v1', `bearer.${token}`] : [] };
  }

  /** Why a handshake failed, as REST tells it: null if it lets us in, cannot be reached, or another token may do. */
  async diagnose() {
    try {
      await this.#options.rest.get('get_message', { booking_code: this.#options.bookingCode, limit: 1 });
      return null;
    } catch (error) {
      if (!error.status) return null; // nobody has answered
      this.refused = error.status === 401;
      return error.retryable || (this.refused && this.renewable) ? null : error;
    }
  }
}
