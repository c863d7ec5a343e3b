/** Quotes a text for a shell, if necessary. */
export function quoted(text) {
  return /^[\w.,:/=@-]+$/.test(text) ? text : `'${String(text).replaceAll(`'`, `'\\''`)}'`;
}
