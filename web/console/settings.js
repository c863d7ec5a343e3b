import { address as serverAddress } from '../navietakie/platform.js';

/**
 * What the page's address says: which booking, which deployment, which phones.
 *
 * `booking`, `api` (what comes before `/api/v1/`), `ws`, `phone` (`driver` or `passenger`: that one alone),
 * `driver_token`, `passenger_token`; in the query or, better for tokens, after the `#`, which no server sees. Tokens are
 * taken out of the address bar and kept for this tab. `wrong` holds what was given as `api` or `ws` and cannot be one.
 */
const NAMES = ['booking', 'api', 'ws', 'phone'];
export const SIDES = ['driver', 'passenger'];

export function readSettings() {
  const given = new URLSearchParams(location.search);
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) given.set(name, value);
  const booking = given.get('booking') || 'test';
  for (const side of SIDES) {
    if (given.has(`${side}_token`)) keepToken(booking, side, given.get(`${side}_token`));
  }
  const settings = { booking, wrong: {} };
  for (const name of NAMES.slice(1)) settings[name] = given.get(name) || undefined;
  for (const name of ['api', 'ws']) {
    if (isServer(name, settings[name])) continue;
    settings.wrong[name] = settings[name];
    settings[name] = undefined;
  }
  settings.phones = SIDES.includes(settings.phone) ? [settings.phone] : SIDES;
  history.replaceState(null, '', address({ ...settings, ...settings.wrong }));
  return settings;
}

/** Whether `api` or `ws` may be at that address; nowhere means on this server. */
export function isServer(name, value) {
  try {
    return !value || Boolean(serverAddress(name, value));
  } catch {
    return false;
  }
}

/** The page's address with these settings, without tokens. */
export function address(settings) {
  const given = NAMES.filter((name) => settings[name]).map((name) => [name, settings[name]]);
  const query = new URLSearchParams(given).toString();
  return location.pathname + (query ? `?${query}` : '');
}

export function tokenOf(booking, side) {
  return sessionStorage.getItem(`navietakie token ${booking} ${side}`) ?? undefined;
}

export function keepToken(booking, side, token) {
  const name = `navietakie token ${booking} ${side}`;
  if (token) sessionStorage.setItem(name, token.trim());
  else sessionStorage.removeItem(name);
}

/** The id of this tab's phone: the same after a reload, another in another tab. */
export function deviceOf(side, newId) {
  const name = `navietakie device ${side}`;
  if (!sessionStorage.getItem(name)) sessionStorage.setItem(name, `${side}-${newId().slice(0, 12)}`);
  return sessionStorage.getItem(name);
}
