/**
 * Composition root of TLS reports on the main thread: takes the counts of all relay threads, keeps them, and has reports sent when
 * they are due. Trouble here costs statistics, never mail.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createStubResolver } from './dns/stub-resolver.ts';
import { systemServers } from './dns/system-servers.ts';
import { type Clock, err, ok, type Random, type Result } from './domain/basics.ts';
import type { Config } from './domain/config.ts';
import type { QueueId } from './domain/envelope.ts';
import type { SessionCount } from './domain/tls-report.ts';
import { localAddressFor } from './platform/local-address.ts';
import type { Logger } from './platform/logger.ts';
import { postReport } from './reporting/report-post.ts';
import { openTlsRptStore } from './reporting/sqlite-tls-rpt.ts';
import { sendDueReports, type TlsRptContext } from './reporting/tls-rpt.ts';
import { SIGNED_FIELDS } from './reporting/tls-rpt-format.ts';
import type { TlsRptStore } from './reporting/tls-rpt-store.ts';
import { mayConnect } from './routing/address-policy.ts';
import type { Spool } from './spool/spool.ts';
import { signMessage } from './transport/nodemailer-dkim.ts';
import { anchorTexts } from './transport/nodemailer-tls-contexts.ts';
import type { TrustAnchors } from './transport/session.ts';

/** How often it is looked whether a report is due. */
const EVERY = 30_000;
const POST_PATIENCE = 60_000;
const LOOKUP_PATIENCE = 20_000;

/** What the service is made of. */
export type TlsReportOptions = {
  readonly path: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly spool: Pick<Spool, 'accept'>;
  readonly log: Logger;
  newQueueId(): QueueId;
  config(): Config;
  /** `tls.trust`, loaded: who is believed about HTTPS endpoints. */
  trust(): TrustAnchors;
};

/** TLS reports while the relay runs. */
export type TlsReportService = {
  /** Takes a relay thread's counts. */
  take(counts: readonly SessionCount[]): void;
  /** Sends what is due now, as the timer does; a call while one is under way joins it. Never rejects. */
  sendDue(): Promise<void>;
  /** Ends what is under way; what was not sent is sent after the next start. */
  close(): Promise<void>;
};

/** Starts the service. Its file is opened when first needed, and never where reports are switched off. */
export function openTlsReports(options: TlsReportOptions): TlsReportService {
  return new Service(options);
}

class Service implements TlsReportService {
  readonly #options: TlsReportOptions;
  readonly #closing = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #store: TlsRptStore | null = null;
  #troubled = false;
  #sending: Promise<void> | null = null;

  constructor(options: TlsReportOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.sendDue(), EVERY).unref();
    void this.sendDue();
  }

  take(counts: readonly SessionCount[]): void {
    if (this.#closing.signal.aborted || this.#options.config().reports.tlsRpt === null) return;
    this.#guard((store) => {
      const dropped = store.add(counts, this.#options.random);
      if (dropped > 0) this.#options.log.debug('tls-report.overflow', { sessions: dropped });
    });
  }

  sendDue(): Promise<void> {
    this.#sending ??= this.#send().finally(() => {
      this.#sending = null;
    });
    return this.#sending;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#closing.abort();
    await this.#sending;
    this.#store?.close();
    this.#store = null;
  }

  async #send(): Promise<void> {
    if (this.#closing.signal.aborted || this.#options.config().reports.tlsRpt === null) return;
    const store = this.#guard((opened) => opened);
    if (store === null) return;
    const { resolver: servers, delivery } = this.#options.config();
    const dns = { ...systemServers(servers), clock: this.#options.clock, randomInt: (below: number) => randomInt(below) };
    const resolver = createStubResolver(dns);
    const addressesOf: Parameters<typeof postReport>[2]['addressesOf'] = async (host, signal) => {
      const answers = await Promise.all([resolver.a(host, signal), ...(delivery.ipv6 ? [resolver.aaaa(host, signal)] : [])]);
      const found = answers.flatMap((answer) => (answer.kind === 'records' ? answer.records : []));
      return found.filter((address) => mayConnect(address, { allowPrivate: delivery.allowPrivateAddresses, exempt: false }).ok);
    };
    const ca = anchorTexts(this.#options.trust());
    try {
      const { signal } = this.#closing;
      const context: TlsRptContext = {
        ...this.#tools(store),
        lookup: (name) => resolver.txt(name, AbortSignal.any([signal, AbortSignal.timeout(LOOKUP_PATIENCE)])),
        post: (target, compressed) => postReport(target, compressed, { addressesOf, ca, patience: POST_PATIENCE, signal }),
      };
      await sendDueReports(context, signal);
    } catch (error) {
      this.#trouble(error);
    } finally {
      resolver.close();
    }
  }

  #tools(store: TlsRptStore): Omit<TlsRptContext, 'lookup' | 'post'> {
    const { clock, log, spool, newQueueId, config } = this.#options;
    return {
      store,
      clock,
      log,
      newQueueId,
      config: () => ({ hostname: config().hostname, tlsRpt: config().reports.tlsRpt }),
      newBoundarySeed: () => randomBytes(18).toString('hex'),
      localAddress: localAddressFor,
      sign: async (message, { domain, selector, key }) => {
        const pem = readKey(key);
        if (!pem.ok) return pem;
        const signed = await signMessage(message, { domain, selector, key: pem.value, fields: SIGNED_FIELDS });
        return signed.ok ? signed : err(`${key} ${signed.error}`);
      },
      mail: async (message) => {
        const accepted = await spool.accept(message, null);
        return accepted.ok ? ok(undefined) : err(`the queue takes nothing: ${accepted.error.detail}`);
      },
    };
  }

  /** The store's answer; null where it is in trouble, which is told once. */
  #guard<T>(use: (store: TlsRptStore) => T): T | null {
    try {
      this.#store ??= openTlsRptStore(this.#options.path);
      const result = use(this.#store);
      this.#troubled = false;
      return result;
    } catch (error) {
      this.#trouble(error);
      return null;
    }
  }

  #trouble(error: unknown): void {
    const text = `TLS reports are incomplete: ${error instanceof Error ? error.message : String(error)}`;
    if (!this.#troubled) this.#options.log.warn('tls-report.trouble', { text });
    this.#troubled = true;
  }
}

function readKey(file: string): Result<string, string> {
  try {
    return ok(readFileSync(file, 'utf8'));
  } catch {
    return err(`${file} cannot be read`);
  }
}

/** The file of counts beside the queue's. */
export const tlsReportPath = (queuePath: string): string => queuePath.replace(/[^/]*$/, 'tls-reports.db');
