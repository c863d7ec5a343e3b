import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './installed.mjs';

/** Where versions of Node lie beside the one that runs: what nvm, and a CI runner's cache of tools, have installed. */
const PLACES = [
  [process.env.NVM_DIR, 'versions/node', 'bin/node'],
  [process.env.RUNNER_TOOL_CACHE, 'node', 'x64/bin/node'],
  [process.env.RUNNER_TOOL_CACHE, 'node', 'arm64/bin/node'],
];

/** The programs of Node 20 and newer on this machine, one of each major version, by version. */
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
    return null; // there is none, or it is for another machine
  }
}

function listed(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
