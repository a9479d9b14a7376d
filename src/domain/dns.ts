/**
 * Words of DNS. "Could not look it up" never turns into "there is none".
 */

/** What a lookup said. `secure`: the whole chain of the answer was DNSSEC-validated by a resolver we trust. */
export type DnsAnswer<T> =
  | {
      readonly kind: 'records';
      readonly records: readonly T[];
      readonly secure: boolean;
      readonly ttlSeconds: number;
      readonly canonicalName: string;
    }
  | { readonly kind: 'absent'; readonly nxdomain: boolean; readonly secure: boolean; readonly ttlSeconds: number }
  | { readonly kind: 'bogus' }
  | { readonly kind: 'unknown'; readonly problem: DnsProblem };

/** Why nothing is known. */
export type DnsProblem = 'timeout' | 'servfail' | 'refused' | 'malformed' | 'unreachable' | 'cname-loop';

/** An MX record; `exchange` is lower case without trailing dot, empty for a null MX (RFC 7505). */
export type MxRecord = { readonly preference: number; readonly exchange: string };
