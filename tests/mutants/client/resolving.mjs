/** Each file has a suite of its own: what it does before and after its tests is not done around those of others. */
export function resolve(specifier, context, next) {
  if (specifier !== 'node:test') return next(specifier, context);
  return { url: new URL(`./suite.mjs?of=${encodeURIComponent(context.parentURL)}`, import.meta.url).href, shortCircuit: true };
}
