/**
 * Composition root of the main thread: self-test, certificates, spool thread, relay threads, admin, and their end.
 * Reads like a table of contents; decides nothing.
 */
import { randomBytes, randomInt } from 'node:crypto';
import packageFile from '../package.json' with { type: 'json' };
import { type ActiveConfig, provision, provisionNext } from './active-config.ts';
import { type AdminSource, createApi } from './admin/api.ts';
import { startAdminServer } from './admin/http-server.ts';
import { statusDocument } from './admin/status-format.ts';
import { overdueExceptions } from './config/exception-policy.ts';
import { formatIssue } from './config/issue-format.ts';
import type { Loaded } from './config/load-config.ts';
import { namedFiles } from './config/reload-policy.ts';
import { bounceMatching } from './delivery/bounce-matching.ts';
import { createServerProbes } from './dns/stub-probes.ts';
import { createStubResolver } from './dns/stub-resolver.ts';
import { systemServers } from './dns/system-servers.ts';
import { after, type Clock, type Instant } from './domain/basics.ts';
import type { Config } from './domain/config.ts';
import { type HistoryService, historyPath, openHistoryService } from './history-service.ts';
import { createPeerTable } from './inbound/peer-limits.ts';
import { type CertificateLoad, loadCertificates } from './platform/certificates.ts';
import { dnssecTest } from './platform/dnssec-test.ts';
import { type FileWatch, watchFiles } from './platform/file-watch.ts';
import { openLineWriter } from './platform/line-writer.ts';
import { type Log, openLog } from './platform/log.ts';
import { openQueueIds } from './platform/queue-ids.ts';
import { selfTest } from './platform/self-test.ts';
import { forbidsStart } from './platform/self-test-policy.ts';
import { openShutdown, type Shutdown } from './platform/shutdown.ts';
import { keepThread, type Thread } from './platform/threads.ts';
import type { RelayCommand, RelayWord, RelayWorkerData } from './relay-protocol.ts';
import { usualTrust } from './relay-snapshot.ts';
import { readBodyHead } from './reporting/body-head.ts';
import { createCounterMemory, sumCounters } from './reporting/counters.ts';
import { createDeliveryLog } from './reporting/delivery-log.ts';
import { givenUpEvent, noticeEvent } from './reporting/history-event-format.ts';
import { makeNotices } from './reporting/notices.ts';
import type { Spool, SpoolAdmin } from './spool/spool.ts';
import { connectSpool } from './spool/sqlite-spool.ts';
import { type SpoolThread, startSpoolThread } from './spool/sqlite-spool-thread.ts';
import { openTlsReports, type TlsReportService, tlsReportPath } from './tls-report-service.ts';

/** Sessions and attempts under way get this long to end after a signal. */
const DRAIN_WITHIN = 25_000;
/** How long silent name servers may hold up the start. */
const SELF_TEST_PATIENCE = 2_000;
/** The process ends by then whatever hangs. */
const FORCE_AFTER = 30_000;
const READY_WITHIN = 30_000;

/** How `serve` was called. */
export type ServeOptions = {
  readonly loaded: Loaded;
  readonly log: { readonly format: 'json' | 'pretty'; readonly colour: boolean };
};

const clock: Clock = { now: () => Date.now() as Instant, monotonic: () => performance.now() };

/** Runs the relay until it is told to stop. Returns the exit code: 0 stopped, 1 could not run. */
export async function serve(options: ServeOptions): Promise<0 | 1> {
  const { config } = options.loaded;
  const log = openLog({ ...config.log, ...options.log, clock, base: {} }, openLineWriter(1));
  let app: App | null = null;
  using shutdown = openShutdown({
    source: process,
    clock,
    deadline: FORCE_AFTER,
    forceEnd: (reason) => {
      log.error('relay.forced', { text: `ended before all sessions were over: ${reason}` });
      log.flush();
      process.exit(1);
    },
    onReload: () => app?.reload('SIGHUP'),
  });
  app = new App(options, { log, shutdown });
  const code = await app.run();
  log.flush();
  return code;
}

/** Who takes what relay threads tell besides the log. */
type Listening = { readonly history: HistoryService; readonly tlsReports: TlsReportService };

class App {
  readonly #options: ServeOptions;
  readonly #log: Log;
  readonly #shutdown: Shutdown;
  readonly #startedAt = clock.now();
  readonly #counters: readonly SharedArrayBuffer[];
  readonly #running = new Map<number, Thread>();
  #failed = false;
  #activeConfig: ActiveConfig | null = null;
  #spoolThread: SpoolThread | null = null;
  #watch: FileWatch | null = null;

  constructor(options: ServeOptions, parts: { readonly log: Log; readonly shutdown: Shutdown }) {
    this.#options = options;
    this.#log = parts.log;
    this.#shutdown = parts.shutdown;
    this.#counters = Array.from({ length: options.loaded.config.workers }, createCounterMemory);
  }

  async run(): Promise<0 | 1> {
    const { config } = this.#options.loaded;
    this.#tellLoaded(this.#options.loaded, 'start');
    if (!(await this.#test(loadCertificates(config, clock.now())))) return 1;
    const provisioned = provision(this.#options.loaded, randomBytes(48), clock.now());
    if (!provisioned.ok) {
      for (const text of provisioned.error) this.#log.error('relay.failed', { text });
      return 1;
    }
    this.#activeConfig = provisioned.value;
    const spoolThread = await startSpoolThread({ path: config.queue.path, diskFreeBytes: config.limits.diskFreeBytes });
    if (!spoolThread.ok) {
      this.#log.error('relay.failed', { text: spoolThread.error.detail });
      return 1;
    }
    const spool = connectSpool(spoolThread.value.connect(), { bodies: spoolThread.value.bodies, clock });
    spoolThread.value.onExit((error) => this.#give(`the spool thread ended: ${error?.stack ?? 'no reason given'}`));
    spoolThread.value.onEvent(({ kind, ...fields }) =>
      this.#log[kind === 'recovered' ? 'info' : 'error'](`spool.${kind}`, fields),
    );
    this.#log.info('spool.opened', { path: config.queue.path, ...spoolThread.value.recovery });
    this.#spoolThread = spoolThread.value;
    const history = this.#openHistory();
    const tlsReports = this.#openTlsReports(spool);
    const threads = this.#keepRelays(spoolThread.value, { history, tlsReports });
    this.#watch = watchFiles(this.#watched(), () => this.reload('a file changed'));
    const admin = await startAdminServer(
      { host: config.admin.host, port: config.admin.port, token: () => this.#active.loaded.config.admin.token, log: this.#log },
      this.#api(spool, history),
    );
    if (!admin.ok) this.#give(admin.error);
    await aborted(this.#shutdown.signal);
    this.#watch[Symbol.dispose]();
    this.#log.info('relay.stopping', { text: String(this.#shutdown.signal.reason) });
    for (const thread of this.#running.values()) thread.post({ kind: 'drain', within: DRAIN_WITHIN } satisfies RelayCommand);
    await Promise.all(threads);
    if (admin.ok) await admin.value.close();
    await tlsReports.close();
    await spool.close();
    await spoolThread.value.close();
    await history.close();
    this.#log.info('relay.stopped', { text: 'all sessions are over, nothing is lost' });
    return this.#failed ? 1 : 0;
  }

  /** What is served now; there is one from the moment the start has provisioned it. */
  get #active(): ActiveConfig {
    if (this.#activeConfig === null) throw new Error('nothing is provisioned yet');
    return this.#activeConfig;
  }

  #watched(): readonly string[] {
    const { file, config } = this.#active.loaded;
    return [file, ...namedFiles(config)];
  }

  /** Reads configuration and certificates again; what is wrong with them leaves those in force. */
  reload(because: string): void {
    if (this.#spoolThread === null || this.#shutdown.signal.aborted) return;
    const next = provisionNext(this.#active, clock.now());
    if (!next.ok) {
      for (const text of next.error) this.#log.error('config.rejected', { because, text });
      return;
    }
    this.#activeConfig = next.value;
    const { loaded, snapshot } = next.value;
    this.#log.reconfigure(loaded.config.log);
    this.#spoolThread.setDiskFree(loaded.config.limits.diskFreeBytes);
    for (const thread of this.#running.values()) thread.post({ kind: 'snapshot', snapshot } satisfies RelayCommand);
    this.#watch?.follow(this.#watched());
    this.#tellLoaded(loaded, because);
  }

  #tellLoaded({ config, file, warnings }: Loaded, because: string): void {
    this.#log.info('config.loaded', {
      file,
      because,
      listeners: config.listeners.length,
      inbound: config.inbound.length,
      outbound: config.outbound.length,
    });
    for (const warning of warnings) this.#log.warn('config.warning', { text: formatIssue(warning) });
    for (const { text } of overdueExceptions(config, clock.now())) this.#log.warn('config.warning', { text });
  }

  /** Ends the relay for a reason of its own. */
  #give(text: string): void {
    if (this.#shutdown.signal.aborted) return;
    this.#failed = true;
    this.#log.error('relay.failed', { text });
    this.#shutdown.stop(text);
  }

  async #test(certificates: CertificateLoad): Promise<boolean> {
    const { config } = this.#options.loaded;
    const dns = { ...systemServers(config.resolver), clock, randomInt: (below: number) => randomInt(below) };
    const resolver = createStubResolver(dns);
    const probes = createServerProbes(dns, SELF_TEST_PATIENCE);
    const lines = [
      ...(await selfTest({ config, certificates, resolver, clock, patience: SELF_TEST_PATIENCE })),
      ...(await dnssecTest({ mode: dns.dnssec, daneWanted: config.tls.dane === 'auto', probes })),
    ];
    resolver.close();
    for (const { verdict, topic, text } of lines)
      this.#log[verdict === 'ok' ? 'info' : verdict === 'warning' ? 'warn' : 'error']('selftest', { topic, verdict, text });
    return !forbidsStart(lines);
  }

  #openHistory(): HistoryService {
    const { queue, limits } = this.#options.loaded.config;
    return openHistoryService({
      path: historyPath(queue.path),
      diskFreeBytes: limits.diskFreeBytes,
      clock,
      log: this.#log,
      privacy: () => this.#active.loaded.config.log.addresses,
    });
  }

  #openTlsReports(spool: Spool): TlsReportService {
    const config = (): Config => this.#active.loaded.config;
    return openTlsReports({
      path: tlsReportPath(config().queue.path),
      clock,
      random: () => Math.random(),
      spool,
      log: this.#log,
      newQueueId: openQueueIds(clock),
      config,
      trust: () => usualTrust(config(), this.#active.snapshot.materials),
    });
  }

  /** Starts the relay threads and keeps them; the promises end when the threads have ended for good. */
  #keepRelays(spoolThread: SpoolThread, { history, tlsReports }: Listening): readonly Promise<void>[] {
    const { config } = this.#options.loaded;
    const peerTable = { memory: createPeerTable(config.workers), seed: randomInt(2 ** 31) };
    return this.#counters.map((counters, thread) =>
      keepThread<RelayWorkerData>({
        plan: {
          name: `relay-${thread}`,
          entry: new URL('./relay-worker.ts', import.meta.url),
          readyWithin: READY_WITHIN,
          data: () => {
            const spoolPort = spoolThread.connect();
            return {
              data: {
                snapshot: this.#active.snapshot,
                thread,
                threads: config.workers,
                spoolPort,
                bodies: spoolThread.bodies,
                peerTable,
                counters,
                log: this.#options.log,
              },
              transfer: [spoolPort],
            };
          },
          onMessage: (message) => {
            const word = message as RelayWord;
            const taken = (): void => this.#running.get(thread)?.post({ kind: 'history-taken' } satisfies RelayCommand);
            if (word.kind === 'history') history.take(word.batch, taken);
            else if (word.kind === 'tls-sessions') tlsReports.take(word.counts);
            else this.#hear(word);
          },
        },
        clock,
        signal: this.#shutdown.signal,
        onStarted: (started, restarts) => this.#relayStarted(started, { thread, restarts }),
        onDied: (end, restartIn) => {
          this.#running.delete(thread);
          this.#log.error('relay.thread-died', {
            thread,
            end,
            restartIn,
            text: 'a relay thread died; its messages go to the others or wait for its successor',
          });
        },
      }),
    );
  }

  #relayStarted(started: Thread, { thread, restarts }: { readonly thread: number; readonly restarts: number }): void {
    this.#running.set(thread, started);
    if (this.#shutdown.signal.aborted) started.post({ kind: 'drain', within: DRAIN_WITHIN } satisfies RelayCommand);
    const { config } = this.#options.loaded;
    if (restarts > 0 || this.#running.size < config.workers) return;
    this.#log.info('relay.started', {
      version: packageFile.version,
      hostname: config.hostname,
      listeners: config.listeners.map(({ name, host, port, tls }) => ({ name, address: `${host}:${port}`, tls })),
      admin: `${config.admin.host}:${config.admin.port}`,
      workers: config.workers,
      startMs: clock.now() - this.#startedAt,
    });
  }

  #hear(word: RelayWord): void {
    if (word.kind !== 'cannot-listen') return;
    const text = `listener ${word.problem.listener}: ${word.problem.detail}`;
    // A listener that cannot be opened stops the start; one that a reload asked for does not stop those that serve.
    if (this.#running.size > 0) this.#log.error('config.listener-failed', { text });
    else this.#give(text);
  }

  #api(spool: Spool & SpoolAdmin, history: HistoryService): ReturnType<typeof createApi> {
    const config = (): Config => this.#active.loaded.config;
    const newQueueId = openQueueIds(clock);
    const mailLog = createDeliveryLog(this.#log);
    const tools = { clock, newQueueId, newBoundarySeed: () => randomBytes(18).toString('hex'), readHead: readBodyHead };
    return createApi({
      source: this.#source(spool),
      queue: spool,
      history,
      clock,
      stuckAfter: () => config().admin.stuckAfter,
      log: this.#log,
      bounceMatching: (filter) =>
        bounceMatching(filter, {
          spool,
          clock,
          notices: (claim, settled) =>
            makeNotices(
              {
                claim,
                settled,
                report: null,
                willRetryUntil: after(claim.envelope.receivedAt, config().queue.retry.expireAfter),
              },
              config(),
              tools,
            ),
          settled: (claim, settled, notices) => {
            const at = clock.now();
            mailLog.returned(claim, settled, at);
            history.record(givenUpEvent(claim, settled, at));
            for (const made of notices) {
              mailLog.bounceCreated(made, claim);
              history.record(noticeEvent(made, claim, at));
            }
          },
        }),
    });
  }

  #source(spool: Spool & SpoolAdmin): AdminSource {
    const reasons = (): readonly string[] => {
      const health = spool.health();
      return [
        ...(this.#running.size > 0 ? [] : ['no relay thread is running']),
        ...(this.#shutdown.signal.aborted ? ['the relay is stopping'] : []),
        ...(health.writable ? [] : [`the spool cannot be written: ${health.problem?.detail ?? 'unknown'}`]),
        ...(health.low ? ['free disk space is below limits.diskFree'] : []),
      ];
    };
    return {
      ready: () => ({ ready: reasons().length === 0, reasons: reasons() }),
      flow: async () => {
        const stats = await spool.stats();
        const { lastDeliveryAt } = sumCounters(this.#counters);
        return {
          startedAt: this.#startedAt,
          lastDelivery: lastDeliveryAt === 0 ? null : (lastDeliveryAt as Instant),
          waiting: stats.recipients.queued + stats.recipients.leased,
          oldest: stats.oldest,
        };
      },
      status: async () =>
        statusDocument({
          version: packageFile.version,
          pid: process.pid,
          now: clock.now(),
          startedAt: this.#startedAt,
          file: this.#active.loaded.file,
          config: this.#active.loaded.config,
          notReadyBecause: reasons(),
          running: this.#running.size,
          stats: await spool.stats(),
          health: spool.health(),
          counts: sumCounters(this.#counters),
          certificates: this.#active.certificates.facts,
        }),
    };
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
