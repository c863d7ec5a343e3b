/** The types of the package: compared with its code and with the documents, and used. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import ts from 'typescript';
import { connect } from '../../web/navietakie.js';
import { complaints } from './support/compiled.mjs';
import { PACKAGE, ROOT } from './support/installed.mjs';

const TYPES = join(ROOT, 'tests', 'package', 'types');
const GUIDE = readFileSync(join(ROOT, 'docs', 'client.md'), 'utf8');
const INDEX = join(PACKAGE, 'index.d.ts');

const program = ts.createProgram([INDEX], { strict: true, lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'], types: [] });
const checker = program.getTypeChecker();
const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(INDEX)));

for (const [file, what] of [
  ['tsconfig.json', 'right use compiles and wrong use does not'],
  ['tsconfig.code.json', 'the types have what the code has'],
  ['tsconfig.bare.json', 'the types need none of a browser'],
  ['tsconfig.node.json', "the types take Node's own fetch and the WebSocket class of ws"],
]) {
  test(what, () => assert.equal(complaints(join(TYPES, file)), ''));
}

test("the guide's example for React is strict TypeScript", (t) => {
  const file = join(ROOT, 'tests', 'package', 'types', 'guide.tsx');
  t.after(() => rmSync(file, { force: true }));
  const blocks = [...GUIDE.matchAll(/^```tsx\n(.*?)^```/gms)].map(([, code]) => code);
  assert.ok(blocks.length);
  writeFileSync(file, blocks.join('\n'));
  assert.equal(complaints(join(TYPES, 'tsconfig.react.json')), '');
});

test('every event that the code fires has its type, and no other', () => {
  const code = readFileSync(join(PACKAGE, 'conversation.js'), 'utf8');
  const fired = [...code.matchAll(/\bemit\('(\w+)'/g)].map(([, name]) => name);
  same(fired, members('Events'));
});

test('a snapshot has what its type says', () => {
  const nowhere = { api: 'http://fake', ws: 'ws://fake', storage: null, watch: null, WebSocket: class {} };
  const chat = connect({ bookingCode: 'test', sender: 'driver', ...nowhere });
  same(Object.keys(chat.getSnapshot()), members('Snapshot'));
  same(Object.keys(chat.getSnapshot().calls), members('CallsSnapshot'));
  chat.close();
});

test("the guide's tables name every option, property, event and method", () => {
  const conversation = members('Conversation');
  const methods = conversation.filter((each) => isMethod(each));
  const properties = conversation.filter((each) => !isMethod(each));
  same(explained('Options'), members('Options'));
  same(explained('Events'), members('Events'));
  same([...explained('Properties'), 'bookingCode', 'sender', 'refusal', 'retryAt'], properties);
  same([...explained('Methods'), 'on'], methods);
  same(explained('Calls'), members('Calls'));
});

/** The members of one of the package's types. */
function members(name) {
  return properties(name).map((each) => each.name);
}

function isMethod(name) {
  const found = properties('Conversation').find((each) => each.name === name);
  return checker.getTypeOfSymbol(found).getCallSignatures().length > 0;
}

function properties(name) {
  const symbol = exported.find((each) => each.name === name);
  return checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol));
}

/** The names in the first column of the first table under a heading of docs/client.md. */
function explained(heading) {
  const [, section] = GUIDE.split(`\n## ${heading}\n`);
  const [table] = section.split('\n## ')[0].match(/(^\|.*\n)+/m);
  const cells = table.split('\n').slice(2).map((row) => row.split(' | ')[0]);
  return cells.flatMap((cell) => [...cell.matchAll(/`(\w+)(?:\([^`]*\))?`/g)].map(([, name]) => name));
}

function same(some, others) {
  assert.deepEqual([...new Set(some)].sort(), [...new Set(others)].sort());
}
