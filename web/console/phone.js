import { Conversation } from '../navietakie/conversation.js';
import { CallLog } from './calllog.js';
import { CallView } from './callview.js';
import { Composer } from './composer.js';
import { CuttableLine } from './cuttable.js';
import { h, icon, keep, say, set } from './dom.js';
import { Messages } from './messages.js';
import { keepToken, storageFor, tokenOf } from './settings.js';
import { quoted } from './shell.js';
import { Steady } from './steady.js';
import { NAMES, count, endInWords, inWords, timeOfDay } from './texts.js';
import { Uploads } from './uploads.js';

const NEWS_MS = 6_000;
const DOUBLE_TAP_MS = 600;

/** One phone: a side's conversation, on a line that can be cut. */
export class Phone {
  side;
  chat;
  #peer;
  #settings;
  #line = new CuttableLine();
  #attended = false;
  #news = null;
  #newsTimer = null;
  #due = false;
  #rings = false;
  #settling = null;
  #nextTry = new Steady();
  #changed;
  #parts = {};
  #views;

  /**
   * @param {'driver'|'passenger'|'agent'} side
   * @param {object} settings of the page
   * @param {(phone: Phone) => void} changed called after each change that is shown
   */
  constructor(side, settings, changed) {
    this.side = side;
    this.#settings = settings;
    this.#peer = { driver: 'passenger', passenger: 'driver' }[side] ?? null; // an agent has no other side
    this.#changed = changed;
    this.chat = new Conversation({
      bookingCode: settings.booking,
      sender: side,
      api: settings.api,
      ws: settings.ws,
      token: tokenOf(settings, side),
      storage: storageFor(settings),
      WebSocket: this.#line.WebSocket,
      fetch: this.#line.fetch,
    });
    const uploads = new Uploads(this.chat, this.#line, () => this.#soon());
    this.#views = {
      messages: new Messages(this.chat, {
        attended: () => this.attended,
        readAll: () => this.chat.markRead(),
        problem: (error) => this.#tell(inWords(error), 'bad'),
        uploads: () => uploads,
      }),
      composer: new Composer(this.chat, {
        name: NAMES[side],
        uploads,
        sent: () => this.#views.messages.showEnd(),
        problem: (words) => this.#tell(words, 'bad'),
      }),
      call: new CallView(this.chat.calls, this.#peer, {
        act: (action) => action.catch((error) => this.#tell(inWords(error), 'bad')),
        cover: (rings) => this.#cover(rings),
        refocus: () => this.#parts.call.focus(),
      }),
      log: new CallLog(this.chat, { cover: () => this.#cover() }),
    };
    this.element = this.#build();
    this.#listen();
    this.#render();
  }

  /** Whether somebody looks at this phone. If so, messages that arrive count as read. */
  get attended() {
    return this.#attended && document.visibilityState === 'visible';
  }

  set attended(on) {
    if (this.#attended === on) return;
    this.#attended = on;
    set(this.element, 'data-attended', on);
    this.#soon();
  }

  #build() {
    const { messages, composer, call, log } = this.#views;
    const parts = this.#parts;
    parts.cut = h('button', { class: 'switch', type: 'button', role: 'switch', 'aria-checked': 'false' });
    parts.cut.append('Cut the line', h('i'));
    parts.cut.onclick = () => this.#cut(!this.#line.cut);
    parts.away = h('button', { class: 'switch away', type: 'button', role: 'switch', 'aria-checked': 'false' });
    parts.away.append('Away', h('i'));
    parts.away.onclick = () => this.chat.setAway(!this.chat.away);
    parts.clock = h('time');
    parts.state = h('span', { role: 'status' });
    parts.face = h('div', { class: 'face' }, icon(FACES[this.#peer] ?? 'person'));
    parts.about = h('p');
    parts.log = h('button', { class: 'round', type: 'button', 'aria-label': 'Call log' }, icon('list'));
    parts.log.onclick = () => log.open(parts.log);
    parts.call = h(
      'button',
      { class: 'round call', type: 'button', 'aria-label': `Call the ${this.#peer}` },
      icon('phone'),
    );
    set(parts.call, 'hidden', !this.#peer);
    parts.call.onclick = () => this.#callPeer();
    parts.notice = h('div', { role: 'status' });
    const bars = h('span', { class: 'bars', 'aria-hidden': 'true' });
    for (const step of [0, 1, 2, 3]) bars.append(h('i'));
    bars.childNodes.forEach((bar, step) => bar.style.setProperty('--step', step));
    const strip = h('div', { class: 'strip' }, parts.clock, h('span', { class: 'line' }, parts.state, bars));
    const who = h('div', { class: 'who' }, h('h3', {}, NAMES[this.#peer] ?? 'Driver and passenger'), parts.about);
    const app = h('header', { class: 'app' }, parts.face, who, parts.log, parts.call);
    parts.phone = h('div', { class: 'phone' });
    parts.body = h('div', { class: 'body' }, strip, app, call.bar, parts.notice, messages.element, composer.element);
    parts.phone.append(parts.body, log.element, call.sheet);
    const title = h('h2', { id: `phone-${this.side}` }, NAMES[this.side]);
    const label = h('div', { class: 'label' }, title, parts.away, parts.cut);
    return h('section', { class: 'place', 'data-side': this.side, 'aria-labelledby': title.id }, label, parts.phone);
  }

  #listen() {
    this.chat.on('change', () => this.#soon());
    this.chat.on('problem', (error) => this.chat.state !== 'refused' && this.#tell(inWords(error), 'bad'));
    this.chat.on('healed', ({ messages, ms }) => {
      this.#tell(`Healed: ${count(messages, 'missed message')} brought in within ${ms} ms.`, 'good');
    });
    this.chat.on('reset', () => this.#tell('The history began anew.', 'plain'));
    document.addEventListener('visibilitychange', () => this.#soon());
    setInterval(() => this.#render(), 1_000);
  }

  /** Makes what a sheet covers inert, so that keyboard and screen reader skip it. */
  #cover(rings = this.#rings) {
    const { log } = this.#views;
    if (this.#rings && !rings) this.#settle();
    this.#rings = rings;
    set(this.#parts.body, 'inert', rings || log.isOpen);
    set(log.element, 'inert', rings);
  }

  /** Ignores taps for a moment: the second of two quick taps was meant for the sheet that the first one closed. */
  #settle() {
    set(this.#parts.body, 'data-settling', true);
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => set(this.#parts.body, 'data-settling', false), DOUBLE_TAP_MS);
  }

  async #callPeer() {
    try {
      await this.chat.calls.start();
    } catch (error) {
      this.#tell(inWords(error), 'bad');
    }
  }

  #cut(cut) {
    this.#line.set(cut);
    set(this.#parts.cut, 'aria-checked', cut ? 'true' : 'false');
    if (!cut) this.chat.reconnect();
    this.#soon();
  }

  /** Shows a note for some seconds. */
  #tell(words, look) {
    this.#news = { words, look };
    clearTimeout(this.#newsTimer);
    this.#newsTimer = setTimeout(() => {
      this.#news = null;
      this.#soon();
    }, NEWS_MS);
    this.#soon();
  }

  #soon() {
    if (this.#due) return;
    this.#due = true;
    const render = () => {
      this.#due = false;
      this.#render();
    };
    if (document.visibilityState === 'visible') requestAnimationFrame(render);
    else setTimeout(render);
  }

  #render() {
    const { chat } = this;
    const { messages, composer, call } = this.#views;
    const parts = this.#parts;
    if (this.attended && messages.atEnd && !this.#views.log.isOpen) chat.markRead();
    set(parts.phone, 'data-state', chat.state);
    say(parts.clock, timeOfDay(Date.now()));
    say(parts.state, this.#line.cut ? 'No line' : chat.state === 'open' && chat.away ? 'Away' : LINE_WORDS[chat.state]);
    set(parts.away, 'aria-checked', chat.away ? 'true' : 'false');
    const open = chat.state === 'open';
    const online = open && Boolean(chat.presence[this.#peer]);
    set(parts.face, 'class', online ? 'face online' : 'face');
    const typing = [...chat.typing];
    say(parts.about, this.#about(typing, open));
    set(parts.about, 'class', typing.length > 0 && 'typing');
    const silence = this.#silence();
    set(parts.call, 'disabled', !open || chat.calls.live || Boolean(silence));
    set(parts.phone, 'data-silenced', Boolean(silence));
    composer.offer(silence);
    this.#renderNotice();
    messages.render();
    call.render();
    this.#endedCall();
    this.#changed(this);
  }

  /** One line that says who is there. */
  #about(typing, open) {
    if (typing.includes(this.#peer)) return 'typing…';
    if (typing.length) return `${typing.map((each) => NAMES[each]).join(' and ')}: typing…`;
    if (!open) return 'no news';
    const { presence } = this.chat;
    if (!this.#peer) {
      const there = ['driver', 'passenger'].filter((each) => presence[each]).map((each) => NAMES[each]);
      return there.length ? `${there.join(' and ')} online` : 'nobody online';
    }
    return `${presence[this.#peer] ? 'online' : 'offline'}${presence.agent ? ' · Support is here' : ''}`;
  }

  #renderNotice() {
    const notice = this.#notice();
    set(this.#parts.notice, 'hidden', !notice);
    if (!notice) {
      this.#parts.notice.dataset.shows = '';
      return;
    }
    const { words, look = '', button, form } = notice;
    keep(this.#parts.notice, `${words} ${look}`, () => [
      h('div', { class: `notice ${look}` }, h('p', {}, words), button ?? null),
      ...(form ? [form] : []),
    ]);
  }

  /** The notice to show: the one problem that matters most. */
  #notice() {
    const { chat } = this;
    const waiting = chat.outbox.filter((each) => each.state !== 'failed').length;
    const kept = waiting ? ` ${count(waiting, 'message')} will be sent when it is back.` : '';
    if (this.#line.cut) return { words: `The line is cut.${kept}`, look: 'bad' };
    if (chat.state === 'refused') return this.#refusal();
    if (this.#news) return this.#news;
    if (chat.state === 'waiting') {
      const seconds = this.#nextTry.secondsTo(chat.retryAt);
      const button = h('button', { type: 'button', onclick: () => chat.reconnect() }, 'Try now');
      return { words: `No connection. Next try in ${seconds} s.${kept}`, button };
    }
    const slow = chat.outbox.find((each) => each.error && each.state !== 'failed');
    return slow && chat.state === 'open' ? { words: `${inWords(slow.error)}. It is sent again in a moment.` } : null;
  }

  /** Why the server takes no messages of this side, as far as known; null if it does. */
  #silence() {
    const { closed_at, muted } = this.chat.booking;
    if (closed_at) return 'This booking is closed: it can be read, not written to.';
    return muted.includes(this.side) ? `${inWords({ code: 'muted' })}.` : null;
  }

  #refusal() {
    const { refusal, bookingCode } = this.chat;
    const missing = refusal.code === 'unauthorized' && !tokenOf(this.#settings, this.side);
    const words = missing ? 'A token is needed here' : inWords(refusal);
    if (!['unauthorized', 'token_expired', 'forbidden'].includes(refusal.code)) return { words, look: 'bad' };
    const token = h('input', { type: 'password', autocomplete: 'off', spellcheck: 'false', required: true });
    const use = h('button', { class: 'button main', type: 'submit' }, 'Connect');
    const hint = h('small', {}, `make token BOOKING=${quoted(bookingCode)} ROLE=${this.side}`);
    const label = h('label', { class: 'field' }, `A token for the ${this.side}`, token, hint);
    const form = h('form', { class: 'ask-token' }, label, use);
    form.onsubmit = (event) => {
      event.preventDefault();
      keepToken(this.#settings, this.side, token.value);
      this.chat.reconnect({ token: token.value.trim() });
    };
    return { words, look: 'bad', form };
  }

  /** Says once how a call ended, if this phone had a part in it. */
  #endedCall() {
    const { call } = this.chat.calls;
    const state = call && `${call.call_id} ${call.state}`;
    const before = this.#parts.callState;
    this.#parts.callState = state;
    if (!before || before === state || call?.state !== 'ended' || !before.startsWith(call.call_id)) return;
    this.#tell(`${endInWords(call, this.side)}.`, 'plain');
  }
}

const FACES = { driver: 'car', passenger: 'person' };

const LINE_WORDS = {
  open: 'Connected',
  connecting: 'Connecting…',
  waiting: 'No connection',
  refused: 'Refused',
  closed: 'Closed',
};
