/**
 * The shapes that pass between server, client and app, for editors and type checkers. Timestamps are RFC 3339 in UTC.
 *
 * @typedef {'driver' | 'passenger' | 'system'} Sender
 * @typedef {'driver' | 'passenger'} Side
 * @typedef {{driver: boolean, passenger: boolean}} Presence who has a connection
 * @typedef {{delivered: number, read: number}} Marks sequences
 * @typedef {{driver: Marks, passenger: Marks}} ReceiptMarks how far each side has got and read
 *
 * @typedef {object} Message a stored message; a field without a value is null
 * @property {string} message_id
 * @property {string} booking_code
 * @property {number} seq 1, 2, 3, … within the booking
 * @property {string} timestamp rises with `seq`
 * @property {Sender} sender
 * @property {string | null} sender_id
 * @property {'text' | 'call' | 'system'} message_type
 * @property {string} message
 * @property {string | null} client_message_id
 * @property {Record<string, any> | null} metadata
 *
 * @typedef {object} Call
 * @property {string} call_id
 * @property {string} booking_code
 * @property {string} timestamp when it began
 * @property {Side} caller
 * @property {Side} callee
 * @property {'ringing' | 'connected' | 'ended'} state
 * @property {string | null} end_reason
 * @property {string | null} answered_at
 * @property {string | null} ended_at
 * @property {number} duration_seconds
 * @property {string | null} rings_until
 * @property {number | null} ring_ms_left
 * @property {string | null} answered_by a device
 * @property {number} version counts its changes
 *
 * @typedef {object} OutboxEntry a message on its way
 * @property {string} id the message's `client_message_id`
 * @property {string} message
 * @property {string} message_type
 * @property {Record<string, any> | null} metadata
 * @property {number} created_at milliseconds since 1970
 * @property {'waiting' | 'sending' | 'sent' | 'failed'} state
 * @property {import('./errors.js').NavieTakieError | null} error
 * @property {number} [seq] once it is stored
 * @property {number} [tries]
 *
 * @typedef {Record<string, any>} Frame
 *
 * @typedef {object} Clock time in milliseconds, and chance
 * @property {() => number} now
 * @property {() => number} random
 * @property {(callback: () => void, ms?: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */
export {};
