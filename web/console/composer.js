import { h, icon, say, set } from './dom.js';
import { QUICK_REPLIES } from './texts.js';

const LONGEST = 5_000;
const COUNT_FROM = 4_500;

/** Where one writes: quick replies, the text, the button. Enter sends, Shift+Enter begins a line. */
export class Composer {
  #chat;
  #text;
  #send;
  #sent;
  #left = h('p', { class: 'left', hidden: true, 'aria-live': 'polite' });

  /**
   * @param {import('../navietakie/conversation.js').Conversation} chat
   * @param {{name: string, sent: () => void}} options `name` of who writes; `sent` is told when something was sent
   */
  constructor(chat, { name, sent }) {
    this.#chat = chat;
    this.#sent = sent;
    this.#text = h('textarea', {
      rows: '1',
      maxlength: LONGEST,
      placeholder: 'Message',
      'aria-label': `Message as ${name}`,
      autocomplete: 'off',
      enterkeyhint: 'send',
      oninput: () => this.#typed(),
      onkeydown: (event) => this.#key(event),
    });
    this.#send = h('button', { class: 'round', type: 'submit', 'aria-label': 'Send', disabled: true }, icon('send'));
    const write = h('form', { class: 'write', onsubmit: (event) => this.#submit(event) }, this.#text, this.#send);
    const replies = QUICK_REPLIES[chat.sender].map(([id, text]) =>
      h('button', { type: 'button', onclick: () => this.#reply(id, text) }, text),
    );
    const quick = h('div', { class: 'replies', role: 'group', 'aria-label': 'Quick replies' }, replies);
    this.element = h('div', { class: 'composer' }, quick, write, this.#left);
  }

  #typed() {
    const { value } = this.#text;
    set(this.#send, 'disabled', !value.trim());
    this.#chat.sayTyping(Boolean(value.trim()));
    set(this.#left, 'hidden', value.length < COUNT_FROM);
    say(this.#left, `${LONGEST - value.length} characters left`);
    this.#text.style.height = 'auto';
    this.#text.style.height = `${this.#text.scrollHeight + 2}px`;
  }

  #key(event) {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    this.#submit(event);
  }

  #reply(id, text) {
    this.#chat.send(text, { metadata: { quick_reply_id: id } });
    this.#sent();
  }

  #submit(event) {
    event.preventDefault();
    const text = this.#text.value.trim();
    if (!text) return;
    this.#chat.send(text);
    this.#sent();
    this.#text.value = '';
    this.#typed();
    this.#text.focus();
  }
}
