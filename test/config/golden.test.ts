/**
 * Every `golden/NAME.yaml` must give exactly the lines of `golden/NAME.errors.txt`; an empty file means that it compiles.
 * To add a case, add two files; `UPDATE_GOLDEN=1` writes the second one, for you to read and judge.
 */
import { strict as assert } from 'node:assert';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { compile } from '../../src/config/compile.ts';
import { formatIssue } from '../../src/config/issue-format.ts';
import { SECRET, SURROUNDINGS } from '../support/config-surroundings.ts';

const folder = new URL('golden/', import.meta.url);
const names = readdirSync(folder).flatMap((file) => (file.endsWith('.yaml') ? [file.slice(0, -'.yaml'.length)] : []));

function compileGolden(name: string): string {
  const file = `${name}.yaml`;
  const result = compile({ text: readFileSync(new URL(file, folder), 'utf8'), file }, SURROUNDINGS);
  const issues = result.ok ? result.value.warnings : result.error;
  return issues.map((issue) => `${formatIssue(issue)}\n`).join('');
}

for (const name of names) {
  test(`golden: ${name}`, () => {
    const expected = new URL(`${name}.errors.txt`, folder);
    const found = compileGolden(name);
    if (process.env['UPDATE_GOLDEN'] === '1' || !existsSync(expected)) writeFileSync(expected, found);
    assert.equal(found, readFileSync(expected, 'utf8'));
    assert.ok(!found.includes(SECRET), 'a secret is shown');
  });
}

test('golden: the cases are found', () => {
  assert.ok(names.length >= 50, `${names.length} cases`);
});
