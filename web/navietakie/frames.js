import { NavieTakieError } from './errors.js';

const FRAME_BYTES = 32 * 1024;

/** The frame that sends an entry of the outbox. */
export function messageFrame({ id, message, message_type, metadata }) {
  return { action: 'message', id, message, message_type, ...(metadata ? { metadata } : {}) };
}

/** Why a frame cannot be sent, if it is too large: API Gateway closes the connection on it, at every try. */
export function tooLarge(frame) {
  const size = new TextEncoder().encode(JSON.stringify(frame)).length;
  return size > FRAME_BYTES ? new NavieTakieError({ code: 'too_large', message: 'The message is too large' }) : null;
}
