/**
 * What it means for DANE how the name servers deal with DNSSEC, in words an administrator can act on. Pure.
 */
import type { DnssecMode } from '../dns/trust-policy.ts';
import type { Validation } from '../dns/validation-policy.ts';
import type { SelfTestLine } from './self-test-policy.ts';

/** How the name servers deal with DNSSEC. */
export type DnssecFacts = {
  readonly mode: DnssecMode;
  /** `tls.dane` is auto. */
  readonly daneWanted: boolean;
  readonly servers: readonly ServerFact[];
};

/** One server: is its word believed, and what is it worth? */
export type ServerFact = { readonly server: string; readonly believed: boolean; readonly validation: Validation };

const CURE = 'Install unbound on this machine and set resolver.servers: [127.0.0.1].';

/** One line; none where DANE is not wanted. */
export function judgeDnssec(facts: DnssecFacts): readonly SelfTestLine[] {
  if (!facts.daneWanted) return [];
  const { verdict, text } = facts.mode === 'off' ? SWITCHED_OFF : judgeServers(facts.servers);
  return [{ verdict, topic: 'dnssec', text }];
}

type Verdict = Pick<SelfTestLine, 'verdict' | 'text'>;

const warning = (text: string): Verdict => ({ verdict: 'warning', text });
const SWITCHED_OFF = warning('resolver.dnssec is off: DANE is off. Say tls.dane: off if that is meant.');

function judgeServers(servers: readonly ServerFact[]): Verdict {
  const believed = servers.filter((server) => server.believed);
  const others = servers.filter((server) => !server.believed);
  if (believed.length === 0) return judgeOthers(others);
  const of = (validation: Validation): readonly ServerFact[] => believed.filter((server) => server.validation === validation);
  const [blind, failing, plain] = [of('vouches-for-anything'), of('fails-at-the-root'), of('does-not-validate')];
  const [good, silent] = [of('validates'), of('unknown')];
  if (blind.length > 0) {
    const claim = `${names(blind)} ${verb(blind, 'calls', 'call')} names validated by DNSSEC that cannot be: such a word is worth nothing.`;
    return warning(`${claim} ${CURE} Until then set resolver.dnssec: off.`);
  }
  if (failing.length > 0) {
    const cause = 'a clock or a trust anchor (unbound-anchor) is wrong there, or someone tampers with the traffic';
    const claim = `${names(failing)} ${verb(failing, 'finds', 'find')} the DNS root itself forged`;
    return warning(`${claim}: ${cause}. Mail waits until that is mended.`);
  }
  if (plain.length === believed.length)
    return warning(`${names(plain)} ${verb(plain, 'does', 'do')} not validate DNSSEC: DANE is off. ${CURE}`);
  if (plain.length > 0) {
    const both = `${names(plain)} ${verb(plain, 'does', 'do')} not validate DNSSEC, ${names([...good, ...silent])} may`;
    return warning(`${both}: DANE comes and goes with the server that answers. Take ${names(plain)} out of resolver.servers.`);
  }
  if (good.length === 0)
    return warning(`${names(silent)} did not say whether DNSSEC is validated there: where it is not, DANE is off.`);
  const text = `DNSSEC is validated by ${names(good)}: DANE is on.`;
  if (others.length === 0) return { verdict: 'ok', text };
  return warning(
    `${text} ${names(others)} ${verb(others, 'is', 'are')} never asked: beside a server whose word counts, others would switch DANE off.`,
  );
}

/** None of the servers is believed: what if one were? */
function judgeOthers(servers: readonly ServerFact[]): Verdict {
  const good = servers.filter(({ validation }) => validation === 'validates');
  if (good.length > 0) {
    const safe = `or, where nobody can get at the way to it, set resolver.servers: [${good.map(({ server }) => server).join(', ')}] and resolver.dnssec: trust`;
    const why = 'anyone on the way from there could claim the same: DANE is off';
    return warning(`${names(good)} ${verb(good, 'validates', 'validate')} DNSSEC, but ${why}. ${CURE.slice(0, -1)}; ${safe}.`);
  }
  const silent = servers.length > 0 && servers.every(({ validation }) => validation === 'unknown');
  const what = silent
    ? 'did not say whether DNSSEC is validated there, and would not be believed'
    : `${verb(servers, 'does', 'do')} not validate DNSSEC`;
  return warning(`${names(servers)} ${what}: DANE is off. ${CURE}`);
}

const names = (servers: readonly ServerFact[]): string => servers.map(({ server }) => server).join(' and ');

const verb = (servers: readonly ServerFact[], one: string, many: string): string => (servers.length === 1 ? one : many);
