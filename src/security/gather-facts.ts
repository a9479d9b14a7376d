/**
 * Gathers what the decision about one host needs to know of DNS: DANE and MTA-STS, where they are on for this delivery.
 * At once where nothing has to be looked up. Judges nothing.
 */
import type { Domain } from '../domain/address.ts';
import type { OutboundConnector } from '../domain/connector.ts';
import type { DaneHost, DaneStatus } from './dane-policy.ts';
import { type MtaStsStatus, policyDomainOf } from './mta-sts-policy.ts';

/** One host of one delivery. */
export type HostQuestion = {
  readonly connector: Pick<OutboundConnector, 'route' | 'tls'>;
  readonly host: DaneHost;
  readonly recipientDomain: Domain;
};

/** What DNS says of the host's protection. */
export type HostSecurity = { readonly dane: DaneStatus; readonly mtaSts: MtaStsStatus };

/** Where the facts come from. `dane` and `mtaSts` are null where the relay has them switched off. */
export type FactSources = {
  readonly dane: ((host: DaneHost) => DaneStatus | Promise<DaneStatus>) | null;
  readonly mtaSts: ((domain: Domain) => MtaStsStatus | Promise<MtaStsStatus>) | null;
};

const NO_DANE: DaneStatus = { kind: 'not-applicable', because: 'off' };
const NO_MTA_STS: MtaStsStatus = { kind: 'not-applicable', problem: null };
const NOTHING: HostSecurity = { dane: NO_DANE, mtaSts: NO_MTA_STS };

/** The facts about a host. Never rejects: what could not be learned is a case of the statuses. */
export function gatherFacts(
  { connector, host, recipientDomain }: HostQuestion,
  sources: FactSources,
): HostSecurity | Promise<HostSecurity> {
  const { tls } = connector;
  if (tls.mode === 'plaintext') return NOTHING;
  const policyDomain = policyDomainOf(connector.route, host, recipientDomain);
  const dane = tls.dane === 'off' || sources.dane === null || host.name === null ? NO_DANE : sources.dane(host);
  const mtaSts =
    tls.mtaSts === 'off' || sources.mtaSts === null || policyDomain === null ? NO_MTA_STS : sources.mtaSts(policyDomain);
  if (dane instanceof Promise || mtaSts instanceof Promise) return both(dane, mtaSts);
  return { dane, mtaSts };
}

async function both(dane: DaneStatus | Promise<DaneStatus>, mtaSts: MtaStsStatus | Promise<MtaStsStatus>): Promise<HostSecurity> {
  const [daneStatus, mtaStsStatus] = await Promise.all([dane, mtaSts]);
  return { dane: daneStatus, mtaSts: mtaStsStatus };
}
