/**
 * Who the peer must be, as a delivery meets it: each mode against each certificate over the wire. Nothing of a message, no
 * credentials and no second connection where the peer is not who it must be.
 */
import { strict as assert } from 'node:assert';
import { type TestContext, test } from 'node:test';
import type { Domain } from '../../src/domain/address.ts';
import { isNonEmpty } from '../../src/domain/basics.ts';
import type { OutboundConnector, OutboundTls, Route } from '../../src/domain/connector.ts';
import { type NamePattern, parseNamePattern, type SpkiHash, type TlsaRecord } from '../../src/domain/peer.ts';
import type { DaneStatus } from '../../src/security/dane-policy.ts';
import type { HostSecurity } from '../../src/security/gather-facts.ts';
import { type CertificateRequest, createAuthority, type IssuedCertificate } from '../support/certificates.ts';
import { outboundConnector, outboundTls } from '../support/connectors.ts';
import { claim, labMaterials, type Materials, NO_SECURITY, outcomeOf, sentenceOf, world } from '../support/delivery-lab.ts';
import { type Behaviour, say } from '../support/lab/behaviour.ts';
import type { BehaviourName } from '../support/lab/behaviour-table.ts';
import { labAuthority, type Receiver, type ReceiverOptions, startReceiver } from '../support/lab/receiver.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();

const DAY = 86_400_000;
const strange = createAuthority('strange');
const HOST = 'tls13.lab.test';
const issue = (change: Partial<CertificateRequest> = {}): IssuedCertificate => labAuthority().issue({ names: [HOST], ...change });
const leafOnly = (issued: IssuedCertificate): IssuedCertificate => ({
  ...issued,
  cert: issued.cert.slice(0, issued.cert.indexOf('-----END CERTIFICATE-----') + 26),
});

/** A receiver that shows this certificate. */
const showing = (issued: IssuedCertificate): ReceiverOptions => ({ authority: { ...labAuthority(), issue: () => issued } });

async function start(t: TestContext, options: ReceiverOptions = {}, name: BehaviourName = 'tls13'): Promise<Receiver> {
  const receiver = await startReceiver(name, options);
  t.after(() => receiver.stop());
  return receiver;
}
function relay(t: TestContext): ReturnType<typeof world> {
  const made = world();
  t.after(() => made.close());
  return made;
}

const patterns = (...names: readonly string[]): readonly NamePattern[] =>
  names.map(parseNamePattern).filter((pattern) => pattern !== null);
const connector = (tls: Partial<OutboundTls>, change: Partial<OutboundConnector> = {}): OutboundConnector =>
  outboundConnector({ name: 'partner-out', tls: outboundTls(tls), ...change });
const VERIFY = connector({ mode: 'verify' });

/** D: delivered; otherwise deferred with 4.7.320 and a sentence that says this of the certificate. */
type Expected = 'D' | 'self-signed' | 'issuer' | 'expired' | 'not yet' | 'names' | 'pins';
const SENTENCE: Readonly<Record<Exclude<Expected, 'D'>, RegExp>> = {
  'self-signed': /showed a certificate that is self-signed/,
  issuer: /showed a certificate that does not lead to an authority this relay trusts/,
  expired: /showed a certificate that has expired/,
  'not yet': /showed a certificate that is not valid yet/,
  names: /showed a certificate for (no name at all|\S+), not for \S+/,
  pins: /showed a certificate with another key than the pinned ones/,
};
type Column = 'encrypt' | 'trusted' | 'verify' | 'named' | 'wildcard' | 'pinned' | 'otherPin' | 'ca';
type Row = readonly [what: string, certificate: () => IssuedCertificate, expected: Readonly<Record<Column, Expected>>];

/** Any certificate will do, and the right key always does. */
const ALWAYS = { encrypt: 'D', pinned: 'D', otherPin: 'pins' } as const;
/** The chain fails, so whatever looks at it. */
const all = (reason: Expected) => ({ ...ALWAYS, trusted: reason, verify: reason, named: reason, wildcard: reason, ca: reason });
/** The chain leads to the usual anchors, and so not to the connector's own. */
const chained = (verify: Expected, named: Expected, wildcard: Expected) =>
  ({ ...ALWAYS, trusted: 'D', verify, named, wildcard, ca: 'issuer' }) as const;

const ROWS: readonly Row[] = [
  ['right name', () => issue(), chained('D', 'names', 'D')],
  ['wrong name', () => issue({ names: ['mail.partner.test'] }), chained('names', 'D', 'names')],
  ['wildcard, one level', () => issue({ names: ['*.lab.test'] }), chained('D', 'names', 'D')],
  ['wildcard, two levels', () => issue({ names: ['*.test.invalid', '*.test'] }), chained('names', 'names', 'names')],
  ['common name only', () => issue({ names: [], commonName: HOST }), chained('names', 'names', 'names')],
  ['expired', () => issue({ notBefore: new Date(0), notAfter: new Date(DAY) }), all('expired')],
  [
    'not yet valid',
    () => issue({ notBefore: new Date(Date.now() + DAY), notAfter: new Date(Date.now() + 2 * DAY) }),
    all('not yet'),
  ],
  ['self-signed', () => issue({ selfSigned: true }), all('self-signed')],
  ['unknown authority', () => strange.issue({ names: [HOST] }), { ...all('issuer'), ca: 'D' }],
  ['behind an intermediate', () => issue({ intermediate: true }), chained('D', 'names', 'D')],
  ['intermediate missing', () => leafOnly(issue({ intermediate: true })), all('issuer')],
];

/** Each column as the connector it stands for. `ca`: verified against the strange authority and no other. */
function columns(shown: IssuedCertificate): Readonly<Record<Column, { connector: OutboundConnector; materials?: Materials }>> {
  const pin = (hash: string): Partial<OutboundTls> => ({ mode: 'verify', pins: [hash as SpkiHash] });
  return {
    encrypt: { connector: connector({ mode: 'encrypt' }) },
    trusted: { connector: connector({ mode: 'trusted' }) },
    verify: { connector: VERIFY },
    named: { connector: connector({ mode: 'verify', names: patterns('mail.partner.test', 'mx.partner.test') }) },
    wildcard: { connector: connector({ mode: 'verify', names: patterns('*.lab.test') }) },
    pinned: { connector: connector(pin(shown.spkiSha256)) },
    otherPin: { connector: connector(pin('ab'.repeat(32))) },
    ca: { connector: VERIFY, materials: { ...labMaterials(), id: 'ca', trust: { system: false, pem: [strange.caPem] } } },
  };
}

for (const [what, certificate, expected] of ROWS) {
  test(`${what}: ${Object.entries(expected)
    .map((pair) => pair.join(' '))
    .join(', ')}`, async (t) => {
    const shown = certificate();
    const receiver = await start(t, showing(shown));
    for (const [column, order] of Object.entries(columns(shown))) {
      const { deliver, fallbacks, close } = world();
      const before = { connections: receiver.eventsOf('connection').length, mails: receiver.eventsOf('mail').length };
      const result = await deliver(claim(), { ...order, receivers: [receiver] });
      const wanted = expected[column as Column];
      const sentence = sentenceOf(result);
      assert.equal(outcomeOf(result), wanted === 'D' ? 'delivered' : 'deferred 4.7.320', `${column}: ${sentence}`);
      assert.equal(receiver.eventsOf('connection').length - before.connections, 1, 'the ladder never steps for a certificate');
      assert.deepEqual(fallbacks, []);
      assert.equal(receiver.eventsOf('mail').length - before.mails, wanted === 'D' ? 1 : 0);
      if (wanted !== 'D') {
        assert.match(sentence, SENTENCE[wanted], column);
        assert.match(sentence, /^tls13\.lab\.test \[127\.0\.0\.1\] .*, and connector partner-out demands it$/);
        assert.equal(result.report.path.rung, null);
        assert.equal(result.report.path.policy?.plaintext, 'never');
      }
      close();
    }
    assert.doesNotMatch(receiver.clearText(), /MAIL|RCPT|DATA|SECRET/);
  });
}

test('a host that is not who it must be leaves the next one to try', async (t) => {
  const [wrong, right] = [await start(t, showing(issue({ names: ['mail.partner.test'] }))), await start(t)];
  const { deliver } = relay(t);
  const result = await deliver(claim(), { connector: VERIFY, receivers: [wrong, right] });
  assert.equal(outcomeOf(result), 'delivered');
  assert.equal(wrong.eventsOf('mail').length, 0);
  assert.equal(right.messages().length, 1);
});

test('a smarthost named by its address can be verified by names or pins, not without', async (t) => {
  const receiver = await start(t);
  const { deliver } = relay(t);
  const order = { receivers: [receiver], hostname: null };
  const names = connector({ mode: 'verify', names: patterns(HOST) });
  assert.equal(outcomeOf(await deliver(claim(), { ...order, connector: names })), 'delivered');
  const result = await deliver(claim(), { ...order, connector: VERIFY });
  assert.equal(outcomeOf(result), 'deferred 4.7.320');
  assert.match(sentenceOf(result), /was not tried: the connector verifies names, and the host is named by its address only/);
  assert.equal(receiver.eventsOf('connection').length, 1);
  assert.deepEqual(
    receiver.eventsOf('client-hello').map(({ serverName }) => serverName),
    [null],
  );
});

test('the name sent in SNI is the host, with DANE the TLSA base', async (t) => {
  const receiver = await start(t, showing(issue()));
  const { deliver } = relay(t);
  await deliver(claim(), { connector: VERIFY, receivers: [receiver] });
  const base = { ...usable(tlsa(issue())), tlsaBase: 'base.lab.test' as Domain };
  const order = { connector: connector({}), receivers: [receiver], gather: gathering(base) };
  assert.equal(outcomeOf(await deliver(claim(), order)), 'delivered');
  assert.deepEqual(
    receiver.eventsOf('client-hello').map(({ serverName }) => serverName),
    [HOST, 'base.lab.test'],
  );
});

const OWN = (): IssuedCertificate => strange.issue({ names: ['relay.test'], usages: ['clientAuth'] });

test('a client certificate is shown where the peer asks for one', async (t) => {
  const { cert, key } = OWN();
  const materials: Materials = { ...labMaterials(), clientCertificate: { cert, key } };
  for (const clientCertificate of ['none', 'asked', 'required'] as const) {
    const change = (same: Behaviour): Behaviour => ({ ...same, tls: { ...same.tls, clientCertificate } });
    const receiver = await start(t, { change });
    const { deliver } = relay(t);
    const result = await deliver(claim(), { connector: VERIFY, receivers: [receiver], materials });
    assert.equal(outcomeOf(result), 'delivered', sentenceOf(result));
    assert.deepEqual(
      receiver.eventsOf('client-certificate').map(({ subject }) => subject),
      clientCertificate === 'none' ? [] : ['CN=relay.test'],
    );
  }
});

test('a client certificate demanded and not to be had: TLS fails, and the demand for TLS holds', async (t) => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const change = (same: Behaviour): Behaviour => ({ ...same, tls: { ...same.tls, maxVersion } });
    const receiver = await start(t, { change }, 'client-certificate-required');
    const { deliver } = relay(t);
    const result = await deliver(claim(), { connector: connector({ mode: 'encrypt' }), receivers: [receiver] });
    assert.equal(outcomeOf(result), 'deferred 4.4.317');
    assert.match(sentenceOf(result), /broke off the TLS handshake/);
    assert.equal(receiver.eventsOf('mail').length, 0);
    const opportunistic = await deliver(claim(), { connector: connector({}), receivers: [receiver] });
    assert.equal(outcomeOf(opportunistic), 'delivered');
    assert.equal(opportunistic.report.path.rung, 'plaintext');
  }
});

const CREDENTIALS = { user: 'us\u00e9r', password: 'secret word' };
const smarthost = (tls: 'starttls' | 'implicit', auth: typeof CREDENTIALS | null = CREDENTIALS): Route =>
  ({ kind: 'smarthost', hosts: [{ kind: 'host', name: HOST as Domain, port: 25 }], balance: false, tls, auth }) as Route;
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const PLAIN = `AUTH PLAIN ${base64(`\0${CREDENTIALS.user}\0${CREDENTIALS.password}`)}`;
const LOGIN = ['AUTH LOGIN', base64(CREDENTIALS.user), base64(CREDENTIALS.password)];

/** A receiver with AUTH that offers it always, also in the clear, as careless servers do. */
const offering =
  (mechanisms: string, refuse = false) =>
  (same: Behaviour): Behaviour => ({
    ...same,
    keywords: [...same.keywords, `AUTH ${mechanisms}`],
    answers: {
      ...same.answers,
      unknown: ({ argument: line }) => {
        const challenge = LOGIN.slice(0, 2).indexOf(line);
        if (challenge >= 0) return say(challenge === 0 ? '334 VXNlcm5hbWU6' : '334 UGFzc3dvcmQ6');
        if (line !== PLAIN && line !== LOGIN[2]) return null;
        return say(refuse ? '535 5.7.8 authentication credentials invalid' : '235 2.7.0 welcome');
      },
    },
  });
const authLines = (receiver: Receiver): readonly string[] => receiver.eventsOf('unknown').map(({ line }) => line);

test('credentials are shown inside TLS, PLAIN before LOGIN, once a connection', async (t) => {
  const rows: readonly (readonly [mechanisms: string, lines: readonly string[]])[] = [
    ['PLAIN LOGIN', [PLAIN]],
    ['login plain', [PLAIN]],
    ['LOGIN', LOGIN],
    ['CRAM-MD5 LOGIN XOAUTH2', LOGIN],
  ];
  for (const [mechanisms, lines] of rows) {
    const receiver = await start(t, { change: offering(mechanisms) });
    const { deliver } = relay(t);
    const order = { connector: connector({}, { route: smarthost('starttls') }), receivers: [receiver] };
    for (let count = 0; count < 2; count += 1) {
      const result = await deliver(claim(), order);
      assert.equal(outcomeOf(result), 'delivered', sentenceOf(result));
    }
    assert.deepEqual(authLines(receiver), lines);
    assert.doesNotMatch(receiver.clearText(), /AUTH|MAIL/i);
  }
});

test('credentials refused, or no way to show them: the message waits', async (t) => {
  const rows: readonly (readonly [change: ReceiverOptions['change'], outcome: string, sentence: RegExp])[] = [
    [offering('PLAIN', true), 'deferred 4.7.8', /does not accept the user name and password this relay shows: 535 5\.7\.8/],
    [offering('LOGIN', true), 'deferred 4.7.8', /does not accept the user name and password this relay shows: 535 5\.7\.8/],
    [offering('CRAM-MD5'), 'deferred 4.3.0', /offers no way of authentication that this relay speaks \(PLAIN, LOGIN\)/],
    [(same) => same, 'deferred 4.3.0', /offers no way of authentication/],
  ];
  for (const [change, outcome, sentence] of rows) {
    const receiver = await start(t, change === undefined ? {} : { change });
    const { deliver } = relay(t);
    const result = await deliver(claim(), { connector: connector({}, { route: smarthost('starttls') }), receivers: [receiver] });
    assert.equal(outcomeOf(result), outcome);
    assert.match(sentenceOf(result), sentence);
    assert.doesNotMatch(sentenceOf(result), /secret|us\u00e9r/);
    assert.equal(receiver.eventsOf('mail').length, 0);
    assert.equal(receiver.eventsOf('connection').length, 1);
  }
});

test('credentials never travel in the clear, and never to a peer that was not judged', async (t) => {
  const rows: readonly (readonly [
    mode: OutboundTls['mode'],
    receiver: BehaviourName,
    options: ReceiverOptions,
    outcome: string,
  ])[] = [
    ['opportunistic', 'starttls-absent', {}, 'deferred 4.4.317'],
    ['opportunistic', 'starttls-454', {}, 'deferred 4.4.317'],
    ['opportunistic', 'handshake-alert', {}, 'deferred 4.4.317'],
    ['opportunistic', 'starttls-injection', {}, 'deferred 4.4.317'],
    ['opportunistic', 'self-signed', {}, 'delivered'],
    ['verify', 'wrong-name', {}, 'deferred 4.7.320'],
    ['verify', 'self-signed', {}, 'deferred 4.7.320'],
    ['trusted', 'expired-certificate', {}, 'deferred 4.7.320'],
  ];
  for (const [mode, name, options, outcome] of rows) {
    const receiver = await start(t, { ...options, change: offering('PLAIN LOGIN') }, name);
    const { deliver } = relay(t);
    const result = await deliver(claim(), {
      connector: connector({ mode }, { route: smarthost('starttls') }),
      receivers: [receiver],
    });
    assert.equal(outcomeOf(result), outcome, `${mode} ${name}`);
    assert.deepEqual(authLines(receiver), outcome === 'delivered' ? [PLAIN] : [], name);
    assert.doesNotMatch(receiver.clearText(), /AUTH|MAIL/i);
  }
});

test('a plaintext connector with credentials (check refuses it) sends neither them nor the message', async (t) => {
  const receiver = await start(t, { change: offering('PLAIN') });
  const { deliver } = relay(t);
  const order = { connector: connector({ mode: 'plaintext' }, { route: smarthost('starttls') }), receivers: [receiver] };
  assert.match(outcomeOf(await deliver(claim(), order)), /^deferred/);
  assert.equal(receiver.clearText(), '');
});

test('a transport that hands over a session in the clear where TLS is demanded is not believed', async (t) => {
  for (const mode of ['encrypt', 'trusted'] as const) {
    const receiver = await start(t, {}, 'starttls-absent');
    const relay = world({}, (sound) => ({ ...sound, open: (plan) => sound.open({ ...plan, tlsRequired: false }) }));
    t.after(() => relay.close());
    const connector = outboundConnector({ tls: outboundTls({ mode }) });
    assert.equal(outcomeOf(await relay.deliver(claim(), { connector, receivers: [receiver] })), 'deferred 4.4.317');
    assert.doesNotMatch(receiver.clearText(), /MAIL|SECRET/);
  }
});

test('implicit TLS: nothing in the clear, verified like any other, with credentials', async (t) => {
  const own = issue({ names: ['implicit-tls.lab.test'] });
  const receiver = await start(t, { ...showing(own), change: offering('PLAIN') }, 'implicit-tls');
  const { deliver } = relay(t);
  const order = { connector: connector({ mode: 'verify' }, { route: smarthost('implicit') }), receivers: [receiver] };
  const result = await deliver(claim(), order);
  assert.equal(outcomeOf(result), 'delivered', sentenceOf(result));
  assert.deepEqual(authLines(receiver), [PLAIN]);
  assert.equal(receiver.clearText(), '');
  const wrong = await deliver(claim(), { ...order, hostname: 'other.lab.test' });
  assert.equal(outcomeOf(wrong), 'deferred 4.7.320');
  assert.equal(receiver.messages().length, 1);
});

test('implicit TLS at a port that speaks in the clear: no fall to plaintext, whatever the mode', async (t) => {
  const receiver = await start(t, {}, 'starttls-absent');
  const { deliver } = relay(t);
  const result = await deliver(claim(), {
    connector: connector({}, { route: smarthost('implicit', null) }),
    receivers: [receiver],
  });
  assert.equal(outcomeOf(result), 'deferred 4.4.317');
  assert.equal(receiver.eventsOf('mail').length, 0);
});

const withRequireTls = (same: Behaviour): Behaviour => ({ ...same, keywords: [...same.keywords, 'REQUIRETLS'] });
const SECURE = { proof: { mxSecure: true } };

test('REQUIRETLS travels with the message to a host that offers it', async (t) => {
  const receiver = await start(t, { change: withRequireTls });
  const { deliver } = relay(t);
  const order = { connector: connector({}), receivers: [receiver], ...SECURE };
  assert.equal(outcomeOf(await deliver(claim({ requireTls: true }), order)), 'delivered');
  assert.equal(outcomeOf(await deliver(claim(), order)), 'delivered');
  const [demanding, plain] = receiver.eventsOf('mail');
  assert.match(demanding?.argument ?? '', / REQUIRETLS$/);
  assert.doesNotMatch(plain?.argument ?? '', /REQUIRETLS/);
  assert.equal(receiver.eventsOf('connection').length, 2, 'they do not share a connection');
});

test('REQUIRETLS: a host without it is passed over, and where none offers it the message fails', async (t) => {
  const [without, offers] = [await start(t), await start(t, { change: withRequireTls })];
  const { deliver } = relay(t);
  const message = claim({ requireTls: true });
  const order = { connector: connector({}), ...SECURE };
  assert.equal(outcomeOf(await deliver(message, { ...order, receivers: [without, offers] })), 'delivered');
  assert.equal(offers.messages().length, 1);
  const result = await deliver(message, { ...order, receivers: [without] });
  assert.equal(outcomeOf(result), 'failed 5.7.30');
  assert.match(sentenceOf(result), /does not offer REQUIRETLS, which the sender demands/);
  assert.equal(without.eventsOf('mail').length, 0);
});

test('REQUIRETLS: the host must prove its name, and TLS failures wait under their own code', async (t) => {
  const { deliver } = relay(t);
  const wrong = await start(t, { change: withRequireTls }, 'wrong-name');
  const clear = await start(t, { change: withRequireTls }, 'starttls-absent');
  const message = claim({ requireTls: true });
  const named = await deliver(message, { connector: connector({}), receivers: [wrong], ...SECURE });
  assert.equal(outcomeOf(named), 'deferred 4.7.30');
  assert.match(sentenceOf(named), /not for wrong-name\.lab\.test, and the sender demands it$/);
  const stripped = await deliver(message, { connector: connector({}), receivers: [clear], ...SECURE });
  assert.equal(outcomeOf(stripped), 'deferred 4.7.30');
  assert.match(sentenceOf(stripped), /does not offer STARTTLS, and the sender demands TLS$/);
  for (const receiver of [wrong, clear]) assert.equal(receiver.eventsOf('mail').length, 0);
});

test('REQUIRETLS without a secure way to the host fails at once, untried', async (t) => {
  const receiver = await start(t, { change: withRequireTls });
  const { deliver } = relay(t);
  const result = await deliver(claim({ requireTls: true }), { connector: connector({}), receivers: [receiver] });
  assert.equal(outcomeOf(result), 'failed 5.7.30');
  assert.match(sentenceOf(result), /was not tried: REQUIRETLS: the way to the host is secured by neither DNSSEC nor MTA-STS/);
  assert.equal(receiver.eventsOf('connection').length, 0);
});

test('test mode delivers and tells what would have been blocked', async (t) => {
  const rows: readonly (readonly [tls: Partial<OutboundTls>, receiver: BehaviourName, told: RegExp | null])[] = [
    [{ mode: 'verify' }, 'tls13', null],
    [{ mode: 'verify' }, 'wrong-name', /showed a certificate for elsewhere\.example, not for wrong-name\.lab\.test/],
    [{ mode: 'trusted' }, 'expired-certificate', /has expired/],
    [{ mode: 'encrypt' }, 'starttls-absent', /gave no TLS/],
    [{ mode: 'encrypt' }, 'self-signed', null],
    [{ mode: 'dane' }, 'tls13', /demands DANE, and the host has no usable TLSA record/],
    [{ mode: 'plaintext' }, 'tls13', null],
    [{ mode: 'opportunistic' }, 'starttls-absent', null],
  ];
  for (const [tls, name, told] of rows) {
    const receiver = await start(t, {}, name);
    const { deliver } = relay(t);
    const order = { connector: connector(tls, { testMode: true }), receivers: [receiver] };
    for (const pass of ['a new connection', 'a kept one']) {
      const result = await deliver(claim(), order);
      assert.equal(outcomeOf(result), 'delivered', `${name}: ${sentenceOf(result)}`);
      if (told === null) assert.equal(result.report.path.wouldBlock, null, `${name}, ${pass}`);
      else assert.match(result.report.path.wouldBlock ?? 'nothing', told, `${name}, ${pass}`);
    }
    assert.equal(receiver.eventsOf('connection').length, 1);
  }
});

const tlsa = ({ spkiSha256 }: IssuedCertificate): TlsaRecord => ({ usage: 3, selector: 1, matchingType: 1, data: spkiSha256 });
function usable(...records: readonly TlsaRecord[]): Extract<DaneStatus, { kind: 'usable' }> {
  assert.ok(isNonEmpty(records));
  return { kind: 'usable', tlsaBase: HOST as Domain, records, names: [HOST as Domain] };
}
const gathering = (dane: DaneStatus) => (): HostSecurity => ({ ...NO_SECURITY, dane });
const OTHER = (): TlsaRecord => ({ ...tlsa(issue()), data: 'ab'.repeat(32) });

test('DANE: a key that matches needs no authority, name or date', async (t) => {
  const shown = strange.issue({ names: ['elsewhere.test'], notBefore: new Date(0), notAfter: new Date(DAY) });
  const receiver = await start(t, showing(shown));
  const { deliver } = relay(t);
  const order = { connector: connector({}), receivers: [receiver], gather: gathering(usable(OTHER(), tlsa(shown))) };
  const result = await deliver(claim(), order);
  assert.equal(outcomeOf(result), 'delivered', sentenceOf(result));
  assert.equal(result.report.path.policy?.plaintext, 'never');
  const both = await deliver(claim(), { ...order, connector: VERIFY });
  assert.equal(outcomeOf(both), 'deferred 4.7.320', 'a connector that verifies still does');
});

test('DANE: a host whose key does not match is passed over for the next', async (t) => {
  const [first, second] = [await start(t), await start(t, showing(issue({ names: ['second.lab.test'] })))];
  const { deliver } = relay(t);
  const records = gathering(usable(tlsa(issue({ names: ['second.lab.test'] }))));
  const result = await deliver(claim(), { connector: connector({}), receivers: [first, second], gather: records });
  assert.equal(outcomeOf(result), 'delivered');
  assert.equal(first.eventsOf('mail').length, 0);
  assert.equal(first.eventsOf('connection').length, 1);
  const alone = await deliver(claim(), { connector: connector({}), receivers: [first], gather: records });
  assert.equal(outcomeOf(alone), 'deferred 4.7.323');
  assert.match(
    sentenceOf(alone),
    /matches none of its TLSA records, and DANE \(the TLSA records of tls13\.lab\.test\) demands it$/,
  );
});

test('DANE: codes for what is missing', async (t) => {
  const { caPem } = labAuthority();
  const anchor = {
    usage: 2,
    selector: 0,
    matchingType: 0,
    data: Buffer.from(caPem.replace(/-----[^-]+-----/g, ''), 'base64').toString('hex'),
  };
  const expired = issue({ notBefore: new Date(0), notAfter: new Date(DAY) });
  const rows: readonly (readonly [dane: DaneStatus, name: BehaviourName, options: ReceiverOptions, outcome: string])[] = [
    [usable(anchor), 'tls13', {}, 'delivered'],
    [usable(anchor), 'tls13', showing(expired), 'deferred 4.7.322'],
    [usable(anchor), 'wrong-name', {}, 'deferred 4.7.325'],
    [usable(OTHER()), 'tls13', {}, 'deferred 4.7.323'],
    [usable(OTHER()), 'starttls-absent', {}, 'deferred 4.7.321'],
    [usable(OTHER()), 'handshake-alert', {}, 'deferred 4.7.321'],
    [{ kind: 'unusable', tlsaBase: HOST as Domain }, 'self-signed', {}, 'delivered'],
    [{ kind: 'unusable', tlsaBase: HOST as Domain }, 'wrong-name', {}, 'delivered'],
    [{ kind: 'unusable', tlsaBase: HOST as Domain }, 'starttls-absent', {}, 'deferred 4.7.321'],
    [
      { kind: 'undetermined', problem: 'bogus', text: 'the TLSA records fail DNSSEC validation' },
      'tls13',
      {},
      'deferred 4.7.324',
    ],
  ];
  for (const [dane, name, options, outcome] of rows) {
    const receiver = await start(t, options, name);
    const { deliver } = relay(t);
    const result = await deliver(claim(), { connector: connector({}), receivers: [receiver], gather: gathering(dane) });
    assert.equal(outcomeOf(result), outcome, `${dane.kind} ${name}: ${sentenceOf(result)}`);
    assert.doesNotMatch(receiver.clearText(), /MAIL/);
    if (dane.kind === 'undetermined') assert.equal(receiver.eventsOf('connection').length, 0);
  }
});

test('MTA-STS: the host proves its name, and one that is not in the policy is not tried', async (t) => {
  const policy = (mx: string): HostSecurity => ({
    ...NO_SECURITY,
    mtaSts: {
      kind: 'policy',
      domain: 'lab.test' as Domain,
      id: '1',
      mode: 'enforce',
      mx: patterns(mx),
      maxAgeSeconds: 1,
      ends: 0 as never,
      problem: null,
    },
  });
  const rows: readonly (readonly [mx: string, name: BehaviourName, outcome: string, connections: number])[] = [
    ['*.lab.test', 'tls13', 'delivered', 1],
    ['*.lab.test', 'wrong-name', 'deferred 4.7.5', 1],
    ['*.lab.test', 'self-signed', 'deferred 4.7.5', 1],
    ['*.lab.test', 'starttls-absent', 'deferred 4.4.317', 1],
    ['mx.lab.test', 'tls13', 'deferred 4.4.8', 0],
  ];
  for (const [mx, name, outcome, connections] of rows) {
    const receiver = await start(t, {}, name);
    const { deliver } = relay(t);
    const result = await deliver(claim(), { connector: connector({}), receivers: [receiver], gather: () => policy(mx) });
    assert.equal(outcomeOf(result), outcome, sentenceOf(result));
    assert.equal(receiver.eventsOf('connection').length, connections);
    if (outcome !== 'delivered') assert.equal(receiver.eventsOf('mail').length, 0);
  }
});
