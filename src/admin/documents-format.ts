/**
 * The JSON documents of the admin API: what `/api/v1/…` answers and `--json` prints. Keys are stable; times are ISO 8601 in UTC.
 */
import { reversePathText } from '../domain/address.ts';
import type { Instant } from '../domain/basics.ts';
import type { Envelope } from '../domain/envelope.ts';
import type { DeliveryFailure } from '../domain/outcome.ts';
import type { QueueAction, QueueEntry, QueueStats, RecipientState } from '../domain/queue.ts';
import type { QueuedMessage, QueuePage } from '../spool/spool.ts';

/** `GET /api/v1/status`. Counts are since start. */
export type StatusDocument = {
  readonly version: string;
  readonly hostname: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly uptimeSeconds: number;
  readonly ready: boolean;
  /** Why the relay takes no mail now; empty where it does. */
  readonly notReadyBecause: readonly string[];
  readonly config: { readonly file: string; readonly loadedAt: string };
  readonly listeners: readonly { readonly name: string; readonly address: string; readonly tls: string }[];
  /** Relay threads: those configured and those running. */
  readonly workers: { readonly configured: number; readonly running: number };
  readonly queue: {
    readonly messages: number;
    readonly bytes: number;
    readonly recipients: Readonly<Record<RecipientState, number>>;
    readonly oldest: string | null;
  };
  readonly spool: {
    readonly writable: boolean;
    readonly low: boolean;
    readonly freeBytes: number;
    readonly problem: string | null;
  };
  /** Connections open now. */
  readonly sessions: { readonly inbound: number; readonly outbound: number };
  /** Messages accepted and refused, recipients delivered, put off, failed and expired. */
  readonly traffic: {
    readonly accepted: number;
    readonly rejected: number;
    readonly delivered: number;
    readonly deferred: number;
    readonly failed: number;
    readonly expired: number;
  };
  readonly lastDelivery: string | null;
  readonly certificates: readonly {
    readonly file: string;
    readonly names: readonly string[];
    readonly notAfter: string;
    readonly daysLeft: number;
    readonly selfSigned: boolean;
  }[];
};

/** One recipient in the queue. */
export type EntryDocument = {
  readonly queueId: string;
  readonly number: number;
  readonly from: string;
  readonly to: string;
  readonly domain: string;
  readonly state: RecipientState;
  readonly attempts: number;
  readonly due: string;
  readonly receivedAt: string;
  readonly sizeBytes: number;
  readonly connector: string | null;
  readonly lastFailure: DeliveryFailure | null;
};

/** `GET /api/v1/queue`. `total` is null beyond 10,000. */
export type PageDocument = { readonly entries: readonly EntryDocument[]; readonly total: number | null };

/** `GET /api/v1/queue/{id}`. */
export type MessageDocument = {
  readonly queueId: string;
  readonly from: string;
  readonly receivedAt: string;
  readonly sizeBytes: number;
  readonly eightBit: boolean;
  readonly smtpUtf8: boolean;
  readonly requireTls: boolean;
  readonly dsn: Envelope['dsn'];
  readonly origin: Envelope['origin'];
  readonly recipients: readonly EntryDocument[];
};

/** `GET /api/v1/queue/stats`. */
export type StatsDocument = {
  readonly messages: number;
  readonly bytes: number;
  readonly recipients: Readonly<Record<RecipientState, number>>;
  readonly oldest: string | null;
  readonly domains: readonly { readonly domain: string; readonly recipients: number; readonly oldest: string }[];
};

/** `POST /api/v1/queue/actions`. */
export type ActionDocument = { readonly action: QueueAction; readonly recipients: number };

/** RFC 9457. `detail` says what to do. */
export type ProblemDocument = {
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  readonly detail: string;
};

const time = (instant: Instant): string => new Date(instant).toISOString();

/** A queue entry. */
export const entryDocument = (entry: QueueEntry): EntryDocument => ({
  queueId: entry.queueId,
  number: entry.number,
  from: entry.reversePath,
  to: entry.recipient,
  domain: entry.domain,
  state: entry.state,
  attempts: entry.attempts,
  due: time(entry.due),
  receivedAt: time(entry.receivedAt),
  sizeBytes: entry.sizeBytes,
  connector: entry.connector,
  lastFailure: entry.lastFailure,
});

/** A page of the queue. */
export const pageDocument = ({ entries, total }: QueuePage): PageDocument => ({ entries: entries.map(entryDocument), total });

/** A queued message with its recipients. */
export const messageDocument = ({ message: { envelope }, entries }: QueuedMessage): MessageDocument => ({
  queueId: envelope.queueId,
  from: reversePathText(envelope.reversePath),
  receivedAt: time(envelope.receivedAt),
  sizeBytes: envelope.sizeBytes,
  eightBit: envelope.eightBit,
  smtpUtf8: envelope.smtpUtf8,
  requireTls: envelope.requireTls,
  dsn: envelope.dsn,
  origin: envelope.origin,
  recipients: entries.map(entryDocument),
});

/** The numbers of the queue. */
export const statsDocument = (stats: QueueStats): StatsDocument => ({
  messages: stats.messages,
  bytes: stats.bytes,
  recipients: stats.recipients,
  oldest: stats.oldest === null ? null : time(stats.oldest),
  domains: stats.domains.map(({ domain, recipients, oldest }) => ({ domain, recipients, oldest: time(oldest) })),
});

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Not authorized',
  403: 'Forbidden',
  404: 'Not found',
  405: 'Method not allowed',
  413: 'Too large',
  415: 'Unsupported media type',
  500: 'Internal error',
  503: 'Not available',
};

/** The problem document for an HTTP status. */
export const problemDocument = (status: number, detail: string): ProblemDocument => ({
  type: 'about:blank',
  title: TITLES[status] ?? 'Error',
  status,
  detail,
});
