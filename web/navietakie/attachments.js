import { backoff, within } from './clock.js';
import { fault } from './errors.js';

const UPLOAD_MS = 120_000;
const TRIES = 5;
/** An address works for 15 minutes. */
const URL_MS = 600_000;

/** Photos and voice notes: to the server's storage, and back. */
export class Attachments {
  #options;
  #urls = new Map();

  constructor(options) {
    this.#options = options;
  }

  /**
   * Uploads a file. Resolves with `{id, content_type, bytes}`; rejects with the server's error, or `upload`. If an upload
   * is lost on its way, or the storage is busy, it is tried again with the same form: five tries in about ten seconds.
   * An upload that is not answered within two minutes is tried once more.
   */
  async upload(file) {
    const { requests, fetch, FormData, clock } = this.#options;
    const content_type = String(file.type).split(';')[0];
    const { attachment, upload } = await requests.ask({ action: 'attach', content_type, bytes: file.size });
    const form = new FormData();
    for (const [name, value] of Object.entries(upload.fields)) form.append(name, value);
    form.append('file', file); // last: S3 reads no field after the file
    for (let tries = 1; ; tries += 1) {
      const hanging = new AbortController();
      const how = { method: 'POST', body: form, signal: hanging.signal };
      const posted = within(UPLOAD_MS, clock, fetch(upload.url, how));
      const { ok, status, code, message = `The storage answered ${status}` } = await posted.catch((error) => error);
      if (ok) return attachment;
      hanging.abort();
      const passing = code === 'timeout' ? tries === 1 : !status || status === 429 || status >= 500;
      if (!passing || tries === TRIES) throw fault('upload', message, { retryable: true, status });
      await new Promise((go) => clock.setTimeout(go, backoff(tries, clock)));
    }
  }

  /** Resolves with the address of an attachment, fresh enough to be used now. */
  url(id) {
    const { rest, bookingCode, clock } = this.#options;
    const known = this.#urls.get(id);
    if (known && clock.now() < known.until) return known.url;
    const url = rest.get('attachment', { booking_code: bookingCode, id }).then((answer) => answer.url);
    this.#urls.set(id, { url, until: clock.now() + URL_MS });
    url.catch(() => this.#urls.delete(id));
    return url;
  }
}
