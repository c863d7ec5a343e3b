/**
 * A random id of 32 hexadecimal digits. It has to be unique, not secret, so `Math.random` will do where there is no
 * `crypto` (React Native). `crypto.randomUUID` is missing on pages without https.
 */
export function newId() {
  const bytes = new Uint8Array(16).map(() => Math.random() * 256);
  globalThis.crypto?.getRandomValues?.(bytes);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
