/**
 * How a session fared under the policy of the domain it went to: DANE's, else MTA-STS's, else none. What a connector demands is
 * between the operator and a partner and is not reported, but for mandatory DANE. RFC 8460, sections 4.2 and 4.3.
 */
import { type Domain, isAddressLiteral } from '../domain/address.ts';
import type { Instant } from '../domain/basics.ts';
import type { OutboundConnector } from '../domain/connector.ts';
import {
  type IdentityFailure,
  namePatternText,
  type PeerRequirement,
  type TlsaRecord,
  type UntrustedReason,
} from '../domain/peer.ts';
import type { TlsFailure } from '../domain/tls.ts';
import type { ReportedPolicy, TlsResultType, TlsSession } from '../domain/tls-report.ts';
import type { HostCandidate } from '../routing/resolve-hosts.ts';
import type { HostSecurity } from '../security/gather-facts.ts';
import { policyLines } from '../security/mta-sts-format.ts';
import { type MtaStsStatus, permitsHost, policyDomainOf } from '../security/mta-sts-policy.ts';
import { stsResultType } from '../security/mta-sts-problem-format.ts';
import { judgePeer } from '../security/peer-policy.ts';
import type { OpenFailure, SessionFacts } from '../transport/session.ts';

/** One connection to one address, or why there was none. */
export type Visit = {
  readonly host: HostCandidate;
  readonly address: string;
  readonly met: /** `judged` later: what the peer showed, whether or not it satisfied. */
    | { readonly kind: 'session'; readonly facts: Pick<SessionFacts, 'tls' | 'peer' | 'tlsFailure'> }
    | { readonly kind: 'failure'; readonly failure: OpenFailure }
    /** Not connected to: policy forbade it. */
    | { readonly kind: 'skipped' }
    /** In the clear at once, for TLS is known to fail here. */
    | { readonly kind: 'known-to-fail' };
};

/** A visit, and what it was for. */
export type VisitOfDelivery = Visit & {
  readonly connector: Pick<OutboundConnector, 'route' | 'tls' | 'source'>;
  readonly recipientDomain: Domain;
};

/** Result type and reason; null in place of either where there is no more to say. */
type Failed = { readonly type: TlsResultType; readonly reason: string | null };
/** Null: no TLS session was attempted, so none is counted. */
type Verdict = 'success' | Failed | null;

/** Texts of reasons and lines of policies come from strangers: no report grows with them. */
const LONGEST_REASON = 100;
const LONGEST_LINE = 600;
const MOST_LINES = 40;

const failed = (type: TlsResultType, reason: string | null = null): Failed => ({ type, reason });

/** The session as reports count it; null where it is not counted: nothing was said about TLS, or no domain would hear of it. */
export function judgeSession(visit: VisitOfDelivery, security: HostSecurity, now: Instant): TlsSession | null {
  const reportDomain = policyDomainOf(visit.connector.route, visit.host, visit.recipientDomain);
  if (reportDomain === null || isAddressLiteral(reportDomain)) return null;
  const verdict = judge(visit, security, now);
  if (verdict === null) return null;
  const policy = policyOf(visit, security, reportDomain);
  if (verdict === 'success') return { reportDomain, policy, result: { kind: 'success' } };
  const { source } = visit.connector;
  const where = { sendingIp: source.address, mx: visit.host.name, ip: visit.address };
  const reason = verdict.reason === null ? null : printable(verdict.reason);
  return { reportDomain, policy, result: { kind: 'failure', type: verdict.type, reason, ...where } };
}

const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?').slice(0, LONGEST_REASON);

/** The policy in force. DANE, where there is any, leaves no room for MTA-STS (RFC 8461, section 2). */
function policyOf({ host }: Visit, { dane, mtaSts }: HostSecurity, domain: Domain): ReportedPolicy {
  switch (dane.kind) {
    case 'usable':
      return { type: 'tlsa', domain: dane.tlsaBase, lines: cut(dane.records.map(tlsaLine)) };
    case 'unusable':
      return { type: 'tlsa', domain: dane.tlsaBase, lines: [] };
    case 'undetermined':
      return { type: 'tlsa', domain: host.name ?? domain, lines: [] };
    case 'not-applicable':
      return stsPolicyOf(mtaSts, domain);
  }
}

function stsPolicyOf(mtaSts: MtaStsStatus, domain: Domain): ReportedPolicy {
  if (mtaSts.kind === 'policy')
    return { type: 'sts', domain: mtaSts.domain, lines: cut(policyLines(mtaSts)), mx: cut(mtaSts.mx.map(namePatternText)) };
  const unlearned = mtaSts.problem !== null && stsResultType(mtaSts.problem) !== null;
  return unlearned ? { type: 'sts', domain, lines: [], mx: [] } : { type: 'no-policy-found', domain };
}

/** RFC 6698, section 2.2. */
const tlsaLine = ({ usage, selector, matchingType, data }: TlsaRecord): string =>
  `${usage} ${selector} ${matchingType} ${data.toUpperCase()}`;

const cut = (lines: readonly string[]): readonly string[] =>
  lines.slice(0, MOST_LINES).map((line) => line.slice(0, LONGEST_LINE));

function judge(visit: VisitOfDelivery, security: HostSecurity, now: Instant): Verdict {
  if (visit.met.kind === 'skipped') return judgeSkipped(visit, security);
  const met = judgeTls(visit);
  if (met === null) return null;
  return judgePolicyItself(security) ?? (met === 'success' ? judgeDemands(visit, security, now) : met);
}

/** Hosts are skipped for many reasons; these are the domain's business. */
function judgeSkipped({ connector, host }: VisitOfDelivery, security: HostSecurity): Verdict {
  const { dane, mtaSts } = security;
  const itself = judgePolicyItself(security);
  if (itself !== null && dane.kind !== 'not-applicable') return itself;
  if (connector.tls.mode === 'dane' && dane.kind === 'not-applicable') return failed('dane-required');
  const barred = mtaSts.kind === 'policy' && mtaSts.mode === 'enforce' && (host.name === null || !permitsHost(mtaSts, host.name));
  return barred && dane.kind === 'not-applicable' ? NOT_PERMITTED : null;
}

const NOT_PERMITTED = failed('validation-failure', 'mx-not-in-sts-policy');

/** Whether TLS came about at all. */
function judgeTls({ met }: VisitOfDelivery): Verdict {
  switch (met.kind) {
    case 'session':
      if (met.facts.tls !== null) return 'success';
      return met.facts.tlsFailure === null ? null : tlsFailureResult(met.facts.tlsFailure);
    case 'failure':
      return met.failure.kind === 'tls' ? tlsFailureResult(met.failure.failure) : null;
    case 'known-to-fail':
      return failed('validation-failure', 'tls-known-to-fail');
    case 'skipped':
      return null;
  }
}

/** The domain's policy could not be learned, or means nothing: the domain should hear of it, however TLS went. */
function judgePolicyItself({ dane, mtaSts }: HostSecurity): Failed | null {
  switch (dane.kind) {
    case 'usable':
      return null;
    case 'unusable':
      return failed('tlsa-invalid', 'no-usable-tlsa-record');
    case 'undetermined':
      return failed('dnssec-invalid', dane.problem);
    case 'not-applicable': {
      const problem = mtaSts.kind === 'not-applicable' ? mtaSts.problem : null;
      const type = problem === null ? null : stsResultType(problem);
      return type === null ? null : failed(type, problem?.kind === 'fetch' ? problem.failure.kind : 'record');
    }
  }
}

/** Whether the peer was who the domain's policy says; in MTA-STS's mode testing, too, which exists for this. */
function judgeDemands({ host, met }: VisitOfDelivery, { dane, mtaSts }: HostSecurity, now: Instant): Verdict {
  const peer = met.kind === 'session' ? met.facts.peer : null;
  const demands: PeerRequirement[] = [];
  if (dane.kind === 'usable') demands.push({ kind: 'dane', records: dane.records, names: dane.names });
  else if (mtaSts.kind === 'policy') {
    if (host.name === null || !permitsHost(mtaSts, host.name)) return NOT_PERMITTED;
    demands.push({ kind: 'name', names: [{ kind: 'exact', domain: host.name }] });
  }
  const failure = peer === null || demands.length === 0 ? null : judgePeer(demands, peer, now);
  return failure === null ? 'success' : identityResult(failure);
}

/** A failed handshake as a result (RFC 8460, section 4.3.1). */
export function tlsFailureResult(failure: TlsFailure): Failed {
  switch (failure.kind) {
    case 'not-offered':
      return failed('starttls-not-supported');
    case 'refused':
      return failed('starttls-not-supported', `refused-${failure.code}`);
    case 'handshake':
      return failed('validation-failure', failure.alert ?? 'handshake-broken-off');
    case 'handshake-timeout':
      return failed('validation-failure', 'handshake-timeout');
    case 'injected':
      return failed('validation-failure', 'plaintext-after-starttls');
  }
}

const UNTRUSTED: Readonly<Record<UntrustedReason, Failed>> = {
  'self-signed': failed('certificate-not-trusted', 'self-signed'),
  'unknown-issuer': failed('certificate-not-trusted', 'unknown-issuer'),
  expired: failed('certificate-expired'),
  'not-yet-valid': failed('certificate-not-trusted', 'not-yet-valid'),
  revoked: failed('certificate-not-trusted', 'revoked'),
  'wrong-purpose': failed('certificate-not-trusted', 'wrong-purpose'),
  'no-certificate': failed('certificate-not-trusted', 'no-certificate'),
  other: failed('certificate-not-trusted', 'other'),
};

/** A peer that did not prove itself, as a result (RFC 8460, section 4.3.1). */
export function identityResult(failure: IdentityFailure): Failed {
  switch (failure.kind) {
    case 'untrusted':
      return UNTRUSTED[failure.reason];
    case 'name-mismatch':
    case 'dane-name-mismatch':
      return failed('certificate-host-mismatch');
    case 'dane-expired':
      return failed('certificate-expired');
    case 'dane-mismatch':
      return failed('validation-failure', 'tlsa-mismatch');
    case 'pin-mismatch':
    case 'no-requiretls':
      return failed('validation-failure', failure.kind);
  }
}
