/** Events of a default message, to be changed in one thing by a test. */
import type { Instant } from '../../src/domain/basics.ts';
import type {
  AcceptedEvent,
  AttemptEvent,
  HistoryBatch,
  HistoryEvent,
  NoticeEvent,
  OperatorEvent,
  RecipientFate,
} from '../../src/reporting/history.ts';
import { createHistoryOutbox } from '../../src/reporting/history-outbox.ts';
import { testClock } from '../support/clock.ts';
import { NOW } from './facts.ts';

/** An id made at NOW plus so many seconds. */
export const ID = '01KDXXJ5R8000000000000000A';
export const at = (seconds: number): Instant => (NOW + seconds * 1000) as Instant;

export const accepted = (more: Partial<AcceptedEvent> = {}): AcceptedEvent => ({
  kind: 'accepted',
  at: at(0),
  queueId: ID,
  from: 'alice@example.org',
  to: ['bob@example.net'],
  sizeBytes: 1234,
  ip: '192.0.2.9',
  helo: 'client.example',
  listener: 'mx',
  tls: null,
  connectors: [],
  ...more,
});

export const fate = (more: Partial<RecipientFate> = {}): RecipientFate => ({
  to: 'bob@example.net',
  becomes: 'delivered',
  attempt: 1,
  mx: 'mx.example.net',
  ip: '192.0.2.1',
  status: null,
  text: null,
  reply: { code: 250, enhanced: '2.0.0', text: 'ok' },
  next: null,
  ...more,
});

export const attempt = (more: Partial<AttemptEvent> = {}): AttemptEvent => ({
  kind: 'attempt',
  at: at(1),
  queueId: ID,
  domain: 'example.net',
  connector: 'default',
  policy: { plaintext: 'allowed', ladder: ['modern'], peer: [], because: [{ kind: 'default' }] },
  rung: 'modern',
  tls: { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', group: 'X25519', peer: null },
  fallbacks: [],
  wouldBlock: null,
  attemptMs: 20,
  recipients: [fate()],
  ...more,
});

export const notice = (more: Partial<NoticeEvent> = {}): NoticeEvent => ({
  kind: 'notice',
  at: at(2),
  queueId: ID,
  noticeId: '01KDXXJ7Q8000000000000000N',
  notice: 'failure',
  to: 'alice@example.org',
  ...more,
});

export const operator = (more: Partial<OperatorEvent> = {}): OperatorEvent => ({
  kind: 'operator',
  at: at(3),
  action: 'hold',
  ids: null,
  domain: null,
  connector: null,
  recipients: 1,
  ...more,
});

/** The events as a thread would give them away. */
export function batchOf(...events: readonly HistoryEvent[]): HistoryBatch {
  const batches: HistoryBatch[] = [];
  const outbox = createHistoryOutbox({ clock: testClock(NOW), privacy: () => 'full', post: (batch) => void batches.push(batch) });
  for (const event of events) outbox.record(event);
  outbox.flush();
  const [batch] = batches;
  if (batch === undefined) throw new Error('no events');
  return batch;
}
