/** A scheduler between a spool that only writes down what it is told and attempts that end when the test says so. Clock by hand. */
import { strict as assert } from 'node:assert';
import type { TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { AttemptResult } from '../../src/delivery/attempt.ts';
import { Scheduler } from '../../src/delivery/scheduler.ts';
import type { Settled } from '../../src/delivery/settle-claim.ts';
import type { Domain } from '../../src/domain/address.ts';
import type { Instant, Milliseconds, Result } from '../../src/domain/basics.ts';
import type { Config } from '../../src/domain/config.ts';
import type { OutboundConnector } from '../../src/domain/connector.ts';
import type { QueueId } from '../../src/domain/envelope.ts';
import type { AttemptPath, DeliveryFailure, DeliveryOutcome } from '../../src/domain/outcome.ts';
import type { Body, Claim, DestinationDown, Settlement } from '../../src/domain/queue.ts';
import type { ClaimRequest, Spool, SpoolProblem } from '../../src/spool/spool.ts';
import { claim, envelope, recipient } from '../reporting/facts.ts';
import { testClock } from '../support/clock.ts';
import { outboundConnector } from '../support/connectors.ts';

export const MINUTE: Milliseconds = 60_000;
export const HOUR: Milliseconds = 60 * MINUTE;

export const DEAD: DeliveryFailure = {
  permanent: false,
  enhanced: '4.4.1',
  text: 'mx.test [192.0.2.1] did not answer in time',
  reply: null,
  mx: 'mx.test',
  ip: '192.0.2.1',
};
const DELIVERED: DeliveryOutcome = { kind: 'delivered', reply: { code: 250, enhanced: null, text: 'ok' }, relayedDsn: true };

/** How an attempt ends: every recipient taken, or no host reached. */
export type Ending = 'delivered' | 'unreachable';

/** An attempt under way. */
export type Running = { readonly claim: Claim; end(ending: Ending): void };

type Poll = { readonly request: ClaimRequest; answer(claims: readonly Claim[]): void };

/** What the spool has been told, and what it says. */
export class FakeSpool {
  readonly settlements: Settlement[] = [];
  readonly released: string[] = [];
  readonly marks: DestinationDown[] = [];
  renewed = 0;
  poll: Poll | null = null;
  /** What `settle` answers; otherwise 'settled'. */
  problem: SpoolProblem['kind'] | 'stale' | null = null;

  readonly port: Pick<Spool, 'settle' | 'release' | 'markDestination' | 'renew' | 'claim'> = {
    settle: (settlement) => Promise.resolve(this.#settle(settlement)),
    release: (claims) => {
      this.released.push(...claims.map(({ queueId }) => queueId));
      return Promise.resolve();
    },
    markDestination: (down) => {
      this.marks.push(down);
      return Promise.resolve();
    },
    renew: (claims) => {
      this.renewed += claims.length;
      return Promise.resolve();
    },
    claim: (request, signal) =>
      new Promise((resolve) => {
        const answer = (claims: readonly Claim[]): void => {
          this.poll = null;
          resolve(claims);
        };
        this.poll = { request, answer };
        signal.addEventListener('abort', () => answer([]), { once: true });
      }),
  };

  /** How many claims the scheduler asks for now, null while it does not ask. */
  asksFor(): number | null {
    return this.poll?.request.limit ?? null;
  }

  #settle(settlement: Settlement): Result<'settled' | 'stale', SpoolProblem> {
    if (this.problem !== null && this.problem !== 'stale')
      return { ok: false, error: { kind: this.problem, detail: this.problem } };
    this.settlements.push(settlement);
    return { ok: true, value: this.problem ?? 'settled' };
  }
}

/** What a test may change of the default. */
export type WorldChange = {
  readonly connector?: Partial<OutboundConnector>;
  readonly threads?: number;
};

/** A world whose timers are mocked; `pass` moves clock and timers together. */
export function world(t: TestContext, { connector, threads = 1 }: WorldChange = {}) {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  const clock = testClock();
  const spool = new FakeSpool();
  const running: Running[] = [];
  const started: string[] = [];
  const told: Settled[] = [];
  const faults: string[] = [];
  const retry = { intervals: [MINUTE, 5 * MINUTE, HOUR], delayNoticeAfter: 4 * HOUR, expireAfter: 120 * HOUR } as const;
  const chosen = outboundConnector({ retry, ...connector });
  const scheduler = new Scheduler({
    spool: spool.port as Spool,
    clock,
    random: () => 0.5,
    threads,
    config: () => ({}) as Config,
    choose: () => chosen,
    attempt: (of) =>
      new Promise((resolve) => {
        started.push(of.queueId);
        const entry = { claim: of, end: (ending: Ending) => finish(entry, ending, resolve) };
        running.push(entry);
      }),
    notices: () => Promise.resolve([]),
    settled: (settled) => void told.push(settled),
    fault: (what) => void faults.push(what),
  });
  const finish = (entry: Running, ending: Ending, resolve: (result: AttemptResult) => void): void => {
    running.splice(running.indexOf(entry), 1);
    resolve(resultOf(entry.claim, ending, clock.now()));
  };
  const pass = async (by: Milliseconds): Promise<void> => {
    clock.advance(by);
    t.mock.timers.tick(by);
    await turn();
  };
  return { scheduler, clock, spool, running, started, told, faults, pass, ...helpers({ spool, running, clock }) };
}

function helpers({ spool, running, clock }: { spool: FakeSpool; running: Running[]; clock: ReturnType<typeof testClock> }) {
  return {
    /** Ends the attempts under way, oldest first, as many as given. */
    async end(ending: Ending, count = running.length): Promise<void> {
      for (const attempt of running.slice(0, count)) attempt.end(ending);
      await turn();
    },
    /** Answers the poll under way. */
    async hand(...claims: readonly Claim[]): Promise<void> {
      assert.ok(spool.poll !== null, 'the scheduler asks');
      spool.poll.answer(claims);
      await turn();
    },
    /** A claim of one recipient, received `age` ago. */
    mail: (name: string, change: MailChange = {}): Claim => mail(name, change, clock.now()),
  };
}

/** What may differ from the default. */
export type MailChange = {
  readonly domain?: string;
  readonly age?: Milliseconds;
  readonly attention?: boolean;
  readonly told?: boolean;
  readonly bytes?: number;
};

function mail(name: string, change: MailChange, now: Instant): Claim {
  const { domain = 'one.test', age = 0, attention = false, told = false, bytes = 100 } = change;
  const queueId = name as QueueId;
  const body: Body = { kind: 'memory', wire: new Uint8Array(bytes) };
  const recipients = [{ number: 0, recipient: recipient(`user@${domain}`), attempts: 2, delayNoticeSent: told }] as const;
  const received = envelope({ queueId, receivedAt: (now - age) as Instant });
  return claim({ queueId, domain: domain as Domain, envelope: received, recipients, body, attention });
}

const PATH: AttemptPath = {
  connector: 'lab',
  policy: null,
  mx: null,
  ip: null,
  rung: null,
  tls: null,
  fallbacks: [],
  wouldBlock: null,
};

function resultOf({ recipients }: Claim, ending: Ending, now: Instant): AttemptResult {
  const reached = ending === 'delivered';
  const outcome: DeliveryOutcome = reached ? DELIVERED : { kind: 'deferred', failure: DEAD };
  const path = reached ? PATH : { ...PATH, mx: DEAD.mx, ip: DEAD.ip };
  const outcomes = new Map(recipients.map(({ number }) => [number, outcome]));
  return { report: { path, startedAt: now, endedAt: now, outcomes }, reached };
}

/** Names m0, m1, … */
export const names = (count: number, prefix = 'm'): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);
