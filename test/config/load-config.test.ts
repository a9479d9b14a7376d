/**
 * Reading from the file system: which file, where relative paths start, what cannot be read.
 */
import { strict as assert } from 'node:assert';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { formatIssue } from '../../src/config/issue-format.ts';
import { loadConfig, readBounded, thisMachine } from '../../src/config/load-config.ts';

const root = mkdtempSync(join(tmpdir(), 'postern-config-'));
after(() => rmSync(root, { recursive: true }));
mkdirSync(join(root, 'config'));

const MACHINE = { hostname: 'vm', cores: 1 };

function load(text: string) {
  const file = join(root, 'config', 'postern.yaml');
  writeFileSync(file, text);
  return loadConfig({ file, environment: {}, machine: MACHINE });
}

test('relative paths start at the folder above that of the file', () => {
  writeFileSync(join(root, 'token'), 'from a file\n');
  const loaded = load(`listeners: [{ name: a, address: "127.0.0.1:25" }]\nadmin: { token: "\${file:token}" }\n`);
  assert.ok(loaded.ok);
  assert.equal(loaded.value.config.queue.path, join(root, 'data/queue.db'));
  assert.equal(loaded.value.config.admin.token, 'from a file');
  assert.deepEqual(
    loaded.value.warnings.map(({ severity }) => severity),
    ['warning'],
  );
});

test('a secret that cannot be read is an issue at its place', () => {
  const loaded = load(
    `listeners: [{ name: a, address: "127.0.0.1:25" }]\nacceptedDomains: [a.example]\nadmin: { token: "\${file:none}" }\n`,
  );
  assert.ok(!loaded.ok);
  assert.match(formatIssue(loaded.error[0]), /postern\.yaml:3:17: admin\.token: cannot read .*none: no such file$/);
});

test('what cannot be read is refused with the reason', () => {
  writeFileSync(join(root, 'large'), 'x'.repeat(11));
  writeFileSync(join(root, 'latin1'), Buffer.from([0x66, 0xfc, 0x72]));
  const problem = (name: string): string => {
    const result = readBounded(join(root, name), 10);
    return result.ok ? result.value : result.error;
  };
  assert.deepEqual(['none', 'config', 'large', 'latin1'].map(problem), [
    'no such file',
    'it is a folder',
    'it is larger than 10 bytes',
    'it is not UTF-8 text',
  ]);
});

test('this machine has a name and a core', () => {
  assert.ok(thisMachine().hostname.length > 0 && thisMachine().cores >= 1);
});
