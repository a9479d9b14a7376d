/**
 * Client certificates over real handshakes: what each kind of certificate is worth, whom the asking disturbs, and that no resumed
 * session is ever taken for a certificate, which it is by bare Node and by bare smtp-server.
 */
import { strict as assert } from 'node:assert';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { type ConnectionOptions, createSecureContext, getCACertificates, TLSSocket } from 'node:tls';
import { SMTPServer } from 'smtp-server';
import type { InboundConnector } from '../../src/domain/connector.ts';
import { type NamePattern, parseNamePattern } from '../../src/domain/peer.ts';
import { type CertificateRequest, createAuthority, type KeyedCertificate } from '../support/certificates.ts';
import { systemClock } from '../support/clock.ts';
import { checkLeaks } from '../support/leak-check.ts';
import {
  type Changes,
  type Client,
  connected,
  connector,
  exact,
  introduced,
  openListener,
  relayCertificate,
  sendMessage,
  serverTls,
  type TestListener,
} from './support.ts';

checkLeaks();

const DAY = 86_400_000;
const trusted = createAuthority('clients');
const strange = createAuthority('strangers');
const name = (text: string): NamePattern => {
  const pattern = parseNamePattern(text);
  assert.ok(pattern !== null);
  return pattern;
};
const partner = (given: Partial<InboundConnector> = {}): InboundConnector =>
  connector('contoso-in', {
    match: { senderDomains: [exact('contoso.com')] },
    require: { tls: true, certificates: [name('mail.contoso.com'), name('*.contoso.com')] },
    ...given,
  });
const organization = connector('on-premises', { type: 'organization', match: { certificates: [name('*.contoso.com')] } });

const request = (given: Partial<CertificateRequest>): CertificateRequest => ({
  names: ['mail.contoso.com'],
  usages: ['clientAuth'],
  ...given,
});
const ours = (given: Partial<CertificateRequest> = {}): KeyedCertificate => trusted.issue(request(given));
const theirs = (given: Partial<CertificateRequest> = {}): KeyedCertificate => strange.issue(request(given));
const leafOnly = ({ cert, key }: KeyedCertificate): KeyedCertificate => ({
  cert: cert.slice(0, cert.indexOf('-----END') + 26),
  key,
});
const withRoot = ({ cert, key }: KeyedCertificate, root: string): KeyedCertificate => ({ cert: cert + root, key });
const asClient = (certificate: KeyedCertificate | null): ConnectionOptions =>
  certificate === null ? {} : { cert: certificate.cert, key: certificate.key };

/** Certificates are as old as the real clock says. */
const open = (changes: Changes): Promise<TestListener> => openListener({ clock: systemClock, ...changes });

async function secured(relay: TestListener, options: ConnectionOptions): Promise<Client> {
  const client = await introduced(relay.port);
  await client.command('STARTTLS');
  await client.startTls(options);
  await client.command('EHLO client.test');
  return client;
}

const SERVER_ONLY = { usages: ['serverAuth'] } as const;
const dated = (from: number, to: number) => ({
  notBefore: new Date(Date.now() + from * DAY),
  notAfter: new Date(Date.now() + to * DAY),
});
const rows: readonly (readonly [
  what: string,
  certificate: KeyedCertificate | null,
  proven: string | null,
  refusal: RegExp | null,
])[] = [
  ['no certificate', null, null, /only with a client certificate/],
  ['the right name', ours(), 'mail.contoso.com', null],
  ['the right name among others', ours({ names: ['x.test', 'mail.contoso.com'] }), 'mail.contoso.com', null],
  ['a wrong name', ours({ names: ['mail.fabrikam.com'] }), 'mail.fabrikam.com', /not one that/],
  ['a lookalike', ours({ names: ['mail.contoso.com.evil.test'] }), 'mail.contoso.com.evil.test', /not one that/],
  ['one label below a wildcard', ours({ names: ['mx1.contoso.com'] }), 'mx1.contoso.com', null],
  ['two labels below a wildcard', ours({ names: ['a.mx1.contoso.com'] }), 'a.mx1.contoso.com', /not one that/],
  ['a wildcard of its own', ours({ names: ['*.contoso.com'] }), '*.contoso.com', null],
  ['a common name only', ours({ names: [], commonName: 'mail.contoso.com' }), null, /not one that/],
  ['expired', ours(dated(-3, -1)), null, /has expired/],
  ['expired and for servers only', ours({ ...SERVER_ONLY, ...dated(-3, -1) }), null, /has expired/],
  ['not yet valid', ours(dated(1, 3)), null, /not valid yet/],
  ['self-signed', ours({ selfSigned: true }), null, /is self-signed/],
  ['self-signed and for servers only', ours({ ...SERVER_ONLY, selfSigned: true }), null, /is self-signed/],
  ['an unknown authority', theirs(), null, /authority/],
  ['an unknown authority, for servers only', theirs(SERVER_ONLY), null, /authority/],
  [
    'an unknown authority that sends its chain, for servers only',
    withRoot(theirs({ ...SERVER_ONLY, intermediate: true }), strange.caPem),
    null,
    /authority/,
  ],
  ['behind an intermediate', ours({ intermediate: true }), 'mail.contoso.com', null],
  ['intermediate missing', leafOnly(ours({ intermediate: true })), null, /intermediate certificates are missing/],
  ['for servers only', ours(SERVER_ONLY), 'mail.contoso.com', null],
  ['for servers only, behind an intermediate', ours({ ...SERVER_ONLY, intermediate: true }), 'mail.contoso.com', null],
  [
    'for servers only, intermediate missing',
    leafOnly(ours({ ...SERVER_ONLY, intermediate: true })),
    null,
    /intermediate certificates are missing/,
  ],
  ['for any use', ours({ usages: [] }), 'mail.contoso.com', null],
];

test('each kind of client certificate, over STARTTLS with TLS 1.3 and 1.2', async (t) => {
  const relay = await open({ inbound: [partner()], anchors: [trusted.caPem], patience: { errors: 100 } });
  for (const [what, certificate, proven, refusal] of rows) {
    for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
      await t.test(`${what}, ${maxVersion} -> ${refusal === null ? 'accepted' : 'refused'}`, async () => {
        const client = await secured(relay, { ...asClient(certificate), maxVersion });
        const reply = await client.command('MAIL FROM:<a@contoso.com>');
        if (refusal === null) assert.match(reply, /^250 /);
        else {
          assert.match(reply, /^550 5\.7\.51 /);
          assert.match(reply, refusal);
          assert.equal(relay.log.rejected.at(-1)?.tls?.peer, proven);
        }
        // The mail of others is no business of that connector, whatever the certificate is worth.
        await client.command('RSET');
        assert.match(await sendMessage(client, 'A: b\r\n\r\nx\r\n.\r\n'), /^250 /);
        const stored = relay.stored.at(-1);
        assert.equal(stored?.envelope.origin.kind === 'smtp' && stored.envelope.origin.tls?.peer, proven);
        const told = /client certificate verified: (\S+)\)/.exec(stored?.wire.toString() ?? '')?.[1];
        assert.equal(told ?? null, proven);
        client.close();
      });
    }
  }
  await relay.listener.close();
  assert.deepEqual(relay.bugs, []);
});

test('a certificate for servers only is refused where the connector wants the clientAuth usage', async () => {
  const relay = await open({ inbound: [partner({ acceptServerAuthOnly: false })], anchors: [trusted.caPem] });
  const client = await secured(relay, asClient(ours(SERVER_ONLY)));
  assert.match(await client.command('MAIL FROM:<a@contoso.com>'), /^550 5\.7\.51 /);
  client.close();
  await relay.listener.close();
});

test('without TLS it is TLS that is asked for first', async () => {
  const relay = await open({ inbound: [partner()], anchors: [trusted.caPem] });
  const client = await introduced(relay.port);
  assert.match(await client.command('MAIL FROM:<a@contoso.com>'), /^530 5\.7\.10 /);
  client.close();
  await relay.listener.close();
});

test('an organization proven by certificate relays; the same client without it does not', async () => {
  const relay = await open({ inbound: [organization], anchors: [trusted.caPem], listener: { tls: 'starttls' } });
  const known = await secured(relay, asClient(ours()));
  assert.match(await sendMessage(known, 'A: b\r\n\r\nx\r\n.\r\n', 'someone@far.test'), /^250 /);
  const origin = relay.stored[0]?.envelope.origin;
  assert.deepEqual(origin?.kind === 'smtp' && origin.inboundConnectors, ['on-premises']);
  assert.deepEqual(relay.log.accepted[0]?.connectors, ['on-premises']);
  const unknown = await secured(relay, {});
  await unknown.command('MAIL FROM:<a@contoso.com>');
  assert.equal(await unknown.command('RCPT TO:<someone@far.test>'), '550 5.7.1 Relaying denied');
  for (const client of [known, unknown]) client.close();
  await relay.listener.close();
});

test('what a client proved before another handshake is forgotten with it: STARTTLS inside TLS is none', async () => {
  const relay = await open({ inbound: [organization], anchors: [trusted.caPem] });
  const client = await secured(relay, asClient(ours()));
  assert.match(await client.command('STARTTLS'), /^503 /);
  client.close();
  await relay.listener.close();
});

const asked = async (relay: TestListener): Promise<boolean> => {
  const client = await introduced(relay.port);
  await client.command('STARTTLS');
  // A TLS 1.2 client tells: with a certificate it answers a request and only then.
  await client.startTls({ ...asClient(ours()), maxVersion: 'TLSv1.2' });
  await client.command('EHLO client.test');
  await client.command('MAIL FROM:<a@other.test>');
  await client.command('RCPT TO:<b@example.org>');
  await client.command('DATA');
  client.send('A: b\r\n\r\n.\r\n');
  await client.reply();
  client.close();
  const origin = relay.stored.at(-1)?.envelope.origin;
  return origin?.kind === 'smtp' && origin.tls?.peer !== null;
};

test('a certificate is asked for only where some enabled connector needs one', async () => {
  const cases: readonly (readonly [readonly InboundConnector[], boolean])[] = [
    [[], false],
    [[connector('tls', { match: { senderDomains: [exact('contoso.com')] }, require: { tls: true } })], false],
    [[{ ...partner(), enabled: false }], false],
    [[partner()], true],
    [[organization], true],
    [[partner({ testMode: true })], true],
  ];
  for (const [inbound, want] of cases) {
    const relay = await open({ inbound, anchors: [trusted.caPem] });
    assert.equal(await asked(relay), want);
    await relay.listener.close();
  }
});

test('implicit TLS judges as STARTTLS does', async () => {
  const relay = await open({ inbound: [organization], anchors: [trusted.caPem], listener: { tls: 'implicit' } });
  for (const [certificate, want] of [
    [ours(), /^250 /],
    [ours({ ...SERVER_ONLY, intermediate: true }), /^250 /],
    [theirs(SERVER_ONLY), /^550 5\.7\.1 /],
    [null, /^550 5\.7\.1 /],
  ] as const) {
    const client = await implicitly(relay.port, asClient(certificate));
    await client.reply();
    await client.command('EHLO client.test');
    await client.command('MAIL FROM:<a@contoso.com>');
    assert.match(await client.command('RCPT TO:<someone@far.test>'), want);
    client.close();
  }
  await relay.listener.close();
});

async function implicitly(port: number, options: ConnectionOptions): Promise<Client> {
  const plain = await connected(port);
  await plain.startTls(options);
  return plain;
}

test('no authority is named in the request, and the anchors of the thread are left as they were', async () => {
  const before = getCACertificates('default');
  const relay = await open({ inbound: [partner()], anchors: [...getCACertificates('bundled'), trusted.caPem] });
  const plain = await introduced(relay.port);
  await plain.command('STARTTLS');
  const read = plain.socket.bytesRead;
  const socket = plain.socket;
  await plain.startTls({ maxVersion: 'TLSv1.2' });
  assert.ok(socket.bytesRead - read < 4000, `${socket.bytesRead - read} octets for a handshake`);
  plain.close();
  await relay.listener.close();
  assert.deepEqual(getCACertificates('default'), before);
});

// --- resumption

/** The bare server of a STARTTLS relay, as it would be written without knowing better. Resolves with what it takes the client for. */
async function bareNode(): Promise<{ port: number; close(): Promise<void>; seen: boolean[] }> {
  const server = relayCertificate();
  const secureContext = createSecureContext({
    ...server,
    ca: trusted.caPem,
    sessionIdContext: 'bare',
    ticketKeys: Buffer.alloc(48, 3),
  });
  const seen: boolean[] = [];
  const listening = createServer((raw) => {
    raw.write('220 bare\r\n');
    raw.once('data', () => {
      raw.write('250 STARTTLS\r\n');
      raw.once('data', () => {
        raw.write('220 go\r\n');
        const secure = new TLSSocket(raw, { isServer: true, secureContext, requestCert: true, rejectUnauthorized: false });
        secure.on('error', () => raw.destroy());
        secure.once('secure', () => {
          const handle = (secure as unknown as { _handle: { verifyError(): Error | null } })._handle;
          seen.push(handle.verifyError() === null);
          secure.on('data', () => secure.write('250 ok\r\n'));
        });
      });
    });
  });
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  const address = listening.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { port, seen, close: () => new Promise((resolve) => void listening.close(() => resolve())) };
}

async function bareSmtpServer(): Promise<Awaited<ReturnType<typeof bareNode>>> {
  const seen: boolean[] = [];
  const server = new SMTPServer({
    ...relayCertificate(),
    ca: trusted.caPem,
    sessionIdContext: 'bare',
    requestCert: true,
    rejectUnauthorized: false,
    authOptional: true,
    disableReverseLookup: true,
    onSecure: (socket, _session, done) => {
      seen.push(socket instanceof TLSSocket && socket.authorized);
      done();
    },
  });
  server.on('error', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const address = server.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { port, seen, close: () => new Promise((resolve) => server.close(() => resolve())) };
}

/** Connects, takes the ticket, leaves; the session to come back with. */
async function ticketOf(port: number, options: ConnectionOptions): Promise<Buffer | undefined> {
  const client = await introduced(port);
  await client.command('STARTTLS');
  await client.startTls(options);
  const secure = client.socket as TLSSocket;
  let session: Buffer | undefined;
  secure.on('session', (given) => (session = given));
  await client.command('EHLO client.test');
  session ??= secure.getSession();
  client.close();
  return session;
}

async function comeBack(port: number, session: Buffer | undefined, options: ConnectionOptions = {}): Promise<Client> {
  const client = await introduced(port);
  await client.command('STARTTLS');
  await client.startTls({ ...options, ...(session === undefined ? {} : { session }) });
  await client.command('EHLO client.test');
  return client;
}

for (const [what, openBare] of [
  ['node:tls', bareNode],
  ['smtp-server', bareSmtpServer],
] as const) {
  test(`bare ${what} takes a client without any certificate for a verified one when it comes back (the hole)`, async () => {
    const bare = await openBare();
    const session = await ticketOf(bare.port, {});
    const client = await comeBack(bare.port, session);
    assert.equal((client.socket as TLSSocket).isSessionReused(), true);
    assert.deepEqual(bare.seen, [false, true]);
    client.close();
    await bare.close();
  });
}

const ticketed = { ...serverTls(relayCertificate()), ticketKeys: Buffer.alloc(48, 9) };
for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
  test(`here it is not: a client that comes back without certificate is no one, ${maxVersion}`, async () => {
    const relay = await open({ inbound: [organization], anchors: [trusted.caPem], tls: { optionsFor: () => ticketed } });
    for (const first of [{}, asClient(ours())]) {
      const session = await ticketOf(relay.port, { ...first, maxVersion });
      const client = await comeBack(relay.port, session, { maxVersion });
      assert.equal((client.socket as TLSSocket).isSessionReused(), false);
      await client.command('MAIL FROM:<a@contoso.com>');
      assert.equal(await client.command('RCPT TO:<someone@far.test>'), '550 5.7.1 Relaying denied');
      client.close();
    }
    await relay.listener.close();
  });

  test(`a client with a certificate that comes back with its ticket is known again, ${maxVersion}`, async () => {
    const relay = await open({ inbound: [organization], anchors: [trusted.caPem], tls: { optionsFor: () => ticketed } });
    const session = await ticketOf(relay.port, { ...asClient(ours()), maxVersion });
    const client = await comeBack(relay.port, session, { ...asClient(ours()), maxVersion });
    assert.match(await sendMessage(client, 'A: b\r\n\r\nx\r\n.\r\n', 'someone@far.test'), /^250 /);
    client.close();
    await relay.listener.close();
  });

  test(`a ticket of a listener that asks for nothing is worth nothing on one that asks, ${maxVersion}`, async () => {
    const lax = await open({ tls: { optionsFor: () => ticketed } });
    const strict = await open({
      inbound: [organization],
      anchors: [trusted.caPem],
      tls: { optionsFor: () => ({ ...ticketed }) },
    });
    const session = await ticketOf(lax.port, { maxVersion });
    const again = await comeBack(lax.port, session, { maxVersion });
    assert.equal((again.socket as TLSSocket).isSessionReused(), true);
    const client = await comeBack(strict.port, session, { maxVersion });
    assert.equal((client.socket as TLSSocket).isSessionReused(), false);
    await client.command('MAIL FROM:<a@contoso.com>');
    assert.equal(await client.command('RCPT TO:<someone@far.test>'), '550 5.7.1 Relaying denied');
    for (const one of [again, client]) one.close();
    for (const relay of [lax, strict]) await relay.listener.close();
  });

  test(`bare node:tls without a session context breaks clients that resume; here they come back (${maxVersion})`, async () => {
    const relay = await open({ inbound: [partner()], anchors: [trusted.caPem], tls: { optionsFor: () => ticketed } });
    const session = await ticketOf(relay.port, { maxVersion });
    for (let n = 0; n < 3; n += 1) {
      const client = await comeBack(relay.port, session, { maxVersion });
      assert.match(await sendMessage(client, 'A: b\r\n\r\nx\r\n.\r\n'), /^250 /);
      client.close();
    }
    await relay.listener.close();
    assert.deepEqual(relay.log.sessions, []);
  });
}

test('SNI leads to no context that trusts otherwise or resumes', async () => {
  const other = { ...serverTls(createAuthority('inbound').issue({ names: ['other.test'] })), ticketKeys: Buffer.alloc(48, 9) };
  const relay = await open({
    inbound: [organization],
    anchors: [trusted.caPem],
    tls: { optionsFor: (serverName) => (serverName === 'other.test' ? other : ticketed) },
  });
  const known = await comeBack(relay.port, undefined, { ...asClient(ours()), servername: 'other.test' });
  assert.match(await sendMessage(known, 'A: b\r\n\r\nx\r\n.\r\n', 'someone@far.test'), /^250 /);
  const stranger = await comeBack(relay.port, undefined, { ...asClient(theirs()), servername: 'other.test' });
  await stranger.command('MAIL FROM:<a@contoso.com>');
  assert.equal(await stranger.command('RCPT TO:<someone@far.test>'), '550 5.7.1 Relaying denied');
  const session = await ticketOf(relay.port, { servername: 'other.test' });
  const back = await comeBack(relay.port, session, { servername: 'other.test' });
  assert.equal((back.socket as TLSSocket).isSessionReused(), false);
  for (const client of [known, stranger, back]) client.close();
  await relay.listener.close();
});
