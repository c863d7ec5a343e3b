/** Gives each test file, in place of `node:test`, a suite of Mocha's: Stryker runs Mocha's tests within one process. */
import { register } from 'node:module';

register('./resolving.mjs', import.meta.url);
