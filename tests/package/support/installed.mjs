/** The package as others have it: packed, and installed from its tarball into an app outside this project. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, realpathSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
export const PACKAGE = join(ROOT, 'web', 'navietakie');
const HERE = fileURLToPath(new URL('../', import.meta.url));

/** Runs a program and returns its output. Throws with its errors. */
export function run(program, args, cwd) {
  const { error, status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  if (error || status !== 0) throw error ?? new Error(`${program} ${args.join(' ')}: ${status}\n${stdout}${stderr}`);
  return stdout;
}

/** Packs the package into `folder`. Returns the tarball's path and the files in it. */
export function pack(folder) {
  const [{ filename, files }] = Object.values(JSON.parse(run('npm', ['pack', PACKAGE, '--json', '--silent'], folder)));
  return { tarball: join(folder, filename), files: files.map((each) => each.path).sort() };
}

/** Copies the apps of `apps/` into a new folder, with the package installed. The caller removes the folder. */
export function installed() {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'navietakie-app-')));
  const { tarball, files } = pack(folder);
  cpSync(join(HERE, 'apps'), folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "name": "app", "private": true, "type": "module" }');
  run('npm', ['install', '--offline', '--no-audit', '--no-fund', '--ignore-scripts', tarball], folder);
  return { folder, files };
}
