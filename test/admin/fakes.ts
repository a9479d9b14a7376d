/** A small queue in memory, a relay that is well, and the admin server over both on a free loopback port. */
import { strict as assert } from 'node:assert';
import { request } from 'node:http';
import { type Api, type ApiContext, createApi } from '../../src/admin/api.ts';
import type { StatusDocument } from '../../src/admin/documents-format.ts';
import { type AdminServer, startAdminServer } from '../../src/admin/http-server.ts';
import type { Domain } from '../../src/domain/address.ts';
import { type Instant, isNonEmpty, ok } from '../../src/domain/basics.ts';
import type { QueueId } from '../../src/domain/envelope.ts';
import type { Body, QueueEntry, QueueFilter } from '../../src/domain/queue.ts';
import type { LogFields, Logger } from '../../src/platform/logger.ts';
import type { SpoolAdmin } from '../../src/spool/spool.ts';
import { envelope, failure, NOW, RECEIVED, recipient } from '../reporting/facts.ts';
import { testClock } from '../support/clock.ts';

/** Two messages of the fake queue. */
export const FIRST = '01KDXJ0000000000000000000A';
export const SECOND = '01KDXJ0000000000000000000B';

export const STATUS: StatusDocument = {
  version: '0.1.0',
  hostname: 'relay.example.org',
  pid: 1,
  startedAt: '2026-01-01T00:00:00.000Z',
  uptimeSeconds: 90_061,
  ready: true,
  notReadyBecause: [],
  config: { file: '/etc/postern/postern.yaml', loadedAt: '2026-01-01T00:00:00.000Z' },
  listeners: [{ name: 'mx', address: '127.0.0.1:2525', tls: 'starttls' }],
  workers: { configured: 2, running: 2 },
  queue: { messages: 2, bytes: 2048, recipients: { queued: 2, leased: 0, held: 1 }, oldest: '2026-01-01T03:04:05.000Z' },
  spool: { writable: true, low: false, freeBytes: 5_000_000_000, problem: null },
  sessions: { inbound: 3, outbound: 1 },
  traffic: { accepted: 10, rejected: 1, delivered: 7, deferred: 2, failed: 1, expired: 0 },
  lastDelivery: null,
  certificates: [
    {
      file: 'certs/relay.pem',
      names: ['relay.example.org'],
      notAfter: '2026-03-01T00:00:00.000Z',
      daysLeft: 58,
      selfSigned: true,
    },
  ],
};

export const entry = (queueId: string, more: Partial<QueueEntry> = {}): QueueEntry => ({
  queueId: queueId as QueueId,
  number: 0,
  reversePath: 'alice@example.org',
  recipient: 'bob@example.net',
  domain: 'example.net' as Domain,
  state: 'queued',
  attempts: 2,
  due: (NOW + 60_000) as Instant,
  receivedAt: RECEIVED,
  sizeBytes: 1234,
  connector: 'default',
  lastFailure: failure({ permanent: false, enhanced: '4.2.1', text: 'mx.example.net said: \x1b[31mtry later' }),
  ...more,
});

function matches(entry: QueueEntry, filter: QueueFilter): boolean {
  return (
    (filter.queueIds?.includes(entry.queueId) ?? true) &&
    (filter.domain === undefined || filter.domain === entry.domain) &&
    (filter.connector === undefined || filter.connector === entry.connector) &&
    (filter.state === undefined || filter.state === entry.state) &&
    (filter.from === undefined || filter.from === entry.reversePath)
  );
}

export type FakeQueue = SpoolAdmin & { readonly asked: unknown[]; bodies: Map<string, Body> };

export function fakeQueue(entries: readonly QueueEntry[]): FakeQueue {
  const asked: unknown[] = [];
  const bodies = new Map<string, Body>([
    [FIRST, { kind: 'memory', wire: Buffer.from('Subject: x\r\n\r\n..dot\r\n\x1b[2J\r\n') }],
  ]);
  const found = (filter: QueueFilter): readonly QueueEntry[] => entries.filter((entry) => matches(entry, filter));
  return {
    asked,
    bodies,
    list: async (filter, limit) => {
      asked.push({ filter, limit });
      return { entries: found(filter).slice(0, limit), total: found(filter).length };
    },
    show: async (queueId) => {
      const mine = found({ queueIds: [queueId] });
      return isNonEmpty(mine) ? { message: { envelope: envelope({ queueId }), recipients: [recipient()] }, entries: mine } : null;
    },
    body: async (queueId) => bodies.get(queueId) ?? null,
    stats: async () => ({
      messages: entries.length,
      bytes: 2048,
      recipients: { queued: entries.length, leased: 0, held: 0 },
      oldest: RECEIVED,
      domains: [{ domain: 'example.net' as Domain, recipients: entries.length, oldest: RECEIVED }],
    }),
    act: async (action, filter) => {
      asked.push({ action, filter });
      return ok(found(filter).length);
    },
    claimMatching: async () => [],
  };
}

export type Fixture = AdminServer & {
  readonly queue: FakeQueue;
  readonly events: (readonly [event: string, fields: LogFields])[];
};

export type Change = { readonly token?: string; readonly context?: Partial<ApiContext>; readonly api?: Api };

/** The server, with one thing changed. Close it. */
export async function startFixture({ token, context, api }: Change = {}): Promise<Fixture> {
  const events: (readonly [string, LogFields])[] = [];
  const note = (event: string, fields: LogFields): void => void events.push([event, fields]);
  const log: Logger = { debug: note, info: note, warn: note, error: note };
  const queue = fakeQueue([
    entry(FIRST),
    entry(FIRST, { number: 1, recipient: 'carol@example.net' }),
    entry(SECOND, { state: 'held' }),
  ]);
  const whole: ApiContext = {
    source: {
      status: async () => STATUS,
      ready: () => ({ ready: true, reasons: [] }),
      flow: async () => ({ startedAt: RECEIVED, lastDelivery: NOW, waiting: 1, oldest: RECEIVED }),
    },
    queue,
    bounceMatching: async (filter) => {
      queue.asked.push({ action: 'bounce', filter });
      return ok(1);
    },
    history: { record: () => undefined, find: async () => null },
    clock: testClock(NOW),
    stuckAfter: () => 7_200_000,
    log,
    ...context,
  };
  const started = await startAdminServer(
    { host: '127.0.0.1', port: 0, token: () => token ?? null, log },
    api ?? createApi(whole),
  );
  assert.ok(started.ok);
  const { port, close } = started.value;
  return { port, close, queue, events, [Symbol.asyncDispose]: close };
}

export type Answer = { readonly status: number; readonly headers: NodeJS.Dict<string | string[]>; readonly text: string };
export type Ask = { readonly method?: string; readonly headers?: Readonly<Record<string, string>>; readonly body?: string };

/** One request on a connection of its own. */
export function ask(port: number, path: string, { method = 'GET', headers = {}, body }: Ask = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path, method, headers: { ...headers }, agent: false }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(pieces).toString() }),
      );
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** A POST of JSON. */
export const post = (port: number, document: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
  ask(port, '/api/v1/queue/actions', {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(document),
  });
