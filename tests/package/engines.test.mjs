/** The oldest engines that docs/client.md names can parse the client, and have everything that it uses unchecked. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { transform } from 'esbuild';
import ts from 'typescript';
import { PACKAGE, ROOT } from './support/installed.mjs';

const GUIDE = readFileSync(join(ROOT, 'docs', 'client.md'), 'utf8');
const [, ...versions] = GUIDE.match(/Chrome and Edge (\d+), Firefox (\d+), Safari ([\d.]+)/);
const OLDEST = ['chrome', 'firefox', 'safari'].map((name, index) => `${name}${versions[index]}`);
const FILES = readdirSync(PACKAGE).filter((each) => each.endsWith('.js'));

test(`what is written can be read by ${OLDEST.join(', ')}`, async () => {
  for (const file of FILES) {
    const code = readFileSync(join(PACKAGE, file), 'utf8');
    const [own, lowered] = await Promise.all(['esnext', OLDEST].map((target) => transform(code, { target })));
    assert.equal(lowered.code, own.code, `${file} has newer syntax`);
  }
});

test('the client calls only functions of the language that exist since 2020', () => {
  const options = { allowJs: true, checkJs: true, lib: ['lib.es2020.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'] };
  const modules = { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler };
  const own = { ...options, ...modules, target: ts.ScriptTarget.ES2022, types: [], noEmit: true };
  const program = ts.createProgram([join(PACKAGE, 'conversation.js')], own);
  const NEWER = [2550, 2568, 2583]; // "Do you need to change your target library?"
  const found = ts.getPreEmitDiagnostics(program).filter(({ code }) => NEWER.includes(code));
  assert.deepEqual(found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n')), []);
});
