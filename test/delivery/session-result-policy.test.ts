/** What a session counts as: DANE × MTA-STS × what was met, as a table (RFC 8460, section 4.3). */
import { strict as assert } from 'node:assert';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import {
  identityResult,
  judgeSession,
  tlsFailureResult,
  type VisitOfDelivery,
} from '../../src/delivery/session-result-policy.ts';
import type { Domain } from '../../src/domain/address.ts';
import type { Instant } from '../../src/domain/basics.ts';
import type { StsProblem } from '../../src/domain/mta-sts.ts';
import type { IdentityFailure, UntrustedReason } from '../../src/domain/peer.ts';
import type { TlsFailure } from '../../src/domain/tls.ts';
import { ADDRESS_GIVEN } from '../../src/routing/proof-policy.ts';
import type { DaneStatus } from '../../src/security/dane-policy.ts';
import type { MtaStsStatus } from '../../src/security/mta-sts-policy.ts';
import type { PresentedPeer } from '../../src/security/peer-policy.ts';
import { spkiHash } from '../../src/security/spki-format.ts';
import { createAuthority } from '../support/certificates.ts';
import { outboundConnector, outboundTls } from '../support/connectors.ts';

const NOW = Date.now() as Instant;
const MX = 'mx.example.test' as Domain;
const certificate = createAuthority('Reports').issue({ names: [MX] });
const leaf = new X509Certificate(certificate.cert);
const other = createAuthority('Reports').issue({ names: ['other.test'] });

const peerOf = (pem: string, verdict: PresentedPeer['verdict'] = { kind: 'trusted' }): PresentedPeer => ({
  chain: [new X509Certificate(pem)],
  verdict,
  offersRequireTls: false,
});
const TLS = { version: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256', group: 'X25519', peer: null };
const met = (peer: PresentedPeer): VisitOfDelivery['met'] => ({ kind: 'session', facts: { tls: TLS, peer, tlsFailure: null } });
const MET = {
  good: met(peerOf(certificate.cert)),
  untrusted: met(peerOf(certificate.cert, { kind: 'untrusted', reason: 'self-signed' })),
  expired: met(peerOf(certificate.cert, { kind: 'untrusted', reason: 'expired' })),
  wrongName: met(peerOf(other.cert)),
  clear: { kind: 'session', facts: { tls: null, peer: null, tlsFailure: { kind: 'not-offered' } } },
  handshake: { kind: 'failure', failure: { kind: 'tls', failure: { kind: 'handshake', alert: 'handshake failure' } } },
  refusedConnection: { kind: 'failure', failure: { kind: 'connect', problem: 'refused' } },
  local: { kind: 'failure', failure: { kind: 'local', detail: 'no descriptors' } },
  skipped: { kind: 'skipped' },
  known: { kind: 'known-to-fail' },
} as const satisfies Record<string, VisitOfDelivery['met']>;

const tlsa = (data: string): DaneStatus => ({
  kind: 'usable',
  tlsaBase: MX,
  records: [{ usage: 3, selector: 1, matchingType: 1, data }],
  names: [MX],
});
const DANE = {
  none: { kind: 'not-applicable', because: 'no-tlsa' },
  match: tlsa(spkiHash(leaf)),
  mismatch: tlsa('00'.repeat(32)),
  unusable: { kind: 'unusable', tlsaBase: MX },
  bogus: { kind: 'undetermined', problem: 'bogus', text: '' },
  failed: { kind: 'undetermined', problem: 'lookup-failed', text: '' },
} as const satisfies Record<string, DaneStatus>;

const sts = (mode: 'enforce' | 'testing', mx: Domain): MtaStsStatus => ({
  kind: 'policy',
  domain: 'example.test' as Domain,
  id: '1',
  mode,
  mx: [{ kind: 'exact', domain: mx }],
  maxAgeSeconds: 86_400,
  ends: NOW,
  problem: null,
});
const without = (problem: StsProblem | null): MtaStsStatus => ({ kind: 'not-applicable', problem });
const STS = {
  none: without(null),
  enforce: sts('enforce', MX),
  testing: sts('testing', MX),
  elsewhere: sts('enforce', 'mx.elsewhere.test' as Domain),
  testingElsewhere: sts('testing', 'mx.elsewhere.test' as Domain),
  fetch: without({ kind: 'fetch', failure: { kind: 'status', status: 404 } }),
  invalid: without({ kind: 'record', fault: 'invalid' }),
  webpki: without({ kind: 'fetch', failure: { kind: 'untrusted', reason: 'expired' } }),
  lookup: without({ kind: 'lookup', problem: 'timeout' }),
} as const;

/** Policy type and what is counted; null: nothing. */
type Row = readonly [dane: keyof typeof DANE, sts: keyof typeof STS, met: keyof typeof MET, counted: string | null];
const ROWS: readonly Row[] = [
  // No policy: any TLS is success; a certificate is nobody's promise.
  ['none', 'none', 'good', 'no-policy-found success'],
  ['none', 'none', 'untrusted', 'no-policy-found success'],
  ['none', 'none', 'wrongName', 'no-policy-found success'],
  ['none', 'none', 'clear', 'no-policy-found starttls-not-supported'],
  ['none', 'none', 'handshake', 'no-policy-found validation-failure (handshake failure)'],
  ['none', 'none', 'known', 'no-policy-found validation-failure (tls-known-to-fail)'],
  ['none', 'none', 'refusedConnection', null],
  ['none', 'none', 'local', null],
  ['none', 'none', 'skipped', null],
  ['none', 'lookup', 'good', 'no-policy-found success'],
  // MTA-STS: the name counts in both modes.
  ['none', 'enforce', 'good', 'sts success'],
  ['none', 'enforce', 'untrusted', 'sts certificate-not-trusted (self-signed)'],
  ['none', 'enforce', 'expired', 'sts certificate-expired'],
  ['none', 'enforce', 'wrongName', 'sts certificate-host-mismatch'],
  ['none', 'enforce', 'clear', 'sts starttls-not-supported'],
  ['none', 'enforce', 'handshake', 'sts validation-failure (handshake failure)'],
  ['none', 'enforce', 'refusedConnection', null],
  ['none', 'testing', 'good', 'sts success'],
  ['none', 'testing', 'wrongName', 'sts certificate-host-mismatch'],
  ['none', 'testing', 'clear', 'sts starttls-not-supported'],
  ['none', 'elsewhere', 'skipped', 'sts validation-failure (mx-not-in-sts-policy)'],
  ['none', 'testingElsewhere', 'good', 'sts validation-failure (mx-not-in-sts-policy)'],
  ['none', 'enforce', 'skipped', null],
  ['none', 'fetch', 'good', 'sts sts-policy-fetch-error (status)'],
  ['none', 'fetch', 'clear', 'sts sts-policy-fetch-error (status)'],
  ['none', 'fetch', 'refusedConnection', null],
  ['none', 'invalid', 'good', 'sts sts-policy-invalid (record)'],
  ['none', 'webpki', 'good', 'sts sts-webpki-invalid (untrusted)'],
  // DANE leaves no room for MTA-STS.
  ['match', 'none', 'good', 'tlsa success'],
  ['match', 'none', 'untrusted', 'tlsa success'],
  ['match', 'fetch', 'good', 'tlsa success'],
  ['match', 'elsewhere', 'good', 'tlsa success'],
  ['match', 'none', 'clear', 'tlsa starttls-not-supported'],
  ['mismatch', 'none', 'good', 'tlsa validation-failure (tlsa-mismatch)'],
  ['mismatch', 'enforce', 'good', 'tlsa validation-failure (tlsa-mismatch)'],
  ['mismatch', 'none', 'handshake', 'tlsa validation-failure (handshake failure)'],
  ['unusable', 'none', 'good', 'tlsa tlsa-invalid (no-usable-tlsa-record)'],
  ['unusable', 'enforce', 'good', 'tlsa tlsa-invalid (no-usable-tlsa-record)'],
  ['bogus', 'none', 'skipped', 'tlsa dnssec-invalid (bogus)'],
  ['failed', 'enforce', 'skipped', 'tlsa dnssec-invalid (lookup-failed)'],
  ['match', 'elsewhere', 'skipped', null],
];

const visit = (change: Partial<VisitOfDelivery>): VisitOfDelivery => ({
  connector: outboundConnector({}),
  recipientDomain: 'example.test' as Domain,
  host: { ...ADDRESS_GIVEN, name: MX, port: 25, preference: 0, addresses: ['192.0.2.1'] },
  address: '192.0.2.1',
  met: MET.good,
  ...change,
});
const countedOf = (session: ReturnType<typeof judgeSession>): string | null => {
  if (session === null) return null;
  const { result, policy } = session;
  if (result.kind === 'success') return `${policy.type} success`;
  return `${policy.type} ${result.type}${result.reason === null ? '' : ` (${result.reason})`}`;
};

for (const [dane, mtaSts, seen, counted] of ROWS)
  test(`DANE ${dane}, MTA-STS ${mtaSts}, ${seen}: ${counted ?? 'not counted'}`, () => {
    const session = judgeSession(visit({ met: MET[seen] }), { dane: DANE[dane], mtaSts: STS[mtaSts] }, NOW);
    assert.equal(countedOf(session), counted);
  });

const NONE = { dane: DANE.none, mtaSts: STS.none };
test('mandatory DANE without TLSA records is dane-required', () => {
  const connector = outboundConnector({ tls: outboundTls({ mode: 'dane' }) });
  assert.equal(countedOf(judgeSession(visit({ connector, met: MET.skipped }), NONE, NOW)), 'no-policy-found dane-required');
});

test('a success says nothing of hosts; a failure says where', () => {
  assert.deepEqual(judgeSession(visit({}), NONE, NOW)?.result, { kind: 'success' });
  const source = { address: '192.0.2.9', helo: null };
  const failure = judgeSession(visit({ met: MET.clear, connector: outboundConnector({ source }) }), NONE, NOW)?.result;
  assert.deepEqual(failure, {
    kind: 'failure',
    type: 'starttls-not-supported',
    reason: null,
    sendingIp: '192.0.2.9',
    mx: MX,
    ip: '192.0.2.1',
  });
});

test('policies as reports quote them', () => {
  const policyFor = (dane: keyof typeof DANE, mtaSts: keyof typeof STS) =>
    judgeSession(visit({ met: MET.clear }), { dane: DANE[dane], mtaSts: STS[mtaSts] }, NOW)?.policy;
  assert.deepEqual(policyFor('mismatch', 'enforce'), { type: 'tlsa', domain: MX, lines: [`3 1 1 ${'00'.repeat(32)}`] });
  assert.deepEqual(policyFor('none', 'testing'), {
    type: 'sts',
    domain: 'example.test',
    lines: ['version: STSv1', 'mode: testing', `mx: ${MX}`, 'max_age: 86400'],
    mx: [MX],
  });
  assert.deepEqual(policyFor('none', 'fetch'), { type: 'sts', domain: 'example.test', lines: [], mx: [] });
  assert.deepEqual(policyFor('none', 'none'), { type: 'no-policy-found', domain: 'example.test' });
});

test('whose report: the recipient domain; with a smarthost the smarthost; nobody’s for addresses', () => {
  const hosts = [{ kind: 'host', name: MX, port: 25 }] as const;
  const connector = outboundConnector({ route: { kind: 'smarthost', hosts, balance: false, tls: 'starttls', auth: null } });
  assert.equal(judgeSession(visit({}), NONE, NOW)?.reportDomain, 'example.test');
  assert.equal(judgeSession(visit({ connector }), NONE, NOW)?.reportDomain, MX);
  assert.equal(judgeSession(visit({ recipientDomain: '[192.0.2.1]' as Domain }), NONE, NOW), null);
});

const TLS_FAILURES: readonly (readonly [TlsFailure, string])[] = [
  [{ kind: 'not-offered' }, 'starttls-not-supported'],
  [{ kind: 'refused', code: 454, text: 'not now' }, 'starttls-not-supported'],
  [{ kind: 'handshake', alert: null }, 'validation-failure'],
  [{ kind: 'handshake-timeout' }, 'validation-failure'],
  [{ kind: 'injected' }, 'validation-failure'],
];
for (const [failure, type] of TLS_FAILURES)
  test(`TLS: ${failure.kind} is ${type}`, () => assert.equal(tlsFailureResult(failure).type, type));

const untrusted = (reason: UntrustedReason): IdentityFailure => ({ kind: 'untrusted', reason });
const IDENTITY: readonly (readonly [IdentityFailure, string])[] = [
  [untrusted('self-signed'), 'certificate-not-trusted'],
  [untrusted('unknown-issuer'), 'certificate-not-trusted'],
  [untrusted('expired'), 'certificate-expired'],
  [untrusted('not-yet-valid'), 'certificate-not-trusted'],
  [untrusted('revoked'), 'certificate-not-trusted'],
  [untrusted('wrong-purpose'), 'certificate-not-trusted'],
  [untrusted('no-certificate'), 'certificate-not-trusted'],
  [untrusted('other'), 'certificate-not-trusted'],
  [{ kind: 'name-mismatch', wanted: [], presented: [] }, 'certificate-host-mismatch'],
  [{ kind: 'dane-name-mismatch', presented: [] }, 'certificate-host-mismatch'],
  [{ kind: 'dane-expired', notAfter: NOW }, 'certificate-expired'],
  [{ kind: 'dane-mismatch' }, 'validation-failure'],
  [{ kind: 'pin-mismatch' }, 'validation-failure'],
  [{ kind: 'no-requiretls' }, 'validation-failure'],
];
for (const [failure, type] of IDENTITY)
  test(`identity: ${failure.kind}${failure.kind === 'untrusted' ? ` ${failure.reason}` : ''} is ${type}`, () =>
    assert.equal(identityResult(failure).type, type));
