/**
 * The status document from what the parts of the relay know of themselves.
 */
import type { Instant } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import type { QueueStats } from '../domain/queue.ts';
import type { CertificateFacts } from '../platform/certificate-policy.ts';
import type { CounterName } from '../reporting/counters.ts';
import type { SpoolHealth } from '../spool/spool.ts';
import type { StatusDocument } from './documents-format.ts';

/** What the document is made from. */
export type StatusFacts = {
  readonly version: string;
  readonly pid: number;
  readonly now: Instant;
  readonly startedAt: Instant;
  /** The configuration file as it was named. */
  readonly file: string;
  readonly config: Pick<Config, 'hostname' | 'listeners' | 'workers'>;
  readonly notReadyBecause: readonly string[];
  /** Relay threads that serve. */
  readonly running: number;
  readonly stats: QueueStats;
  readonly health: SpoolHealth;
  readonly counts: Readonly<Record<CounterName, number>>;
  readonly certificates: readonly CertificateFacts[];
};

const DAY = 86_400_000;
const iso = (instant: number): string => new Date(instant).toISOString();

/** The document of `GET /api/v1/status`. */
export function statusDocument(facts: StatusFacts): StatusDocument {
  const { config, stats, health, counts } = facts;
  return {
    version: facts.version,
    hostname: config.hostname,
    pid: facts.pid,
    startedAt: iso(facts.startedAt),
    uptimeSeconds: Math.round((facts.now - facts.startedAt) / 1000),
    ready: facts.notReadyBecause.length === 0,
    notReadyBecause: facts.notReadyBecause,
    config: { file: facts.file, loadedAt: iso(facts.startedAt) },
    listeners: config.listeners.map(({ name, host, port, tls }) => ({ name, address: `${host}:${port}`, tls })),
    workers: { configured: config.workers, running: facts.running },
    queue: {
      messages: stats.messages,
      bytes: stats.bytes,
      recipients: stats.recipients,
      oldest: stats.oldest === null ? null : iso(stats.oldest),
    },
    spool: { writable: health.writable, low: health.low, freeBytes: health.freeBytes, problem: health.problem?.detail ?? null },
    sessions: { inbound: counts.sessionsOpen, outbound: counts.deliveriesActive + counts.sessionsPooled },
    traffic: {
      accepted: counts.messagesAccepted,
      rejected: counts.messagesRejected,
      delivered: counts.recipientsDelivered,
      deferred: counts.recipientsDeferred,
      failed: counts.recipientsFailed,
      expired: counts.recipientsExpired,
    },
    lastDelivery: counts.lastDeliveryAt === 0 ? null : iso(counts.lastDeliveryAt),
    certificates: facts.certificates.map(({ file, names, notAfter, selfSigned }) => ({
      file,
      names: names.map((name) => name.replace(/^DNS:/, '')),
      notAfter: iso(notAfter),
      daysLeft: Math.floor((notAfter - facts.now) / DAY),
      selfSigned,
    })),
  };
}
