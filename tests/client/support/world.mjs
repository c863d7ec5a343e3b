import { connect } from '../../../web/navietakie.js';
import { VirtualClock } from './clock.mjs';
import { FakeServer } from './server.mjs';
import { MemoryStorage } from './storage.mjs';

/** A server, a clock, and devices that talk over it. Keeps everything that happened to a device. */
export class World {
  devices = [];

  constructor(seed = 1) {
    this.clock = new VirtualClock(seed);
    this.server = new FakeServer(this.clock);
  }

  /** Opens a conversation on a device. `storage` and `deviceId` of an earlier one make it that device, reloaded. */
  device(sender, { storage = new MemoryStorage(), deviceId = `${sender}-${this.devices.length}`, ...options } = {}) {
    const WebSocket = this.server.WebSocket;
    const chat = connect({
      bookingCode: 'test',
      sender,
      api: 'http://fake',
      ws: 'ws://fake/ws',
      storage,
      deviceId,
      locks: null,
      WebSocket,
      fetch: this.server.fetch,
      clock: this.clock,
      ...options,
    });
    const device = { chat, storage, deviceId, sender, WebSocket, heard: [], healed: [], problems: [], states: [] };
    chat.on('message', (message) => device.heard.push(message));
    chat.on('healed', (healed) => device.healed.push(healed));
    chat.on('problem', (problem) => device.problems.push(problem));
    chat.on('change', () => device.states.at(-1) !== chat.state && device.states.push(chat.state));
    Object.defineProperty(device, 'socket', { get: () => WebSocket.latest });
    this.devices.push(device);
    return device;
  }

  pass(ms) {
    return this.clock.pass(ms);
  }

  close() {
    for (const { chat } of this.devices) chat.close();
  }
}

export const texts = (messages) => messages.map((each) => each.message);
export const seqs = (messages) => messages.map((each) => each.seq);
