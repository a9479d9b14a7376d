/**
 * Sends the TLS reports that are due: asks the domain where it wants its report, builds it, mails or posts it, tries again for a
 * day. One for the whole relay; carries out what tls-rpt-policy.ts decides. RFC 8460, section 5.
 */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Domain, Mailbox } from '../domain/address.ts';
import { mailboxText } from '../domain/address.ts';
import { after, type Clock, err, ok, type Result } from '../domain/basics.ts';
import type { TlsRptConfig } from '../domain/config.ts';
import type { DnsAnswer } from '../domain/dns.ts';
import type { QueueId } from '../domain/envelope.ts';
import type { NewMessage } from '../domain/queue.ts';
import type { ReportedPolicy, SessionResult } from '../domain/tls-report.ts';
import type { Logger } from '../platform/logger.ts';
import type { PostTarget } from './report-post.ts';
import { type CountedSessions, type ReportSubject, reportId, reportJson, reportMail, reportMessage } from './tls-rpt-format.ts';
import { GIVE_UP_AFTER, nextTry, parseEndpoint, parseTlsRptRecords, recordName } from './tls-rpt-policy.ts';
import type { ReportTask, TlsRptStore } from './tls-rpt-store.ts';

/** Who reports now; null in place of `tlsRpt` where reports are switched off. */
export type ReportingConfig = { readonly hostname: Domain; readonly tlsRpt: TlsRptConfig | null };

/** What the sender works with. */
export type TlsRptContext = {
  readonly store: TlsRptStore;
  readonly clock: Clock;
  readonly log: Logger;
  config(): ReportingConfig;
  /** The TXT records of a name. */
  lookup(name: string): Promise<DnsAnswer<string>>;
  /** Which of our addresses packets to a peer come from; null where that is not known. */
  localAddress(peer: string): Promise<string | null>;
  /** Signs a message; called only where a key is configured. */
  sign(message: string, dkim: NonNullable<TlsRptConfig['dkim']>): Promise<Result<string, string>>;
  /** Puts a message into the queue. */
  mail(message: NewMessage): Promise<Result<void, string>>;
  post(target: PostTarget, compressed: Uint8Array): Promise<Result<void, string>>;
  newQueueId(): QueueId;
  /** At least 16 random letters and digits. */
  newBoundarySeed(): string;
};

/** Tasks read at a time, and worked on side by side. */
const PAGE = 100;
const AT_A_TIME = 4;
/** The same page of tasks, again and again: a store that takes nothing. */
const MOST_PAGES = 1000;

const compress = promisify(gzip);

/** Does everything that is due. Ends soon after `signal` aborts. Rejects where the store fails. */
export async function sendDueReports(context: TlsRptContext, signal: AbortSignal): Promise<void> {
  for (let page = 0; page < MOST_PAGES && !signal.aborted; page += 1) {
    const tasks = [...context.store.due(context.clock.now(), PAGE)];
    if (tasks.length === 0 || context.config().tlsRpt === null) return;
    const work = async (): Promise<void> => {
      for (let task = tasks.shift(); task !== undefined && !signal.aborted; task = tasks.shift()) await carryOut(task, context);
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, work));
  }
}

/** One task: done, put off, or given up. */
async function carryOut(task: ReportTask, context: TlsRptContext): Promise<void> {
  const { store, clock, log } = context;
  const { tlsRpt, hostname } = context.config();
  if (tlsRpt === null) return;
  const subject: ReportSubject = { day: task.day, domain: task.domain, instance: store.instance };
  const result = task.uri === null ? await ask(task, context) : await send(task.uri, { subject, hostname, tlsRpt }, context);
  const fields = { domain: task.domain, reportId: reportId(subject), ...(task.uri === null ? {} : endpointFields(task.uri)) };
  if (result.ok) {
    if (task.uri === null) return;
    log.info('tls-report.sent', fields);
    return store.done(task);
  }
  const now = clock.now();
  const until = task.until ?? after(now, GIVE_UP_AFTER);
  const next = nextTry(task.tries + 1, { now, until });
  if (next !== null) {
    log.info('tls-report.deferred', { ...fields, text: result.error, next: new Date(next).toISOString() });
    return store.retry(task, next, until);
  }
  log.warn('tls-report.dropped', { ...fields, text: `given up after a day: ${result.error}` });
  store.done(task);
}

/** The endpoint for the log: addresses under `to`, where the log's privacy finds them. */
function endpointFields(uri: string): Readonly<Record<string, unknown>> {
  const endpoint = parseEndpoint(uri);
  if (endpoint === null) return {};
  return endpoint.kind === 'mailto' ? { to: mailboxText(endpoint.mailbox) } : { host: endpoint.host };
}

/** Asks the domain where its report goes. Those that want none, or say so unreadably, are done with. */
async function ask(task: ReportTask, { store, clock, lookup, log }: TlsRptContext): Promise<Result<void, string>> {
  const name = recordName(task.domain);
  const answer = await lookup(name);
  if (answer.kind === 'bogus' || answer.kind === 'unknown') return err(`${name} could not be looked up`);
  const record = parseTlsRptRecords(answer.kind === 'records' ? answer.records : []);
  const uris = record.kind === 'record' ? record.uris.filter((uri) => parseEndpoint(uri) !== null) : [];
  if (record.kind === 'invalid' || (record.kind === 'record' && uris.length === 0))
    log.info('tls-report.no-endpoint', {
      domain: task.domain,
      text: `the record at ${name} names no endpoint reports can go to`,
    });
  store.addressed(task, uris, clock.now());
  return ok(undefined);
}

type Report = { readonly subject: ReportSubject; readonly hostname: Domain; readonly tlsRpt: TlsRptConfig };

async function send(uri: string, report: Report, context: TlsRptContext): Promise<Result<void, string>> {
  const endpoint = parseEndpoint(uri);
  if (endpoint === null) return ok(undefined);
  const { subject, tlsRpt } = report;
  const sessions = await sessionsOf(report.subject, context);
  const compressed = await compress(reportJson(subject, tlsRpt, sessions));
  switch (endpoint.kind) {
    case 'https': {
      const posted = await context.post(endpoint, compressed);
      return posted.ok ? posted : err(`${endpoint.host} ${posted.error}`);
    }
    case 'mailto':
      return mailTo(endpoint.mailbox, { ...report, compressed }, context);
  }
}

/** Into the queue, which tries for a day and tells no one if it fails. */
async function mailTo(
  to: Mailbox,
  { subject, hostname, tlsRpt, compressed }: Report & { readonly compressed: Uint8Array },
  context: TlsRptContext,
): Promise<Result<void, string>> {
  const facts = {
    subject,
    reporter: tlsRpt,
    hostname,
    compressed,
    to,
    queueId: context.newQueueId(),
    now: context.clock.now(),
    boundarySeed: context.newBoundarySeed(),
  };
  const message = reportMail(facts);
  const signed = tlsRpt.dkim === null ? ok(message) : await context.sign(message, tlsRpt.dkim);
  return signed.ok ? context.mail(reportMessage(facts, signed.value)) : signed;
}

/** The counts, failures with the address of ours they came from. */
async function sessionsOf(subject: ReportSubject, { store, localAddress }: TlsRptContext): Promise<readonly CountedSessions[]> {
  const known = new Map<string, string | null>();
  const sessions: CountedSessions[] = [];
  for (const { policy, result: text, count } of store.counts(subject)) {
    const result = JSON.parse(text) as SessionResult;
    sessions.push({ policy: JSON.parse(policy) as ReportedPolicy, result: await withSender(result), count });
  }
  return sessions;

  async function withSender(result: SessionResult): Promise<SessionResult> {
    if (result.kind === 'success' || result.ip === null || result.sendingIp !== null) return result;
    const sendingIp = known.get(result.ip) ?? (await localAddress(result.ip));
    known.set(result.ip, sendingIp);
    return { ...result, sendingIp };
  }
}
