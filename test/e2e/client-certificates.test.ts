/**
 * Who may relay, end to end: an organization proven by its client certificate, a partner that must show one, a user who logs in
 * (swaks as the client). Everyone else is told no.
 */
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import { createAuthority, type KeyedCertificate, writeCertificate } from '../support/certificates.ts';
import { type Receivers, startReceivers } from '../support/lab-relay.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { connectClient, type ScriptedClient } from '../support/scripted-client.ts';
import { hand } from '../support/submit.ts';
import { type LogLine, type TempRelay, tempRelay } from '../support/temp-relay.ts';

checkLeaks();

const PASSWORD = 'corr\u00e9ct horse';
const authority = createAuthority('corporation');
const inside = authority.issue({ names: ['ex1.corp.example.org'], usages: ['clientAuth'] });
const publicly = authority.issue({ names: ['ex1.corp.example.org'], usages: ['serverAuth'], intermediate: true });
const forged = createAuthority('forger').issue({ names: ['ex1.corp.example.org'], usages: ['serverAuth'], intermediate: true });
const asClient = ({ cert, key }: KeyedCertificate): ConnectionOptions => ({ cert, key });

/** The example of a hybrid deployment, on loopback. */
const yaml = (to: string): string => `acceptedDomains: [example.org]
tls: { trust: certs/corporation.ca.pem, dane: off, mtaSts: off }
inbound:
  - name: on-premises
    type: organization
    match: { certificates: ["*.corp.example.org"] }
  - name: contoso-in
    type: partner
    match: { senderDomains: [contoso.test] }
    require: { certificates: ["*.corp.example.org"] }
  - name: fabrikam-in
    type: partner
    match: { senderDomains: [fabrikam.test] }
    require: { certificates: [mail.fabrikam.test] }
    testMode: true
outbound:
${to}
delivery: { allowPrivateAddresses: true }
workers: 2`;

describe('client certificates and users', () => {
  let relay: TempRelay;
  let receivers: Receivers<'tls13'>;

  before(async () => {
    receivers = await startReceivers(['tls13'], 71);
    const receiver = receivers.of('tls13');
    relay = await tempRelay({
      yaml: yaml(`  - name: all\n    route: { kind: smarthost, hosts: ["[${receiver.address}]:${receiver.port}"] }`),
      listener: 'tls: starttls\nauth: optional',
    });
    writeCertificate(`${relay.folder}/certs`, 'corporation', inside);
    const made = await hashOf(relay, PASSWORD);
    appendFileSync(relay.configFile, `users:\n  - { name: app, password: "${made}", senders: ["*@example.org"] }\n`);
    await relay.start();
  });
  after(async () => {
    await relay[Symbol.asyncDispose]();
    await receivers.stop();
  });

  const accepted = async (id: string): Promise<LogLine> => {
    for (let count = 1; ; count += 1) {
      const line = (await relay.waitForLog('message.accepted', count)).find(({ queueId }) => queueId === id);
      if (line !== undefined) return line;
    }
  };

  const secured = async (options: ConnectionOptions): Promise<ScriptedClient> => {
    const client = await connectClient({ address: '127.0.0.1', port: relay.port });
    await client.expect(220);
    await client.ehlo();
    await client.startTls(options);
    await client.ehlo();
    return client;
  };

  for (const [what, certificate] of [
    ['its own certificate', inside],
    ['one of a public authority, for servers only', publicly],
  ] as const) {
    test(`an organization relays to anywhere with ${what}, at every session`, async () => {
      let session: Buffer | undefined;
      for (let n = 0; n < 4; n += 1) {
        const client = await secured({ ...asClient(certificate), ...(session === undefined ? {} : { session }) });
        session = client.tls()?.getSession();
        const id = await hand(client, { to: `n${n}@far.test`, from: 'user@example.org' });
        await client.quit();
        const line = await accepted(id);
        assert.deepEqual(line['connectors'], ['on-premises']);
        assert.equal((line['tls'] as { peer: string }).peer, 'ex1.corp.example.org');
      }
    });
  }

  test('the same client without a certificate, or with a forged one, is refused; also when it comes back with a ticket', async () => {
    for (const options of [{}, asClient(forged)]) {
      let session: Buffer | undefined;
      for (let n = 0; n < 4; n += 1) {
        const client = await secured({ ...options, ...(session === undefined ? {} : { session }) });
        session = client.tls()?.getSession();
        await client.command('MAIL FROM:<user@example.org>', 250);
        const reply = await client.command('RCPT TO:<someone@far.test>', 550);
        assert.deepEqual(reply.lines, ['550 5.7.1 Relaying denied']);
        await client.quit();
      }
      assert.ok(session !== undefined, 'a ticket was given, and was worth nothing');
    }
  });

  test('a partner must show its certificate; in test mode it is only told', async () => {
    const client = await secured({});
    assert.match((await client.command('MAIL FROM:<a@contoso.test>', 550)).lines[0] ?? '', /^550 5\.7\.51 /);
    await hand(client, { to: 'b@example.org', from: 'a@fabrikam.test' });
    await client.quit();
    const known = await secured(asClient(inside));
    await hand(known, { to: 'b@example.org', from: 'a@contoso.test' });
    await known.quit();
    const [told] = await relay.waitForLog('policy.would-block');
    assert.deepEqual([told?.['connector'], told?.['from']], ['fabrikam-in', 'a@fabrikam.test']);
  });

  const swaks = async (...words: readonly string[]): Promise<{ readonly code: number | null; readonly said: string }> => {
    const child = spawn(
      'swaks',
      ['--server', `127.0.0.1:${relay.port}`, '--to', 'someone@far.test', '--helo', 'client.test', ...words],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await once(child, 'close');
    return { code: child.exitCode, said };
  };

  for (const mechanism of ['PLAIN', 'LOGIN']) {
    test(`swaks logs in with ${mechanism} and relays with ESMTPSA`, async () => {
      const user = ['--tls', '--auth', mechanism, '--auth-user', 'app', '--auth-password', PASSWORD];
      const sent = await swaks('--from', 'app@example.org', ...user);
      assert.equal(sent.code, 0, sent.said);
      const id = /queued as (\S+)/.exec(sent.said)?.[1];
      assert.equal((await accepted(id ?? ''))['user'], 'app');
      assert.equal((await swaks('--from', 'boss@contoso.com', ...user)).said.includes('553 5.7.1'), true);
    });
  }

  test('swaks does not get in with a wrong password, or in the clear', async () => {
    const wrong = await swaks(
      '--from',
      'app@example.org',
      '--tls',
      '--auth',
      'PLAIN',
      '--auth-user',
      'app',
      '--auth-password',
      'wrong-one',
    );
    assert.match(wrong.said, /535 5\.7\.8/);
    const inClear = await swaks(
      '--from',
      'app@example.org',
      '--auth',
      'PLAIN',
      '--auth-user',
      'app',
      '--auth-password',
      PASSWORD,
    );
    assert.notEqual(inClear.code, 0);
    assert.doesNotMatch(inClear.said, /235/);
    const [line] = await relay.waitForLog('login.failed');
    assert.equal(line?.['user'], 'app');
    assert.doesNotMatch(relay.output(), /wrong-one|corr\u00e9ct|scrypt/);
  });
});

async function hashOf(relay: TempRelay, password: string): Promise<string> {
  const child = spawn(process.execPath, [new URL('../../src/main.ts', import.meta.url).pathname, 'hash-password'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    cwd: relay.folder,
  });
  let out = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stdin.end(`${password}\n`);
  await once(child, 'close');
  assert.match(out, /^\$scrypt\$/);
  return out.trim();
}
