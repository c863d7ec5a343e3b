import { Timer } from './clock.js';

const SIDES = ['driver', 'passenger'];
const KINDS = ['delivered', 'read'];
const GATHER_MS = 60;

/**
 * How far each side has got and read the conversation, and what the server has yet to learn about this side.
 *
 * The server does not answer receipts, so `owed` compares what this side has got and read with what the server knows.
 * Agents and the system have no receipts: only this client knows what they have read.
 */
export class Receipts {
  /**
   * `{driver: {delivered, read}, passenger: {delivered, read}}`: sequences. They never move back; a message
   * that was read was also delivered. Never changed in place.
   */
  known;
  /** What this side has got and read, whether or not the server knows it yet. */
  own;
  #options;
  #timer;

  constructor(options) {
    this.#options = options;
    this.#timer = new Timer(options.clock);
    this.startOver();
  }

  /** Takes what the server knows. Returns whether anything moved. */
  merge(receipts) {
    const known = { ...this.known };
    for (const side of SIDES) {
      const read = Math.max(known[side].read, receipts?.[side]?.read ?? 0);
      const delivered = Math.max(known[side].delivered, receipts?.[side]?.delivered ?? 0, read);
      if (read > known[side].read || delivered > known[side].delivered) known[side] = { delivered, read };
    }
    const moved = SIDES.some((side) => known[side] !== this.known[side]);
    if (moved) this.known = known;
    const mine = this.known[this.#options.side];
    if (mine) for (const kind of KINDS) this.own[kind] = Math.max(this.own[kind], mine[kind]);
    return moved;
  }

  /** Notes that this side has got, or read, all up to `seq`, and tells the server soon. Returns whether that is news. */
  note(kind, seq) {
    const { side } = this.#options;
    if (seq <= this.own[kind]) return false;
    this.own[kind] = seq;
    if (!SIDES.includes(side)) return true;
    if (!this.#timer.due) this.#timer.set(GATHER_MS, () => this.owed());
    return true;
  }

  /** Tells the server what it does not know yet. `read` includes `delivered`. */
  owed() {
    const { side, send } = this.#options;
    const mine = this.known[side];
    if (!mine || this.#timer.due) return; // an agent has no receipts; or the timer tells them soon
    const { delivered, read } = this.own;
    if (read > mine.read) send({ action: 'read', seq: read });
    if (delivered > Math.max(read, mine.delivered)) send({ action: 'delivered', seq: delivered });
  }

  startOver() {
    const none = { delivered: 0, read: 0 };
    this.known = { driver: none, passenger: none };
    this.own = { ...none };
  }

  close() {
    this.#timer.stop();
  }
}
