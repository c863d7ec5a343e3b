/** A word of a shell's line, whatever is in it. */
export function quoted(text) {
  return /^[\w.,:/=@-]+$/.test(text) ? text : `'${String(text).replaceAll(`'`, `'\\''`)}'`;
}
