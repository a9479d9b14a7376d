/** Each receiver of the lab does what its description says. */
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import type { SecureVersion } from 'node:tls';
import { BEHAVIOUR_NAMES, type BehaviourName } from './lab/behaviour-table.ts';
import { startLab } from './lab/lab.ts';
import { connectorYaml, labTable } from './lab/lab-format.ts';
import { labAuthority, type Receiver, type ReceiverOptions, startReceiver } from './lab/receiver.ts';
import { checkLeaks } from './leak-check.ts';
import { connectClient, type ScriptedClient } from './scripted-client.ts';

checkLeaks();

const MAIL = { from: 'a@sender.test', to: ['b@lab.test'], content: 'Received: one\r\nSubject: x\r\n\r\n..a dot\r\n' };
/** Takes whatever a server may offer. */
const LENIENT = { ciphers: 'ALL:@SECLEVEL=0', minVersion: 'TLSv1' as SecureVersion };

type Opened = { readonly receiver: Receiver; readonly client: ScriptedClient };

async function open(t: TestContext, name: BehaviourName, options: ReceiverOptions = {}): Promise<Opened> {
  const receiver = await startReceiver(name, options);
  t.after(() => receiver.stop());
  const client = await connectClient(receiver);
  t.after(() => client.destroy());
  return { receiver, client };
}

/** Greeting and EHLO in the clear. */
async function greeted(t: TestContext, name: BehaviourName, options: ReceiverOptions = {}): Promise<Opened> {
  const { receiver, client } = await open(t, name, options);
  await client.expect(220);
  await client.ehlo();
  return { receiver, client };
}

/** The same, then STARTTLS and EHLO. */
async function secured(t: TestContext, name: BehaviourName, options: ReceiverOptions = {}): Promise<Opened> {
  const both = await greeted(t, name, options);
  await both.client.startTls(LENIENT);
  await both.client.ehlo();
  return both;
}

const handshakes: readonly [name: BehaviourName, version: string, cipher: RegExp, group: string | null][] = [
  ['tls13', 'TLSv1.3', /^TLS_(AES|CHACHA20)/, 'X25519MLKEM768'],
  ['tls12-only', 'TLSv1.2', /^TLS_ECDHE_ECDSA_WITH_(AES_256_GCM|CHACHA20)/, 'X25519'],
  ['ecdhe-cbc-only', 'TLSv1.2', /^TLS_ECDHE_RSA_WITH_AES_\d+_CBC_SHA(256|384)$/, 'X25519'],
  ['rsa-kx-only', 'TLSv1.2', /^TLS_RSA_WITH_AES/, null],
  ['sha1-mac-only', 'TLSv1.2', /^TLS_RSA_WITH_AES_128_CBC_SHA$/, null],
  ['tls10-only', 'TLSv1', /^TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA$/, 'X25519'],
];
for (const [name, version, cipher, group] of handshakes) {
  test(`${name}: a message over ${version}, none of it in the clear, the handshake recorded as the client saw it`, async (t) => {
    const { receiver, client } = await secured(t, name);
    assert.equal((await client.send(MAIL))?.code, 250);
    const [message] = await receiver.waitForMessages(1);
    await client.quit();
    const [closed] = await receiver.waitForEvent('close');
    assert.ok(message?.tls);
    assert.deepEqual([message.tls.version, message.tls.group], [version, group]);
    assert.match(message.tls.cipher, cipher);
    assert.equal(message.content.toString(), 'Received: one\r\nSubject: x\r\n\r\n.a dot\r\n\r\n');
    assert.equal(message.receivedHeaders, 1);
    assert.equal(closed?.clearMessageOctets, 0);
    assert.equal(receiver.clearText(), 'EHLO client.test\r\nSTARTTLS\r\n');
  });
}

test('the old-fashioned servers refuse what a rung above them offers', async (t) => {
  const AEAD = { ciphers: 'ECDHE+AESGCM', maxVersion: 'TLSv1.2' as SecureVersion };
  const offers = { 'ecdhe-cbc-only': AEAD, 'rsa-kx-only': { ...AEAD, ciphers: 'ECDHE' }, 'tls10-only': {}, tls13: AEAD };
  for (const [name, offer] of Object.entries(offers)) {
    const { receiver, client } = await greeted(t, name as BehaviourName);
    await assert.rejects(client.startTls(offer), name);
    await receiver.waitForEvent('error');
    client.destroy();
  }
});

test('a session is resumed with its ticket', async (t) => {
  const { receiver, client } = await secured(t, 'tls12-only');
  const session = client.tls()?.getSession();
  client.destroy();
  const again = await connectClient(receiver);
  await again.expect(220);
  await again.command('STARTTLS', 220);
  await again.secure({ session, maxVersion: 'TLSv1.2' });
  const [, second] = await receiver.waitForEvent('tls', 2);
  assert.equal(second?.resumed, true);
  again.destroy();
});

test('starttls-absent, starttls-454, starttls-502: the same connection takes the message in the clear, and says so', async (t) => {
  for (const [name, code] of [
    ['starttls-absent', 502],
    ['starttls-454', 454],
    ['starttls-502', 502],
  ] as const) {
    const { receiver, client } = await open(t, name);
    await client.expect(220);
    assert.equal((await client.ehlo()).has('STARTTLS'), name !== 'starttls-absent');
    await client.command('STARTTLS', code);
    assert.equal((await client.send(MAIL))?.code, 250);
    const [message] = await receiver.waitForMessages(1);
    assert.equal(message?.tls, null);
    assert.match(receiver.clearText(), /MAIL FROM:<a@sender\.test>/);
    client.destroy();
    assert.ok(((await receiver.waitForEvent('close'))[0]?.clearMessageOctets ?? 0) > MAIL.content.length);
  }
});

for (const name of [
  'garbage-after-220',
  'close-after-220',
  'reset-after-220',
  'handshake-alert',
  'starttls-injection',
] as const) {
  test(`${name}: the handshake fails, a new connection takes the message in the clear`, async (t) => {
    const { receiver, client } = await greeted(t, name);
    if (name === 'starttls-injection') client.raw('STARTTLS\r\n');
    else await assert.rejects(client.startTls());
    if (name === 'starttls-injection') {
      await client.expect(220);
      assert.match((await client.reply())?.lines[0] ?? '', /injected/);
    }
    client.destroy();
    assert.equal((await receiver.waitForEvent('close'))[0]?.clearMessageOctets, 0);
    const again = await connectClient(receiver);
    await again.expect(220);
    await again.ehlo();
    assert.equal((await again.send(MAIL))?.code, 250);
    await again.quit();
  });
}

test('handshake-alert: the alert is handshake_failure', async (t) => {
  const { client } = await greeted(t, 'handshake-alert');
  await assert.rejects(client.startTls(), /handshake failure/);
  client.destroy();
});

test('handshake-stall: the ClientHello is read, no answer comes; what then comes in the clear is seen', async (t) => {
  const { receiver, client } = await greeted(t, 'handshake-stall');
  await client.command('STARTTLS', 220);
  client.secure({ servername: 'stall.test' }).catch(() => {});
  const [hello] = await receiver.waitForEvent('client-hello');
  assert.equal(hello?.serverName, 'stall.test');
  assert.equal(receiver.eventsOf('tls').length, 0);
  await receiver.stop();

  const rude = await greeted(t, 'handshake-stall');
  await rude.client.command('STARTTLS', 220);
  rude.client.raw('MAIL FROM:<leak@sender.test>\r\n');
  await rude.receiver.waitForEvent('not-tls');
  assert.match(rude.receiver.clearText(), /leak@sender\.test/);
  rude.client.destroy();
  assert.equal((await rude.receiver.waitForEvent('close'))[0]?.clearMessageOctets, 'MAIL FROM:<leak@sender.test>\r\n'.length);
});

test('tls-ehlo-drop: closes inside TLS, answers EHLO in the clear', async (t) => {
  const { client } = await greeted(t, 'tls-ehlo-drop');
  await client.startTls();
  client.raw('EHLO client.test\r\n');
  await client.expectClose();
});

test('large-hello-intolerant: a large ClientHello is reset, a small one served', async (t) => {
  const options = { largeHelloOctets: 512 };
  const { receiver, client } = await greeted(t, 'large-hello-intolerant', options);
  await assert.rejects(client.startTls({ ecdhCurve: 'X25519MLKEM768:X25519' }));
  const small = await connectClient(receiver);
  await small.expect(220);
  await small.ehlo();
  await small.startTls({ ecdhCurve: 'X25519:P-256', maxVersion: 'TLSv1.2', ciphers: 'ECDHE+AESGCM' });
  const [large, little] = receiver.eventsOf('client-hello');
  assert.ok((large?.octets ?? 0) > 512 && (little?.octets ?? 1000) <= 512);
  assert.deepEqual(large?.keyShares, ['X25519MLKEM768']);
  small.destroy();
});

test('certificates: valid for its name only, self-signed, expired, for another name', async (t) => {
  const expected: readonly [BehaviourName, string | null][] = [
    ['tls13', null],
    ['self-signed', 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['expired-certificate', 'CERT_HAS_EXPIRED'],
    ['wrong-name', 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ];
  for (const [name, code] of expected) {
    const { receiver, client } = await greeted(t, name);
    const strict = { rejectUnauthorized: true, ca: labAuthority().caPem, servername: receiver.hostname };
    if (code === null) await client.startTls(strict);
    else await assert.rejects(client.startTls(strict), { code });
    client.destroy();
  }
});

test('implicit-tls: TLS from the first byte, no STARTTLS inside', async (t) => {
  const { receiver, client } = await open(t, 'implicit-tls');
  await client.secure();
  await client.expect(220);
  assert.equal((await client.ehlo()).has('STARTTLS'), false);
  await client.command('STARTTLS', 503);
  assert.equal((await client.send(MAIL))?.code, 250);
  assert.equal(receiver.clearText(), '');
  await client.quit();
});

test('the farm: one address each, the same port, facts as JSON lines, all gone after stop', async () => {
  const lines: string[] = [];
  const only: readonly BehaviourName[] = ['tls13', 'connection-refused', 'implicit-tls'];
  const lab = await startLab({ port: 25_871, firstAddress: '127.77.0.1', only, out: (line) => lines.push(line) });
  assert.deepEqual(new Set(lab.entries.map((entry) => entry.port)), new Set([25_871]));
  assert.equal(new Set(lab.entries.map((entry) => entry.address)).size, 3);
  const refused = lab.entries.find((entry) => entry.behaviour === 'connection-refused');
  await assert.rejects(connectClient({ address: refused?.address ?? '', port: 25_871 }), { code: 'ECONNREFUSED' });
  const client = await connectClient({ address: '127.77.0.1', port: 25_871 });
  await client.expect(220);
  await lab.receiver('tls13')?.waitForEvent('connection');
  assert.equal(JSON.parse(lines[0] ?? '').behaviour, 'tls13');
  assert.match(labTable(lab.entries), /127\.77\.0\.1:25871 +tls13\n/);
  assert.match(connectorYaml(lab.entries, 'encrypt'), /recipientDomains: \[tls13\.lab\.test\] }\n.*\[127\.77\.0\.1\]:25871/);
  assert.match(connectorYaml(lab.entries, 'encrypt'), / {2}# - name: lab-implicit-tls\n(.*\n){2} {2}# {3}tls: { mode: encrypt }/);
  await lab.stop();
  await client.expectClose();
  await assert.rejects(connectClient({ address: '127.77.0.1', port: 25_871 }), { code: 'ECONNREFUSED' });
});

test('npm run lab: prints where everything is, ends on SIGINT', async () => {
  const args = ['--port', '25872', '--first-address', '127.78.0.1', '--only', 'tls13', '--only', 'dot-drop', '--json'];
  const child = spawn(process.execPath, ['test/support/lab/main.ts', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [first] = await once(child.stdout, 'data');
  const document = JSON.parse(String(first));
  assert.deepEqual(
    document.receivers.map((receiver: { behaviour: string }) => receiver.behaviour),
    ['tls13', 'dot-drop'],
  );
  child.kill('SIGINT');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});

test('every behaviour stops cleanly with a client in any state', async (t) => {
  for (const name of BEHAVIOUR_NAMES.filter((each) => each !== 'connection-refused')) {
    const { receiver, client } = await open(t, name, { pause: 1 });
    client.raw('EHLO client.test\r\nSTARTTLS\r\n\x16\x03\x01garbage\r\n');
    await receiver.waitForEvent('connection');
    await receiver.stop();
    await receiver.stop();
    client.destroy();
  }
});
