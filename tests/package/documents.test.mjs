/** The documents for machines, used by the usual tools: they are linted, and become types that compile strictly. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Parser } from '@asyncapi/parser';
import { createConfig, lint } from '@redocly/openapi-core';
import spectral from '@stoplight/spectral-core';
import parsers from '@stoplight/spectral-parsers';
import rulesets from '@stoplight/spectral-rulesets';
import openapiTS, { astToString } from 'openapi-typescript';
import { complaints } from './support/compiled.mjs';
import { ROOT } from './support/installed.mjs';

const TYPES = join(ROOT, 'tests', 'package', 'types');
const OPENAPI = join(ROOT, 'docs', 'openapi.yaml');
const ASYNCAPI = join(ROOT, 'docs', 'asyncapi.yaml');
const INFORMATION = 2; // of Spectral's severities: a hint that a newer AsyncAPI exists is no fault

test('openapi-typescript makes strict TypeScript, with which openapi-fetch takes only right requests', async (t) => {
  const file = join(TYPES, 'openapi.ts');
  t.after(() => rmSync(file, { force: true }));
  writeFileSync(file, astToString(await openapiTS(readFileSync(OPENAPI, 'utf8'), { silent: true })));
  assert.equal(complaints(join(TYPES, 'tsconfig.rest.json')), '');
});

test('Redocly finds nothing in the OpenAPI document', async () => {
  const config = await createConfig({ extends: ['recommended'] });
  const problems = await lint({ ref: OPENAPI, config });
  assert.deepEqual(problems.map((each) => `${each.ruleId}: ${each.message}`), []);
});

test('Spectral finds nothing in the OpenAPI document', async () => {
  const linter = new spectral.Spectral();
  linter.setRuleset({ extends: [rulesets.oas] });
  const found = await linter.run(new spectral.Document(readFileSync(OPENAPI, 'utf8'), parsers.Yaml, OPENAPI));
  assert.deepEqual(found.map((each) => `${each.path.join('.')}: ${each.message}`), []);
});

test("AsyncAPI's parser takes the AsyncAPI document", async () => {
  const { document, diagnostics } = await new Parser().parse(readFileSync(ASYNCAPI, 'utf8'));
  assert.ok(document);
  const found = diagnostics.filter((each) => each.severity < INFORMATION);
  assert.deepEqual(found.map((each) => `${each.path.join('.')}: ${each.message}`), []);
});
