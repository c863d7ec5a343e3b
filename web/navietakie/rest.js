import { within } from './clock.js';
import { fault } from './errors.js';
import { query } from './platform.js';

const ANSWER_MS = 15_000;

/** The requests that go to the REST API and not over the WebSocket. */
export class Rest {
  #options;

  /**
   * @param {object} options
   * @param {string} options.api what comes before `/api/v1/`
   * @param {() => Promise<string|null>} options.bearer the token
   * @param {typeof fetch} options.fetch
   * @param {import('./types.js').Clock} options.clock
   */
  constructor(options) {
    this.#options = options;
  }

  /** The body of a successful answer. Otherwise throws a NavieTakieError, or what `token` has thrown. */
  async get(resource, values) {
    const { api, bearer } = this.#options;
    const token = await bearer();
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    const { answer, body } = await this.#fetch(`${api}/api/v1/${resource}?${query(values)}`, { headers });
    if (answer.ok) return body;
    const { status } = answer;
    const retryable = status === 429 || status >= 500;
    const retry_after_ms = Number(answer.headers.get('retry-after')) * 1_000 || null;
    throw fault('internal', 'The server refused', { ...body?.error, retryable, retry_after_ms, status });
  }

  async #fetch(url, options) {
    const { fetch, clock } = this.#options;
    const asked = async () => {
      const answer = await fetch(url, options);
      return { answer, body: await answer.json() };
    };
    try {
      return await within(ANSWER_MS, clock, asked());
    } catch (error) {
      throw error.code === 'timeout' ? error : fault('network', error.message, { retryable: true });
    }
  }
}
