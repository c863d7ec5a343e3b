/** How `make mutants-client` changes the client, and runs its tests: docs/decisions/0032-client-mutants.md. */
import { readdirSync } from 'node:fs';

const FOLDER = '.local/mutants/client';
const HERE = 'tests/mutants/client';

/** Quick files first: the first test that fails ends it. The random histories come last. */
const LAST = ['damper.test.mjs', 'converges.test.mjs'];
const names = readdirSync('tests/client').filter((name) => name.endsWith('.test.mjs'));
const spec = [...names.filter((name) => !LAST.includes(name)), ...LAST].map((name) => `tests/client/${name}`);

process.env.SEEDS ??= '5';

export default {
  mutate: ['web/navietakie/*.js'],
  ignorePatterns: ['/*', '!/web', '!/tests', '/tests/*', '!/tests/client', '!/tests/mutants', '/tests/mutants/*', `!/${HERE}`, '!/docs', '!/functions', '!/layers'],
  testRunner: 'mocha',
  mochaOptions: { spec, 'no-config': true, 'no-package': true },
  testRunnerNodeArgs: ['--import', `./${HERE}/hooks.mjs`],
  coverageAnalysis: 'perTest',
  buildCommand: 'ln -s ../../../../../.venv .venv',
  checkers: [],
  concurrency: Number(process.env.JOBS || 2),
  timeoutMS: 60_000, // a slow machine must not count as a test that failed
  dryRunTimeoutMinutes: 30,
  incremental: true,
  incrementalFile: `${FOLDER}/incremental.json`,
  tempDirName: `${FOLDER}/sandboxes`,
  reporters: ['json', 'html', 'progress-append-only'],
  jsonReporter: { fileName: `${FOLDER}/report.json` },
  htmlReporter: { fileName: `${FOLDER}/report.html` },
  allowEmpty: true,
  allowConsoleColors: false,
};
