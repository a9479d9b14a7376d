/**
 * The admin API without HTTP: routes a request that was let in to the ports and says what to answer. Knows no socket; the
 * queue's content leaves it only through `queue/{id}/body`.
 */
import type { Clock, Milliseconds, Result } from '../domain/basics.ts';
import { escapeText } from '../domain/escape.ts';
import type { Body, QueueFilter } from '../domain/queue.ts';
import { parseQueueId } from '../domain/queue-id.ts';
import type { Logger } from '../platform/logger.ts';
import type { HistoryReader, HistoryRecorder } from '../reporting/history.ts';
import { traceOf } from '../reporting/trace-policy.ts';
import type { SpoolAdmin, SpoolProblem } from '../spool/spool.ts';
import {
  messageDocument,
  type ProblemDocument,
  pageDocument,
  problemDocument,
  type StatusDocument,
  statsDocument,
} from './documents-format.ts';
import type { Admission } from './guard-policy.ts';
import { type FlowFacts, isStuck } from './health-policy.ts';
import { type ActionRequest, parseActionRequest, parseListRequest } from './request-format.ts';
import { parseTraceRequest, traceDocument } from './trace-format.ts';

/** What the relay tells of itself. */
export type AdminSource = {
  status(): Promise<StatusDocument>;
  /** Whether mail would be accepted now, and if not, why. */
  ready(): { readonly ready: boolean; readonly reasons: readonly string[] };
  flow(): Promise<FlowFacts>;
};

/** What the API works with. */
export type ApiContext = {
  readonly source: AdminSource;
  readonly queue: SpoolAdmin;
  /** Gives up matching recipients and tells their senders; returns how many. */
  bounceMatching(filter: QueueFilter): Promise<Result<number, SpoolProblem>>;
  readonly history: HistoryReader & Pick<HistoryRecorder, 'record'>;
  readonly clock: Clock;
  stuckAfter(): Milliseconds;
  readonly log: Logger;
};

/** A request after the guard; `document` is the parsed JSON of a POST. */
export type ApiRequest = {
  readonly method: 'GET' | 'POST';
  readonly url: URL;
  readonly admission: Exclude<Admission['kind'], 'refused'>;
  readonly document: unknown;
  readonly remoteAddress: string;
};

/** What to answer. */
export type ApiReply =
  | { readonly kind: 'document'; readonly document: object }
  | { readonly kind: 'message'; readonly body: Body }
  | { readonly kind: 'problem'; readonly problem: ProblemDocument; readonly allow: 'GET' | 'POST' | null };

/** Answers requests. Rejects only on a bug or a spool that is gone; the adapter says 500 then. */
export type Api = { handle(request: ApiRequest): Promise<ApiReply> };

const problem = (status: number, detail: string): ApiReply => ({
  kind: 'problem',
  problem: problemDocument(status, detail),
  allow: null,
});
const document = (value: object): ApiReply => ({ kind: 'document', document: value });
const NO_SUCH_MESSAGE = problem(
  404,
  'There is no such message in the queue: it was delivered, given up or removed, or the id is wrong.',
);

type Handler = (context: ApiContext, request: ApiRequest, id: string) => Promise<ApiReply>;
type RouteEntry = { readonly method: 'GET' | 'POST'; readonly path: RegExp; readonly probe: boolean; readonly handle: Handler };

async function healthz({ source, clock, stuckAfter }: ApiContext): Promise<ApiReply> {
  if (!isStuck(await source.flow(), clock.now(), stuckAfter())) return document({ status: 'ok' });
  return problem(503, 'Mail is queued and nothing has been delivered for a long time.');
}

async function readyz({ source }: ApiContext, { admission }: ApiRequest): Promise<ApiReply> {
  const { ready, reasons } = source.ready();
  if (ready) return document({ status: 'ready' });
  return problem(503, admission === 'full' ? reasons.join('; ') : 'The relay does not accept mail now.');
}

async function list({ queue }: ApiContext, { url }: ApiRequest): Promise<ApiReply> {
  const asked = parseListRequest(url.searchParams);
  if (!asked.ok) return problem(400, asked.error);
  return document(pageDocument(await queue.list(asked.value.filter, asked.value.limit)));
}

async function show({ queue }: ApiContext, _request: ApiRequest, id: string): Promise<ApiReply> {
  const queueId = parseQueueId(id);
  const message = queueId === null ? null : await queue.show(queueId);
  return message === null ? NO_SUCH_MESSAGE : document(messageDocument(message));
}

async function body({ queue }: ApiContext, _request: ApiRequest, id: string): Promise<ApiReply> {
  const queueId = parseQueueId(id);
  const found = queueId === null ? null : await queue.body(queueId);
  return found === null ? NO_SUCH_MESSAGE : { kind: 'message', body: found };
}

function carryOut(context: ApiContext, { action, filter }: ActionRequest): Promise<Result<number, SpoolProblem>> {
  return action === 'bounce' ? context.bounceMatching(filter) : context.queue.act(action, filter);
}

async function act(context: ApiContext, request: ApiRequest): Promise<ApiReply> {
  const asked = parseActionRequest(request.document);
  if (!asked.ok) return problem(400, asked.error);
  const { action, filter } = asked.value;
  const done = await carryOut(context, asked.value);
  if (!done.ok) return problem(503, `The queue could not be changed: ${done.error.kind}.`);
  const selection = { ids: filter.queueIds?.slice(0, 20), domain: filter.domain, connector: filter.connector };
  const { queueIds = null, domain = null, connector = null } = filter;
  const at = context.clock.now();
  context.history.record({ kind: 'operator', at, action, ids: queueIds, domain, connector, recipients: done.value });
  context.log.warn('queue.action', { action, ...selection, recipients: done.value, ip: request.remoteAddress });
  return document({ action, recipients: done.value });
}

async function trace({ history }: ApiContext, { url }: ApiRequest): Promise<ApiReply> {
  const asked = parseTraceRequest(url.searchParams);
  if (!asked.ok) return problem(400, asked.error);
  const answer = await history.find(asked.value);
  if (answer === null) return problem(503, 'The history cannot be read now; the log of the relay says why.');
  return document(traceDocument(traceOf(answer, asked.value)));
}

const ROUTES: readonly RouteEntry[] = [
  { method: 'GET', path: /^\/healthz$/, probe: true, handle: healthz },
  { method: 'GET', path: /^\/readyz$/, probe: true, handle: readyz },
  { method: 'GET', path: /^\/api\/v1\/status$/, probe: false, handle: async ({ source }) => document(await source.status()) },
  { method: 'GET', path: /^\/api\/v1\/queue$/, probe: false, handle: list },
  {
    method: 'GET',
    path: /^\/api\/v1\/queue\/stats$/,
    probe: false,
    handle: async ({ queue }) => document(statsDocument(await queue.stats())),
  },
  { method: 'GET', path: /^\/api\/v1\/trace$/, probe: false, handle: trace },
  { method: 'POST', path: /^\/api\/v1\/queue\/actions$/, probe: false, handle: act },
  { method: 'GET', path: /^\/api\/v1\/queue\/([\w-]{1,64})$/, probe: false, handle: show },
  { method: 'GET', path: /^\/api\/v1\/queue\/([\w-]{1,64})\/body$/, probe: false, handle: body },
];

async function route(context: ApiContext, request: ApiRequest): Promise<ApiReply> {
  const found = ROUTES.find(({ path }) => path.test(request.url.pathname));
  if (request.admission === 'probe' && found?.probe !== true)
    return problem(401, 'Send the token of admin.token as "Authorization: Bearer …".');
  if (found === undefined) return problem(404, `There is nothing at ${escapeText(request.url.pathname, 100)}.`);
  if (found.method !== request.method) {
    return { kind: 'problem', problem: problemDocument(405, `Use ${found.method}.`), allow: found.method };
  }
  return found.handle(context, request, found.path.exec(request.url.pathname)?.[1] ?? '');
}

/** The API over these ports. */
export const createApi = (context: ApiContext): Api => ({ handle: (request) => route(context, request) });
