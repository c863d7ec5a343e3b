import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './installed.mjs';

/** Folders with other versions of Node: those of nvm, and of a CI runner's tool cache. */
const PLACES = [
  [process.env.NVM_DIR, 'versions/node', 'bin/node'],
  [process.env.RUNNER_TOOL_CACHE, 'node', 'x64/bin/node'],
  [process.env.RUNNER_TOOL_CACHE, 'node', 'arm64/bin/node'],
];

/** The Node programs on this machine from 20 on, one for each major version. */
export function nodes() {
  const found = new Map();
  const candidates = PLACES.flatMap(([home, folder, program]) => {
    const versions = home ? listed(join(home, folder)) : [];
    return versions.map((version) => join(home, folder, version, program));
  });
  for (const program of [process.execPath, ...candidates]) {
    const version = versionOf(program);
    const major = Number(version?.split('.')[0]);
    if (major >= 20 && !found.has(major)) found.set(major, { version, program });
  }
  return [...found.values()];
}

function versionOf(program) {
  try {
    return run(program, ['--version']).trim().slice(1);
  } catch {
    return null; // there is none, or it does not run here
  }
}

function listed(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
