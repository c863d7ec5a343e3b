/** Without a browser's types (React Native, a worker) the package compiles, too. */
import { connect } from 'navietakie';
import { type Same, holds } from './same.js';

class Socket {
  readyState = 0;
  onopen = null;
  onmessage = null;
  onerror = null;
  onclose = null;
  send(_text: string): void {}
  close(): void {}
}
const chat = connect({ bookingCode: 'ride-7', sender: 'driver', api: 'https://a.example', ws: 'wss://a.example', WebSocket: Socket });
if (chat.calls.voice) holds<Same<unknown, typeof chat.calls.voice.stream>>();
