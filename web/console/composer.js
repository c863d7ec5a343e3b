import { h, icon, say, set } from './dom.js';
import { readyToSend } from './photo.js';
import { LONGEST as LONGEST_NOTE, Recorder } from './recorder.js';
import { QUICK_REPLIES, count, duration, inWords, lengthOf } from './texts.js';

const LONGEST = 5_000;
const COUNT_FROM = 4_500;
const METER_MS = 80;

/** The place to write: quick replies, a text, a photo, a voice note. Enter sends, Shift+Enter begins a new line. */
export class Composer {
  #chat;
  #text;
  #send;
  #options;
  #voice;
  #photo = null;
  #preview = h('div', { class: 'preview', hidden: true });
  #file;
  #replies;
  #recording;
  #recorder = null;
  #meter = null;
  #left = h('p', { class: 'left', hidden: true, 'aria-live': 'polite' });
  #silenced = h('p', { class: 'silenced', hidden: true, role: 'status', tabindex: '-1' });
  #write;

  /**
   * @param {import('../navietakie/conversation.js').Conversation} chat
   * @param {object} options
   * @param {string} options.name of who writes
   * @param {import('./uploads.js').Uploads} options.uploads
   * @param {() => void} options.sent called when something was sent
   * @param {(words: string) => void} options.problem called with what went wrong
   */
  constructor(chat, options) {
    const { name } = options;
    this.#chat = chat;
    this.#options = options;
    this.#text = h('textarea', {
      rows: '1',
      placeholder: 'Message',
      'aria-label': `Message as ${name}`,
      autocomplete: 'off',
      enterkeyhint: 'send',
      oninput: () => this.#typed(),
      onkeydown: (event) => this.#key(event),
    });
    this.#send = h('button', { class: 'round', type: 'submit', 'aria-label': 'Send', disabled: true, hidden: true }, icon('send'));
    this.#voice = h(
      'button',
      { class: 'round voice-note', type: 'button', 'aria-label': 'Record a voice note', onclick: () => this.#record() },
      icon('microphone'),
    );
    this.#file = h('input', { type: 'file', accept: 'image/*', hidden: true, 'aria-label': 'Photo' });
    this.#file.onchange = () => this.#choose();
    const photo = h(
      'button',
      { class: 'round attach', type: 'button', 'aria-label': 'Take or choose a photo', onclick: () => this.#file.click() },
      icon('photo'),
    );
    this.#write = h(
      'form',
      { class: 'write', onsubmit: (event) => this.#submit(event) },
      ...[photo, this.#file, this.#text, this.#voice, this.#send],
    );
    this.#recording = h('div', { class: 'recording', hidden: true, role: 'group', 'aria-label': 'Voice note' });
    this.#recording.onkeydown = (event) => {
      if (event.key === 'Escape') this.#stopRecording();
    };
    const replies = QUICK_REPLIES[chat.sender].map(([id, text]) =>
      h('button', { type: 'button', onclick: () => this.#reply(id, text) }, text),
    );
    this.#replies = h('div', { class: 'replies', role: 'group', 'aria-label': 'Quick replies' }, replies);
    const parts = [this.#replies, this.#preview, this.#write, this.#recording, this.#left, this.#silenced];
    this.element = h('div', { class: 'composer' }, ...parts);
    this.offer(null);
  }

  /** Lets the user write or, where the server takes no messages, says in `words` why not. What was typed is kept. */
  offer(words) {
    const silenced = Boolean(words);
    if (silenced && this.#recorder) this.#stopRecording();
    const turns = silenced === this.#silenced.hidden;
    const focused = turns && this.element.contains(document.activeElement);
    set(this.#replies, 'hidden', silenced || !this.#replies.childElementCount);
    set(this.#preview, 'hidden', silenced || !this.#photo);
    set(this.#write, 'hidden', silenced || Boolean(this.#recorder));
    set(this.#silenced, 'hidden', !silenced);
    say(this.#silenced, words ?? '');
    if (focused) (silenced ? this.#silenced : this.#text).focus();
  }

  #typed() {
    const { value } = this.#text;
    const left = LONGEST - lengthOf(value.trim());
    const empty = !value.trim() && !this.#photo;
    set(this.#send, 'disabled', empty || left < 0);
    set(this.#send, 'hidden', empty);
    set(this.#voice, 'hidden', !empty);
    this.#chat.sayTyping(Boolean(value.trim()));
    set(this.#left, 'hidden', LONGEST - left < COUNT_FROM);
    set(this.#left, 'data-over', left < 0);
    say(this.#left, left < 0 ? `${count(-left, 'character')} too many` : `${count(left, 'character')} left`);
    this.#text.style.height = 'auto';
    this.#text.style.height = `${this.#text.scrollHeight + 2}px`;
  }

  #key(event) {
    if (event.key !== 'Enter' || event.shiftKey) return;
    if (event.isComposing || event.keyCode === 229) return; // Enter confirms a word of an input method
    this.#submit(event);
  }

  #reply(id, text) {
    this.#chat.send(text, { metadata: { quick_reply_id: id } });
    this.#options.sent();
  }

  #submit(event) {
    event.preventDefault();
    const text = this.#text.value.trim();
    if ((!text && !this.#photo) || lengthOf(text) > LONGEST) return;
    if (this.#photo) {
      const { blob, width, height } = this.#photo;
      this.#options.uploads.add(blob, text, { photo: { width, height } });
      this.#drop();
    } else {
      this.#chat.send(text);
    }
    this.#options.sent();
    this.#text.value = '';
    this.#typed();
    this.#text.focus();
  }

  async #choose() {
    const [file] = this.#file.files;
    this.#file.value = '';
    if (!file) return;
    this.#drop();
    try {
      this.#photo = await readyToSend(file);
    } catch {
      this.#options.problem('That is no picture that can be sent');
      return;
    }
    const url = URL.createObjectURL(this.#photo.blob);
    const drop = h('button', { class: 'round', type: 'button', 'aria-label': 'Remove the photo' }, icon('bin'));
    drop.onclick = () => {
      this.#drop();
      this.#text.focus();
    };
    const size = `${Math.ceil(this.#photo.blob.size / 1024)} KB, without its place and date`;
    const about = h('p', { role: 'status' }, h('b', {}, 'Photo'), ' ', size);
    this.#preview.replaceChildren(h('img', { src: url, alt: 'The photo to be sent' }), about, drop);
    set(this.#preview, 'hidden', false);
    this.#typed();
    this.#text.focus();
  }

  #drop() {
    const shown = this.#preview.querySelector('img');
    if (shown) URL.revokeObjectURL(shown.src);
    this.#photo = null;
    this.#preview.replaceChildren();
    set(this.#preview, 'hidden', true);
    this.#typed();
  }

  async #record() {
    if (this.#recorder) return;
    try {
      this.#recorder = await Recorder.start({ full: () => say(this.#recording.querySelector('.quiet'), 'One minute is full') });
    } catch (error) {
      this.#options.problem(inWords(error));
      return;
    }
    const level = h('div', { class: 'level', 'aria-hidden': 'true' }, ...Array.from({ length: 5 }, () => h('i')));
    const time = h('b', { class: 'timer' });
    const cancel = h('button', { class: 'round', type: 'button', 'aria-label': 'Discard the voice note' }, icon('bin'));
    cancel.onclick = () => this.#stopRecording();
    const send = h('button', { class: 'round', type: 'button', 'aria-label': 'Send the voice note' }, icon('send'));
    send.onclick = () => this.#sendNote();
    const status = h('span', { class: 'quiet', role: 'status' });
    this.#recording.replaceChildren(cancel, level, time, h('span', { class: 'most' }, `of ${duration(LONGEST_NOTE)}`), send, status);
    this.#showRecording(true);
    say(status, 'Recording');
    send.focus();
    const show = () => {
      say(time, duration(this.#recorder.seconds));
      level.style.setProperty('--loud', this.#recorder.level);
    };
    show();
    this.#meter = setInterval(show, METER_MS);
  }

  async #sendNote() {
    const recorder = this.#recorder;
    if (!recorder) return;
    clearInterval(this.#meter);
    const { blob, seconds } = await recorder.finish();
    this.#stopRecording();
    this.#options.uploads.add(blob, '', { voice_note: { seconds } });
    this.#options.sent();
  }

  #stopRecording() {
    clearInterval(this.#meter);
    this.#recorder?.cancel();
    this.#recorder = null;
    this.#showRecording(false);
    this.#voice.focus();
  }

  #showRecording(on) {
    set(this.#recording, 'hidden', !on);
    set(this.#write, 'hidden', on);
  }
}
