/**
 * A failure to learn a domain's MTA-STS policy in words: a sentence for people, a result type for reports (RFC 8460, section 4.3.2.2).
 */
import type { Domain } from '../domain/address.ts';
import type { DnsProblem } from '../domain/dns.ts';
import type { PolicyFault, StsFetchFailure, StsProblem } from '../domain/mta-sts.ts';
import type { UntrustedReason } from '../domain/peer.ts';

/** Result types of RFC 8460 that are about the policy itself. */
export type StsResultType = 'sts-policy-fetch-error' | 'sts-policy-invalid' | 'sts-webpki-invalid';

/** The result type; null where it is not even known whether the domain has a policy. */
export function stsResultType(problem: StsProblem): StsResultType | null {
  switch (problem.kind) {
    case 'lookup':
      return null;
    case 'record':
      return 'sts-policy-invalid';
    case 'fetch':
      return FETCH_RESULTS[problem.failure.kind];
  }
}

const FETCH_RESULTS: Readonly<Record<StsFetchFailure['kind'], StsResultType>> = {
  address: 'sts-policy-fetch-error',
  'forbidden-address': 'sts-policy-fetch-error',
  connect: 'sts-policy-fetch-error',
  timeout: 'sts-policy-fetch-error',
  handshake: 'sts-policy-fetch-error',
  untrusted: 'sts-webpki-invalid',
  'name-mismatch': 'sts-webpki-invalid',
  status: 'sts-policy-fetch-error',
  broken: 'sts-policy-fetch-error',
  'media-type': 'sts-policy-invalid',
  'too-large': 'sts-policy-invalid',
  invalid: 'sts-policy-invalid',
};

/** What is wrong, in one clause that names the host or record to mend. */
export function stsProblemText(domain: Domain, problem: StsProblem): string {
  switch (problem.kind) {
    case 'lookup':
      return `the TXT record at _mta-sts.${domain} could not be looked up: ${LOOKUP_TEXT[problem.problem]}`;
    case 'record':
      return problem.fault === 'several'
        ? `there is more than one MTA-STS record at _mta-sts.${domain}, so none counts`
        : `the MTA-STS record at _mta-sts.${domain} is malformed`;
    case 'fetch':
      return fetchText(domain, problem.failure);
  }
}

function fetchText(domain: Domain, failure: StsFetchFailure): string {
  const host = `mta-sts.${domain}`;
  switch (failure.kind) {
    case 'address':
      return failure.problem === 'absent'
        ? `the policy host ${host} has no address`
        : `the address of the policy host ${host} could not be looked up: ${LOOKUP_TEXT[failure.problem]}`;
    case 'forbidden-address':
      return `the policy host ${host} has the address ${failure.address}, to which this relay does not connect`;
    case 'connect':
      return `the policy host ${host} cannot be reached (${failure.code})`;
    case 'timeout':
      return `the policy host ${host} did not deliver its policy in time`;
    case 'handshake':
      return `the TLS handshake with the policy host ${host} failed (${failure.code})`;
    case 'untrusted':
      return `the certificate of the policy host ${host} ${UNTRUSTED_TEXT[failure.reason]}`;
    case 'name-mismatch':
      return `the certificate of the policy host ${host} is for other names${failure.presented.length > 0 ? ` (${failure.presented.join(', ')})` : ''}`;
    case 'status':
      return `the policy host ${host} answered with status ${failure.status} instead of 200`;
    case 'media-type':
      return `the policy of ${host} is served as "${failure.presented}" instead of text/plain`;
    case 'too-large':
      return `the policy of ${host} is larger than 64 KiB`;
    case 'broken':
      return `the policy host ${host} broke off its answer (${failure.code})`;
    case 'invalid':
      return `the policy of ${host} is invalid: ${faultText(failure.fault)}`;
  }
}

function faultText(fault: PolicyFault): string {
  switch (fault.kind) {
    case 'not-utf8':
      return 'it is not UTF-8';
    case 'syntax':
      return `line ${fault.line}, "${fault.text}", is no "key: value"`;
    case 'missing':
      return `it has no usable "${fault.key}"`;
    case 'value':
      return `line ${fault.line}, "${fault.text}", has no valid value`;
    case 'too-many-mx':
      return 'it has more "mx" lines than any domain has hosts';
  }
}

const LOOKUP_TEXT: Readonly<Record<DnsProblem | 'bogus', string>> = {
  timeout: 'no name server answered in time',
  servfail: 'the name server failed (SERVFAIL)',
  refused: 'the name server refused',
  malformed: 'the answer made no sense',
  unreachable: 'no name server can be reached',
  'cname-loop': 'its CNAME records lead in a circle',
  bogus: 'DNSSEC validation failed',
};

const UNTRUSTED_TEXT: Readonly<Record<UntrustedReason, string>> = {
  'self-signed': 'is self-signed',
  'unknown-issuer': 'comes from no authority this relay trusts',
  expired: 'has expired',
  'not-yet-valid': 'is not valid yet',
  revoked: 'was revoked',
  'wrong-purpose': 'is not for servers',
  'no-certificate': 'was not shown',
  other: 'does not stand up to verification',
};
