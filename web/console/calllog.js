import { h, icon, say, set } from './dom.js';
import { callInWords, day, duration, endInWords, inWords, timeOfDay } from './texts.js';

/** The booking's calls, newest first, as a sheet over the conversation. */
export class CallLog {
  #chat;
  #list = h('ol', { class: 'log' });
  #heading = h('h3', { tabindex: '-1' }, 'Calls');
  #more = h('button', { class: 'button', type: 'button', onclick: () => this.#fetch() }, 'Earlier calls');
  #cursor = null;
  #opener = null;
  #cover;

  /**
   * @param {import('../navietakie/conversation.js').Conversation} chat
   * @param {{cover: () => void}} options `cover` is called when the sheet has opened or closed
   */
  constructor(chat, { cover }) {
    this.#chat = chat;
    this.#cover = cover;
    const back = h(
      'button',
      { class: 'round', type: 'button', 'aria-label': 'Back', onclick: () => this.close() },
      icon('back'),
    );
    this.element = h('section', { class: 'sheet', hidden: true, 'aria-label': 'Call log' });
    this.element.append(h('header', {}, back, this.#heading), this.#list);
    this.element.onkeydown = (event) => {
      if (event.key === 'Escape') this.close(); // returns nothing: false would stop Tab and Enter from working
    };
  }

  get isOpen() {
    return !this.element.hidden;
  }

  open(opener) {
    this.#opener = opener;
    this.#cursor = null;
    this.#list.replaceChildren(h('li', {}, h('span'), 'Fetching…'));
    set(this.element, 'hidden', false);
    this.#cover();
    this.#heading.focus();
    this.#fetch(true);
  }

  close() {
    set(this.element, 'hidden', true);
    this.#cover();
    this.#opener?.focus();
  }

  async #fetch(first = false) {
    try {
      const { calls, next_cursor } = await this.#chat.callLog({ limit: 20, cursor: this.#cursor });
      if (first) this.#list.replaceChildren();
      this.#more.remove();
      this.#cursor = next_cursor;
      this.#list.append(...calls.map((call) => this.#item(call)));
      if (next_cursor) this.#list.append(h('li', {}, h('span'), this.#more));
      if (first && !calls.length) this.#list.append(h('li', {}, h('span', {}, icon('phone')), 'No calls yet'));
    } catch (error) {
      this.#list.replaceChildren(h('li', {}, h('span', {}, icon('alert')), inWords(error)));
      say(this.#more, 'Try again');
    }
  }

  #item(call) {
    const title = callInWords(call, this.#chat.sender);
    const live = call.state === 'ringing' ? 'Ringing' : 'In progress';
    const length = call.duration_seconds ? `, ${duration(call.duration_seconds)}` : '';
    const how = call.state === 'ended' ? `${endInWords(call)}${length}` : live;
    const when = h('time', { datetime: call.timestamp }, timeOfDay(call.timestamp), h('br'), day(call.timestamp, true));
    const what = h('div', {}, h('b', {}, title), h('small', {}, how));
    return h('li', { class: title === 'Missed call' && 'missed' }, h('span', {}, icon('phone')), what, when);
  }
}
