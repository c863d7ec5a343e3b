/** In Node: its own `fetch` and the WebSocket class of the package `ws`. */
import { connect } from 'navietakie';
import { WebSocket } from 'ws';

connect({ bookingCode: 'ride-7', sender: 'system', api: 'https://a.example', ws: 'wss://a.example', WebSocket, fetch });
