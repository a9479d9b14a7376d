/**
 * What a running relay can take of a new configuration. What needs other files open, other threads or another port of its own
 * needs a restart, and is refused rather than taken by half.
 */
import type { Config } from '../domain/config.ts';

/** Keys that are read at start only, with how to see that they differ. */
const AT_START: readonly (readonly [path: string, of: (config: Config) => unknown])[] = [
  ['queue.store', ({ queue }) => queue.path],
  ['workers', ({ workers }) => workers],
  ['admin.address', ({ admin }) => [admin.host, admin.port]],
];

/** The keys that differ and need a restart; empty where the new configuration can be taken. */
export const needsRestart = (old: Config, next: Config): readonly string[] =>
  AT_START.filter(([, of]) => JSON.stringify(of(old)) !== JSON.stringify(of(next))).map(([path]) => path);

/** Every file a configuration names: renewed, they are read again. */
export const namedFiles = ({ certificates, selfSigned, tls, outbound, reports }: Config): readonly string[] => [
  ...(certificates.length === 0 ? [selfSigned] : certificates).flatMap(({ cert, key }) => [cert, key]),
  ...tls.trust.files,
  ...(reports.tlsRpt?.dkim === null || reports.tlsRpt?.dkim === undefined ? [] : [reports.tlsRpt.dkim.key]),
  ...[tls.clientCertificate, ...outbound.map((connector) => connector.tls.clientCertificate)].flatMap((files) =>
    files === null ? [] : [files.cert, files.key],
  ),
  ...outbound.flatMap((connector) => (connector.tls.ca === null ? [] : [connector.tls.ca])),
];
