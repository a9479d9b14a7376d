/**
 * `postern check`: exit codes, the human lines, the JSON document.
 */
import { strict as assert } from 'node:assert';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { check } from '../../src/cli/check.ts';
import type { SelfTestLine } from '../../src/platform/self-test-policy.ts';

const root = mkdtempSync(join(tmpdir(), 'postern-check-'));
after(() => rmSync(root, { recursive: true }));
mkdirSync(join(root, 'config'));
const file = join(root, 'config', 'postern.yaml');
const GOOD = 'hostname: a.example\nlisteners: [{ name: mx, address: "127.0.0.1:2525" }]\nacceptedDomains: [example.org]\n';

async function run(text: string, json = false, dnssec: readonly SelfTestLine[] = []): Promise<{ code: number; output: string }> {
  writeFileSync(file, text);
  const pieces: string[] = [];
  const code = await check({ config: file, json }, { write: (piece) => pieces.push(piece) }, async () => dnssec);
  return { code, output: pieces.join('') };
}

test('a configuration that holds is summed up', async () => {
  const { code, output } = await run(GOOD);
  assert.equal(code, 0);
  assert.match(output, /: ok\n/);
  assert.match(output, /\n {2}mx {4}127\.0\.0\.1:2525 {2}starttls\n/);
  assert.match(output, /\n {2}default {2}\* {11}mx {5}opportunistic \(modern > compatible > legacy\)\n$/);
});

test('one that does not hold is 2, every problem on a line', async () => {
  const { code, output } = await run(`${GOOD}limits: { hop: 5 }\nworkers: many\n`);
  assert.equal(code, 2);
  assert.deepEqual(
    output.split('\n').map((line) => line.replace(file, 'FILE')),
    [
      'FILE:4:11: limits.hop: unknown key; did you mean hops?',
      'FILE:5:10: workers: "many" is no number of threads; write auto or a number from 1 to 64',
      '',
    ],
  );
});

test('certificates that are not there are 1, at their place', async () => {
  writeFileSync(join(root, 'here.pem'), '');
  const { code, output } = await run(`${GOOD}certificates: [{ cert: here.pem, key: gone.key }]\n`);
  assert.equal(code, 1);
  assert.equal(output, `${file}:4:39: certificates[0].key: cannot read ${join(root, 'gone.key')}: no such file\n`);
});

test('files of deliveries that are not there, or cannot serve, are 1, at their place', async () => {
  writeFileSync(join(root, 'empty.pem'), '');
  const { code, output } = await run(
    `${GOOD}tls: { trust: [system, gone.pem], clientCertificate: { cert: empty.pem, key: empty.pem } }
outbound: [{ name: out, match: { recipientDomains: [b.example] }, tls: { ca: empty.pem, clientCertificate: { cert: c.pem, key: c.key } } }]\n`,
  );
  assert.equal(code, 1);
  const lines = output
    .trimEnd()
    .split('\n')
    .map((line) => line.replaceAll(`${root}/`, '').replace(/^\S+?:(?=\d)/, ''));
  assert.deepEqual(lines.map((line) => line.replace(/^\d+:\d+: /, '')).sort(), [
    'outbound[0].tls.ca: empty.pem holds no certificate in PEM',
    'outbound[0].tls.clientCertificate.cert: cannot read c.pem: no such file',
    'outbound[0].tls.clientCertificate.key: cannot read c.key: no such file',
    'tls.clientCertificate.cert: empty.pem holds no certificate in PEM',
    'tls.clientCertificate.key: empty.pem holds no certificate in PEM',
    'tls.trust: cannot read gone.pem: no such file',
  ]);
});

test('a policy test that does not hold is 2, at its place', async () => {
  const outbound = 'outbound: [{ name: out, match: { recipientDomains: [b.example] }, tls: { mode: encrypt } }]\n';
  const good = await run(`${GOOD}${outbound}expect: [{ recipient: a@b.example, connector: out, plaintext: never }]\n`);
  assert.equal(good.code, 0);
  const bad = await run(`${GOOD}${outbound}expect: [{ recipient: a@b.example, tls: verify }]\n`);
  assert.equal(bad.code, 2);
  assert.equal(bad.output, `${file}:5:41: expect[0].tls: a@b.example goes with TLS mode encrypt by connector out\n`);
});

test('with json there is one document', async () => {
  const bad = await run('listeners: []\nacceptedDomains: [a.example]\n', true);
  assert.equal(bad.code, 2);
  assert.deepEqual(JSON.parse(bad.output), {
    ok: false,
    file,
    issues: [
      {
        severity: 'error',
        file,
        line: 1,
        column: 12,
        path: 'listeners',
        message: 'the list is empty; it needs at least one element',
      },
    ],
    dnssec: null,
  });
  assert.deepEqual(JSON.parse((await run(GOOD, true)).output), { ok: true, file, issues: [], dnssec: null });
});

test('a warning does not fail', async () => {
  const { code, output } = await run('hostname: a.example\nlisteners: [{ name: mx, address: "127.0.0.1:2525" }]\n');
  assert.equal(code, 0);
  assert.match(output, /acceptedDomains: warning: /);
});

test('whether the name servers validate DNSSEC is said at the end, and is no error', async () => {
  const line: SelfTestLine = { verdict: 'warning', topic: 'dnssec', text: '10.0.0.1 does not validate DNSSEC: DANE is off.' };
  const { code, output } = await run(GOOD, false, [line]);
  assert.equal(code, 0);
  assert.match(output, /\n\nDNSSEC\n {2}warning {2}10\.0\.0\.1 does not validate DNSSEC: DANE is off\.\n$/);
  const { output: json } = await run(GOOD, true, [line]);
  assert.deepEqual(JSON.parse(json).dnssec, { verdict: 'warning', text: line.text });
});
