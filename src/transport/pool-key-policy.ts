/**
 * Which messages may share a connection: those for whom every fact of the security decision and of the connection is equal.
 * Leaving a fact out here is a security hole (a message of a stricter policy on a laxer connection).
 */
import type { TlsPolicy } from '../domain/tls.ts';
import type { ConnectPlan } from './session.ts';

/** The facts that must be equal, before a rung is chosen: the rung reached follows from them. */
export type PoolKeyFacts = Pick<
  ConnectPlan,
  'host' | 'address' | 'port' | 'sourceAddress' | 'helo' | 'minVersion' | 'implicitTls' | 'serverName'
> & {
  readonly connector: string;
  readonly policy: TlsPolicy;
  /** Names trust anchors, client certificate and credentials: equal only where all three are. */
  readonly materials: string;
};

/** Equal for two deliveries exactly where they may share a connection. */
export const poolKey = (facts: PoolKeyFacts): string =>
  JSON.stringify([
    facts.connector,
    facts.host,
    facts.address,
    facts.port,
    facts.sourceAddress,
    facts.helo,
    facts.minVersion,
    facts.implicitTls,
    facts.serverName,
    facts.materials,
    facts.policy.plaintext,
    facts.policy.ladder,
    facts.policy.peer,
    facts.policy.because,
  ]);
