/**
 * The reference client of NavieTakie: the conversation of a ride, complete whatever the network does.
 *
 *     import { connect } from 'navietakie';
 *     const chat = connect({ bookingCode: 'test', sender: 'driver' });
 *     chat.on('message', (message) => console.log(message.sender, message.message));
 *     chat.send('I am here');
 *
 * No dependencies, no build. Runs in browsers and in Node 20 or newer (before 22, pass a WebSocket class). The
 * types are in index.d.ts; the guide is docs/client.md.
 */
import { Conversation } from './conversation.js';
import { NavieTakieError } from './errors.js';

export { Conversation, NavieTakieError };

/**
 * Opens a conversation and keeps it open until `close`. Throws a TypeError for wrong options.
 *
 * @param {object} options
 * @param {string} options.bookingCode
 * @param {'driver'|'passenger'|'system'} options.sender
 * @param {string | ((refused: boolean) => Promise<string>|string)} [options.token] a JWT, or a function that gets one;
 *   it is called before every connection, with `true` if the last token was refused or is about to expire
 * @param {string} [options.api] what comes before `/api/v1/…`; the page's own origin by default; relative to the page
 * @param {string} [options.ws] the WebSocket URL without its query; `/ws` on the page's own origin by default
 * @param {string} [options.deviceId] tells the devices of one side apart; keep it over a reload to keep a call
 * @param {Storage|null} [options.storage] where unsent messages survive a reload; `localStorage` by default, null: nowhere
 * @param {typeof WebSocket} [options.WebSocket]
 * @param {typeof fetch} [options.fetch]
 * @param {typeof RTCPeerConnection} [options.RTCPeerConnection] without one, calls have a state but no sound
 * @param {(constraints: object) => Promise<MediaStream>} [options.getUserMedia]
 * @param {object} [options.clock] `{now, random, setTimeout, clearTimeout}`, for tests
 */
export function connect(options = {}) {
  return new Conversation(options);
}
