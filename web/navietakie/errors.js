/**
 * What went wrong, in the server's words or in ours.
 *
 * `code` is one of the server's (`rate_limited`, `booking_closed`, …) or one of this side's: `network` (no answer could
 * be had), `timeout` (none came in time), `microphone` (none to be had), `upload` (an attachment's, which failed),
 * `closed` (the conversation was closed here).
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

/** An error of this side's own, or one that the server would give; `more` is its other fields. */
export const fault = (code, message, more) => new NavieTakieError({ code, message, ...more });

/** What is left of a promise when the conversation is closed. */
export const closed = () => fault('closed', 'The conversation was closed');

/** That no answer came: it may another time. */
export const timeout = () => fault('timeout', 'No answer came in time', { retryable: true });
