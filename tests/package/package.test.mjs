/** The package `navietakie`, as it is after an installation. */
import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build as esbuild } from 'esbuild';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { build as vite } from 'vite';
import webpack from 'webpack';
import { VirtualClock } from '../client/support/clock.mjs';
import { FakeServer } from '../client/support/server.mjs';
import { PACKAGE, ROOT, installed, run } from './support/installed.mjs';
import { nodes } from './support/nodes.mjs';

const LIMIT = 15_000;
const TOOLS = join(ROOT, 'tests', 'package', 'node_modules');

const app = installed();
after(() => rmSync(app.folder, { recursive: true, force: true }));

test('the package has the client inside, its types and its licence, and nothing else', () => {
  const scripts = readdirSync(PACKAGE).filter((each) => each.endsWith('.js'));
  const about = ['LICENSE', 'README.md', 'index.cjs', 'index.d.cts', 'index.d.ts', 'package.json'];
  assert.deepEqual(app.files, [...about, ...scripts].sort());
});

test('the package is without a finding for publint', async () => {
  const { messages, pkg } = await publint({ pkgDir: PACKAGE, strict: true });
  assert.deepEqual(messages.map((each) => formatMessage(each, pkg)), []);
});

test('the package is without a finding for Are the types wrong', () => {
  const said = run(join(TOOLS, '.bin', 'attw'), ['--pack', '--format', 'json', PACKAGE], app.folder);
  assert.deepEqual(JSON.parse(said).problems, {});
});

test('the package is less than 15 KB to load, minified and gzipped', async (t) => {
  const bundle = { entryPoints: [join(PACKAGE, 'index.js')], bundle: true, minify: true, format: 'esm', write: false };
  const [{ contents }] = (await esbuild(bundle)).outputFiles;
  const size = gzipSync(contents, { level: 9 }).length;
  t.diagnostic(`${size} bytes minified and gzipped, of ${LIMIT}`);
  assert.ok(size < LIMIT, `${size} bytes`);
});

test('the package is what web/navietakie.js exports, too', async () => {
  const [served, packed] = await Promise.all([
    import(pathToFileURL(join(ROOT, 'web', 'navietakie.js'))),
    import(pathToFileURL(join(PACKAGE, 'index.js'))),
  ]);
  assert.deepEqual({ ...served }, { ...packed });
  assert.deepEqual(Object.keys(served), ['Conversation', 'NavieTakieError', 'connect']);
});

test("the package compiles in a stranger's strict TypeScript, with its own types checked", () => {
  tsc('--project', app.folder);
});

for (const module of ['node16', 'nodenext']) {
  test(`the package compiles where TypeScript keeps to the rules of ${module}, by import and by require`, () => {
    tsc('--project', join(app.folder, `tsconfig.${module}.json`));
  });
}

for (const [bundler, bundled] of Object.entries({ Vite: byVite, esbuild: byEsbuild, webpack: byWebpack })) {
  test(`the package runs when ${bundler} has bundled a stranger's app`, async () => {
    const file = join(app.folder, 'dist', `${bundler}.mjs`);
    await bundled(app.folder, file);
    const theirs = await import(pathToFileURL(file));
    assert.deepEqual(await heard(theirs), ['passenger: Hello', 'driver is at 52.52, 13.405']);
    assert.deepEqual(await called(theirs), {
      driver: ['dialling', 'calling', 'talking', 'idle'],
      passenger: ['ringing', 'answering', 'talking', 'idle'],
    });
  });
}

for (const { version, program } of nodes()) {
  for (const script of ['node.mjs', 'node.cjs']) {
    test(`the package runs in Node ${version} from ${script}`, { skip: tooOld(version, script) }, () => {
      const support = join(ROOT, 'tests', 'client', 'support');
      assert.equal(run(program, [join(app.folder, script), support], app.folder), 'Hello\n');
    });
  }
}

/** Runs TypeScript's compiler. Throws with its errors. */
function tsc(...options) {
  run(process.execPath, [join(TOOLS, 'typescript', 'bin', 'tsc'), ...options], app.folder);
}

/** The options of a side of a conversation on that server. */
function optionsOf(server, clock, sender) {
  const addresses = { api: 'http://fake', ws: 'ws://fake/ws' };
  return { bookingCode: 'test', sender, ...addresses, WebSocket: server.WebSocket, fetch: server.fetch, storage: null, clock };
}

/** What the two sides' apps print of a call. */
async function called({ open, phone, ring }) {
  const clock = new VirtualClock();
  const server = new FakeServer(clock);
  const shown = { driver: [], passenger: [] };
  const chats = Object.keys(shown).map((side) => open(optionsOf(server, clock, side), () => {}));
  for (const chat of chats) phone(chat, (text) => shown[chat.sender].push(text.replace(`${chat.sender} is `, '')));
  await clock.pass(500);
  const ringing = ring(chats[0]);
  await clock.pass(500);
  const hangUp = await ringing;
  const ended = hangUp();
  await clock.pass(500);
  await ended;
  for (const chat of chats) chat.close();
  return shown;
}

/** What the app prints in a conversation in which somebody has already greeted. */
async function heard({ open, greet }) {
  const clock = new VirtualClock();
  const server = new FakeServer(clock);
  server.store({ sender: 'passenger', message: 'Hello' });
  const shown = [];
  const chat = open(optionsOf(server, clock, 'driver'), (text) => shown.push(text));
  await clock.pass(500);
  const greeted = greet(chat);
  await clock.pass(500);
  assert.equal(await greeted, 2);
  chat.close();
  return shown;
}

async function byVite(folder, file) {
  const lib = { entry: join(folder, 'main.ts'), formats: ['es'], fileName: () => 'Vite.mjs' };
  const build = { lib, outDir: dirname(file), emptyOutDir: false };
  await vite({ root: folder, configFile: false, logLevel: 'warn', build });
}

async function byEsbuild(folder, outfile) {
  await esbuild({ entryPoints: [join(folder, 'main.ts')], bundle: true, format: 'esm', outfile, logLevel: 'warning' });
}

/** webpack itself reads no TypeScript: it gets the JavaScript that another tool has made, with the imports. */
async function byWebpack(folder, file) {
  const entry = join(folder, 'main.js');
  await esbuild({ entryPoints: [join(folder, 'main.ts')], outfile: entry });
  const stats = await new Promise((resolve, reject) => {
    const output = { path: dirname(file), filename: 'webpack.mjs', library: { type: 'module' } };
    const how = { mode: 'production', experiments: { outputModule: true } };
    webpack({ ...how, context: folder, entry, output }, (error, done) => (error ? reject(error) : resolve(done)));
  });
  assert.deepEqual([...stats.toJson().errors, ...stats.toJson().warnings], []);
}

/** Why that version of Node cannot `require` a module, or false. */
function tooOld(version, script) {
  const [major, minor] = version.split('.').map(Number);
  const old = (major === 20 && minor < 19) || (major === 22 && minor < 12);
  return script.endsWith('.cjs') && old && 'this Node cannot require modules: update it';
}
