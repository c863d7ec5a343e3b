import { attachmentOf, isVoice } from './attachment.js';
import { h, icon, keep, say, set } from './dom.js';
import { NAMES, count, day, degrees, inWords, messageInWords, timeOfDay } from './texts.js';

const NEAR_END = 60;
const TOGETHER_MS = 3 * 60_000;

/** The list of messages: the history, below it what is on its way, and a line where the unread ones begin. */
export class Messages {
  #chat;
  #items = new Map();
  #list = h('ol', { class: 'messages' });
  #older = h('button', { class: 'button older', type: 'button', onclick: () => this.#loadOlder() }, 'Earlier messages');
  #jump = h('button', { class: 'jump', type: 'button', onclick: () => this.#jumped() });
  #scroll;
  #loading = false;
  #height = 0;
  #atEnd = true;
  #firstUnread = null;
  #options;

  /**
   * @param {import('../navietakie/conversation.js').Conversation} chat
   * @param {{attended: () => boolean, readAll: () => void, problem: (error: Error) => void,
   *   uploads: () => import('./uploads.js').Uploads}} options
   */
  constructor(chat, options) {
    this.#chat = chat;
    this.#options = options;
    this.#scroll = h('div', { class: 'scroll', tabindex: '0', role: 'log', 'aria-label': 'Messages' }, this.#list);
    this.#scroll.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.element = h('div', { class: 'talk' }, this.#scroll, this.#jump);
    new ResizeObserver(() => this.#resized()).observe(this.#scroll);
  }

  get atEnd() {
    return this.#atEnd;
  }

  /** Scrolls to the end, where a message appears that was just sent. */
  showEnd() {
    this.#toEnd();
    this.#renderJump();
  }

  /** Draws the conversation as it is now. */
  render() {
    const chat = this.#chat;
    const heightBefore = this.#scroll.scrollHeight;
    const firstBefore = this.#list.querySelector('[data-seq]')?.dataset.seq;
    this.#markUnread();
    this.#place(this.#entries());
    set(this.#scroll, 'aria-busy', !chat.ready && 'true');
    const grewAbove = firstBefore !== undefined && Number(firstBefore) > (chat.messages[0]?.seq ?? 0);
    if (this.#atEnd) this.#toEnd();
    else if (grewAbove) this.#scroll.scrollTop += this.#scroll.scrollHeight - heightBefore;
    this.#renderJump();
  }

  #markUnread() {
    const { messages, unread, sender } = this.#chat;
    if (!unread && this.#options.attended()) return; // the line stays while somebody looks here
    if (!unread) this.#firstUnread = null;
    if (unread && !this.#firstUnread) {
      this.#firstUnread = messages.filter((each) => each.sender !== sender).at(-unread)?.message_id ?? null;
    }
  }

  #renderJump() {
    const { unread } = this.#chat;
    const away = !this.#atEnd;
    const unseen = unread > 0 && (away || this.#unreadAbove());
    set(this.#jump, 'hidden', !(unseen || away));
    if (!away) this.#toEnd();
    const words = unseen ? count(unread, 'unread message') : 'To the latest';
    keep(this.#jump, words, () => [icon('down'), h('span', { class: unseen ? null : 'quiet' }, words)]);
  }

  /** Whether the first unread message is above the visible part. */
  #unreadAbove() {
    const mark = this.#items.get('new')?.element;
    return Boolean(mark) && mark.offsetTop + mark.offsetHeight < this.#scroll.scrollTop;
  }

  /** The entries of the list: for each a key, a signature of its look, and a function that makes it. */
  *#entries() {
    const { messages, outbox, ready, hasOlder, state } = this.#chat;
    if (!messages.length && !outbox.length && !this.#options.uploads().all.length) yield ['empty', `${ready} ${state}`, () => emptyItem(ready, state)];
    if (hasOlder) yield ['older', '', () => h('li', { class: 'older' }, this.#older)];
    let before = null;
    let alike = 1;
    for (const [index, message] of messages.entries()) {
      if (message.metadata?.event === 'message_redacted') continue; // the message itself shows that it was removed
      if (message.message_id !== this.#firstUnread && this.#isAlike(message, messages[index + 1])) {
        alike += 1;
        continue;
      }
      const times = alike;
      alike = 1;
      if (!before || day(before.timestamp) !== day(message.timestamp)) {
        yield [
          `day ${message.message_id}`,
          day(message.timestamp),
          () => h('li', { class: 'day' }, day(message.timestamp)),
        ];
        before = null;
      }
      if (message.message_id === this.#firstUnread) {
        yield ['new', '', () => h('li', { class: 'new' }, 'New')];
        before = null;
      }
      const follows = follow(before, message);
      const tick = this.#tick(message);
      const own = message.sender === this.#chat.sender;
      const key = own && message.client_message_id ? `own ${message.client_message_id}` : message.message_id;
      yield [
        key,
        `${tick} ${follows} ${times} ${message.redacted_at}`,
        () => this.#item(message, { tick, follows, times }),
      ];
      before = message;
    }
    const uploads = this.#options.uploads().all;
    for (const entry of outbox) {
      const shownAsUpload = entry.metadata?.attachment && uploads.some((each) => !each.error);
      if (shownAsUpload && entry.state !== 'failed') continue;
      const follows = follow(before, { ...entry, sender: this.#chat.sender, timestamp: entry.created_at });
      const look = `${entry.state} ${entry.error?.code} ${follows}`;
      yield [`own ${entry.id}`, look, () => this.#waitingItem(entry, follows)];
      before = { ...entry, sender: this.#chat.sender, timestamp: entry.created_at };
    }
    for (const upload of uploads)
      yield [`upload ${upload.id}`, `${upload.error?.code}`, () => this.#uploadItem(upload)];
  }

  /** Changes the list to `entries`; touches only elements that differ. */
  #place(entries) {
    const wanted = [...entries];
    const keys = new Set(wanted.map(([key]) => key));
    for (const [key, { element }] of this.#items) if (!keys.has(key)) element.remove();
    const kept = new Map();
    let cursor = this.#list.firstChild;
    for (const [key, look, build] of wanted) {
      const known = this.#items.get(key);
      const item = known?.look === look ? known : { look, element: build() };
      if (known && item !== known) known.element.replaceWith(item.element);
      if (known && item !== known && cursor === known.element) cursor = item.element;
      if (!known && this.#chat.ready && this.#list.dataset.settled) item.element.classList.add('fresh');
      if (item.element === cursor) cursor = cursor.nextSibling;
      else this.#list.insertBefore(item.element, cursor);
      kept.set(key, item);
    }
    this.#items = kept;
    if (this.#chat.ready) this.#list.dataset.settled = 'yes';
  }

  #tick(message) {
    const { sender, receipts } = this.#chat;
    if (message.sender !== sender) return '';
    if (sender === 'agent') return 'sent';
    const other = receipts[sender === 'driver' ? 'passenger' : 'driver'];
    if (other.read >= message.seq) return 'read';
    return other.delivered >= message.seq ? 'delivered' : 'sent';
  }

  /** Whether two lines in the middle, one right after the other, would say the same. */
  #isAlike(message, next) {
    if (!next || !isApart(message) || !isApart(next) || next.message_id === this.#firstUnread) return false;
    const words = (each) => messageInWords(each, this.#chat.sender);
    return words(message) === words(next) && day(message.timestamp) === day(next.timestamp);
  }

  #item(message, { tick, follows, times }) {
    const own = message.sender === this.#chat.sender;
    const attributes = { 'data-seq': message.seq, 'data-sender': message.sender };
    if (isApart(message)) {
      const words = messageInWords(message, this.#chat.sender);
      return apartItem(message, times > 1 ? `${words} · ${times} times` : words, attributes);
    }
    const look = `message${own ? ' own' : ''}${follows ? ' follows' : ''}`;
    const named = !own && (message.sender === 'agent' || this.#chat.sender === 'agent');
    const author = h('span', { class: named ? 'author' : 'quiet' }, own ? 'You: ' : `${NAMES[message.sender]}${named ? '' : ': '}`);
    const bubble = h('div', { class: 'bubble' }, author);
    if (message.redacted_at) bubble.append(h('p', { class: 'removed' }, 'Message removed'));
    else bubble.append(...placeOf(message), ...this.#attached(message, own), h('p', { dir: 'auto' }, message.message));
    bubble.append(stamp(message.timestamp, tick));
    const removable = own && !message.redacted_at;
    return h('li', { class: look, ...attributes }, removable && this.#remover(message), bubble);
  }

  /** The button that redacts an own message. The first press asks, the second one does it. */
  #remover(message) {
    const button = h('button', { class: 'remove', type: 'button', 'aria-label': 'Remove this message' }, icon('bin'));
    button.onclick = () => {
      if (button.dataset.sure) {
        this.#chat.redact(message).catch((error) => this.#options.problem(error));
        return;
      }
      button.dataset.sure = 'yes';
      button.append('Remove?');
      set(button, 'aria-label', 'Remove it for everybody?');
    };
    button.onblur = () => {
      delete button.dataset.sure;
      button.replaceChildren(icon('bin'));
      set(button, 'aria-label', 'Remove this message');
    };
    return button;
  }

  #attached(message, own) {
    const id = message.metadata?.attachment?.id;
    if (typeof id !== 'string') return [];
    return [attachmentOf(message, () => this.#chat.attachmentUrl(id), own ? 'you' : `the ${message.sender}`)];
  }

  #uploadItem({ id, about, text, url, bar, error, created_at }) {
    const what = attachmentOf({ metadata: about }, async () => url, 'you');
    const bubble = h('div', { class: 'bubble' }, what, h('p', { dir: 'auto' }, text), stamp(created_at, error ? 'failed' : 'waiting'));
    const item = h('li', { class: `message own ${error ? 'failed' : 'waiting'}` }, bubble);
    if (error) {
      const again = h('button', { type: 'button', onclick: () => this.#options.uploads().retry(id) }, 'Try again');
      const drop = h('button', { type: 'button', onclick: () => this.#options.uploads().discard(id) }, 'Delete');
      item.append(h('div', { class: 'why' }, h('span', {}, `Not sent. ${inWords(error)}.`), again, drop));
    } else {
      bubble.append(bar);
    }
    return item;
  }

  #waitingItem(entry, follows) {
    const failed = entry.state === 'failed';
    const look = `message own ${failed ? 'failed' : entry.state === 'sent' ? '' : 'waiting'}${follows ? ' follows' : ''}`;
    const tick = failed ? 'failed' : entry.state === 'sent' ? 'sent' : 'waiting';
    const bubble = h('div', { class: 'bubble' }, h('span', { class: 'quiet' }, 'You: '));
    const what = entry.metadata?.attachment && h('p', {}, isVoice(entry) ? 'Voice note ' : 'Photo ');
    if (what) bubble.append(what);
    bubble.append(h('p', { dir: 'auto' }, entry.message), stamp(entry.created_at, tick));
    const item = h('li', { class: look }, bubble);
    if (failed) {
      const again = h('button', { type: 'button', onclick: () => this.#chat.retry(entry.id) }, 'Try again');
      const drop = h('button', { type: 'button', onclick: () => this.#chat.discard(entry.id) }, 'Delete');
      item.append(h('div', { class: 'why' }, h('span', {}, `Not sent. ${inWords(entry.error)}.`), again, drop));
    }
    return item;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    if (clientHeight !== this.#height) return; // moved by a keyboard or a notice, not by the reader: see #resized
    this.#atEnd = scrollHeight - scrollTop - clientHeight < NEAR_END;
    if (this.#atEnd && this.#options.attended()) this.#options.readAll();
    if (scrollTop < NEAR_END && this.#chat.hasOlder && !this.#atEnd) this.#loadOlder();
    this.#renderJump();
  }

  #resized() {
    this.#height = this.#scroll.clientHeight;
    if (this.#atEnd) this.#toEnd();
  }

  #jumped() {
    this.#options.readAll();
    this.#scroll.focus({ preventScroll: true });
    this.showEnd();
  }

  #toEnd() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#atEnd = true;
  }

  async #loadOlder() {
    if (this.#loading) return;
    this.#loading = true;
    this.#atEnd = false;
    say(this.#older, 'Fetching…');
    try {
      await this.#chat.loadOlder();
      this.render();
    } catch (error) {
      this.#options.problem(error);
    } finally {
      this.#loading = false;
      say(this.#older, 'Earlier messages');
    }
  }
}

function follow(before, message) {
  if (!before || before.sender !== message.sender || (before.message_type ?? 'text') !== 'text') return false;
  return instant(message.timestamp) - instant(before.timestamp) < TOGETHER_MS;
}

/** Whether a message stands in the middle: neither a side nor an agent has written it. */
const isApart = ({ message_type, sender }) => message_type !== 'text' || sender === 'system';

const instant = (when) => new Date(when).getTime();

function emptyItem(ready, state) {
  if (!ready) return h('li', { class: 'empty' }, state === 'open' ? 'Fetching the conversation…' : '');
  return h('li', { class: 'empty' }, h('b', {}, 'No messages yet'), 'Say hello, or pick a quick reply.');
}

/** A message of the company or the server: in the middle, without a bubble. */
function apartItem({ message_type, timestamp }, words, attributes) {
  const look = message_type === 'call' ? [icon('phone')] : [];
  const time = h('time', { datetime: timestamp }, timeOfDay(timestamp));
  return h('li', { class: 'apart', ...attributes }, ...look, words, ' ', time);
}

const TICKS = {
  waiting: ['clock', 'Waiting'],
  sent: ['sent', 'Sent'],
  delivered: ['both', 'Delivered'],
  read: ['both', 'Read'],
  failed: ['alert', 'Not sent'],
};

function stamp(instant, tick) {
  const time = h('time', { datetime: new Date(instant).toISOString() }, timeOfDay(instant));
  if (!tick) return h('span', { class: 'stamp' }, time);
  const [shape, words] = TICKS[tick];
  const mark = h('span', { class: `tick ${tick}`, title: words }, icon(shape), h('span', { class: 'quiet' }, words));
  return h('span', { class: 'stamp' }, time, mark);
}

function placeOf({ metadata }) {
  const { lat, lng } = metadata?.location ?? {};
  if (typeof lat !== 'number' || typeof lng !== 'number') return [];
  const href = `https://www.openstreetmap.org/?mlat=${lat}&mlon=${lng}#map=17/${lat}/${lng}`;
  const name = typeof metadata.location.name === 'string' ? metadata.location.name : 'A place on the map';
  const map = h('span', { class: 'map', 'aria-hidden': 'true' }, icon('place'));
  map.style.setProperty('--turn', `${Math.round((lat * 997 + lng * 991) % 40) - 20}deg`); // places look different
  const words = h('span', { class: 'words' }, h('b', { dir: 'auto' }, name), h('small', {}, degrees(lat, lng)));
  return [h('a', { class: 'spot', href, target: '_blank', rel: 'noreferrer' }, map, words)];
}
