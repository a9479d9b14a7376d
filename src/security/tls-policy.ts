/**
 * How safely one delivery to one host must travel: the connector's mode, DANE, MTA-STS, the message's own demand and credentials
 * combined. Requirements add up; nothing lowers what another raised, except as interface.md, section 4, says.
 * Decides only; whoever executes the policy adds nothing to it.
 */
import type { Domain } from '../domain/address.ts';
import { isNonEmpty } from '../domain/basics.ts';
import type { OutboundConnector } from '../domain/connector.ts';
import type { EnhancedStatusCode } from '../domain/outcome.ts';
import type { PeerRequirement } from '../domain/peer.ts';
import type { Plaintext, PolicySource, TlsPolicy, TlsRung } from '../domain/tls.ts';
import type { DaneStatus } from './dane-policy.ts';
import { type MtaStsStatus, permitsHost } from './mta-sts-policy.ts';
import { rungOffer } from './rung-table.ts';

/** What the decision looks at. */
export type SecurityFacts = {
  readonly connector: Pick<OutboundConnector, 'name' | 'tls' | 'testMode'>;
  /** `tls.minVersion`: rungs below it are not tried. */
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  readonly host: {
    /** Null where the operator named an address. */
    readonly name: Domain | null;
    /** How this relay came to trust that the name is right: DNSSEC for MX records, or the operator's own word for a smarthost. */
    readonly nameIsSecure: boolean;
  };
  /** Already 'not-applicable' where DANE is off for this delivery. */
  readonly dane: DaneStatus;
  readonly mtaSts: MtaStsStatus;
  readonly message: MessageDemand;
  /** The connector shows credentials to the host. */
  readonly credentials: boolean;
  /** TLS from the first byte: there is no clear to fall back to. */
  readonly implicitTls: boolean;
};

/** RFC 8689: what the message itself asks for. */
export type MessageDemand = 'none' | 'requiretls' | 'tls-required-no';

/** A host that must not see the message now, and why in one sentence. */
export type SkipProblem = { readonly enhanced: EnhancedStatusCode; readonly text: string };

/** What one host must offer. `shadow`: what a connector in test mode would have demanded, for counting only. */
export type TlsDecision =
  | { readonly kind: 'use'; readonly policy: TlsPolicy; readonly shadow: TlsDecision | null }
  | { readonly kind: 'skip-host'; readonly problem: SkipProblem };

/** One demand: what it adds, and who made it. Or why it cannot be met at this host. */
type Demand =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'adds';
      readonly plaintext: Plaintext;
      readonly peer: readonly PeerRequirement[];
      readonly source: PolicySource;
    }
  | { readonly kind: 'impossible'; readonly problem: SkipProblem };

const NONE: Demand = { kind: 'none' };
/** The implicit last connector: its demands count as the default, not as anyone's wish. */
const DEFAULT_CONNECTOR = 'default';

/** What this host must offer before it may see the message. */
export function decideTlsPolicy(facts: SecurityFacts): TlsDecision {
  if (!facts.connector.testMode) return combine(facts);
  const { name, tls } = facts.connector;
  // DANE, MTA-STS and the message's demand are not the connector's to test: they hold in test mode, too. Plaintext blocks nothing.
  const mode = tls.mode === 'plaintext' ? 'plaintext' : 'opportunistic';
  const relaxed = { name, tls: { ...tls, mode }, testMode: false } as const;
  const decision = combine({ ...facts, connector: relaxed });
  return decision.kind === 'use' ? { ...decision, shadow: combine(facts) } : decision;
}

function combine(facts: SecurityFacts): TlsDecision {
  const { connector } = facts;
  const demands = [
    connectorDemand(facts),
    daneDemand(facts),
    mtaStsDemand(facts),
    credentialsDemand(facts),
    messageDemand(facts),
  ];
  for (const demand of demands) if (demand.kind === 'impossible') return { kind: 'skip-host', problem: demand.problem };
  const adding = demands.filter((demand) => demand.kind === 'adds');
  const sources = adding.map(({ source }) => source);
  const because: TlsPolicy['because'] = isNonEmpty(sources) ? sources : [connectorSource(connector.name)];
  const plaintext = strictest(connector.tls.mode, adding);
  return {
    kind: 'use',
    shadow: null,
    policy: {
      plaintext,
      ladder: plaintext === 'always' ? [] : ladderOf(facts),
      peer: adding.flatMap(({ peer }) => peer),
      because: waivesAnything(facts) ? [...because, { kind: 'message', demand: 'tls-required-no' }] : because,
    },
  };
}

/** True where DANE or MTA-STS would have had a say, and the message waived it. */
const waivesAnything = ({ message, connector: { tls }, dane, mtaSts }: SecurityFacts): boolean => {
  if (message !== 'tls-required-no' || tls.mode === 'plaintext' || tls.mode === 'dane') return false;
  return dane.kind !== 'not-applicable' || (mtaSts.kind === 'policy' && mtaSts.mode === 'enforce');
};

/** `never` beats what allows; a connector in mode plaintext is the one way to switch TLS off. */
function strictest(mode: OutboundConnector['tls']['mode'], demands: readonly { readonly plaintext: Plaintext }[]): Plaintext {
  if (demands.some(({ plaintext }) => plaintext === 'never')) return 'never';
  return mode === 'plaintext' ? 'always' : 'allowed';
}

const ladderOf = ({ connector, minVersion }: SecurityFacts): readonly TlsRung[] =>
  connector.tls.ladder.filter((rung) => rungOffer(rung, minVersion) !== null);

const connectorSource = (name: string): PolicySource =>
  name === DEFAULT_CONNECTOR ? { kind: 'default' } : { kind: 'connector', name };

/** The floor: the table of modes (interface.md, section 4). */
function connectorDemand({ connector: { name, tls }, host, dane }: SecurityFacts): Demand {
  const demand = (peer: readonly PeerRequirement[]): Demand => ({
    kind: 'adds',
    plaintext: 'never',
    peer,
    source: connectorSource(name),
  });
  switch (tls.mode) {
    case 'plaintext':
    case 'opportunistic':
      return NONE;
    case 'encrypt':
      return demand([]);
    case 'trusted':
      return demand([{ kind: 'trusted' }]);
    case 'verify':
      return verifyDemand(tls, host.name, demand);
    case 'dane':
      if (dane.kind === 'usable' || dane.kind === 'undetermined') return demand([]);
      return {
        kind: 'impossible',
        problem: { enhanced: '4.7.324', text: `connector ${name} demands DANE, and the host has no usable TLSA record` },
      };
  }
}

/** Where pins are given the key must be one of them, and chain and name count only if names are given, too. */
function verifyDemand(
  tls: OutboundConnector['tls'],
  host: Domain | null,
  demand: (peer: readonly PeerRequirement[]) => Demand,
): Demand {
  const pins: readonly PeerRequirement[] = isNonEmpty(tls.pins) ? [{ kind: 'pin', keys: tls.pins }] : [];
  if (isNonEmpty(tls.names)) return demand([{ kind: 'name', names: tls.names }, ...pins]);
  if (pins.length > 0) return demand(pins);
  if (host !== null) return demand([{ kind: 'name', names: [{ kind: 'exact', domain: host }] }]);
  return {
    kind: 'impossible',
    problem: { enhanced: '4.7.320', text: 'the connector verifies names, and the host is named by its address only' },
  };
}

/**
 * RFC 7672, section 2.2. A mode of plaintext is above it: an exception must be written as one, with an end. What a message waives
 * (RFC 8689, section 5) is never what the connector itself demands.
 */
function daneDemand({ dane, message, connector: { tls } }: SecurityFacts): Demand {
  if (tls.mode === 'plaintext' || (message === 'tls-required-no' && tls.mode !== 'dane')) return NONE;
  switch (dane.kind) {
    case 'not-applicable':
      return NONE;
    case 'usable':
      return {
        kind: 'adds',
        plaintext: 'never',
        peer: [{ kind: 'dane', records: dane.records, names: dane.names }],
        source: { kind: 'dane', tlsaBase: dane.tlsaBase },
      };
    case 'unusable':
      return { kind: 'adds', plaintext: 'never', peer: [], source: { kind: 'dane', tlsaBase: dane.tlsaBase } };
    case 'undetermined':
      return { kind: 'impossible', problem: { enhanced: '4.7.324', text: dane.text } };
  }
}

/** RFC 8461, section 5; not asked where DANE authenticates the host (section 2). */
function mtaStsDemand({ mtaSts, dane, message, connector, host }: SecurityFacts): Demand {
  if (message === 'tls-required-no' || connector.tls.mode === 'plaintext' || dane.kind === 'usable') return NONE;
  if (mtaSts.kind !== 'policy' || mtaSts.mode !== 'enforce') return NONE;
  if (host.name === null || !permitsHost(mtaSts, host.name)) {
    return {
      kind: 'impossible',
      problem: { enhanced: '4.4.8', text: `${host.name ?? 'the host'} is not in the MTA-STS policy of ${mtaSts.domain}` },
    };
  }
  return {
    kind: 'adds',
    plaintext: 'never',
    peer: [{ kind: 'name', names: [{ kind: 'exact', domain: host.name }] }],
    source: { kind: 'mta-sts', domain: mtaSts.domain, id: mtaSts.id },
  };
}

/** Credentials are never sent in plaintext, whatever the mode; a port that speaks TLS from the first byte has no plaintext. */
function credentialsDemand({ credentials, implicitTls, connector }: SecurityFacts): Demand {
  if (credentials) return { kind: 'adds', plaintext: 'never', peer: [], source: { kind: 'credentials' } };
  return implicitTls ? { kind: 'adds', plaintext: 'never', peer: [], source: connectorSource(connector.name) } : NONE;
}

/** RFC 8689, section 4.2.1: a secure way to the MX, an authenticated host, and a next hop that offers REQUIRETLS. */
function messageDemand(facts: SecurityFacts): Demand {
  const { message, connector, host, dane, mtaSts } = facts;
  if (message !== 'requiretls') return NONE;
  if (connector.tls.mode === 'plaintext') return noRequireTls('5.7.30', `connector ${connector.name} delivers in plaintext`);
  const enforced = isEnforcedAt(facts);
  if (!host.nameIsSecure && !enforced) {
    // What could not be learned now may be there at the next try.
    const code = mayHavePolicy(mtaSts) ? '4.7.30' : '5.7.30';
    return noRequireTls(code, 'the way to the host is secured by neither DNSSEC nor MTA-STS');
  }
  const authenticated = dane.kind === 'usable' || enforced || checksName(connector.tls);
  if (!authenticated && host.name === null) return noRequireTls('5.7.30', 'the host is named by its address only');
  const name: readonly PeerRequirement[] =
    authenticated || host.name === null ? [] : [{ kind: 'name', names: [{ kind: 'exact', domain: host.name }] }];
  return {
    kind: 'adds',
    plaintext: 'never',
    peer: [...name, { kind: 'offers-requiretls' }],
    source: { kind: 'message', demand: 'requiretls' },
  };
}

const noRequireTls = (enhanced: EnhancedStatusCode, text: string): Demand => ({
  kind: 'impossible',
  problem: { enhanced, text: `REQUIRETLS: ${text}` },
});

const isEnforcedAt = ({ mtaSts, host }: SecurityFacts): boolean =>
  mtaSts.kind === 'policy' && mtaSts.mode === 'enforce' && host.name !== null && permitsHost(mtaSts, host.name);

/** No policy is known, for it could not be looked up or fetched; a broken record is as good as none (RFC 8461, section 3.1). */
const mayHavePolicy = (mtaSts: MtaStsStatus): boolean =>
  mtaSts.kind === 'not-applicable' && mtaSts.problem !== null && mtaSts.problem.kind !== 'record';

/** The connector's own demand has chain and name checked; pins alone have neither. */
const checksName = ({ mode, names, pins }: OutboundConnector['tls']): boolean =>
  mode === 'verify' && (names.length > 0 || pins.length === 0);
