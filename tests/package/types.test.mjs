/** The types of the package: against its code, against the documents, and as they are used. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import ts from 'typescript';
import { PACKAGE, ROOT } from './support/installed.mjs';

const TYPES = join(ROOT, 'tests', 'package', 'types');

for (const [file, what] of [
  ['tsconfig.json', 'right use compiles and wrong use does not'],
  ['tsconfig.code.json', 'the types have what the code has'],
  ['tsconfig.bare.json', 'the types need none of a browser'],
  ['tsconfig.node.json', "the types take Node's own fetch and the WebSocket class of ws"],
]) {
  test(what, () => assert.equal(complaints(join(TYPES, file)), ''));
}

test('every event that the code fires has its type, and no other', () => {
  const code = readFileSync(join(PACKAGE, 'conversation.js'), 'utf8');
  const fired = new Set([...code.matchAll(/\bemit\('(\w+)'/g)].map(([, name]) => name));
  assert.deepEqual([...fired].sort(), members('Events').sort());
});

/** What the compiler complains of in a project. */
function complaints(project) {
  const { config } = ts.readConfigFile(project, ts.sys.readFile);
  const { fileNames, options, errors } = ts.parseJsonConfigFileContent(config, ts.sys, TYPES, undefined, project);
  const program = ts.createProgram(fileNames, options);
  const found = [...errors, ...ts.getPreEmitDiagnostics(program)];
  const host = { getCanonicalFileName: (name) => name, getCurrentDirectory: () => TYPES, getNewLine: () => '\n' };
  return ts.formatDiagnostics(found, host);
}

/** The names that an interface of the types declares. */
function members(name) {
  const file = join(PACKAGE, 'index.d.ts');
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest);
  const found = source.statements.find((each) => ts.isInterfaceDeclaration(each) && each.name.text === name);
  return found.members.map((each) => each.name.text);
}
