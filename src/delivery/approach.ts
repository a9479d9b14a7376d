/**
 * How one delivery goes to its hosts: what is the same for all of them, what is decided for each, and what a connection to one
 * depends on. Shared by those who look for a kept connection and those who open a new one.
 */
import { type Domain, isAddressLiteral } from '../domain/address.ts';
import type { Config, DeliveryTimeouts } from '../domain/config.ts';
import type { Credentials, OutboundConnector } from '../domain/connector.ts';
import type { Envelope } from '../domain/envelope.ts';
import type { Rung, TlsPolicy } from '../domain/tls.ts';
import type { HostCandidate } from '../routing/resolve-hosts.ts';
import type { HostSecurity } from '../security/gather-facts.ts';
import { decideTlsPolicy, type MessageDemand, type TlsDecision } from '../security/tls-policy.ts';
import type { Pool, Pooled } from '../transport/pool.ts';
import { poolKey } from '../transport/pool-key-policy.ts';
import type { ClientCertificate, ConnectPlan, TrustAnchors } from '../transport/session.ts';
import type { Where } from './failure-policy.ts';

/** Loaded files a connector's TLS needs. `id` is equal only where trust, certificate and credentials are. */
export type TlsMaterials = {
  readonly id: string;
  readonly trust: TrustAnchors;
  readonly clientCertificate: ClientCertificate | null;
};

/** What is the same for all hosts of one delivery, and who decides for each. */
export type Approach = {
  readonly connector: string;
  readonly sourceAddress: string | null;
  readonly helo: Domain;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  readonly timeouts: DeliveryTimeouts;
  readonly implicitTls: boolean;
  readonly credentials: Credentials | null;
  readonly materials: TlsMaterials;
  /** Decided once for a host, at once where all facts are known. */
  decide(host: HostCandidate): TlsDecision | Promise<TlsDecision>;
};

/** The approach of a connector under a configuration; `decide` says what each host must offer. */
export function approachOf(
  {
    connector,
    config,
    materials,
  }: { readonly connector: OutboundConnector; readonly config: Config; readonly materials: TlsMaterials },
  decide: Approach['decide'],
): Approach {
  const { source, route } = connector;
  return {
    connector: connector.name,
    sourceAddress: source.address,
    helo: source.helo ?? config.hostname,
    minVersion: config.tls.minVersion,
    timeouts: config.delivery.timeouts,
    implicitTls: route.kind === 'smarthost' && route.tls === 'implicit',
    credentials: route.kind === 'smarthost' ? route.auth : null,
    materials,
    decide,
  };
}

/** What a message asks for: REQUIRETLS beats the header field that waives (RFC 8689, section 5). */
export const demandOf = ({ requireTls, tlsRequiredNo }: Pick<Envelope, 'requireTls' | 'tlsRequiredNo'>): MessageDemand =>
  requireTls ? 'requiretls' : tlsRequiredNo ? 'tls-required-no' : 'none';

/** The decision about one host; what delivers and what explains both ask here. */
export function decideHost(
  {
    connector,
    config,
    demand,
  }: { readonly connector: OutboundConnector; readonly config: Pick<Config, 'tls'>; readonly demand: MessageDemand },
  host: HostCandidate,
  { dane, mtaSts }: HostSecurity,
): TlsDecision {
  const { route } = connector;
  return decideTlsPolicy({
    connector,
    minVersion: config.tls.minVersion,
    host: { name: host.name, nameIsSecure: host.mxSecure },
    dane,
    mtaSts,
    message: demand,
    credentials: route.kind === 'smarthost' && route.auth !== null,
    implicitTls: route.kind === 'smarthost' && route.tls === 'implicit',
  });
}

/** One address of one host. */
export type Target = { readonly host: HostCandidate; readonly address: string; readonly where: Where };

/** The address with its names for log and bounce. */
export const targetOf = (host: HostCandidate, address: string): Target => ({
  host,
  address,
  where: { mx: host.name ?? address, ip: address },
});

/** The name whose certificate is wanted: with DANE the TLSA base (RFC 7672, section 8.1), else the host. */
function serverNameFor(host: HostCandidate, policy: TlsPolicy): Domain | null {
  for (const source of policy.because) if (source.kind === 'dane') return source.tlsaBase;
  return host.name === null || isAddressLiteral(host.name) ? null : host.name;
}

/** The plan of a connection to the target on a rung. */
export const connectPlan = (
  approach: Approach,
  target: Target,
  { policy, rung }: { readonly policy: TlsPolicy; readonly rung: Rung },
): ConnectPlan => ({
  host: target.host.name,
  address: target.address,
  port: target.host.port,
  sourceAddress: approach.sourceAddress,
  helo: approach.helo,
  rung,
  minVersion: approach.minVersion,
  tlsRequired: policy.plaintext === 'never',
  implicitTls: approach.implicitTls,
  serverName: serverNameFor(target.host, policy),
  trust: approach.materials.trust,
  clientCertificate: approach.materials.clientCertificate,
  timeouts: approach.timeouts,
});

/** The key under which a connection to the target may be kept and found. */
export const keyFor = (approach: Approach, target: Target, policy: TlsPolicy): string =>
  poolKey({
    connector: approach.connector,
    host: target.host.name,
    address: target.address,
    port: target.host.port,
    sourceAddress: approach.sourceAddress,
    helo: approach.helo,
    minVersion: approach.minVersion,
    implicitTls: approach.implicitTls,
    serverName: serverNameFor(target.host, policy),
    materials: approach.materials.id,
    policy,
  });

/** A kept session at one of the most preferred hosts, with the decision it satisfies; null where there is none. Costs no connection. */
export async function takePooled(
  hosts: readonly HostCandidate[],
  approach: Approach,
  pool: Pool,
): Promise<{
  readonly pooled: Pooled;
  readonly target: Target;
  readonly decision: Extract<TlsDecision, { kind: 'use' }>;
} | null> {
  if (pool.idle === 0) return null;
  for (const host of hosts) {
    if (host.preference !== hosts[0]?.preference) return null;
    const decided = approach.decide(host);
    const decision = decided instanceof Promise ? await decided : decided;
    if (decision.kind === 'skip-host') continue;
    for (const address of host.addresses) {
      const target = targetOf(host, address);
      const pooled = pool.take(keyFor(approach, target, decision.policy));
      if (pooled !== null) return { pooled, target, decision };
    }
  }
  return null;
}
