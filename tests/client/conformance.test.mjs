/** The scenarios of docs/conformance, run on this client. What the steps mean is written there, in README.md. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Stage } from './support/stage.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const READ = `
import json, pathlib, yaml
files = sorted(pathlib.Path("docs/conformance").glob("*.yaml"))
print(json.dumps({file.stem: yaml.safe_load(file.read_text()) for file in files}))
`;

const told = execFileSync('.venv/bin/python', ['-c', READ], { cwd: ROOT, encoding: 'utf8' });
for (const [file, scenarios] of Object.entries(JSON.parse(told))) {
  for (const { name, steps, ...given } of scenarios) {
    test(`${file}: ${name}`, async () => {
      const stage = new Stage(given);
      for (const [index, step] of steps.entries()) {
        try {
          await stage.play(step);
        } catch (error) {
          error.message = `step ${index + 1}, ${JSON.stringify(step)}: ${error.message}`;
          throw error;
        }
      }
      stage.end();
    });
  }
}

test('there are scenarios', () => assert.ok(Object.keys(JSON.parse(told)).length > 3));
