/**
 * An element: `h('button', { class: 'round', onclick: … }, 'text', child)`. Properties that begin with `on` are
 * listeners. An attribute that is false, null or undefined is left out. Strings become text, never markup.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) set(element, name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Sets or removes one property as `h` does, and only if it differs. */
export function set(element, name, value) {
  if (name.startsWith('on')) {
    element[name] = value;
  } else if (value === false || value === null || value === undefined) {
    element.removeAttribute(name);
  } else {
    const text = value === true ? '' : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

/** Replaces an element's text if it differs: screen readers would announce it again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const SHAPES = {
  phone:
    'M6.6 3.5h2.7l1.5 4-2 1.6a12.4 12.4 0 0 0 6.1 6.1l1.6-2 4 1.5v2.7c0 1.2-1 2.1-2.2 2.1A15.8 15.8 0 0 1 4.5 5.7c0-1.2.9-2.2 2.1-2.2Z',
  car: 'M4 16.5v-4l2.2-5.3a2 2 0 0 1 1.9-1.2h7.8a2 2 0 0 1 1.9 1.2l2.2 5.3v4M4 12.5h16M4 16.5h16M5.5 16.5v2M18.5 16.5v2M7.5 14.5h.01M16.5 14.5h.01',
  person: 'M12 11.5a3.75 3.75 0 1 0 0-7.5 3.75 3.75 0 0 0 0 7.5ZM4.8 20a7.2 7.2 0 0 1 14.4 0',
  headset:
    'M4.5 14.5v-2.5a7.5 7.5 0 0 1 15 0v2.5M4.5 14h2a1 1 0 0 1 1 1v3a1 1 0 0 1-1 1h-1a1 1 0 0 1-1-1v-4ZM19.5 14h-2a1 1 0 0 0-1 1v3a1 1 0 0 0 1 1h1a1 1 0 0 0 1-1v-4ZM18.5 19c0 1.4-2 2-5 2',
  photo: 'M4.5 8h3l1.6-2.5h5.8L16.5 8h3v11h-15V8ZM12 16.5a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4Z',
  play: 'M8 5.5v13l10.5-6.5L8 5.5Z',
  pause: 'M8 5.5v13M16 5.5v13',
  stop: 'M7 7h10v10H7V7Z',
  bin: 'M5 7.5h14M9.5 7.5v-2h5v2M7 7.5l.8 12h8.4l.8-12',
  send: 'M12 19V5.5M6 11l6-6 6 6',
  down: 'M12 5v13.5M6 13l6 6 6-6',
  clock: 'M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17ZM12 7.5V12l3 2',
  sent: 'm6 12.5 4 4 8-9',
  both: 'm2.5 12.5 4 4 8-9M11.5 15.5l1 1 8.5-9',
  alert: 'M12 7.5v6M12 16.8v.01M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17Z',
  list: 'M12 7.5V12l3 2M4.6 8.2A8.5 8.5 0 1 1 3.5 12M3.6 4.2v4h4',
  back: 'M14.5 6 8.5 12l6 6',
  microphone: 'M12 14.5a3 3 0 0 0 3-3v-5a3 3 0 1 0-6 0v5a3 3 0 0 0 3 3ZM6 11.5a6 6 0 0 0 12 0M12 17.5v3',
  muted:
    'M15 10V6.5a3 3 0 0 0-5.8-1M9 9.5v2a3 3 0 0 0 4.5 2.6M6 11.5a6 6 0 0 0 9.3 5M18 11.5a6 6 0 0 1-.4 2.1M12 17.5v3M4 4l16 16',
  speaker: 'M4.5 9.5v5H8l4.5 4v-13L8 9.5H4.5ZM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a7.8 7.8 0 0 1 0 11',
  quiet: 'M4.5 9.5v5H8l4.5 4v-13L8 9.5H4.5ZM16 9.5l5 5M21 9.5l-5 5',
  place: 'M12 21s6.5-6 6.5-11a6.5 6.5 0 1 0-13 0c0 5 6.5 11 6.5 11ZM12 12.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4Z',
  theme: 'M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17ZM12 3.5v17A8.5 8.5 0 0 0 12 3.5Z',
  settings:
    'M4 7.5h9M17 7.5h3M4 16.5h3M11 16.5h9M15 9.7a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4ZM9 18.7a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4Z',
  wire: 'M8 4.5v14M4.5 8 8 4.5 11.5 8M16 19.5v-14M12.5 16l3.5 3.5 3.5-3.5',
};

/** An icon in the colour of the text around it. Screen readers ignore it. */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', SHAPES[name]);
  svg.append(path);
  return svg;
}

/** Puts what `build` makes into `element`, if `key` differs from the last time. */
export function keep(element, key, build) {
  if (element.dataset.shows === String(key)) return;
  element.dataset.shows = String(key);
  element.replaceChildren(...[build()].flat());
}
