import { NavieTakieError } from './errors.js';

const ANSWER_MS = 15_000;

/** The REST side of a deployment: what is not worth a frame. */
export class Rest {
  #options;

  /**
   * @param {object} options
   * @param {string} options.base what comes before `/api/v1/`
   * @param {() => Promise<string|null>} options.token
   * @param {typeof fetch} options.fetch
   */
  constructor(options) {
    this.#options = options;
  }

  /** The body of a successful answer; throws a NavieTakieError for anything else, or what `token` throws. */
  async get(resource, query) {
    const { base, token, fetch } = this.#options;
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
    const bearer = await token();
    let answer;
    let body;
    try {
      answer = await fetch(`${base}/api/v1/${resource}?${new URLSearchParams(given)}`, {
        headers: bearer ? { authorization: `Bearer ${bearer}` } : {},
        signal: AbortSignal.timeout(ANSWER_MS),
      });
      body = await answer.json();
    } catch (error) {
      const code = error.name === 'TimeoutError' ? 'timeout' : 'network';
      throw new NavieTakieError({ code, message: error.message, retryable: true });
    }
    if (answer.ok) return body;
    const { code = 'internal', message = 'The server refused', details, request_id } = body?.error ?? {};
    const retryable = answer.status === 429 || answer.status >= 500;
    const retry_after_ms = Number(answer.headers.get('retry-after')) * 1_000 || null;
    throw new NavieTakieError({ code, message, details, request_id, retryable, retry_after_ms, status: answer.status });
  }
}
