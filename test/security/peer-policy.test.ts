/**
 * Who a peer is: every certificate against every kind of demand, as it comes out of a real handshake (in memory) with real
 * certificates. `presentedPeer` reads what the judgement is made on, so both are on trial.
 */
import { strict as assert } from 'node:assert';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import { before, describe, test } from 'node:test';
import { connect, createSecureContext, TLSSocket } from 'node:tls';
import type { Domain } from '../../src/domain/address.ts';
import { type Instant, isNonEmpty, type NonEmpty } from '../../src/domain/basics.ts';
import {
  type IdentityFailure,
  type NamePattern,
  namePatternText,
  type PeerRequirement,
  parseNamePattern,
  type SpkiHash,
  type TlsaRecord,
} from '../../src/domain/peer.ts';
import { dnsNames } from '../../src/security/certificate-names-format.ts';
import { judgePeer, type PresentedPeer } from '../../src/security/peer-policy.ts';
import { usableRecords } from '../../src/security/tlsa-policy.ts';
import { presentedPeer } from '../../src/transport/nodemailer-peer.ts';
import {
  type CertificateRequest,
  createAuthority,
  issueUnder,
  type KeyedCertificate,
  subordinate,
} from '../support/certificates.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();

const DAY = 86_400_000;
const now = Date.now() as Instant;
const trusted = createAuthority('trusted');
const strange = createAuthority('strange');
const HOST = 'mx.contoso.com';
const EXPIRED = { notBefore: new Date(now - 3 * DAY), notAfter: new Date(now - DAY) };
const FUTURE = { notBefore: new Date(now + DAY), notAfter: new Date(now + 3 * DAY) };

const parts = (pem: string): readonly string[] => pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/g) ?? [];
const certificates = (pem: string): readonly X509Certificate[] => parts(pem).map((one) => new X509Certificate(one));
const issue = (change: Partial<CertificateRequest> = {}): KeyedCertificate => trusted.issue({ names: [HOST], ...change });

/** What the client side of a handshake with this server comes to know. */
async function handshake({ cert, key }: KeyedCertificate, caPem: string = trusted.caPem): Promise<PresentedPeer> {
  const [near, far] = duplexPair();
  const server = new TLSSocket(far, { isServer: true, secureContext: createSecureContext({ cert, key }) });
  server.on('error', () => {});
  const client = connect({
    socket: near,
    secureContext: createSecureContext({ ca: [caPem] }),
    servername: HOST,
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
  await once(client, 'secureConnect');
  const peer = presentedPeer(client, false);
  client.destroy();
  server.destroy();
  return peer;
}

const patterns = (names: readonly string[]): NonEmpty<NamePattern> => {
  const parsed = names.map(parseNamePattern).filter((pattern) => pattern !== null);
  assert.ok(isNonEmpty(parsed) && parsed.length === names.length);
  return parsed;
};
const TRUSTED: PeerRequirement = { kind: 'trusted' };
const named = (...names: readonly string[]): PeerRequirement => ({ kind: 'name', names: patterns(names) });
const pinned = (...keys: NonEmpty<string>): PeerRequirement => ({ kind: 'pin', keys: keys as unknown as NonEmpty<SpkiHash> });
const spki = (certificate: X509Certificate): Buffer => certificate.publicKey.export({ type: 'spki', format: 'der' });
const pinOf = ({ cert }: KeyedCertificate): string => digest('sha256', spki(new X509Certificate(cert)));
const digest = (algorithm: string, octets: Uint8Array): string => createHash(algorithm).update(octets).digest('hex');

const failureText = (failure: IdentityFailure | null): string =>
  failure === null ? 'fits' : failure.kind === 'untrusted' ? failure.reason : failure.kind;

/** Verdicts: mode trusted, the host's name, the right pin (chain and dates do not count), a name and a wrong pin. */
type Row = readonly [what: string, server: () => KeyedCertificate, trusted: string, name: string, pin: string];
const LEAF_OF = (issued: KeyedCertificate): KeyedCertificate => ({ cert: parts(issued.cert)[0] ?? '', key: issued.key });
const rows: readonly Row[] = [
  ['right name', () => issue(), 'fits', 'fits', 'fits'],
  ['right name among others', () => issue({ names: ['a.test', HOST] }), 'fits', 'fits', 'fits'],
  ['wrong name', () => issue({ names: ['mx.fabrikam.com'] }), 'fits', 'name-mismatch', 'fits'],
  ['a name that begins alike', () => issue({ names: [`${HOST}.evil.test`] }), 'fits', 'name-mismatch', 'fits'],
  ['a name that ends alike', () => issue({ names: [`evil${HOST}`] }), 'fits', 'name-mismatch', 'fits'],
  ['wildcard, one label', () => issue({ names: ['*.contoso.com'] }), 'fits', 'fits', 'fits'],
  ['wildcard, two labels', () => issue({ names: ['*.com'] }), 'fits', 'name-mismatch', 'fits'],
  ['wildcard of everything', () => issue({ names: ['*'] }), 'fits', 'name-mismatch', 'fits'],
  ['wildcard below the host', () => issue({ names: [`*.${HOST}`] }), 'fits', 'name-mismatch', 'fits'],
  ['partial wildcard', () => issue({ names: ['m*.contoso.com'] }), 'fits', 'name-mismatch', 'fits'],
  ['wildcard further right', () => issue({ names: ['mx.*.com'] }), 'fits', 'name-mismatch', 'fits'],
  ['common name only', () => issue({ names: [], commonName: HOST }), 'fits', 'name-mismatch', 'fits'],
  [
    'common name right, alternative name wrong',
    () => issue({ names: ['a.test'], commonName: HOST }),
    'fits',
    'name-mismatch',
    'fits',
  ],
  ['an IP address', () => issue({ names: ['192.0.2.1'], commonName: HOST }), 'fits', 'name-mismatch', 'fits'],
  ['expired', () => issue(EXPIRED), 'expired', 'expired', 'fits'],
  ['not yet valid', () => issue(FUTURE), 'not-yet-valid', 'not-yet-valid', 'fits'],
  ['self-signed', () => issue({ selfSigned: true }), 'self-signed', 'self-signed', 'fits'],
  ['unknown authority', () => strange.issue({ names: [HOST] }), 'unknown-issuer', 'unknown-issuer', 'fits'],
  ['behind an intermediate', () => issue({ intermediate: true }), 'fits', 'fits', 'fits'],
  ['intermediate missing', () => LEAF_OF(issue({ intermediate: true })), 'unknown-issuer', 'unknown-issuer', 'fits'],
  [
    'unknown authority that sends its root',
    () => withRoot(strange.issue({ names: [HOST] })),
    'unknown-issuer',
    'unknown-issuer',
    'fits',
  ],
  ['for clients only', () => issue({ usages: ['clientAuth'] }), 'wrong-purpose', 'wrong-purpose', 'fits'],
  ['issued by another leaf', () => issueUnder(issue(), { names: [HOST] }), 'unknown-issuer', 'unknown-issuer', 'fits'],
];
const withRoot = ({ cert, key }: KeyedCertificate): KeyedCertificate => ({ cert: cert + strange.caPem, key });

describe('certificates', () => {
  for (const [what, server, chain, name, pin] of rows) {
    test(`${what}: trusted ${chain}, name ${name}, pin ${pin}`, async () => {
      const issued = server();
      const peer = await handshake(issued);
      const judge = (...demands: readonly PeerRequirement[]): string => failureText(judgePeer(demands, peer, now));
      assert.equal(judge(), 'fits', 'nothing is demanded');
      assert.equal(judge(TRUSTED), chain);
      assert.equal(judge(named(HOST)), name);
      assert.equal(judge(pinned(pinOf(issued))), pin);
      assert.equal(judge(pinned('ab'.repeat(32))), 'pin-mismatch');
      assert.equal(judge(pinned('ab'.repeat(32), pinOf(issued))), pin, 'any of the pins');
      assert.equal(judge(pinned(pinOf(issued)), named(HOST)), name, 'all must hold');
      assert.equal(judge(named(HOST), pinned('ab'.repeat(32))), name === 'fits' ? 'pin-mismatch' : name);
    });
  }
});

describe('which names satisfy which patterns', () => {
  const cases: readonly (readonly [presented: readonly string[], wanted: readonly string[], fits: boolean])[] = [
    [['mail.contoso.com'], ['*.contoso.com'], true],
    [['contoso.com'], ['*.contoso.com'], false],
    [['a.mail.contoso.com'], ['*.contoso.com'], false],
    [['mail.contoso.com.evil.test'], ['*.contoso.com'], false],
    [['mailcontoso.com'], ['*.contoso.com'], false],
    [['*.contoso.com'], ['*.contoso.com'], true],
    [['*.contoso.com'], ['*.fabrikam.com'], false],
    [['*.contoso.com'], ['mail.contoso.com'], true],
    [['*.contoso.com'], ['a.mail.contoso.com'], false],
    [['*.mail.contoso.com'], ['*.contoso.com'], false],
    [['*.contoso.com'], ['contoso.com'], false],
    [['b.test'], ['a.test', 'b.test'], true],
    [['MAIL.Contoso.COM'], ['mail.contoso.com'], true],
    [['xn--bcher-kva.test'], ['b\u00fccher.test'], true],
    [['*.xn--bcher-kva.test'], ['mx.b\u00fccher.test'], true],
    [['mail.contoso.com.'], ['mail.contoso.com'], true],
    [['_mx.contoso.com'], ['_mx.contoso.com'], true],
  ];
  for (const [presented, wanted, fits] of cases) {
    test(`${presented.join()} for ${wanted.join(' or ')}: ${fits ? 'yes' : 'no'}`, async () => {
      const peer = await handshake(issue({ names: presented, commonName: 'x' }));
      assert.equal(judgePeer([named(...wanted)], peer, now) === null, fits);
    });
  }
});

describe('alternative names that try to be others (CVE-2021-44531, CVE-2021-44532)', () => {
  const der = (tag: number, content: Buffer): Buffer => {
    assert.ok(content.length < 128);
    return Buffer.concat([Buffer.from([tag, content.length]), content]);
  };
  const DNS = 0x82;
  const MAIL = 0x81;
  const URI = 0x86;
  const entry = (tag: number, text: string): Buffer => der(tag, Buffer.from(text, 'latin1'));
  const cases: readonly (readonly [what: string, entries: readonly Buffer[], names: readonly string[]])[] = [
    ['a comma and another name', [entry(DNS, `x.test, DNS:${HOST}`)], []],
    ['a quote, a comma and another name', [entry(DNS, `x.test", DNS:${HOST}`)], []],
    ['quotes around', [entry(DNS, `"x.test", DNS:${HOST}, DNS:"y`)], []],
    ['a backslash', [entry(DNS, `x.test\\", DNS:${HOST}`)], []],
    ['NUL after the name', [entry(DNS, `${HOST}\0.evil.test`)], []],
    ['NUL before another', [entry(DNS, `x.test\0, DNS:${HOST}`)], []],
    ['line break', [entry(DNS, `x.test\r\nDNS:${HOST}`)], []],
    ['a mail address', [entry(MAIL, `a@x.test, DNS:${HOST}`)], []],
    ['a link', [entry(URI, `http://x.test/", DNS:${HOST}`)], []],
    ['a link with a name as its path', [entry(URI, `x, DNS:${HOST}`)], []],
    ['U-labels in Latin-1', [entry(DNS, 'b\u00fccher.test')], []],
    ['spaces around', [entry(DNS, ` ${HOST} `)], []],
    ['two dots', [entry(DNS, 'mx..contoso.com')], []],
    ['a leading dot', [entry(DNS, '.contoso.com')], []],
    ['nothing', [entry(DNS, '')], []],
    ['a good one behind a bad one', [entry(DNS, 'x", DNS:y.test'), entry(DNS, HOST)], [HOST]],
    ['a good one before a bad one', [entry(DNS, HOST), entry(DNS, 'x, DNS:y.test')], [HOST]],
  ];
  for (const [what, entries, names] of cases) {
    test(`${what} -> ${names.join() || 'no name'}`, async () => {
      const alternatives = der(0x30, Buffer.concat(entries)).toString('hex');
      const cut = parts(subordinate(trusted.root, 'tricky', [`subjectAltName=DER:${alternatives}`]).cert)[0] ?? '';
      assert.deepEqual(dnsNames(new X509Certificate(cut)).map(namePatternText), names);
    });
  }
});

describe('a peer without a certificate', () => {
  const none: PresentedPeer = { chain: [], verdict: { kind: 'trusted' }, offersRequireTls: true };
  const dane: PeerRequirement = { kind: 'dane', records: [record('3 1 1', '00')], names: [HOST as Domain] };
  for (const demand of [TRUSTED, named(HOST), pinned('ab'.repeat(32)), dane]) {
    test(`fails ${demand.kind}, whatever OpenSSL said`, () =>
      assert.deepEqual(judgePeer([demand], none, now), { kind: 'untrusted', reason: 'no-certificate' }));
  }
});

test('REQUIRETLS must be offered', () => {
  const peer: PresentedPeer = { chain: [], verdict: { kind: 'untrusted', reason: 'self-signed' }, offersRequireTls: true };
  assert.equal(judgePeer([{ kind: 'offers-requiretls' }], peer, now), null);
  const without = { ...peer, offersRequireTls: false };
  assert.deepEqual(judgePeer([{ kind: 'offers-requiretls' }], without, now), { kind: 'no-requiretls' });
});

test('a mismatch says what was wanted and what was shown, at most twenty names', async () => {
  const names = Array.from({ length: 30 }, (_, at) => `n${at}.test`);
  const failure = judgePeer([named(HOST, '*.fabrikam.com')], await handshake(issue({ names })), now);
  assert.ok(failure?.kind === 'name-mismatch');
  assert.deepEqual(failure.wanted, [HOST, '*.fabrikam.com']);
  assert.deepEqual(failure.presented, names.slice(0, 20));
});

function record(kind: string, data: string): TlsaRecord {
  const [usage = 0, selector = 0, matchingType = 0] = kind.split(' ').map(Number);
  return { usage, selector, matchingType, data };
}
/** The record of that kind for a certificate. */
function tlsa(kind: string, certificate: X509Certificate): TlsaRecord {
  const [, selector, matchingType] = kind.split(' ').map(Number);
  const content = selector === 0 ? certificate.raw : spki(certificate);
  return record(kind, matchingType === 0 ? content.toString('hex') : digest(matchingType === 1 ? 'sha256' : 'sha512', content));
}

describe('DANE', () => {
  const root = new X509Certificate(trusted.caPem);
  const strangeRoot = new X509Certificate(strange.caPem);
  const sent = { leaf: issue({ intermediate: true }), chained: issue({ intermediate: true }) };
  const leafOf = (issued: KeyedCertificate): X509Certificate => new X509Certificate(issued.cert);
  const between = certificates(sent.leaf.cert)[1] ?? root;
  const judge = async (issued: KeyedCertificate, records: readonly TlsaRecord[], name = HOST): Promise<string> => {
    // Whatever the test publishes must be usable, or it would prove nothing.
    const usable = usableRecords(records);
    assert.ok(isNonEmpty(usable) && usable.length === records.length);
    const demand = { kind: 'dane', records: usable, names: [name as Domain, 'contoso.com' as Domain] } as const;
    return failureText(judgePeer([demand], await handshake(issued), now));
  };
  const EE = ['3 1 1', '3 0 1', '3 1 2', '3 0 2', '3 0 0', '3 1 0'] as const;
  const TA = ['2 0 1', '2 1 1', '2 0 2', '2 1 2', '2 0 0', '2 1 0'] as const;
  const plus = (issued: KeyedCertificate, pem: string): KeyedCertificate => ({ cert: issued.cert + pem, key: issued.key });

  for (const kind of EE) {
    test(`${kind} matches the leaf and nothing else`, async () => {
      const issued = issue();
      assert.equal(await judge(issued, [tlsa(kind, leafOf(issued))]), 'fits');
      assert.equal(await judge(issued, [tlsa(kind, leafOf(issue({ names: ['other.test'] })))]), 'dane-mismatch');
      assert.equal(
        await judge(plus(issued, trusted.caPem), [tlsa(kind, root)]),
        'dane-mismatch',
        'an authority is no end entity',
      );
    });
    test(`${kind} asks for neither name, date, issuer nor usage`, async () => {
      const odd = [
        issue({ names: ['elsewhere.test'] }),
        issue({ names: [], commonName: 'nobody' }),
        issue(EXPIRED),
        issue(FUTURE),
        issue({ selfSigned: true }),
        strange.issue({ names: [HOST] }),
        issue({ usages: ['clientAuth'] }),
      ];
      for (const issued of odd) assert.equal(await judge(issued, [tlsa(kind, leafOf(issued))]), 'fits');
    });
  }

  for (const kind of TA) {
    test(`${kind}: the anchor is sent along`, async () => {
      assert.equal(await judge(plus(issue(), trusted.caPem), [tlsa(kind, root)]), 'fits');
      assert.equal(await judge(plus(sent.leaf, trusted.caPem), [tlsa(kind, root)]), 'fits', 'behind an intermediate');
      assert.equal(await judge(sent.leaf, [tlsa(kind, between)]), 'fits', 'the intermediate is the anchor');
    });
    test(`${kind}: the anchor is not sent; only a record that holds it whole helps`, async () => {
      const whole = kind.endsWith('0') ? 'fits' : 'dane-mismatch';
      assert.equal(await judge(issue(), [tlsa(kind, root)]), whole);
      assert.equal(await judge(sent.leaf, [tlsa(kind, root)]), whole, 'behind an intermediate');
      assert.equal(await judge(LEAF_OF(sent.leaf), [tlsa(kind, root)]), 'dane-mismatch', 'the intermediate is missing');
    });
    test(`${kind}: another anchor, or one that did not sign`, async () => {
      assert.equal(await judge(plus(issue(), strange.caPem), [tlsa(kind, strangeRoot)]), 'dane-mismatch');
      assert.equal(await judge(issue({ keyType: 'rsa', selfSigned: true }), [tlsa(kind, root)]), 'dane-mismatch');
    });
    test(`${kind}: names and dates count`, async () => {
      const at = (change: Partial<CertificateRequest>): Promise<string> =>
        judge(plus(issue(change), trusted.caPem), [tlsa(kind, root)]);
      assert.equal(await at({ names: ['elsewhere.test'] }), 'dane-name-mismatch');
      assert.equal(await at({ names: [], commonName: HOST }), 'dane-name-mismatch');
      assert.equal(await at({ names: ['contoso.com'] }), 'fits', 'the domain whose mail it is (RFC 7672, section 3.2.2)');
      assert.equal(await at({ names: ['*.contoso.com'] }), 'fits');
      assert.equal(await at(EXPIRED), 'dane-expired');
      assert.equal(await at(FUTURE), 'not-yet-valid');
      assert.equal(await at({ usages: ['clientAuth'] }), 'wrong-purpose');
    });
  }

  test('a DANE-TA record that names the leaf itself: names and dates still count', async () => {
    const at = (change: Partial<CertificateRequest>): Promise<string> => {
      const issued = issue({ selfSigned: true, ...change });
      return judge(issued, [tlsa('2 1 1', leafOf(issued))]);
    };
    assert.equal(await at({}), 'fits');
    assert.equal(await at({ names: ['elsewhere.test'] }), 'dane-name-mismatch');
    assert.equal(await at(EXPIRED), 'dane-expired');
  });

  describe('DANE-TA and forged chains', () => {
    const fake = (extensions: readonly string[]): KeyedCertificate => subordinate(trusted.root, 'fake', extensions);
    const chain = (issuer: KeyedCertificate): KeyedCertificate => {
      const leaf = issueUnder(issuer, { names: [HOST] });
      return { cert: leaf.cert + issuer.cert + trusted.caPem, key: leaf.key };
    };
    const forged = (): KeyedCertificate => {
      const pretender = subordinate(strange.root, 'trusted Root', ['basicConstraints=critical,CA:TRUE']);
      return plus(issueUnder(pretender, { names: [HOST] }), trusted.caPem);
    };
    const cases: readonly (readonly [what: string, chain: () => KeyedCertificate, verdict: string])[] = [
      [
        'an intermediate that is an authority',
        () => chain(fake(['basicConstraints=critical,CA:TRUE', 'keyUsage=keyCertSign'])),
        'fits',
      ],
      ['an issuer that is no authority', () => chain(fake(['basicConstraints=critical,CA:FALSE'])), 'other'],
      ['an issuer without constraints', () => chain(fake(['subjectKeyIdentifier=hash'])), 'other'],
      ['an ordinary leaf as issuer', () => chain(issue()), 'dane-mismatch'],
      [
        'an issuer that must not sign certificates',
        () => chain(fake(['basicConstraints=critical,CA:TRUE', 'keyUsage=digitalSignature'])),
        'dane-mismatch',
      ],
      ['one that names the anchor as issuer, but is not signed by it', forged, 'dane-mismatch'],
    ];
    for (const [what, made, verdict] of cases) {
      test(`${what} -> ${verdict}`, async () => assert.equal(await judge(made(), [tlsa('2 1 1', root)]), verdict));
    }
    test('a broken signature -> dane-mismatch', () => {
      const good = leafOf(issue());
      const raw = Buffer.from(good.raw);
      raw[raw.length - 1] = (raw[raw.length - 1] ?? 0) ^ 1;
      const demand = { kind: 'dane', records: [tlsa('2 1 1', root)], names: [HOST as Domain] } as const;
      const peer = (leaf: X509Certificate): PresentedPeer => ({
        chain: [leaf, root],
        verdict: { kind: 'untrusted', reason: 'other' },
        offersRequireTls: false,
      });
      assert.equal(judgePeer([demand], peer(good), now), null);
      assert.deepEqual(judgePeer([demand], peer(new X509Certificate(raw)), now), { kind: 'dane-mismatch' });
    });
    test('eleven certificates: the anchor at the end is not looked for', () => {
      const leaf = leafOf(issue());
      const filler = Array.from({ length: 9 }, () => leafOf(issue({ names: ['filler.test'] })));
      const demand = { kind: 'dane', records: [tlsa('2 1 1', root)], names: [HOST as Domain] } as const;
      const peer: PresentedPeer = { chain: [leaf, ...filler, root], verdict: { kind: 'trusted' }, offersRequireTls: false };
      assert.deepEqual(judgePeer([demand], peer, now), { kind: 'dane-mismatch' });
    });
  });

  describe('several records', () => {
    let next: KeyedCertificate;
    before(() => {
      next = issue({ names: ['next.test'] });
    });
    test('rollover: the old and the new key, in any order', async () => {
      const current = issue();
      const both = [tlsa('3 1 1', leafOf(next)), tlsa('3 1 1', leafOf(current))];
      assert.equal(await judge(current, both), 'fits');
      assert.equal(await judge(next, both.toReversed()), 'fits');
    });
    test('DANE-EE beside DANE-TA: either will do', async () => {
      const current = issue({ names: ['elsewhere.test'] });
      assert.equal(await judge(current, [tlsa('2 1 1', root), tlsa('3 1 1', leafOf(current))]), 'fits');
      const other = plus(issue(), trusted.caPem);
      assert.equal(await judge(other, [tlsa('2 1 1', root), tlsa('3 1 1', leafOf(current))]), 'fits');
    });
    test('none matches, one nearly: what is to be mended is told', async () => {
      const expired = plus(issue(EXPIRED), trusted.caPem);
      assert.equal(await judge(expired, [tlsa('3 1 1', leafOf(next)), tlsa('2 1 1', root)]), 'dane-expired');
    });
    test('an expired certificate is told with its date', async () => {
      const demand = { kind: 'dane', records: [tlsa('2 0 0', root)], names: [HOST as Domain] } as const;
      const failure = judgePeer([demand], await handshake(issue(EXPIRED)), now);
      assert.deepEqual(failure, { kind: 'dane-expired', notAfter: Math.floor((now - DAY) / 1000) * 1000 });
    });
  });
});
