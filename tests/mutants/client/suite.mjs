/** What the client's tests need of `node:test`, as a suite of Mocha's. */
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import Mocha from 'mocha';

const file = fileURLToPath(new URL(import.meta.url).searchParams.get('of'));
const suite = globalThis.describe(basename(file), () => {});

export function test(name, does) {
  const added = new Mocha.Test(name, () => ends(does()));
  added.file = file;
  suite.addTest(added);
}

export const beforeEach = (does) => suite.beforeEach(does);
export const afterEach = (does) => suite.afterEach(does);

/**
 * Settles as `running` does. Rejects when it waits for what cannot come any more: then `node:test` says so too, of a
 * process that has nothing left to do. A time limit would also be met by a slow machine.
 */
async function ends(running) {
  let ended = false;
  const end = () => (ended = true);
  Promise.resolve(running).then(end, end);
  for (let idle = 0; !ended && idle < 3; idle = isIdle() ? idle + 1 : 0) await new Promise((go) => setImmediate(go));
  if (ended) return running;
  throw new Error('It waits for what cannot come');
}

/** Whether nothing is left to happen but news from Stryker, which come by a pipe, and Mocha's timer, which is always there. */
function isIdle() {
  const due = process.getActiveResourcesInfo().filter((each) => !each.endsWith('Wrap'));
  return due.length === 0 || (due.length === 1 && due[0] === 'Timeout');
}
