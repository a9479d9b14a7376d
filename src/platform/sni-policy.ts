/**
 * Which certificates serve which name. RSA and ECDSA of the same names go out together: OpenSSL picks by what the client can verify.
 */
import { X509Certificate } from 'node:crypto';
import type { CertificatePair } from './certificate-policy.ts';

/** Positions in the list of pairs, one of each key type. */
export type Selection = readonly number[];

/** Chooses pairs by name. */
export type Selector = {
  /** What serves clients that name nobody, or nobody we know: the first pair, and the first of each other key type with the same names. */
  readonly fallback: Selection;
  /** What serves a name as SNI gives it; the fallback where no certificate holds it. Never throws. */
  select(serverName: string | null): Selection;
  /** Pairs that no client can ever get: an earlier one has their names and key type. */
  readonly unreachable: readonly number[];
};

/** RFC 6066, section 3: a host name in ASCII, no trailing dot; anything else is nobody we know. */
const SERVER_NAME = /^[a-z0-9_.-]{1,253}$/;

/** Exact names and one-label wildcards of alternative names; the common name never counts (RFC 9525). */
const MATCHING = { subject: 'never', wildcards: true, partialWildcards: false, multiLabelWildcards: false } as const;

/** A selector over the pairs, in the order configured. */
export function certificateSelector(pairs: readonly CertificatePair[]): Selector {
  const leaves = pairs.map((pair) => new X509Certificate(pair.cert));
  const firstOfEachType = (candidates: readonly number[]): Selection => {
    const types = new Set<string>();
    return candidates.filter((index) => {
      const type = pairs[index]?.facts.keyType ?? '';
      return !types.has(type) && types.add(type);
    });
  };
  const all = [...pairs.keys()];
  const fallback = firstOfEachType(all.filter((index) => namesKey(pairs[index]) === namesKey(pairs[0])));
  const select = (serverName: string | null): Selection => {
    const name = (serverName ?? '').toLowerCase();
    if (!SERVER_NAME.test(name)) return fallback;
    const found = firstOfEachType(all.filter((index) => leaves[index]?.checkHost(name, MATCHING) !== undefined));
    return found.length > 0 ? found : fallback;
  };
  return {
    fallback,
    select,
    unreachable: all.filter((index) => all.some((earlier) => earlier < index && shadows(pairs[earlier], pairs[index]))),
  };
}

const namesKey = (pair: CertificatePair | undefined): string =>
  (pair?.facts.names ?? [])
    .map((name) => name.toLowerCase())
    .sort()
    .join();
const shadows = (earlier: CertificatePair | undefined, later: CertificatePair | undefined): boolean =>
  earlier?.facts.keyType === later?.facts.keyType && namesKey(earlier) === namesKey(later);
