/** What the compiler says. */
import { dirname } from 'node:path';
import ts from 'typescript';

/** The compiler's errors in a project, given its tsconfig.json. */
export function complaints(project) {
  const folder = dirname(project);
  const { config } = ts.readConfigFile(project, ts.sys.readFile);
  const { fileNames, options, errors } = ts.parseJsonConfigFileContent(config, ts.sys, folder, undefined, project);
  const program = ts.createProgram(fileNames, options);
  const found = [...errors, ...ts.getPreEmitDiagnostics(program)];
  const host = { getCanonicalFileName: (name) => name, getCurrentDirectory: () => folder, getNewLine: () => '\n' };
  return ts.formatDiagnostics(found, host);
}
