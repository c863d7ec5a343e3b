/** The object that was, if nothing in it differs from the one that is: so whoever compares by `===` sees no change. */
export function same(was, is) {
  if (!was || !is) return is;
  const names = Object.keys(is);
  const equal = names.length === Object.keys(was).length && names.every((name) => Object.is(was[name], is[name]));
  return equal ? was : is;
}

/** Those properties of an object, as they are now. */
export const picked = (object, names) => Object.fromEntries(names.map((name) => [name, object[name]]));
