import { fault } from './errors.js';

const FRAME_BYTES = 32 * 1024;

/** The frame that sends an entry of the outbox. */
export function messageFrame({ id, message, message_type, metadata }) {
  return { action: 'message', id, message, message_type, metadata: metadata ?? undefined };
}

/**
 * Why the server could never take this frame, or null. API Gateway closes the connection if a frame is too large, and
 * the server refuses NUL and half characters: every try would fail. Throws a TypeError for what is not JSON.
 */
export function flaw(frame) {
  let sound = true;
  const text = JSON.stringify(frame, (key, value) => {
    sound &&= isSound(key) && (typeof value !== 'string' || isSound(value));
    return value;
  });
  if (!sound) {
    return fault('invalid_request', 'It holds a NUL or half of a character');
  }
  const bytes = encodeURIComponent(text).replace(/%../g, '.').length; // not every platform has TextEncoder
  return bytes > FRAME_BYTES ? fault('too_large', 'The message is too large') : null;
}

/** With the flag `u`, a surrogate matches only where it is no half of a pair. */
const isSound = (text) => !/[\0\ud800-\udfff]/u.test(text);
