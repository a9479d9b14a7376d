/**
 * What a name server's reply means for one question: records, absence, a CNAME to follow, or nothing known. Pure.
 * RFC 1034, section 4.3.2 (CNAME chains); RFC 2308 (absence and how long it may be remembered); RFC 8020 (NXDOMAIN).
 */
import type { DnsAnswer, DnsProblem } from '../domain/dns.ts';

/** One record of a reply, names lower case without trailing dot. `value` is null where the data made no sense. */
export type ReplyRecord<T> = {
  readonly name: string;
  readonly ttlSeconds: number;
  readonly data: { readonly kind: 'cname'; readonly target: string } | { readonly kind: 'value'; readonly value: T | null };
};

/** A reply that belongs to our question, with its answer section reduced to CNAMEs and the type asked for. */
export type Reply<T> = {
  readonly rcode: string;
  /** The AD bit, from a server trusted to set it. */
  readonly secure: boolean;
  readonly records: readonly ReplyRecord<T>[];
  /** Of the SOA in the authority section: how long absence may be remembered (RFC 2308, section 5); null where there is none. */
  readonly negativeTtlSeconds: number | null;
  /** The authority section names other servers instead (RFC 2308, section 2.2): this one does not know. */
  readonly referral: boolean;
};

/** The answer, or the name at which to ask on: what is known so far goes along. */
export type Step<T> =
  | { readonly kind: 'answer'; readonly answer: DnsAnswer<T> }
  | { readonly kind: 'follow'; readonly trail: Trail };

/** Where a chain of CNAMEs has led: secure only if every link was. */
export type Trail = { readonly name: string; readonly secure: boolean; readonly ttlSeconds: number; readonly links: number };

/** Links of a CNAME chain that are followed, within a reply and across replies. */
export const MAX_CNAME_LINKS = 10;
const MAX_TTL_SECONDS = 86_400;
const MAX_NEGATIVE_TTL_SECONDS = 3_600;

/** The beginning of a lookup. */
export const startTrail = (name: string): Trail => ({ name, secure: true, ttlSeconds: MAX_TTL_SECONDS, links: 0 });

const unknown = (problem: DnsProblem): Step<never> => ({ kind: 'answer', answer: { kind: 'unknown', problem } });

/** A TTL with its top bit set counts as zero (RFC 2181, section 8). */
const boundedTtl = (seconds: number, most: number): number => (seconds < 0 || seconds > 0x7fffffff ? 0 : Math.min(seconds, most));

/** Walks the CNAMEs of a reply from the name asked for; null where they go in a circle or on for too long. */
function walkChain(start: Trail, records: readonly ReplyRecord<unknown>[]): Trail | null {
  let trail = start;
  for (;;) {
    const link = records.find((record) => record.data.kind === 'cname' && record.name === trail.name);
    if (link === undefined || link.data.kind !== 'cname') return trail;
    if (trail.links === MAX_CNAME_LINKS) return null;
    const ttlSeconds = Math.min(trail.ttlSeconds, boundedTtl(link.ttlSeconds, MAX_TTL_SECONDS));
    trail = { ...trail, name: link.data.target, ttlSeconds, links: trail.links + 1 };
  }
}

function absent(trail: Trail, nxdomain: boolean, negativeTtlSeconds: number | null): Step<never> {
  const ttlSeconds = Math.min(trail.ttlSeconds, boundedTtl(negativeTtlSeconds ?? 0, MAX_NEGATIVE_TTL_SECONDS));
  return { kind: 'answer', answer: { kind: 'absent', nxdomain, secure: trail.secure, ttlSeconds } };
}

/** The records of the type asked for at the end of the chain. */
function recordsAt<T>(trail: Trail, records: readonly ReplyRecord<T>[]): { values: T[]; ttlSeconds: number; malformed: boolean } {
  const values: T[] = [];
  let ttlSeconds = trail.ttlSeconds;
  let malformed = false;
  for (const record of records) {
    if (record.data.kind !== 'value' || record.name !== trail.name) continue;
    ttlSeconds = Math.min(ttlSeconds, boundedTtl(record.ttlSeconds, MAX_TTL_SECONDS));
    if (record.data.value === null) malformed = true;
    else values.push(record.data.value);
  }
  return { values, ttlSeconds, malformed };
}

/** Reads the reply to the question for `trail.name`. Never takes an error for absence. */
export function readReply<T>(before: Trail, reply: Reply<T>): Step<T> {
  if (reply.rcode === 'SERVFAIL') return unknown('servfail');
  if (reply.rcode !== 'NOERROR' && reply.rcode !== 'NXDOMAIN') return unknown('refused');
  const end = walkChain({ ...before, secure: before.secure && reply.secure }, reply.records);
  if (end === null) return unknown('cname-loop');
  if (end.name === '' || end.name.includes('?')) return unknown('malformed');
  const { values, ttlSeconds, malformed } = recordsAt(end, reply.records);
  if (values.length > 0) {
    const answer = { kind: 'records', records: values, secure: end.secure, ttlSeconds, canonicalName: end.name } as const;
    return { kind: 'answer', answer };
  }
  if (malformed) return unknown('malformed');
  if (reply.rcode === 'NXDOMAIN') return absent(end, true, reply.negativeTtlSeconds);
  // A chain that ends without records and without an SOA was not followed to its end by the server.
  if (end.links > before.links && reply.negativeTtlSeconds === null) return { kind: 'follow', trail: end };
  return reply.referral ? unknown('refused') : absent(end, false, reply.negativeTtlSeconds);
}
