/**
 * Composition root of a relay thread: listeners and delivery on one event loop. Reads like a table of contents; decides nothing.
 */
import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { attempt } from './delivery/attempt.ts';
import { LEASE, Scheduler, type SchedulerContext } from './delivery/scheduler.ts';
import { judgeSession, type VisitOfDelivery } from './delivery/session-result-policy.ts';
import { AvoidedAddresses } from './delivery/walk-hosts.ts';
import type { Clock, Instant } from './domain/basics.ts';
import { after } from './domain/basics.ts';
import type { Config } from './domain/config.ts';
import type { OutboundConnector } from './domain/connector.ts';
import type { Claim } from './domain/queue.ts';
import { type InboundContext, type InboundLog, USUAL_PATIENCE } from './inbound/context.ts';
import { createListeners } from './inbound/listeners.ts';
import { createPeerLimits } from './inbound/peer-limits.ts';
import { startListener } from './inbound/smtp-server-listener.ts';
import { openLineWriter } from './platform/line-writer.ts';
import { openListenerTls } from './platform/listener-tls.ts';
import { openLog } from './platform/log.ts';
import { openPasswordCheck } from './platform/passwords.ts';
import { openQueueIds } from './platform/queue-ids.ts';
import { reportReady, threadData } from './platform/threads.ts';
import type { PostedSnapshot, RelayCommand, RelayWord, RelayWorkerData } from './relay-protocol.ts';
import { openSnapshots } from './relay-snapshot.ts';
import { readBodyHead } from './reporting/body-head.ts';
import { openCounters } from './reporting/counters.ts';
import { createDeliveryLog } from './reporting/delivery-log.ts';
import { acceptedEvent, attemptEvent, noticeEvent } from './reporting/history-event-format.ts';
import { createHistoryOutbox } from './reporting/history-outbox.ts';
import { makeNotices } from './reporting/notices.ts';
import { createTlsRptOutbox } from './reporting/tls-rpt-outbox.ts';
import { findConnector } from './routing/connector-policy.ts';
import { gatherFacts, type HostQuestion } from './security/gather-facts.ts';
import { openHostMemory } from './security/host-memory.ts';
import { type StsNews, spoolPolicies } from './security/mta-sts-cache.ts';
import { stsProblemText } from './security/mta-sts-problem-format.ts';
import { connectSpool } from './spool/sqlite-spool.ts';
import { createTransport } from './transport/nodemailer-session.ts';
import { Pool } from './transport/pool.ts';

const data = threadData<RelayWorkerData>();
const { thread, threads } = data;
const clock: Clock = { now: () => Date.now() as Instant, monotonic: () => performance.now() };
const random = (): number => Math.random();
const say = (word: RelayWord): void => parentPort?.postMessage(word);

// What the thread knows, counts and tells.
const log = openLog({ ...data.snapshot.config.log, ...data.log, clock, base: { thread } }, openLineWriter(1));
const mailLog = createDeliveryLog(log);
const counters = openCounters(data.counters);
const newQueueId = openQueueIds(clock);
const spool = connectSpool(data.spoolPort, { bodies: data.bodies, clock });

// Delivery.
function tellPolicy(news: StsNews): void {
  if (news.kind === 'fetched')
    log.info('mta-sts.fetched', { domain: news.policy.domain, id: news.policy.id, mode: news.policy.mode });
  else log.warn('mta-sts.problem', { domain: news.domain, cached: news.cached, text: stsProblemText(news.domain, news.problem) });
}
const ownAddresses = new Set(Object.values(networkInterfaces()).flatMap((list) => list?.map(({ address }) => address) ?? []));
const snapshots = await openSnapshots(data.snapshot, {
  clock,
  random,
  ownAddresses,
  store: spoolPolicies(spool),
  onNews: tellPolicy,
});
const config = (): Config => snapshots.current().config;
const history = createHistoryOutbox({
  clock,
  privacy: () => config().log.addresses,
  post: (batch) => say({ kind: 'history', batch }),
});
const tlsReports = createTlsRptOutbox({ clock, post: (counts) => say({ kind: 'tls-sessions', counts }) });
/** By the facts the delivery went by: they are remembered while they hold. */
async function countSession(visit: VisitOfDelivery): Promise<void> {
  const session = judgeSession(visit, await gatherFacts(visit, snapshots.of(visit.connector).facts), clock.now());
  if (session !== null) tlsReports.count(session);
}
const transport = createTransport(clock);
const pool = new Pool(clock);
const memory = await openHostMemory(spool);
const attemptContext = {
  transport,
  pool,
  memory,
  clock,
  avoided: new AvoidedAddresses(),
  onFallback: (fallback: Parameters<typeof mailLog.tlsFallback>[0]) => {
    counters.add('tlsFallbacks');
    mailLog.tlsFallback(fallback);
  },
  gather: (question: HostQuestion) => gatherFacts(question, snapshots.of(question.connector).facts),
  onSession: (visit: VisitOfDelivery) => {
    if (config().reports.tlsRpt !== null) void countSession(visit);
  },
  materials: (connector: OutboundConnector) => snapshots.of(connector).materials(connector),
  resolveHosts: (connector: OutboundConnector, claim: Claim) => snapshots.of(connector).hosts.resolve(connector, claim),
};
const fault = (what: string, error: unknown): void =>
  log.error('relay.fault', { text: what, problem: error instanceof Error ? (error.stack ?? error.message) : String(error) });
const noticeTools = { clock, newQueueId, newBoundarySeed: () => randomBytes(18).toString('hex'), readHead: readBodyHead };
const schedulerContext: SchedulerContext = {
  spool,
  clock,
  random,
  threads,
  config,
  choose: ({ domain, envelope: { reversePath, origin } }, { outbound }) =>
    findConnector(
      {
        recipient: domain,
        sender: reversePath?.domain ?? null,
        inboundConnectors: origin.kind === 'smtp' ? origin.inboundConnectors : [],
      },
      outbound,
    ),
  attempt: (claim, order) => attempt(claim, order, attemptContext),
  notices: ({ claim, settled, report, connector }, { hostname, bounces }) =>
    makeNotices(
      { claim, settled, report, willRetryUntil: after(claim.envelope.receivedAt, connector.retry.expireAfter) },
      { hostname, bounces },
      noticeTools,
    ),
  settled: ({ claim, report, settled, notices }) => {
    for (const { becomes } of settled) counters.add(COUNTED[becomes]);
    counters.add('noticesCreated', notices.length);
    if (settled.some(({ becomes }) => becomes === 'delivered')) counters.set('lastDeliveryAt', clock.now());
    mailLog.settled({ claim, report, settled });
    history.record(attemptEvent({ claim, report, settled }));
    for (const made of notices) {
      mailLog.bounceCreated(made, claim);
      history.record(noticeEvent(made, claim, clock.now()));
    }
  },
  fault,
};
const COUNTED = {
  delivered: 'recipientsDelivered',
  queued: 'recipientsDeferred',
  bounced: 'recipientsFailed',
  expired: 'recipientsExpired',
} as const;
const scheduler = new Scheduler(schedulerContext);

// Listeners.
const inboundLog: InboundLog = {
  sessionRejected: (fields) => {
    counters.add('sessionsRejected');
    history.refused('session');
    mailLog.sessionRejected(fields);
  },
  messageAccepted: (fields) => {
    counters.add('messagesAccepted');
    mailLog.messageAccepted(fields);
    history.record(acceptedEvent(fields, clock.now()));
  },
  messageRejected: (fields) => {
    counters.add('messagesRejected');
    history.refused('message');
    mailLog.messageRejected(fields);
  },
  policyWouldBlock: (fields) => {
    counters.add('wouldBlockInbound');
    mailLog.policyWouldBlock(fields);
  },
  loginFailed: (fields) => {
    counters.add('loginsFailed');
    mailLog.loginFailed(fields);
  },
};
const listenerTls = openListenerTls(data.snapshot.certificates);
const inbound: InboundContext = {
  config,
  spool,
  tls: listenerTls,
  clientAnchors: () => snapshots.current().clientAnchors(),
  checkPassword: openPasswordCheck(),
  clock,
  newQueueId,
  peers: createPeerLimits({ ...data.peerTable, thread }, clock),
  mayClaim: (bytes) => scheduler.mayClaim(bytes),
  leaseFor: LEASE,
  offer: (claims) => scheduler.offer(claims),
  log: inboundLog,
  broke: (error) => fault('a session', error),
  patience: USUAL_PATIENCE,
  reusePort: true,
};
const listeners = createListeners(
  (listener) => startListener(listener, inbound),
  (problem) => say({ kind: 'cannot-listen', problem }),
);
await listeners.serve(config().listeners);
scheduler.start();

/** One thread renews policies that would grow old while no mail goes to their domains. */
const renewal = thread === 0 ? setInterval(() => void snapshots.current().facts.policies?.renewDue(), 3_600_000) : undefined;
const gauges = setInterval(() => {
  const { active, held } = scheduler.counts();
  counters.set('sessionsOpen', listeners.sessions());
  counters.set('deliveriesActive', active);
  counters.set('claimsHeld', held);
  counters.set('sessionsPooled', pool.idle);
}, 1000);

function endAttempts(): void {
  snapshots.close();
  transport.close();
}

/** Takes nothing new, lets what is under way finish within the time, gives back what waits, and lets the thread end. */
async function drain(within: number): Promise<void> {
  const deadline = AbortSignal.timeout(within);
  deadline.addEventListener('abort', endAttempts, { once: true });
  await listeners.drain(deadline);
  await scheduler.stop(deadline);
  clearInterval(gauges);
  clearInterval(renewal);
  pool.close();
  endAttempts();
  await spool.close();
  history.flush();
  tlsReports.flush();
  log.flush();
  say({ kind: 'drained' });
  parentPort?.close();
}
/** New sessions and attempts go by the new configuration; those under way finish by the one they began with. */
async function take(snapshot: PostedSnapshot): Promise<void> {
  await snapshots.take(snapshot);
  listenerTls.replace(snapshot.certificates);
  log.reconfigure(snapshot.config.log);
  await listeners.serve(snapshot.config.listeners);
}

parentPort?.on('message', (command: RelayCommand) => {
  switch (command.kind) {
    case 'drain':
      void drain(command.within);
      break;
    case 'snapshot':
      void take(command.snapshot);
      break;
    case 'history-taken':
      history.taken();
      break;
  }
});
if (listeners.complete()) reportReady();
