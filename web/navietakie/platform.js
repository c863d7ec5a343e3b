/** The options that depend on the platform; what is not given comes from the page. Throws a TypeError for wrong options. */
export function surroundings(options) {
  const { location, document: page, navigator, WebSocket, fetch, FormData, RTCPeerConnection } = globalThis;
  const origin = location?.origin;
  const { mediaDevices = navigator?.mediaDevices } = options;
  const given = {
    api: origin,
    ws: origin && `${origin.replace(/^http/, 'ws')}/ws`,
    storage: page ? ifAllowed('localStorage') : null,
    session: page ? ifAllowed('sessionStorage') : null,
    locks: page ? navigator?.locks : null,
    watch: watchPage,
    WebSocket,
    fetch: fetch?.bind(globalThis),
    FormData,
    RTCPeerConnection,
    mediaDevices,
    getUserMedia: mediaDevices?.getUserMedia?.bind(mediaDevices),
  };
  for (const name of Object.keys(given)) if (options[name] !== undefined) given[name] = options[name];
  for (const name of ['api', 'ws', 'WebSocket'])
    if (!given[name]) throw new TypeError(`connect: ${name} is required here`);
  return { ...given, api: address('api', given.api).replace(/\/+$/, ''), ws: address('ws', given.ws) };
}

/**
 * The complete address for the option `api` or `ws`, which on a page may be relative. Throws a TypeError if it is no
 * address. A complete address stays as it is: React Native's URL class would change it.
 */
export function address(name, value) {
  let found = String(value);
  try {
    const url = new URL(value, globalThis.location?.href);
    if (!/^\w+:\/\//.test(found)) found = url.href;
  } catch {
    found = '';
  }
  if (!/^(http|ws)s?:\/\/[^/?#]/.test(found)) throw new TypeError(`connect: ${name} is no address: ${value}`);
  return found.replace(/#.*/, '').replace(/^(http|ws)/, name === 'ws' ? 'ws' : 'http');
}

/** A query string of the values that are given. */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  return given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
}

function ifAllowed(name) {
  try {
    return globalThis[name] ?? null;
  } catch {
    return null; // the user has forbidden it
  }
}

/**
 * Tells when the page is hidden or visible again, and when the device has found a network.
 * @returns {() => void} stops it
 */
function watchPage({ wake, away }) {
  const page = globalThis.document;
  const hidden = () => page?.visibilityState === 'hidden';
  const look = () => {
    away(hidden());
    if (!hidden()) wake();
  };
  if (hidden()) away(true);
  globalThis.addEventListener?.('online', look);
  page?.addEventListener('visibilitychange', look);
  return () => {
    globalThis.removeEventListener?.('online', look);
    page?.removeEventListener('visibilitychange', look);
  };
}
