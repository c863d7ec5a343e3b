/** The words that people read. */
export const NAMES = { driver: 'Driver', passenger: 'Passenger', agent: 'Support', system: 'Company' };

export const QUICK_REPLIES = {
  driver: [
    ['arrived', 'I am here'],
    ['minutes_5', '5 minutes away'],
    ['traffic', 'Stuck in traffic'],
    ['where', 'Where are you exactly?'],
  ],
  passenger: [
    ['coming', 'On my way'],
    ['minutes_2', 'Two minutes, please'],
    ['entrance', 'I am at the entrance'],
    ['thanks', 'Thank you!'],
  ],
  agent: [],
};

const ERRORS = {
  invalid_request: 'The server could not make sense of it',
  unauthorized: 'The token is not valid',
  token_expired: 'The token has expired',
  forbidden: 'That is not allowed here',
  muted: 'You may read here, not write',
  refused_by_hook: 'The company does not let this through',
  connection_replaced: 'Too many devices are connected; this one was the oldest',
  not_found: 'That does not exist',
  idempotency_conflict: 'Another message was sent under the same id',
  illegal_transition: 'The call has moved on meanwhile',
  call_in_progress: 'A call is in progress already',
  booking_closed: 'This booking is closed',
  too_large: 'It is too long',
  rate_limited: 'Too many messages in a short time',
  unavailable: 'The service is busy at the moment',
  internal: 'Something went wrong at the server',
  network: 'The server cannot be reached',
  timeout: 'No answer came in time',
  microphone: 'There is no microphone, or it may not be used',
  upload: 'The upload broke off',
  failed: 'It could not be sent',
};

/** An error in words: the server's own if they name a field, otherwise ours. */
export function inWords(error) {
  const words = ERRORS[error.code] ?? error.message ?? error.code;
  const detail = error.code === 'invalid_request' || error.code === 'forbidden' ? error.message : '';
  return detail && detail !== error.code ? `${words}: ${detail}` : words;
}

const ENDS = {
  declined: 'Declined',
  cancelled: 'Cancelled',
  no_answer: 'No answer',
  completed: 'Call ended',
  connection_lost: 'Connection lost',
  max_duration: 'Longest time reached',
  booking_closed: 'The booking was closed',
  revoked: 'The company ended the call',
};

/** How a call has ended, as `side` sees it, if one is given: only the callee has missed a call. */
export function endInWords(call, side) {
  return call.callee === side && wentUnanswered(call) ? 'Missed call' : (ENDS[call.end_reason] ?? 'Call ended');
}

/** What a call was to `side`, in the call log; an agent has no part in it. */
export function callInWords(call, side) {
  if (call.caller === side) return 'Outgoing call';
  if (call.callee !== side) return `${NAMES[call.caller]} called`;
  return wentUnanswered(call) ? 'Missed call' : 'Incoming call';
}

/** The text of a message for `side`: the caller does not read "Missed call". */
export function messageInWords({ message, message_type, metadata }, side) {
  return message_type === 'call' && wentUnanswered(metadata ?? {}) ? endInWords(metadata, side) : message;
}

function wentUnanswered({ end_reason, answered_at }) {
  return Boolean(end_reason) && end_reason !== 'declined' && !answered_at;
}

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const shortDayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric', month: 'short' });

export const timeOfDay = (instant) => clockFormat.format(new Date(instant));

/** `Today`, `Sunday, November 22`; `short` for a list: `Sun, Nov 22`. */
export function day(instant, short = false) {
  const midnight = (date) => new Date(date).setHours(0, 0, 0, 0);
  const daysAgo = Math.round((midnight(Date.now()) - midnight(instant)) / 86_400_000);
  return ['Today', 'Yesterday'][daysAgo] ?? (short ? shortDayFormat : dayFormat).format(new Date(instant));
}

/** `2:31`, `1:02:31`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (!parts[0]) parts.shift();
  return parts.map((part, index) => (index ? String(part).padStart(2, '0') : part)).join(':');
}

/** A place in degrees: `48.2082° N, 16.3738° E`. */
export function degrees(lat, lng) {
  const part = (value, plus, minus) => `${Math.abs(value).toFixed(4)}° ${value < 0 ? minus : plus}`;
  return `${part(lat, 'N', 'S')}, ${part(lng, 'E', 'W')}`;
}

/** How many characters a text has for the server. JavaScript counts some emojis as two. */
export const lengthOf = (text) => [...text].length;

export const count = (number, noun) => `${number} ${noun}${number === 1 ? '' : 's'}`;
