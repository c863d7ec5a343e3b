/**
 * Returns `was` if `is` has the same values, so that a comparison by `===` shows no change; otherwise `is`. Both have the
 * same properties.
 */
export function same(was, is) {
  if (!was || !is) return is;
  return Object.keys(is).every((name) => Object.is(was[name], is[name])) ? was : is;
}

/** A new object with these properties of `object`, as they are now. */
export const picked = (object, names) => Object.fromEntries(names.map((name) => [name, object[name]]));
