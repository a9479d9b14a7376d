/**
 * What a running relay can take of a new configuration. What needs other files open, other threads or another port of its own
 * needs a restart, and is refused rather than taken by half.
 */
import type { Config } from '../domain/config.ts';
import { listenerFiles, outboundFiles } from './named-files-policy.ts';

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
export const namedFiles = (config: Config): readonly string[] => {
  const { certificates, selfSigned, reports } = config;
  const dkim = reports.tlsRpt?.dkim ?? null;
  return [
    ...[...listenerFiles(config), ...outboundFiles(config)].map(({ file }) => file),
    ...(certificates.length === 0 ? [selfSigned.cert, selfSigned.key] : []),
    ...(dkim === null ? [] : [dkim.key]),
  ];
};
