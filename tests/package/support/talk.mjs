/** Runs types/talk.ts against a stack. Arguments: its URL, a token and a booking. Prints the answers. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import ts from 'typescript';

const compiled = new URL(`../types/talk.${process.pid}.mjs`, import.meta.url); // beside what it imports
const source = readFileSync(new URL('../types/talk.ts', import.meta.url), 'utf8');
const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
writeFileSync(compiled, ts.transpileModule(source, { compilerOptions }).outputText);
try {
  const { talk } = await import(compiled.href);
  console.log(JSON.stringify(await talk(...process.argv.slice(2))));
} finally {
  rmSync(compiled);
}
