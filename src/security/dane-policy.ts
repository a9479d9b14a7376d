/**
 * Whether DANE applies to a host, and with which records: four cases, for "could not be looked up" is never "there is none".
 * RFC 7672, sections 2.2, 3.1 and 3.2; RFC 7671, sections 4, 7 and 9. Pure; gather-dane.ts asks what `nextQuestion` names.
 */
import type { Domain } from '../domain/address.ts';
import { isNonEmpty, type NonEmpty } from '../domain/basics.ts';
import type { DnsAnswer, DnsProblem } from '../domain/dns.ts';
import type { TlsaRecord } from '../domain/peer.ts';
import { usableRecords } from './tlsa-policy.ts';

/** A host as routing found it. */
export type DaneHost = {
  /** Null where an address was given instead of a name: there is nothing to look up. */
  readonly name: Domain | null;
  readonly port: number;
  /** The way to the name is secure: the MX records (or their absence), or the operator's own word. */
  readonly mxSecure: boolean;
  /** The domain whose mail goes there, and what its CNAMEs led to (RFC 7672, section 3.2.2); the host's own name where named itself. */
  readonly nextHopNames: readonly Domain[];
  /** Its address records are secure, CNAMEs on the way included. */
  readonly addressesSecure: boolean;
  /** Where its CNAMEs led; its own name where it has none. */
  readonly canonicalName: Domain | null;
};

/** Whether and how a host is held to DANE. */
export type DaneStatus =
  | { readonly kind: 'not-applicable'; readonly because: NoDaneReason }
  /** TLS with a peer that matches one of the records; SNI is the base. */
  | {
      readonly kind: 'usable';
      readonly tlsaBase: Domain;
      readonly records: NonEmpty<TlsaRecord>;
      /** Of these a DANE-TA peer must carry one; the base comes first. */
      readonly names: NonEmpty<Domain>;
    }
  /** There are records, but none that means anything to us: TLS without authentication. */
  | { readonly kind: 'unusable'; readonly tlsaBase: Domain }
  /** The host is skipped, mail waits. `text`: a plain sentence. */
  | { readonly kind: 'undetermined'; readonly problem: 'bogus' | 'lookup-failed'; readonly text: string };

/** Why there is no DANE at a host. */
export type NoDaneReason = 'off' | 'address-literal' | 'mx-insecure' | 'addresses-insecure' | 'no-tlsa' | 'tlsa-insecure';

/** What was asked so far. `alias` is null while not asked. */
export type DaneAnswers = {
  readonly alias: DnsAnswer<string> | null;
  readonly tlsa: readonly { readonly base: Domain; readonly answer: DnsAnswer<TlsaRecord> }[];
};

/** The next thing to look up. */
export type DaneQuestion =
  | { readonly type: 'cname'; readonly name: Domain }
  | { readonly type: 'tlsa'; readonly base: Domain; readonly name: string };

/** Before anything was asked. */
export const NOTHING_ASKED: DaneAnswers = { alias: null, tlsa: [] };

/** Where the TLSA records of a base lie (RFC 6698, section 3). */
export const tlsaName = (base: Domain, port: number): string => `_${port}._tcp.${base}`;

/** What the answers so far come to: a verdict, or a question. */
type Step = { readonly kind: 'settled'; readonly status: DaneStatus } | { readonly kind: 'ask'; readonly question: DaneQuestion };

/** What to look up next; null where the answers settle it. */
export function nextQuestion(host: DaneHost, answers: DaneAnswers): DaneQuestion | null {
  const step = consider(host, answers);
  return step.kind === 'ask' ? step.question : null;
}

/** The status of a host. Answers that are still wanting count as failed lookups. */
export function judgeDane(host: DaneHost, answers: DaneAnswers): DaneStatus {
  const step = consider(host, answers);
  return step.kind === 'settled' ? step.status : undetermined('lookup-failed', `${step.question.name} was not looked up`);
}

const ask = (question: DaneQuestion): Step => ({ kind: 'ask', question });
const settled = (status: DaneStatus): Step => ({ kind: 'settled', status });
const none = (because: NoDaneReason): Step => settled({ kind: 'not-applicable', because });
const undetermined = (problem: 'bogus' | 'lookup-failed', text: string): DaneStatus => ({ kind: 'undetermined', problem, text });

function consider(host: DaneHost, answers: DaneAnswers): Step {
  if (host.name === null) return none('address-literal');
  if (!host.mxSecure) return none('mx-insecure');
  const bases = basesOf({ ...host, name: host.name }, answers.alias);
  return bases.kind === 'bases' ? considerBases({ ...host, bases: bases.names }, answers) : bases;
}

/**
 * Where TLSA records are looked for, in order: at the end of a secure CNAME chain, then at the name itself (RFC 7671, section 7).
 * Where addresses are insecure, TLSA is not looked up, for name servers of unsigned zones are known to fail on it; but a secure
 * CNAME that leads into an unsigned zone leaves the name itself (RFC 7672, section 2.2.2).
 */
function basesOf(
  host: DaneHost & { readonly name: Domain },
  alias: DnsAnswer<string> | null,
): Step | { readonly kind: 'bases'; readonly names: NonEmpty<Domain> } {
  const { name, canonicalName } = host;
  const isAlias = canonicalName !== null && canonicalName !== name;
  if (host.addressesSecure) return { kind: 'bases', names: isAlias ? [canonicalName, name] : [name] };
  if (!isAlias) return none('addresses-insecure');
  if (alias === null) return ask({ type: 'cname', name });
  switch (alias.kind) {
    case 'records':
      return alias.secure ? { kind: 'bases', names: [name] } : none('addresses-insecure');
    case 'absent':
      return none('addresses-insecure');
    case 'bogus':
    case 'unknown':
      return settled(failed(`the CNAME record of ${name}`, alias));
  }
}

type Search = Pick<DaneHost, 'port' | 'nextHopNames'> & { readonly bases: NonEmpty<Domain> };

/** The first base with secure records decides; one that could not be looked up ends the search. */
function considerBases({ port, nextHopNames, bases }: Search, { tlsa }: DaneAnswers): Step {
  let because: NoDaneReason = 'no-tlsa';
  for (const base of bases) {
    const answer = tlsa.find((asked) => asked.base === base)?.answer;
    const name = tlsaName(base, port);
    if (answer === undefined) return ask({ type: 'tlsa', base, name });
    if (answer.kind === 'bogus' || answer.kind === 'unknown') return settled(failed(`the TLSA records at ${name}`, answer));
    if (answer.kind === 'records' && answer.secure) return settled(judgeRecords(base, answer.records, nextHopNames));
    if (!answer.secure) because = 'tlsa-insecure';
  }
  return none(because);
}

function judgeRecords(tlsaBase: Domain, found: readonly TlsaRecord[], nextHopNames: readonly Domain[]): DaneStatus {
  const records = usableRecords(found);
  if (!isNonEmpty(records)) return { kind: 'unusable', tlsaBase };
  return { kind: 'usable', tlsaBase, records, names: [tlsaBase, ...nextHopNames.filter((name) => name !== tlsaBase)] };
}

const PROBLEM_TEXT: Readonly<Record<DnsProblem, string>> = {
  timeout: 'no name server answered in time',
  servfail: 'the name servers of the zone fail',
  refused: 'the name server refused',
  malformed: 'the answer could not be read',
  unreachable: 'no name server could be reached',
  'cname-loop': 'its CNAME records lead nowhere',
};

function failed(what: string, answer: Extract<DnsAnswer<unknown>, { kind: 'bogus' | 'unknown' }>): DaneStatus {
  if (answer.kind === 'bogus') return undetermined('bogus', `${what} fail DNSSEC validation`);
  return undetermined('lookup-failed', `${what} could not be looked up: ${PROBLEM_TEXT[answer.problem]}`);
}
