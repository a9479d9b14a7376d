/**
 * STARTTLS and implicit TLS: nothing said in the clear survives a handshake; certificates, resumption, renegotiation, versions.
 */
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { connect as connectTls, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import { createAuthority } from '../support/certificates.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { Client, connected, greeted, introduced, openListener, relayCertificate, sendMessage, serverTls } from './support.ts';

checkLeaks();

const INJECTIONS: readonly (readonly [what: string, rest: string])[] = [
  ['a whole command', 'RSET\r\n'],
  ['a whole transaction', 'EHLO evil.test\r\nMAIL FROM:<evil@client.test>\r\nRCPT TO:<b@example.org>\r\n'],
  ['half a line', 'NOOP evil'],
  ['lines that end in LF alone', 'EHLO evil.test\nMAIL FROM:<evil@client.test>\n'],
  ['four hundred pipelined lines', 'EHLO evil.test\r\n'.repeat(400)],
];
for (const [what, rest] of INJECTIONS) {
  test(`injected behind STARTTLS in one segment: ${what} never runs inside TLS`, async () => {
    const relay = await openListener();
    const client = await introduced(relay.port);
    client.send(`STARTTLS\r\n${rest}`);
    assert.match(await client.reply(), /^220 /);
    await client.startTls();
    // Were anything of it alive, MAIL would be answered otherwise, or another reply would come first.
    assert.equal(await client.command('MAIL FROM:<a@client.test>'), '503 5.5.1 Send EHLO first');
    assert.match(await client.command('EHLO client.test'), /^250-relay\.test/);
    assert.match(await sendMessage(client, 'A: b\r\n\r\nx\r\n.\r\n'), /^250 /);
    assert.equal(client.heard, '');
    assert.equal(relay.stored.length, 1);
    client.close();
    await relay.listener.close();
  });
}

test('plaintext that comes instead of a handshake ends the connection and is told once; others are served', async () => {
  const relay = await openListener();
  const client = await introduced(relay.port);
  await client.command('STARTTLS');
  client.send('EHLO evil.test\r\nMAIL FROM:<evil@client.test>\r\n');
  await client.toEnd();
  assert.doesNotMatch(client.heard, /250|503/);
  assert.equal(relay.log.sessions.length, 1);
  assert.match(relay.log.sessions[0]?.reason ?? '', /^TLS handshake failed/);
  const other = await greeted(relay.port);
  assert.match(await other.command('NOOP'), /^250 /);
  other.close();
  await relay.listener.close();
});

test('STARTTLS has its rules: no argument, not twice, not where it is off', async () => {
  const relay = await openListener();
  const client = await introduced(relay.port);
  assert.equal(await client.command('STARTTLS now'), '501 5.5.4 No parameters allowed');
  await client.command('STARTTLS');
  await client.startTls();
  assert.equal(await client.command('STARTTLS'), '503 5.5.1 TLS is already active');
  client.close();
  await relay.listener.close();
  const off = await openListener({ listener: { tls: 'off' } });
  const plain = await greeted(off.port);
  assert.doesNotMatch(await plain.command('EHLO client.test'), /STARTTLS/);
  assert.match(await plain.command('STARTTLS'), /^502 /);
  plain.close();
  await off.listener.close();
});

async function implicit(port: number, options: object = {}): Promise<TLSSocket> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

test('implicit TLS speaks SMTP inside TLS only, and does not offer STARTTLS', async () => {
  const relay = await openListener({ listener: { tls: 'implicit' } });
  const client = new Client(await implicit(relay.port));
  assert.equal(await client.reply(), '220 relay.test ESMTP Postern');
  assert.doesNotMatch(await client.command('EHLO client.test'), /STARTTLS/);
  assert.match(await sendMessage(client, 'A: b\r\n\r\nx\r\n.\r\n'), /^250 /);
  assert.equal(relay.stored[0]?.envelope.origin.kind === 'smtp' && relay.stored[0].envelope.origin.tls?.version, 'TLSv1.3');
  assert.equal(relay.listener.sessions(), 1);
  client.close();
  await relay.listener.close();
  assert.equal(relay.listener.sessions(), 0);
});

test("SNI picks the certificate, an unknown name gets the default, and the library's own is never shown", async () => {
  const authority = createAuthority('inbound');
  const usual = serverTls(relayCertificate());
  const other = serverTls(authority.issue({ names: ['other.test'] }));
  const relay = await openListener({
    listener: { tls: 'implicit' },
    tls: { optionsFor: (name) => (name === 'other.test' ? other : usual) },
  });
  const subject = async (servername: string): Promise<string> => {
    const socket = await implicit(relay.port, { servername });
    const certificate: DetailedPeerCertificate = socket.getPeerCertificate(true);
    socket.destroy();
    return `${certificate.subject.CN} by ${certificate.issuer.CN}`;
  };
  assert.equal(await subject('other.test'), 'other.test by inbound Root');
  assert.equal(await subject('OTHER.test'), 'other.test by inbound Root');
  assert.equal(await subject('unknown.test'), 'relay.test by inbound Root');
  assert.equal(await subject(''), 'relay.test by inbound Root');
  await relay.listener.close();
});

test('RSA and ECDSA are served side by side', async () => {
  const authority = createAuthority('inbound');
  const ec = authority.issue({ names: ['relay.test'] });
  const rsa = authority.issue({ names: ['relay.test'], keyType: 'rsa' });
  const both = { key: [ec.key, rsa.key], cert: [ec.cert, rsa.cert], minVersion: 'TLSv1.2' as const };
  const relay = await openListener({ listener: { tls: 'implicit' }, tls: { optionsFor: () => both } });
  for (const [cipher, bits] of [
    ['ECDHE-ECDSA-AES128-GCM-SHA256', 256],
    ['ECDHE-RSA-AES128-GCM-SHA256', 2048],
  ] as const) {
    const socket = await implicit(relay.port, { maxVersion: 'TLSv1.2', ciphers: cipher });
    assert.equal(socket.getPeerCertificate().bits, bits);
    socket.destroy();
  }
  await relay.listener.close();
});

test('a renewed certificate is served at once, a broken one leaves the last good one in service', async () => {
  const authority = createAuthority('inbound');
  let options = serverTls(relayCertificate());
  const relay = await openListener({ listener: { tls: 'implicit' }, tls: { optionsFor: () => options } });
  const subject = async (): Promise<string | undefined> => {
    const socket = await implicit(relay.port);
    const name = socket.getPeerCertificate().subject.CN;
    socket.destroy();
    return String(name);
  };
  assert.equal(await subject(), 'relay.test');
  options = serverTls(authority.issue({ names: ['renewed.test'] }));
  assert.equal(await subject(), 'renewed.test');
  options = { key: ['nonsense'], cert: ['nonsense'], minVersion: 'TLSv1.2' };
  assert.equal(await subject(), 'renewed.test');
  await relay.listener.close();
});

test('a listener whose certificate is useless does not open', async () => {
  await assert.rejects(
    openListener({ tls: { optionsFor: () => ({ key: [], cert: ['nonsense'], minVersion: 'TLSv1.2' }) } }),
    /certificate/,
  );
});

for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
  test(`a returning client resumes over STARTTLS, ${maxVersion}, on another listener, too`, async () => {
    const options = { ...serverTls(relayCertificate()), ticketKeys: Buffer.alloc(48, 7) };
    const relays = [
      await openListener({ tls: { optionsFor: () => options } }),
      await openListener({ tls: { optionsFor: () => ({ ...options }) } }),
    ];
    let session: Buffer | undefined;
    const reused: boolean[] = [];
    for (const relay of [relays[0], relays[0], relays[1]]) {
      const client = await introduced(relay?.port ?? 0);
      await client.command('STARTTLS');
      await client.startTls({ maxVersion, ...(session === undefined ? {} : { session }) });
      const secure = client.socket as TLSSocket;
      secure.on('session', (given) => (session = given));
      assert.match(await client.command('EHLO client.test'), /^250/);
      session ??= secure.getSession();
      reused.push(secure.isSessionReused());
      client.close();
    }
    assert.deepEqual(reused, [false, true, true]);
    for (const relay of relays) await relay.listener.close();
  });
}

test('TLS 1.1 is refused, whatever the client allows', async () => {
  const relay = await openListener({ listener: { tls: 'implicit' } });
  await assert.rejects(implicit(relay.port, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }));
  await relay.listener.close();
});

test('renegotiation by the client is refused', async () => {
  const relay = await openListener({ listener: { tls: 'implicit' } });
  const socket = await implicit(relay.port, { maxVersion: 'TLSv1.2' });
  const client = new Client(socket);
  await client.reply();
  const outcome = await new Promise<string>((resolve) => {
    socket.once('error', (error) => resolve(error.message));
    socket.renegotiate({ rejectUnauthorized: false }, (error) => resolve(error === null ? 'renegotiated' : error.message));
  });
  assert.match(outcome, /no renegotiation/i);
  client.close();
  await relay.listener.close();
});

test('a client that closes in the middle of the handshake harms no one', async () => {
  const relay = await openListener();
  for (let n = 0; n < 20; n += 1) {
    const client = await introduced(relay.port);
    await client.command('STARTTLS');
    client.send(Buffer.from([0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]));
    if (n % 2 === 0) client.close();
    else client.socket.end();
  }
  const client = await connected(relay.port);
  assert.match(await client.reply(), /^220 /);
  client.close();
  await relay.listener.close();
  assert.deepEqual(relay.bugs, []);
});

test('openssl s_client finds no renegotiation and resumes', async () => {
  const relay = await openListener();
  const child = spawn(
    'openssl',
    ['s_client', '-starttls', 'smtp', '-reconnect', '-no_tls1_3', '-connect', `127.0.0.1:${relay.port}`],
    { stdio: ['pipe', 'pipe', 'ignore'] },
  );
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stdin.end('QUIT\n');
  await new Promise((resolve) => child.once('close', resolve));
  assert.match(output, /Reused, TLSv1\.2/);
  await relay.listener.close();
});
