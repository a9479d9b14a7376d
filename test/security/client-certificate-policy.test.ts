/**
 * What client certificates prove: OpenSSL's word on an ordinary one, our own on one for servers only, nothing from a resumed session.
 */
import { strict as assert } from 'node:assert';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import type { Instant } from '../../src/domain/basics.ts';
import { namePatternText, parseNamePattern, type UntrustedReason } from '../../src/domain/peer.ts';
import { judgeClientCertificate, provenName } from '../../src/security/client-certificate-policy.ts';
import { judgeServerChain, trustAnchors } from '../../src/security/server-chain-policy.ts';
import {
  type CertificateRequest,
  createAuthority,
  type IssuedCertificate,
  issueUnder,
  subordinate,
} from '../support/certificates.ts';

const DAY = 86_400_000;
const now = Date.now() as Instant;
const ours = createAuthority('trusted');
const other = createAuthority('strange');
const anchors = trustAnchors([new X509Certificate(ours.caPem)]);
const SERVER: CertificateRequest = { names: ['mail.contoso.com'], usages: ['serverAuth'] };

const parts = (pem: string): readonly X509Certificate[] =>
  (pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map((one) => new X509Certificate(one));
const server = (given: Partial<CertificateRequest> = {}): IssuedCertificate => ours.issue({ ...SERVER, ...given });
const chainOf = (issued: IssuedCertificate): readonly X509Certificate[] => parts(issued.cert);

const rows: readonly (readonly [what: string, chain: readonly X509Certificate[], UntrustedReason | null])[] = [
  ['issued by an anchor', chainOf(server()), null],
  ['without any usage', chainOf(server({ usages: [] })), null],
  ['behind an intermediate', chainOf(server({ intermediate: true })), null],
  ['behind an intermediate, the root sent along', [...chainOf(server({ intermediate: true })), ...parts(ours.caPem)], null],
  [
    'in another order',
    [
      ...chainOf(server({ intermediate: true })).slice(0, 1),
      ...parts(ours.caPem),
      ...chainOf(server({ intermediate: true })).slice(1),
    ],
    null,
  ],
  ['intermediate missing', chainOf(server({ intermediate: true })).slice(0, 1), 'unknown-issuer'],
  ['expired', chainOf(server({ notBefore: new Date(now - 3 * DAY), notAfter: new Date(now - DAY) })), 'expired'],
  ['not yet valid', chainOf(server({ notBefore: new Date(now + DAY), notAfter: new Date(now + 3 * DAY) })), 'not-yet-valid'],
  ['self-signed', chainOf(server({ selfSigned: true })), 'self-signed'],
  ['from an unknown authority', chainOf(other.issue(SERVER)), 'unknown-issuer'],
  [
    'from an unknown authority that sends its root',
    [...chainOf(other.issue({ ...SERVER, intermediate: true })), ...parts(other.caPem)],
    'unknown-issuer',
  ],
  ['for clients and nothing else', chainOf(server({ usages: ['clientAuth'] })), 'wrong-purpose'],
  ['none', [], 'no-certificate'],
];
for (const [what, chain, want] of rows) {
  test(`a chain for servers: ${what} -> ${want ?? 'trusted'}`, () =>
    assert.equal(judgeServerChain({ chain, anchors, now }), want));
}

test('a leaf that is itself an anchor is trusted', () => {
  const self = server({ selfSigned: true });
  assert.equal(judgeServerChain({ chain: chainOf(self), anchors: trustAnchors(chainOf(self)), now }), null);
});

test('a leaf is no authority: what it signs is not trusted', () => {
  const leaf = ours.issue({ names: ['evil.test'] });
  const forged = issueUnder(leaf, { names: ['mail.contoso.com'] });
  assert.notEqual(judgeServerChain({ chain: [...parts(forged.cert), ...chainOf(leaf)], anchors, now }), null);
});

for (const [what, extensions] of [
  ['name constraints', ['basicConstraints=critical,CA:TRUE', 'nameConstraints=critical,permitted;DNS:evil.test']],
  ['name constraints that are not critical', ['basicConstraints=critical,CA:TRUE', 'nameConstraints=permitted;DNS:evil.test']],
  ['an unknown critical extension', ['basicConstraints=critical,CA:TRUE', '1.2.3.4=critical,ASN1:NULL']],
  ['usages without serverAuth', ['basicConstraints=critical,CA:TRUE', 'extendedKeyUsage=emailProtection']],
  ['no keyCertSign', ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,digitalSignature']],
  ['no basic constraints', ['keyUsage=critical,keyCertSign']],
] as const) {
  test(`an intermediate with ${what} leads nowhere`, () => {
    const between = subordinate(ours.root, 'Between', extensions);
    const leaf = issueUnder(between, { names: ['mail.contoso.com'] });
    assert.notEqual(judgeServerChain({ chain: parts(leaf.cert + between.cert), anchors, now }), null);
  });
}

test('a path length of zero allows no authority below', () => {
  const first = subordinate(ours.root, 'First', ['basicConstraints=critical,CA:TRUE,pathlen:0']);
  const leaf = issueUnder(first, { names: ['mail.contoso.com'] });
  assert.equal(judgeServerChain({ chain: parts(leaf.cert + first.cert), anchors, now }), null);
  const second = subordinate(first, 'Second', ['basicConstraints=critical,CA:TRUE']);
  const below = issueUnder(second, { names: ['mail.contoso.com'] });
  assert.equal(judgeServerChain({ chain: parts(below.cert + second.cert + first.cert), anchors, now }), 'other');
});

const shown = (issued: IssuedCertificate, verdict: string | null, resumed = false) =>
  judgeClientCertificate({ chain: chainOf(issued), verdict, resumed }, () => anchors, now);

test('what OpenSSL trusts is verified, whatever OpenSSL refuses is not, a resumed session shows nothing', () => {
  const good = ours.issue({ names: ['mail.contoso.com'], usages: ['clientAuth'] });
  assert.deepEqual(shown(good, null), { kind: 'verified', names: [parseNamePattern('mail.contoso.com')], usage: 'client' });
  assert.deepEqual(shown(good, null, true), { kind: 'none' });
  assert.deepEqual(shown(good, 'CERT_HAS_EXPIRED'), { kind: 'untrusted', reason: 'expired' });
  assert.deepEqual(shown(good, 'SOMETHING_NEW'), { kind: 'untrusted', reason: 'other' });
  assert.deepEqual(
    judgeClientCertificate({ chain: [], verdict: null, resumed: false }, () => anchors, now),
    { kind: 'none' },
  );
});

test('INVALID_PURPOSE hides an unknown issuer from OpenSSL, not from us', () => {
  assert.deepEqual(shown(server({ selfSigned: true }), 'INVALID_PURPOSE'), { kind: 'untrusted', reason: 'self-signed' });
  assert.deepEqual(shown(other.issue({ ...SERVER, intermediate: true }), 'INVALID_PURPOSE'), {
    kind: 'untrusted',
    reason: 'unknown-issuer',
  });
  assert.deepEqual(shown(server(), 'INVALID_PURPOSE'), {
    kind: 'verified',
    names: [parseNamePattern('mail.contoso.com')],
    usage: 'server-only',
  });
});

const names = (...texts: readonly string[]) => texts.map(parseNamePattern).filter((name) => name !== null);
const nameRows: readonly (readonly [have: string[], wanted: string[], string | null])[] = [
  [['mail.contoso.com'], ['mail.contoso.com'], 'mail.contoso.com'],
  [['a.test', 'mail.contoso.com'], ['x.test', '*.contoso.com'], 'mail.contoso.com'],
  [['*.contoso.com'], ['mail.contoso.com'], '*.contoso.com'],
  [['a.b.contoso.com'], ['*.contoso.com'], null],
  [['contoso.com'], ['*.contoso.com'], null],
  [['*.contoso.com'], ['a.b.contoso.com'], null],
  [['notcontoso.com'], ['contoso.com'], null],
  [[], ['contoso.com'], null],
  [['contoso.com'], [], null],
];
for (const [have, wanted, want] of nameRows) {
  test(`names ${have.join(' ') || 'none'} for ${wanted.join(' ') || 'none'} -> ${want ?? 'no'}`, () => {
    const demand = { names: names(...wanted), acceptServerAuthOnly: true };
    const proven = provenName({ kind: 'verified', names: names(...have), usage: 'client' }, demand);
    assert.equal(proven === null ? null : namePatternText(proven), want);
  });
}

test('a certificate for servers only counts where the connector says so; an untrusted one never', () => {
  const certificate = { kind: 'verified', names: names('a.test'), usage: 'server-only' } as const;
  assert.equal(provenName(certificate, { names: names('a.test'), acceptServerAuthOnly: false }), null);
  assert.notEqual(provenName(certificate, { names: names('a.test'), acceptServerAuthOnly: true }), null);
  assert.equal(
    provenName({ kind: 'untrusted', reason: 'expired' }, { names: names('a.test'), acceptServerAuthOnly: true }),
    null,
  );
});
