/**
 * Words of MTA-STS (RFC 8461): what a domain publishes about its hosts, what is kept of it, and how learning it can fail.
 */
import type { Domain } from './address.ts';
import type { Instant, Milliseconds } from './basics.ts';
import type { DnsProblem } from './dns.ts';
import type { NamePattern, UntrustedReason } from './peer.ts';

/** `testing` only reports; `none` says that there is no policy any more (RFC 8461, section 5). */
export type StsMode = 'enforce' | 'testing' | 'none';

/** A policy as its host published it. `mx` is empty only where the mode is `none`. */
export type StsPolicy = {
  readonly mode: StsMode;
  readonly mx: readonly NamePattern[];
  /** 0 to 31,557,600. */
  readonly maxAgeSeconds: number;
};

/** A policy as it is kept: whose, under which id, since when. Plain data. */
export type StoredPolicy = StsPolicy & {
  readonly domain: Domain;
  /** Of the TXT record that led to it. */
  readonly id: string;
  readonly fetchedAt: Instant;
  /** When a delivery last asked for it, to the day: what no one asks for is not renewed. */
  readonly usedAt: Instant;
};

/** Policies kept at most; those that end first give way. */
export const MAX_STORED_POLICIES = 100_000;

/** A policy is used for at least as long as the time between two fetches, whatever its max_age. */
const LEAST_LIFE: Milliseconds = 300_000;

/** When the policy ends: max_age after it was fetched (RFC 8461, section 3.2), at least five minutes. */
export const policyEnd = (policy: Pick<StoredPolicy, 'fetchedAt' | 'maxAgeSeconds'>): Instant =>
  (policy.fetchedAt + Math.max(policy.maxAgeSeconds * 1000, LEAST_LIFE)) as Instant;

/** What is wrong with a policy's text (RFC 8461, section 3.2). `line` counts from 1; `text` is the line, printable, at most 100 characters. */
export type PolicyFault =
  | { readonly kind: 'not-utf8' }
  | { readonly kind: 'syntax'; readonly line: number; readonly text: string }
  | { readonly kind: 'missing'; readonly key: 'version' | 'mode' | 'max_age' | 'mx' }
  | { readonly kind: 'value'; readonly key: 'version' | 'mode' | 'max_age' | 'mx'; readonly line: number; readonly text: string }
  | { readonly kind: 'too-many-mx' };

/** Why a policy could not be fetched (RFC 8461, section 3.3). */
export type StsFetchFailure =
  /** The policy host has no address, or none could be learned. */
  | { readonly kind: 'address'; readonly problem: DnsProblem | 'absent' | 'bogus' }
  /** It has only addresses the relay does not connect to. */
  | { readonly kind: 'forbidden-address'; readonly address: string }
  | { readonly kind: 'connect'; readonly code: string }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'handshake'; readonly code: string }
  | { readonly kind: 'untrusted'; readonly reason: UntrustedReason }
  | { readonly kind: 'name-mismatch'; readonly presented: readonly string[] }
  /** Any status but 200, redirects among them. */
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'media-type'; readonly presented: string }
  | { readonly kind: 'too-large' }
  /** The connection broke or spoke no HTTP. */
  | { readonly kind: 'broken'; readonly code: string }
  | { readonly kind: 'invalid'; readonly fault: PolicyFault };

/** Why nothing, or nothing new, was learned of a domain's policy. */
export type StsProblem =
  | { readonly kind: 'lookup'; readonly problem: DnsProblem | 'bogus' }
  /** There are records, but not exactly one that is valid (RFC 8461, section 3.1). */
  | { readonly kind: 'record'; readonly fault: 'several' | 'invalid' }
  | { readonly kind: 'fetch'; readonly failure: StsFetchFailure };
