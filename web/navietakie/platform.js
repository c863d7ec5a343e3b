/** What the options leave open, from the page or the platform. Throws a TypeError for what cannot be. */
export function surroundings(options) {
  const origin = globalThis.location?.origin;
  const given = {
    api: origin,
    ws: origin && `${origin.replace(/^http/, 'ws')}/ws`,
    storage: localStorageIfAllowed(),
    WebSocket: globalThis.WebSocket,
    fetch: globalThis.fetch?.bind(globalThis),
    RTCPeerConnection: globalThis.RTCPeerConnection,
    getUserMedia: globalThis.navigator?.mediaDevices?.getUserMedia?.bind(navigator.mediaDevices),
  };
  for (const name of Object.keys(given)) if (options[name] !== undefined) given[name] = options[name];
  for (const name of ['api', 'ws', 'WebSocket'])
    if (!given[name]) throw new TypeError(`connect: ${name} is required here`);
  return { ...given, api: address('api', given.api).replace(/\/+$/, ''), ws: address('ws', given.ws) };
}

/** The whole address that `api` or `ws` means, on a page also a relative one. Throws a TypeError if it is none. */
export function address(name, value) {
  const scheme = name === 'ws' ? 'ws' : 'http';
  let found = '';
  try {
    found = new URL(value, globalThis.location?.href).href.replace(/^(http|ws)/, scheme);
  } catch {
    // Said below.
  }
  if (!/^(http|ws)s?:/.test(found)) throw new TypeError(`connect: ${name} is no address: ${value}`);
  return found;
}

function localStorageIfAllowed() {
  try {
    return globalThis.document ? globalThis.localStorage : null;
  } catch {
    return null; // the user forbids it
  }
}

/**
 * Calls `woke` when the page is looked at again or the device has found a network.
 * @returns {() => void} stops it
 */
export function onWake(woke) {
  const seen = () => globalThis.document?.visibilityState !== 'hidden' && woke();
  globalThis.addEventListener?.('online', seen);
  globalThis.document?.addEventListener('visibilitychange', seen);
  return () => {
    globalThis.removeEventListener?.('online', seen);
    globalThis.document?.removeEventListener('visibilitychange', seen);
  };
}

/** One value that survives a reload. */
export function memory(storage, key) {
  return {
    read() {
      try {
        return JSON.parse(storage?.getItem(key) ?? 'null');
      } catch {
        return null;
      }
    },
    write(value) {
      try {
        if (value === null) storage?.removeItem(key);
        else storage?.setItem(key, JSON.stringify(value));
      } catch {
        // Full or forbidden: a reload in mid-call will not find back.
      }
    },
  };
}
