/**
 * Words of TLS reporting (RFC 8460): how one session fared under the policy of the domain it went to, and what is counted of it.
 */
import type { Domain } from './address.ts';

/** Result types (RFC 8460, section 4.3). */
export type TlsResultType =
  | 'starttls-not-supported'
  | 'certificate-host-mismatch'
  | 'certificate-expired'
  | 'certificate-not-trusted'
  | 'validation-failure'
  | 'tlsa-invalid'
  | 'dnssec-invalid'
  | 'dane-required'
  | 'sts-policy-fetch-error'
  | 'sts-policy-invalid'
  | 'sts-webpki-invalid';

/** The policy a session was held to, as reports quote it. `lines` and `mx` are empty where it could not be learned. */
export type ReportedPolicy =
  | { readonly type: 'sts'; readonly domain: Domain; readonly lines: readonly string[]; readonly mx: readonly string[] }
  /** The policy domain is the TLSA base (RFC 8460, section 1.1). */
  | { readonly type: 'tlsa'; readonly domain: Domain; readonly lines: readonly string[] }
  | { readonly type: 'no-policy-found'; readonly domain: Domain };

/** How one session fared. `sendingIp` is null where no address of ours was fixed by configuration. */
export type SessionResult =
  | { readonly kind: 'success' }
  | {
      readonly kind: 'failure';
      readonly type: TlsResultType;
      /** A short code; null where the type says it all. */
      readonly reason: string | null;
      readonly sendingIp: string | null;
      readonly mx: string | null;
      readonly ip: string | null;
    };

/** One session, or an attempt at one, towards the mail of a domain. */
export type TlsSession = {
  /** Whose TLSRPT record says where the report goes: the recipient's domain, or the smarthost's. */
  readonly reportDomain: Domain;
  readonly policy: ReportedPolicy;
  readonly result: SessionResult;
};

/** Sessions that fared alike on one day, on their way to the store. `policy` and `result` are JSON, equal only where all is. */
export type SessionCount = {
  /** Days since 1970-01-01, UTC. */
  readonly day: number;
  readonly reportDomain: Domain;
  readonly policy: string;
  readonly result: string;
  readonly count: number;
};

/** Milliseconds of a day in UTC, which has no leap seconds here. */
export const DAY_LENGTH = 86_400_000;
