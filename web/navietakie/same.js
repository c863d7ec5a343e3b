/**
 * The object that was, if the one that is has nothing else: so whoever compares by `===` sees no change. The one that is
 * has every name of the other.
 */
export function same(was, is) {
  if (!was || !is) return is;
  return Object.keys(is).every((name) => Object.is(was[name], is[name])) ? was : is;
}

/** Those properties of an object, as they are now. */
export const picked = (object, names) => Object.fromEntries(names.map((name) => [name, object[name]]));
