/** What independent scanners find at the listener: TLS 1.2 and 1.3 only, no weak suite, no renegotiation, resumption. */
import { strict as assert } from 'node:assert';
import { execFile, spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { checkLeaks } from '../support/leak-check.ts';
import { type TempRelay, tempRelay } from '../support/temp-relay.ts';

checkLeaks();
const run = promisify(execFile);

describe('the listener under scanners', () => {
  let relay: TempRelay;
  before(async () => {
    relay = await tempRelay({ yaml: 'acceptedDomains: [accepted.test]\nworkers: 1' });
    await relay.start();
  });
  after(async () => {
    await relay.kill('SIGTERM');
    await relay[Symbol.asyncDispose]();
  });

  test('sslscan: TLS 1.2 and 1.3, forward secrecy, AEAD or ECDHE only', async () => {
    const { stdout } = await run('sslscan', ['--starttls-smtp', '--no-colour', `127.0.0.1:${relay.port}`]);
    for (const version of ['SSLv2', 'SSLv3', 'TLSv1.0', 'TLSv1.1'])
      assert.match(stdout, new RegExp(`^${version}\\s+disabled`, 'm'));
    for (const version of ['TLSv1.2', 'TLSv1.3']) assert.match(stdout, new RegExp(`^${version}\\s+enabled`, 'm'));
    const suites = [...stdout.matchAll(/^(?:Preferred|Accepted)\s+(TLSv1\.\d)\s+\d+ bits\s+(\S+)/gm)].map(
      (match) => match[2] ?? '',
    );
    assert.ok(suites.length > 3, stdout);
    for (const suite of suites) assert.match(suite, /^(TLS_AES|TLS_CHACHA20|ECDHE-)/, suite);
    assert.doesNotMatch(stdout, /renegotiation.*insecure|(?<!not )vulnerable to heartbleed/i);
  });

  test('testssl.sh: nothing it calls vulnerable or weak', async () => {
    const child = spawn(
      'testssl',
      [
        '--quiet',
        '--color',
        '0',
        '--warnings',
        'off',
        '--starttls',
        'smtp',
        '-p',
        '-s',
        '-R',
        '-C',
        '-B',
        `127.0.0.1:${relay.port}`,
      ],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    await new Promise((resolve) => child.once('close', resolve));
    for (const offered of ['SSLv2', 'SSLv3', 'TLS 1 ', 'TLS 1.1']) assert.match(out, new RegExp(`${offered}.*not offered`), out);
    for (const offered of ['TLS 1.2', 'TLS 1.3']) assert.match(out, new RegExp(`${offered}.*offered \\(`), out);
    for (const weak of ['NULL ciphers', 'Anonymous NULL Ciphers', 'Export ciphers', 'LOW: 64 Bit', 'Triple DES Ciphers'])
      assert.match(out, new RegExp(`${weak}.*not offered`, 'i'), out);
    assert.match(out, /Client-Initiated Renegotiation\s+not vulnerable/, out);
    assert.doesNotMatch(out, /(?<!not )(?<!NOT )vulnerable \(/i, out);
  });

  test('openssl s_client: a returning client resumes, renegotiation is refused', async () => {
    const { stdout } = await run('sh', [
      '-c',
      `echo QUIT | openssl s_client -starttls smtp -connect 127.0.0.1:${relay.port} -tls1_2 -reconnect 2>&1`,
    ]);
    assert.ok((stdout.match(/^Reused, TLSv1\.2/gm) ?? []).length >= 4, stdout);
    const renegotiation = await run('sh', [
      '-c',
      `(sleep 0.5; echo R; sleep 0.5) | openssl s_client -starttls smtp -connect 127.0.0.1:${relay.port} -tls1_2 2>&1 || true`,
    ]);
    assert.match(renegotiation.stdout, /no renegotiation/i, renegotiation.stdout);
  });
});
