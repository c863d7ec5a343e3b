import { backoff, within } from './clock.js';
import { NavieTakieError } from './errors.js';

const UPLOAD_MS = 120_000;
const UPLOAD_TRIES = 3;
/** An address works for 15 minutes. */
const URL_MS = 600_000;

/** Photos and voice notes: to the server's storage, and back. */
export class Attachments {
  #options;
  #urls = new Map();

  constructor(options) {
    this.#options = options;
  }

  /** Uploads a file. Resolves with `{id, content_type, bytes}`; rejects with what the server says, or `upload`. */
  async upload(file) {
    const content_type = String(file.type ?? '').split(';')[0];
    const { attachment, upload } = await this.#options.ask({ action: 'attach', content_type, bytes: file.size });
    await this.#post(upload, file);
    return attachment;
  }

  /** Resolves with an address of an attachment, fresh enough to be used now. */
  url(id) {
    const { rest, bookingCode, clock } = this.#options;
    const known = this.#urls.get(id);
    if (known && clock.now() < known.until) return known.url;
    const url = rest.get('attachment', { booking_code: bookingCode, id }).then((answer) => answer.url);
    this.#urls.set(id, { url, until: clock.now() + URL_MS });
    url.catch(() => this.forget(id));
    return url;
  }

  forget(id) {
    this.#urls.delete(id);
  }

  /** Posts the form that S3 wants: its fields first, the file last. A line that breaks meanwhile is no reason to give up. */
  async #post({ url, fields }, file) {
    const { fetch, FormData, clock } = this.#options;
    for (let tries = 1; ; tries += 1) {
      try {
        const form = new FormData();
        for (const [name, value] of Object.entries(fields)) form.append(name, value);
        form.append('file', file);
        const answer = await within(UPLOAD_MS, clock, fetch(url, { method: 'POST', body: form }), 'The upload hangs');
        if (answer.ok) return;
        throw new NavieTakieError({ message: `The storage answered ${answer.status}`, status: answer.status });
      } catch ({ message, status }) {
        const passing = !(status < 500); // no answer, or the storage's own trouble
        if (!passing || tries === UPLOAD_TRIES) {
          throw new NavieTakieError({ code: 'upload', message, status, retryable: passing });
        }
        await new Promise((resolve) => clock.setTimeout(resolve, backoff(tries, clock)));
      }
    }
  }
}
