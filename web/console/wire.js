import { h, icon, say, set } from './dom.js';
import { NAMES, count } from './texts.js';

const MOST = 500;
const NEAR_END = 40;

/** The third column: every frame of the phones as it passes. It can be filtered, paused and copied. */
export class Wire {
  #entries = [];
  #total = 0;
  #bytes = 0;
  #paused = false;
  #missed = 0;
  #hidden = new Set();
  #list = h('div', { class: 'frames', tabindex: '0', role: 'group', 'aria-label': 'Frames' });
  #tail = h('span');
  #state = h('span', { role: 'status' });
  #filter;
  #hint;

  /** @param {{sides: string[], curl: string}} options `curl`: a command to paste that makes a frame pass */
  constructor({ sides, curl }) {
    this.#filter = h('input', {
      type: 'search',
      placeholder: 'Filter: message, ack, seq…',
      'aria-label': 'Filter frames',
    });
    this.#filter.oninput = () => this.#refilter();
    const chips = sides.map((side) => this.#chip(side));
    const pause = h('button', { class: 'button', type: 'button', 'aria-pressed': 'false' }, 'Pause');
    pause.onclick = () => this.#pause(pause);
    const clear = h('button', { class: 'button', type: 'button', onclick: () => this.#clear() }, 'Clear');
    const copy = h('button', { class: 'button', type: 'button', onclick: () => this.#copyAll() }, 'Copy');
    const tools = h('div', { class: 'tools' }, this.#filter, chips);
    const whose = sides.length === 1 ? 'this phone' : 'both phones';
    const lead = `Every WebSocket frame of ${whose} shows up here. Send a message, or paste this into a terminal:`;
    this.#hint = h('div', { class: 'hint' }, h('p', {}, lead), h('pre', {}, curl));
    this.#list.append(this.#hint);
    const panel = h('div', { class: 'panel' }, tools, this.#list, h('div', { class: 'tail' }, this.#tail, this.#state));
    const title = h('h2', { id: 'wire' }, icon('wire'), 'On the wire');
    const label = h('div', { class: 'label' }, title, pause, copy, clear);
    this.element = h('section', { class: 'wire', 'aria-labelledby': 'wire' }, label, panel);
    this.#count();
  }

  /** Takes a frame of that side's phone: `{direction, frame, text}`. */
  add(side, { direction, frame, text }) {
    this.#total += 1;
    this.#bytes += bytes(text);
    const entry = { side, direction, frame, text, at: new Date(), element: null };
    entry.search = `${kind(frame)} ${text}`.toLowerCase();
    this.#entries.push(entry);
    if (this.#entries.length > MOST) this.#entries.shift().element?.remove();
    if (this.#paused) this.#missed += 1;
    else this.#show(entry);
    this.#count();
  }

  #show(entry) {
    this.#hint.remove();
    const { scrollTop, scrollHeight, clientHeight } = this.#list;
    const atEnd = scrollHeight - scrollTop - clientHeight < NEAR_END;
    entry.element = this.#item(entry);
    set(entry.element, 'hidden', !this.#passes(entry));
    this.#list.append(entry.element);
    if (atEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }

  #item({ side, direction, frame, text, at }) {
    const out = direction === 'out';
    const time = h('time', {}, at.toTimeString().slice(3, 8), '.', String(at.getMilliseconds()).padStart(3, '0'));
    const way = h('span', { class: 'way', 'aria-hidden': 'true' }, out ? '↑' : '↓');
    const spoken = h('span', { class: 'quiet' }, `${NAMES[side]} ${out ? 'sends' : 'gets'} `);
    const what = h('span', { class: 'what' }, spoken, kind(frame));
    const size = h('span', { class: 'size' }, `${bytes(text)} B`);
    const summary = h('summary', {}, time, way, what, h('span', { class: 'gist' }, gist(frame)), size);
    const item = h('details', { class: `frame dot-${side} ${kind(frame) === 'error' ? 'error' : ''}` }, summary);
    item.ontoggle = () => {
      if (item.open && item.childElementCount === 1) item.append(whole(frame));
      if (item.open) item.scrollIntoView({ block: 'nearest' });
    };
    return item;
  }

  #chip(side) {
    const chip = h('button', { class: `button chip dot-${side}`, type: 'button', 'aria-pressed': 'true' }, NAMES[side]);
    chip.onclick = () => {
      const hide = !this.#hidden.has(side);
      if (hide) this.#hidden.add(side);
      else this.#hidden.delete(side);
      set(chip, 'aria-pressed', hide ? 'false' : 'true');
      this.#refilter();
    };
    return chip;
  }

  #passes({ side, search }) {
    const words = this.#filter.value.toLowerCase().split(/\s+/);
    return !this.#hidden.has(side) && words.every((word) => search.includes(word));
  }

  #refilter() {
    for (const entry of this.#entries) if (entry.element) set(entry.element, 'hidden', !this.#passes(entry));
    this.#count();
  }

  #pause(button) {
    this.#paused = !this.#paused;
    set(button, 'aria-pressed', this.#paused ? 'true' : 'false');
    if (!this.#paused) for (const entry of this.#entries) if (!entry.element) this.#show(entry);
    this.#missed = 0;
    this.#count();
  }

  #clear() {
    this.#entries = [];
    this.#total = this.#bytes = this.#missed = 0;
    this.#list.replaceChildren();
    this.#count();
  }

  async #copyAll() {
    const lines = this.#entries
      .filter((entry) => this.#passes(entry))
      .map(({ side, direction, frame, at }) => JSON.stringify({ at: at.toISOString(), phone: side, direction, frame }));
    this.#tell(
      (await copied(lines.join('\n'))) ? `${count(lines.length, 'frame')} copied` : 'Copying is not allowed here',
    );
  }

  #tell(words) {
    say(this.#state, words);
    setTimeout(() => this.#state.textContent === words && say(this.#state, ''), 3_000);
  }

  #count() {
    const shown = this.#entries.filter((entry) => entry.element && !entry.element.hidden).length;
    const filtered = shown !== this.#total ? `${shown} of ` : '';
    const held = this.#missed ? ` · paused, ${this.#missed} waiting` : '';
    say(this.#tail, `${filtered}${count(this.#total, 'frame')} · ${(this.#bytes / 1024).toFixed(1)} KB${held}`);
  }
}

const kind = (frame) => frame.type ?? frame.action ?? (frame.requestId ? 'error' : '?'); // from API Gateway itself
const bytes = (text) => new TextEncoder().encode(text).length;

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

function whole(frame) {
  const pretty = JSON.stringify(frame, null, 2);
  const copy = h('button', { class: 'button', type: 'button' }, 'Copy');
  copy.onclick = async () => {
    say(copy, (await copied(pretty)) ? 'Copied' : 'Not allowed');
    setTimeout(() => say(copy, 'Copy'), 2_000);
  };
  return h('div', { class: 'whole' }, h('pre', { tabindex: '0', 'aria-label': 'The frame as JSON' }, pretty), copy);
}

/** A frame in a few words. */
function gist(frame) {
  const content = frame.type === 'message' || frame.type === 'ack' ? frame.message : null;
  if (content?.seq) return `${content.seq} ${content.message}${frame.duplicate ? ' (duplicate)' : ''}`;
  if (frame.call?.call_id && frame.type !== 'sync') return `${frame.call.state} v${frame.call.version}`;
  const inside = frame.data?.description?.type ?? (frame.data?.candidates ? 'candidates' : 'hello');
  switch (kind(frame)) {
    case 'message':
      return frame.message;
    case 'sync':
      return frame.messages
        ? `${count(frame.messages.length, 'message')} to ${frame.through_seq}`
        : frame.after
          ? `after ${frame.after.slice(11, 23)}`
          : 'newest page';
    case 'pong':
      return `head ${frame.head_seq}`;
    case 'receipt':
      return `${frame.sender} ${frame.action} ${frame.seq}`;
    case 'delivered':
    case 'read':
      return `to ${frame.seq}`;
    case 'typing':
      return frame.on ? 'on' : 'off';
    case 'presence':
      return `${frame.sender} ${frame.online ? 'online' : 'offline'}`;
    case 'call':
      return frame.call_action ?? '';
    case 'signal':
      return inside;
    case 'error':
      return frame.error ? `${frame.error.code}: ${frame.error.message}` : frame.message;
    default:
      return '';
  }
}
