import { within } from './clock.js';
import { fault } from './errors.js';

const UPLOAD_MS = 120_000;
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
    const { requests, fetch, FormData, clock } = this.#options;
    const content_type = String(file.type).split(';')[0];
    const { attachment, upload } = await requests.ask({ action: 'attach', content_type, bytes: file.size });
    const form = new FormData();
    for (const [name, value] of Object.entries(upload.fields)) form.append(name, value);
    form.append('file', file); // S3 reads no field after it
    try {
      const { ok, status } = await within(UPLOAD_MS, clock, fetch(upload.url, { method: 'POST', body: form }));
      if (!ok) throw new Error(`The storage answered ${status}`);
    } catch ({ message }) {
      throw fault('upload', message, { retryable: true });
    }
    return attachment;
  }

  /** Resolves with an address of an attachment, fresh enough to be used now. */
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
