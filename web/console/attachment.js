import { h, icon, keep, say, set } from './dom.js';
import { duration } from './texts.js';

const number = (value, most) => (Number.isFinite(value) && value > 0 && value <= most ? value : null);

/** Whether the attachment of a message (stored or on its way) is a voice note. Otherwise it is a photo. */
export const isVoice = ({ metadata }) =>
  /^audio\//.test(metadata?.attachment?.content_type ?? '') || Boolean(metadata?.voice_note);

/** The element that shows a message's attachment. `url` resolves with its address. */
export function attachmentOf(message, url, whose) {
  return isVoice(message) ? voice(message, url, whose) : photo(message, url, whose);
}

function photo({ metadata }, url, whose) {
  const width = number(metadata.photo?.width, 20_000) ?? 4;
  const height = number(metadata.photo?.height, 20_000) ?? 3;
  const box = h('div', { class: 'photo' });
  box.style.setProperty('--shape', `${width} / ${height}`);
  const failed = () => {
    const again = h('button', { class: 'button', type: 'button', onclick: show }, 'Load again');
    box.replaceChildren(h('p', {}, 'The photo could not be loaded.'), again);
  };
  const show = async () => {
    box.replaceChildren();
    try {
      const href = await url();
      const picture = h('img', { src: href, alt: `Photo from ${whose}`, onerror: failed, decoding: 'async' });
      box.replaceChildren(h('a', { href, target: '_blank', rel: 'noreferrer' }, picture));
    } catch {
      failed();
    }
  };
  show();
  return box;
}

function voice({ metadata }, url, whose) {
  const length = number(metadata.voice_note?.seconds, 86_400);
  const audio = h('audio', { preload: 'none' });
  const time = h('span', { class: 'time' }, length ? duration(length) : '');
  const state = h('span', { class: 'quiet', role: 'status' });
  const track = h('span', { class: 'track', 'aria-hidden': 'true' }, h('i'));
  const button = h('button', { class: 'round', type: 'button' });
  const label = () => {
    set(button, 'aria-label', `${audio.paused ? 'Play' : 'Pause'} the voice note from ${whose}${length ? `, ${duration(length)}` : ''}`);
    keep(button, audio.paused, () => icon(audio.paused ? 'play' : 'pause'));
  };
  const failed = () => {
    say(time, 'Not loaded');
    say(state, 'The voice note could not be loaded');
    audio.removeAttribute('src');
    label();
  };
  button.onclick = async () => {
    if (!audio.paused) return audio.pause();
    try {
      if (!audio.src) audio.src = await url();
      for (const other of document.querySelectorAll('.voice audio')) if (other !== audio) other.pause();
      say(state, '');
      await audio.play();
    } catch (error) {
      if (error.name !== 'AbortError') failed();
    }
  };
  audio.onplay = audio.onpause = label;
  audio.onended = () => {
    audio.currentTime = 0;
    track.style.setProperty('--part', 0);
    label();
  };
  audio.ontimeupdate = () => {
    const whole = Number.isFinite(audio.duration) ? audio.duration : length;
    if (whole) track.style.setProperty('--part', Math.min(1, audio.currentTime / whole));
    say(time, duration(audio.paused && !audio.currentTime && length ? length : audio.currentTime));
  };
  label();
  return h('div', { class: 'voice' }, button, track, time, state, audio);
}
