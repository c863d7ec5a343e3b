/**
 * What went wrong, in the server's words or in ours.
 *
 * `code` is one of the server's (`rate_limited`, `booking_closed`, …) or one of the client's: `network` (the server could
 * not be reached), `timeout` (no answer came in time), `microphone` (there is none, or it may not be used), `upload` (an
 * attachment could not be uploaded), `closed` (the conversation was closed here).
 */
export class NavieTakieError extends Error {
  constructor({
    code,
    message,
    retryable = false,
    retry_after_ms = null,
    details,
    status = null,
    request_id = null,
  }) {
    super(message || code);
    this.name = 'NavieTakieError';
    this.code = code;
    this.retryable = retryable;
    this.retryAfterMs = retry_after_ms;
    this.details = details ?? {};
    this.status = status;
    this.requestId = request_id;
  }
}

/** An error that the client itself found. `more`: its other fields. */
export const fault = (code, message, more) => new NavieTakieError({ code, message, ...more });

/** What open promises reject with when the conversation is closed. */
export const closed = () => fault('closed', 'The conversation was closed');

/** No answer came in time; another try may succeed. */
export const timeout = () => fault('timeout', 'No answer came in time', { retryable: true });
