const SIDES = ['driver', 'passenger'];
const KINDS = ['delivered', 'read'];
const GATHER_MS = 60;

/**
 * How far each side has got and read the conversation, and what this side still has to say of it.
 *
 * Nobody answers a receipt, so `owed` compares what this side has said with what the server knows of it.
 */
export class Receipts {
  /** `{driver: {delivered, read}, passenger: {delivered, read}}`: sequences; they never move back. */
  known = empty();
  /** What this side has got and read, whether or not the server knows it yet. */
  own = { delivered: 0, read: 0 };
  #options;
  #timer = null;

  constructor(options) {
    this.#options = options;
  }

  /** Takes what the server knows. Says whether anything moved. */
  merge(receipts) {
    let moved = false;
    for (const side of SIDES) {
      for (const kind of KINDS) {
        const seq = receipts?.[side]?.[kind] ?? 0;
        if (seq <= this.known[side][kind]) continue;
        this.known[side][kind] = seq;
        moved = true;
      }
    }
    const mine = this.known[this.#options.side];
    if (mine) for (const kind of KINDS) this.own[kind] = Math.max(this.own[kind], mine[kind]);
    return moved;
  }

  /** Notes that this side has got, or read, everything up to `seq`, and tells the server soon. Says whether it is news. */
  note(kind, seq) {
    const { side, clock } = this.#options;
    if (!SIDES.includes(side) || seq <= this.own[kind]) return false;
    this.own[kind] = seq;
    this.#timer ??= clock.setTimeout(() => {
      this.#timer = null;
      this.owed();
    }, GATHER_MS);
    return true;
  }

  /** Tells the server what it does not know yet. Who has read a message has got it. */
  owed() {
    const { side, send } = this.#options;
    const mine = this.known[side];
    if (!mine || this.#timer) return; // soon
    const { delivered, read } = this.own;
    if (read > mine.read) send({ action: 'read', seq: read });
    if (delivered > Math.max(read, mine.delivered)) send({ action: 'delivered', seq: delivered });
  }

  startOver() {
    this.known = empty();
    this.own = { delivered: 0, read: 0 };
  }

  close() {
    this.#options.clock.clearTimeout(this.#timer);
    this.#timer = null;
  }
}

function empty() {
  return { driver: { delivered: 0, read: 0 }, passenger: { delivered: 0, read: 0 } };
}
