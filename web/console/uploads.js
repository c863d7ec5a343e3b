import { newId } from '../navietakie/ids.js';
import { h } from './dom.js';

/** The photos and voice notes of one phone that are on their way. One that failed stays until it is sent or dropped. */
export class Uploads {
  #chat;
  #changed;
  #all = [];

  /**
   * @param {import('../navietakie/conversation.js').Conversation} chat
   * @param {import('./cuttable.js').CuttableLine} line reports the progress of uploads
   * @param {() => void} changed
   */
  constructor(chat, line, changed) {
    this.#chat = chat;
    this.#changed = changed;
    line.uploaded = (name, part) => {
      const upload = this.#all.find((each) => each.file.name === name);
      if (!upload) return;
      upload.bar.value = part;
    };
  }

  get all() {
    return this.#all;
  }

  /** Sends a photo or a voice note. `about`: what its message's metadata says about it. */
  add(blob, text, about) {
    const id = newId();
    const file = new File([blob], `${id}.${blob.type.split('/')[1]}`, { type: blob.type });
    const upload = { id, file, text, about, url: URL.createObjectURL(blob), created_at: Date.now(), error: null };
    const label = `Uploading the ${about.voice_note ? 'voice note' : 'photo'}`;
    upload.bar = h('progress', { max: '1', value: '0', 'aria-label': label });
    this.#all.push(upload);
    this.#send(upload);
  }

  retry(id) {
    const upload = this.#all.find((each) => each.id === id);
    if (upload) this.#send(upload);
  }

  discard(id) {
    const upload = this.#all.find((each) => each.id === id);
    if (upload) URL.revokeObjectURL(upload.url);
    this.#all = this.#all.filter((each) => each !== upload);
    this.#changed();
  }

  async #send(upload) {
    upload.error = null;
    upload.bar.value = 0;
    this.#changed();
    const failed = () => this.#chat.outbox.filter((each) => each.state === 'failed' && each.metadata?.attachment).length;
    const before = failed();
    try {
      await this.#chat.attach(upload.file, upload.text, { metadata: upload.about });
      this.discard(upload.id);
    } catch (error) {
      if (failed() > before) return this.discard(upload.id); // the upload worked, and the message failed: it shows why
      upload.error = error;
      this.#changed();
    }
  }
}
