/**
 * The shapes that pass between server, client and app, for editors and type checkers. Timestamps are RFC 3339 in UTC.
 *
 * @typedef {'driver' | 'passenger' | 'agent' | 'system'} Sender
 * @typedef {'driver' | 'passenger'} Side
 * @typedef {{driver: boolean, passenger: boolean, agent: boolean}} Presence who is there
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
 * @property {string | null} redacted_at when its content was taken out
 *
 * @typedef {{closed_at: string | null, muted: Side[]}} Booking what the company has ordered
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
 * @typedef {object} AsyncStorage as React Native has it; each may also answer at once
 * @property {(key: string) => Promise<string | null> | string | null} getItem
 * @property {(key: string, value: string) => Promise<void> | void} setItem
 * @property {(key: string) => Promise<void> | void} removeItem
 * @property {() => Promise<readonly string[]> | readonly string[]} getAllKeys
 *
 * @typedef {object} CallSnapshot
 * @property {'idle' | 'dialling' | 'calling' | 'ringing' | 'answering' | 'talking' | 'elsewhere'} phase
 * @property {Call | null} call
 * @property {number | null} ringsUntil
 * @property {number | null} talkingSince
 * @property {number | null} reached
 * @property {boolean} live
 * @property {{state: string, stream: MediaStream | null, muted: boolean, microphone: 'live' | 'lost'} | null} voice
 *
 * @typedef {object} Clock time in milliseconds, and random numbers
 * @property {() => number} now
 * @property {() => number} random
 * @property {(callback: () => void, ms?: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */
export {};
