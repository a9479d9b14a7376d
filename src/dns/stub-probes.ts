/**
 * A resolver for each name server by itself, believing it whatever the configuration says: for asking how it deals with DNSSEC.
 */
import type { Milliseconds } from '../domain/basics.ts';
import type { ServerAddress } from './resolv-conf-format.ts';
import type { Resolver } from './resolver.ts';
import { createStubResolver, type StubResolverOptions } from './stub-resolver.ts';
import { trustsAuthenticData } from './trust-policy.ts';

/** One server on probation. */
export type ServerProbe = {
  /** As the configuration would write it. */
  readonly server: string;
  /** Its word about DNSSEC counts under the configuration. */
  readonly believed: boolean;
  readonly resolver: Pick<Resolver, 'mx' | 'close'>;
};

/** One for each server; `patience` bounds each question. Each resolver is to be closed. */
export function createServerProbes(
  options: Pick<StubResolverOptions, 'servers' | 'dnssec' | 'clock' | 'randomInt'>,
  patience: Milliseconds,
): readonly ServerProbe[] {
  const { servers, dnssec, clock, randomInt } = options;
  const limits = { tryTimeout: patience, rounds: 1, lookupTimeout: patience };
  return servers.map((server) => ({
    server: serverText(server),
    believed: trustsAuthenticData(server.address, dnssec),
    resolver: createStubResolver({ servers: [server], dnssec: 'trust', clock, randomInt, limits }),
  }));
}

function serverText({ address, port }: ServerAddress): string {
  if (port === 53) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
