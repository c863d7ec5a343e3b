import { address as serverAddress } from '../navietakie/platform.js';

/**
 * Reads from the page's address which booking, which deployment and which phones to show.
 *
 * The names are `booking`, `api` (what comes before `/api/v1/`), `ws`, `phone` (show only `driver`, `passenger` or
 * `agent`), `driver_token`, `passenger_token`, `agent_token`. They are in the query or, better for tokens, after the
 * `#`, which no server sees. Anybody can make a link. So the page talks to another server than its own only if the user
 * agrees, sends a token only to the server that it was given for, and asks before it replaces a token. It removes
 * tokens from the address bar and keeps them for this tab. `wrong` has the values that are not valid.
 */
const NAMES = ['booking', 'api', 'ws', 'phone'];
const SERVER = /^[A-Za-z0-9._~:/[\]%-]*$/;
const TRUSTED = 'navietakie servers';
export const SIDES = ['driver', 'passenger'];
export const SEATS = [...SIDES, 'agent'];
export const BOOKING = '[A-Za-z0-9][A-Za-z0-9_\\-]{0,63}';

/** The settings, and in `tokens` those of the link. Nothing is kept or sent yet. */
export function readSettings() {
  const given = new URLSearchParams(location.search);
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) given.set(name, value);
  const settings = { booking: given.get('booking') || 'test', wrong: {}, tokens: {} };
  for (const name of NAMES.slice(1)) settings[name] = given.get(name) || undefined;
  for (const side of SEATS) {
    const token = given.get(`${side}_token`)?.trim();
    if (token) settings.tokens[side] = token;
  }
  for (const [name, right] of [
    ['booking', isBooking(settings.booking)],
    ['api', isServer('api', settings.api)],
    ['ws', isServer('ws', settings.ws)],
  ]) {
    if (right) continue;
    settings.wrong[name] = settings[name];
    settings[name] = name === 'booking' ? 'test' : undefined;
  }
  if (Object.keys(settings.wrong).length) settings.tokens = {}; // it is not known which server they are for
  settings.phones = SEATS.includes(settings.phone) ? [settings.phone] : SIDES;
  history.replaceState(null, '', address({ ...settings, ...settings.wrong }));
  return settings;
}

export const isBooking = (code) => new RegExp(`^${BOOKING}$`).test(code);

/** Whether the address is valid for `api` or `ws`. An empty one means this server. */
export function isServer(name, value) {
  try {
    return !value || (SERVER.test(value) && Boolean(serverAddress(name, value)));
  } catch {
    return false;
  }
}

/** The origins of `api` and `ws`, to which requests and frames go. */
export function originsOf({ api, ws }) {
  const http = (name, value) => new URL(serverAddress(name, value).replace(/^ws/, 'http')).origin;
  return { api: api ? http('api', api) : location.origin, ws: ws ? http('ws', ws) : location.origin };
}

const nameOf = (server) => Object.values(originsOf(server)).join(' ');

/** Whether the link has named this server, and the user has not agreed to it yet. */
export function isForeign(settings) {
  if (Object.values(originsOf(settings)).every((origin) => origin === location.origin)) return false;
  return !trusted().includes(nameOf(settings));
}

/** Remembers for this tab that the user has agreed to this server. */
export function trust(settings) {
  sessionStorage.setItem(TRUSTED, JSON.stringify([...new Set([...trusted(), nameOf(settings)])]));
}

const trusted = () => JSON.parse(sessionStorage.getItem(TRUSTED) ?? '[]');

/** The page's address with these settings, without tokens. */
export function address(settings) {
  const given = NAMES.filter((name) => settings[name]).map((name) => [name, settings[name]]);
  const query = new URLSearchParams(given).toString();
  return location.pathname + (query ? `?${query}` : '');
}

const tokenKey = (settings, side) => `navietakie token ${nameOf(settings)} ${settings.booking} ${side}`;

/** The token that was given for this booking and side at this server. */
export function tokenOf(settings, side) {
  return sessionStorage.getItem(tokenKey(settings, side)) ?? undefined;
}

export function keepToken(settings, side, token) {
  if (token) sessionStorage.setItem(tokenKey(settings, side), token.trim());
  else sessionStorage.removeItem(tokenKey(settings, side));
}

/** The storage for unsent messages, one per server: what was written for one is not sent to another. */
export function storageFor(settings) {
  if (!Object.values(originsOf(settings)).some((origin) => origin !== location.origin)) return undefined;
  const prefix = `${nameOf(settings)} `;
  const own = () => Object.keys(localStorage).filter((key) => key.startsWith(prefix));
  return {
    get length() {
      return own().length;
    },
    key: (index) => own()[index]?.slice(prefix.length) ?? null,
    getItem: (key) => localStorage.getItem(prefix + key),
    setItem: (key, value) => localStorage.setItem(prefix + key, value),
    removeItem: (key) => localStorage.removeItem(prefix + key),
  };
}
