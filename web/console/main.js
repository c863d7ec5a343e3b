import { consent } from './consent.js';
import { h, icon, say, set } from './dom.js';
import { Phone } from './phone.js';
import { narrow } from './policy.js';
import { BOOKING, address, isBooking, isServer, keepToken, readSettings, tokenOf, trust } from './settings.js';
import { quoted } from './shell.js';
import { NAMES } from './texts.js';
import { Wire } from './wire.js';

const THEMES = { auto: 'as the system', light: 'light', dark: 'dark' };
const settings = await consent(readSettings());
narrow(settings);
const oneAtATime = matchMedia('(max-width: 759px)');
const api = settings.api ?? location.origin;

const tabs = new Map();
const wire = new Wire({ sides: settings.phones, curl: curlLine() });
const phones = settings.phones.map((side) => new Phone(side, settings, renderTab));
for (const phone of phones) phone.chat.on('frame', (passed) => wire.add(phone.side, passed));

const places = [...phones.map((phone) => ({ name: phone.side, title: NAMES[phone.side], element: phone.element }))];
places.push({ name: 'wire', title: 'Frames', element: wire.element });
for (const place of places) tabs.set(place.name, tab(place));
const desk = h(
  'main',
  { class: 'desk', id: 'desk', 'data-phones': phones.length },
  ...places.map((place) => place.element),
);
const dialog = settingsDialog();

document.body.replaceChildren(
  h('a', { class: 'button skip', href: '#desk' }, 'Skip to the phones'),
  bar(),
  desk,
  h('nav', { class: 'tabs', 'aria-label': 'What is shown' }, ...[...tabs.values()].map((each) => each.button)),
  dialog,
);
applyTheme(localStorage.getItem('navietakie theme') ?? 'auto');
show(places[0].name);
attend();
if (Object.keys(settings.wrong).length) {
  dialog.showModal();
  dialog.querySelector('form').reportValidity();
}

/** Decides which phone somebody looks at: the only one, or the one that was touched last. */
function attend() {
  const look = (event) => {
    const touched = phones.find((phone) => phone.element.contains(event.target));
    if (touched) for (const phone of phones) phone.attended = phone === touched;
  };
  document.addEventListener('pointerdown', look);
  document.addEventListener('focusin', look);
  oneAtATime.addEventListener('change', () => show(places.find(({ element }) => element.matches('.shown')).name));
  if (phones.length === 1) phones[0].attended = true;
}

function bar() {
  const brand = h('h1', { class: 'brand' }, h('img', { src: 'icon.svg', alt: '' }), h('span', {}, 'NavieTakie'));
  const open = () => dialog.showModal();
  const booking = h(
    'button',
    { class: 'button booking', type: 'button', onclick: open },
    'Booking ',
    h('b', {}, settings.booking),
  );
  const where = h('span', { class: 'where' }, new URL(api, location.href).host);
  const theme = h('button', { class: 'round theme', type: 'button', onclick: nextTheme }, icon('theme'));
  const more = h(
    'button',
    { class: 'round', type: 'button', 'aria-label': 'Settings', onclick: open },
    icon('settings'),
  );
  return h('header', { class: 'bar' }, brand, booking, h('span', { class: 'space' }), where, theme, more);
}

function tab({ name, title }) {
  const count = h('span', { class: 'count', hidden: true });
  const shape = { driver: 'car', passenger: 'person', agent: 'headset', wire: 'wire' }[name];
  const button = h('button', { type: 'button', onclick: () => show(name) }, icon(shape), title, count);
  return { button, count };
}

/** Chooses what a small screen shows: one phone, or the wire. */
function show(name) {
  for (const place of places) {
    const shown = place.name === name;
    place.element.classList.toggle('shown', shown);
    set(tabs.get(place.name).button, 'aria-pressed', shown ? 'true' : 'false');
  }
  if (oneAtATime.matches) for (const phone of phones) phone.attended = phone.side === name;
}

function renderTab(phone) {
  const count = tabs.get(phone.side)?.count;
  if (!count) return;
  const { unread } = phone.chat;
  const rings = phone.chat.calls.phase === 'ringing';
  set(count, 'hidden', !unread && !rings);
  say(count, rings ? 'Call' : unread > 99 ? '99+' : String(unread));
}

function applyTheme(theme) {
  set(document.documentElement, 'data-theme', theme === 'auto' ? null : theme);
  const button = document.querySelector('.theme');
  set(button, 'aria-label', `Colours: ${THEMES[theme]}`);
  set(button, 'title', `Colours: ${THEMES[theme]}`);
  localStorage.setItem('navietakie theme', theme);
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const now = localStorage.getItem('navietakie theme') ?? 'auto';
  applyTheme(names[(names.indexOf(now) + 1) % names.length]);
}

function settingsDialog() {
  const field = (label, hint, properties) => {
    const input = h('input', { spellcheck: 'false', autocomplete: 'off', ...properties });
    return { input, element: h('label', { class: 'field' }, label, input, hint && h('small', {}, hint)) };
  };
  const server = (name, label, hint) => {
    const value = settings.wrong[name] ?? settings[name] ?? '';
    const { input, element } = field(label, hint, { value, inputmode: 'url' });
    input.oninput = () =>
      input.setCustomValidity(isServer(name, input.value.trim()) ? '' : 'This is no address of a server');
    input.oninput();
    return { input, element };
  };
  const title = 'Letters, digits, _ and -: 64 at most, and first a letter or a digit';
  const code = settings.wrong.booking ?? settings.booking;
  const fields = {
    booking: field('Booking code', null, { value: code, required: true, pattern: BOOKING, title }),
    api: server('api', 'REST address', 'What comes before /api/v1/. Empty: this server.'),
    ws: server('ws', 'WebSocket address', 'Empty: /ws on this server.'),
  };
  const chosen = () =>
    Object.fromEntries(Object.entries(fields).map(([name, { input }]) => [name, input.value.trim()]));
  const tokens = settings.phones.map((side) => ({ side, ...field(`Token of the ${side}`, null, { type: 'password' }) }));
  const showKept = () => {
    const { booking, api, ws } = chosen();
    const known = isBooking(booking) && isServer('api', api) && isServer('ws', ws);
    for (const { side, input } of tokens)
      if (!input.dataset.typed) input.value = (known && tokenOf(chosen(), side)) || '';
  };
  for (const { input } of tokens) input.addEventListener('input', () => (input.dataset.typed = 'yes'));
  for (const { input } of Object.values(fields)) input.addEventListener('input', showKept);
  showKept();
  const close = h('button', { class: 'button', type: 'button', onclick: () => dialog.close() }, 'Cancel');
  const actions = h('div', { class: 'actions' }, close, h('button', { class: 'button main', type: 'submit' }, 'Open'));
  const all = [...Object.values(fields), ...tokens].map((each) => each.element);
  const form = h(
    'form',
    {},
    h('h2', { id: 'settings' }, 'Conversation'),
    h('p', {}, 'Which booking, and where it lives.'),
  );
  form.append(...all, actions);
  form.onsubmit = (event) => {
    event.preventDefault();
    const next = chosen();
    trust(next);
    for (const { side, input } of tokens) keepToken(next, side, input.value);
    location.assign(address({ ...next, phone: settings.phone }));
  };
  return h('dialog', { 'aria-labelledby': 'settings' }, form);
}

function curlLine() {
  const body = JSON.stringify({ booking_code: settings.booking, message: 'Hello from a terminal', sender: 'driver' });
  const url = `${new URL(api, location.href).href.replace(/\/+$/, '')}/api/v1/send_message`;
  const lines = [`curl -X POST ${quoted(url)}`, `-H 'content-type: application/json'`];
  if (tokenOf(settings, 'driver')) lines.push('-H "authorization: Bearer $TOKEN"');
  return [...lines, `-d ${quoted(body)}`].join(' \\\n  ');
}
