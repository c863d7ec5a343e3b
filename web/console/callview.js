import { h, icon, keep, say, set } from './dom.js';
import { Ringtone } from './ringtone.js';
import { Steady } from './steady.js';
import { NAMES, count, duration } from './texts.js';

const RINGS = ['dialling', 'calling', 'ringing'];

/** Shows a call on a phone: a sheet while it rings, a bar while it lasts. */
export class CallView {
  #calls;
  #peer;
  #act;
  #ring = h('section', { class: 'ring', tabindex: '-1', hidden: true });
  #bar = h('section', { class: 'talking', hidden: true });
  #audio = h('audio', { autoplay: true });
  #tone = new Ringtone();
  #speaker = true;
  #shownPhase = 'idle';
  #options;
  #figures = null;
  #ringEnd = new Steady();

  /**
   * @param {import('../navietakie/calls.js').Calls} calls
   * @param {string} peer the other side
   * @param {object} options
   * @param {(action: Promise) => void} options.act reports an action that fails
   * @param {(covered: boolean) => void} options.cover told whether the sheet covers the rest of the phone
   * @param {() => void} options.refocus takes the focus when the element that had it goes away
   */
  constructor(calls, peer, options) {
    this.#calls = calls;
    this.#peer = peer;
    this.#act = options.act;
    this.#options = options;
    this.sheet = this.#ring;
    this.bar = h('div', {}, this.#bar, this.#audio);
    setInterval(() => this.#tick(), 500);
  }

  render() {
    const { phase } = this.#calls;
    const { activeElement } = document;
    const inCall = this.#ring.contains(activeElement) || this.#bar.contains(activeElement);
    const inPhone = this.#ring.parentElement.contains(activeElement);
    const rings = RINGS.includes(phase) || phase === 'answering';
    set(this.#ring, 'hidden', !rings);
    set(this.#bar, 'hidden', phase !== 'talking' && phase !== 'elsewhere');
    this.#options.cover(rings);
    if (rings) keep(this.#ring, phase, () => this.#ringing(phase));
    else keep(this.#bar, phase, () => (phase === 'talking' ? this.#talking() : this.#elsewhere()));
    this.#tone.play(phase === 'ringing');
    const stream = this.#calls.voice?.stream ?? null;
    if (this.#audio.srcObject !== stream) this.#audio.srcObject = stream;
    if (phase !== this.#shownPhase) this.#moveFocus(phase, inCall, inPhone);
    this.#shownPhase = phase;
    this.#tick();
  }

  /** Moves the focus only if the user acts on this phone. A phone that rings does not take it. */
  #moveFocus(phase, inCall, inPhone) {
    if (phase === 'dialling' || (inCall && phase !== 'idle')) {
      const shown = this.#ring.hidden ? this.#bar : this.#ring;
      shown.querySelector('.no')?.focus();
    } else if (phase === 'ringing' && inPhone) {
      this.#ring.focus(); // not on a button: somebody who is typing would press it
    } else if (inCall) {
      this.#options.refocus();
    }
  }

  #ringing(phase) {
    const name = NAMES[this.#peer];
    set(this.#ring, 'aria-label', phase === 'ringing' ? `Incoming call from the ${this.#peer}` : 'Outgoing call');
    const no = choice('no', { ringing: 'Decline', answering: 'Hang up' }[phase] ?? 'Cancel', () => this.#act(this.#calls.hangUp()));
    const yes = phase === 'ringing' && choice('yes', 'Answer', () => this.#act(this.#calls.accept()));
    return [
      h('div', { class: 'face' }, icon(this.#peer === 'driver' ? 'car' : 'person')),
      h('h3', {}, name),
      h('p', { class: 'state', role: 'status' }),
      h('div', { class: 'choices' }, no, yes),
    ];
  }

  #talking() {
    const level = h('div', { class: 'level', 'aria-hidden': 'true' }, ...Array.from({ length: 5 }, () => h('i')));
    const about = h('div', { class: 'about' }, h('b', { class: 'timer' }), h('span', { class: 'state' }));
    const mute = h('button', {
      class: 'round mute',
      type: 'button',
      'aria-label': 'Mute',
      onclick: () => this.#mute(),
    });
    const speaker = h('button', { class: 'round speaker', type: 'button', 'aria-label': 'Silence the speaker' });
    speaker.onclick = () => {
      this.#speaker = !this.#speaker;
      this.#tick();
    };
    return [level, about, mute, speaker, this.#hangUpButton()];
  }

  #elsewhere() {
    const state = h('span', { class: 'state' }, 'on another device of yours');
    return [h('div', { class: 'about' }, h('b', { class: 'timer' }), state), this.#hangUpButton()];
  }

  #hangUpButton() {
    const hangUp = () => this.#act(this.#calls.hangUp());
    return h('button', { class: 'round no', type: 'button', 'aria-label': 'Hang up', onclick: hangUp }, icon('phone'));
  }

  #mute() {
    const { voice } = this.#calls;
    if (voice) voice.muted = !voice.muted;
    this.#tick();
  }

  /** Draws what changes with time: timers, figures, levels. */
  #tick() {
    const { phase, ringsUntil, talkingSince, reached, voice } = this.#calls;
    if (phase !== this.#shownPhase) return; // not drawn yet
    if (RINGS.includes(phase) || phase === 'answering') {
      const left = ringsUntil ? this.#ringEnd.secondsTo(ringsUntil) : null;
      say(this.#ring.querySelector('.state'), ringWords(phase, left, reached));
    } else if (phase === 'talking' || phase === 'elsewhere') {
      const talked = talkingSince === null ? 'Ringing' : duration((Date.now() - talkingSince) / 1000);
      say(this.#bar.querySelector('.timer'), talked);
      if (phase === 'talking') this.#tickTalking(voice);
    }
  }

  async #tickTalking(voice) {
    this.#audio.muted = !this.#speaker;
    if (this.#audio.srcObject && this.#audio.paused) this.#audio.play().catch(() => {}); // it may wait for a touch
    button(this.#bar.querySelector('.mute'), voice?.muted ?? false, 'muted', 'microphone');
    button(this.#bar.querySelector('.speaker'), !this.#speaker, 'quiet', 'speaker');
    this.#figures = (await voice?.stats()) ?? null;
    const state = this.#bar.querySelector('.talking .state');
    if (!state || this.#calls.voice !== voice) return;
    say(state, talkWords(voice, this.#figures));
    set(this.#bar, 'data-received', this.#figures?.bytesReceived ?? 0);
    this.#bar.querySelector('.level')?.style.setProperty('--loud', Math.min(1, (this.#figures?.level ?? 0) * 2.5));
  }
}

function choice(look, words, onclick) {
  return h('button', { class: `choice ${look}`, type: 'button', onclick }, h('span', {}, icon('phone')), words);
}

function button(element, on, shapeOn, shapeOff) {
  if (!element) return;
  set(element, 'aria-pressed', on ? 'true' : 'false');
  keep(element, on, () => icon(on ? shapeOn : shapeOff));
}

function ringWords(phase, left, reached) {
  if (phase === 'dialling') return 'Calling…';
  if (phase === 'answering') return 'Connecting…';
  if (phase === 'ringing') return 'is calling you';
  if (reached === 0) return 'Not online at the moment. Their phone is being woken…';
  return left === null ? 'Ringing…' : `Ringing… ${count(left, 'second')} left`;
}

function talkWords(voice, figures) {
  if (!voice) return 'No sound on this device';
  if (voice.state === 'connecting') return 'Connecting the sound…';
  if (voice.state === 'reconnecting') return 'The sound broke off. Reconnecting…';
  if (!figures) return 'Connected';
  const heard = `${(figures.bytesReceived / 1024).toFixed(0)} KB heard`;
  return figures.roundTripMs === null ? heard : `${heard} · ${figures.roundTripMs} ms`;
}
