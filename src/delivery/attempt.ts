/**
 * One attempt at the recipients of one claim: route, security, session, transaction, next host. Carries out what the policies
 * decide and returns what happened as data; settles nothing.
 */
import type { Clock } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import type { OutboundConnector } from '../domain/connector.ts';
import type { AttemptPath, DeliveryFailure, DeliveryOutcome, DeliveryReport } from '../domain/outcome.ts';
import type { Claim, ClaimedRecipient } from '../domain/queue.ts';
import type { TlsPolicy } from '../domain/tls.ts';
import type { HostCandidate, HostPlan } from '../routing/resolve-hosts.ts';
import type { HostQuestion, HostSecurity } from '../security/gather-facts.ts';
import type { TlsDecision } from '../security/tls-policy.ts';
import type { Pooled } from '../transport/pool.ts';
import type { TransactionResult } from '../transport/session.ts';
import { type Approach, approachOf, decideHost, demandOf, type TlsMaterials, takePooled } from './approach.ts';
import { judgeCarrying } from './carry-policy.ts';
import { judgeBroken, judgeClosedDoors, judgeReply, type Where } from './failure-policy.ts';
import type { VisitOfDelivery } from './session-result-policy.ts';
import { wouldBlock } from './test-mode-policy.ts';
import { type Door, HostWalk, type WalkContext } from './walk-hosts.ts';

/** Sessions that may refuse a message for now before the attempt ends; the rest of the hosts wait for the next one. */
const MAX_SESSIONS = 3;

/** What an attempt works with. */
export type AttemptContext = WalkContext & {
  readonly clock: Clock;
  resolveHosts(connector: OutboundConnector, claim: Claim): Promise<HostPlan> | HostPlan;
  /** What DNS says of a host's protection; at once where it is known. */
  gather(question: HostQuestion): HostSecurity | Promise<HostSecurity>;
  /** The loaded files of a connector's TLS. */
  materials(connector: OutboundConnector): TlsMaterials;
  /** Told of new connections, for TLS reports; not of those that carry a report (RFC 8460, section 3). */
  onSession?(visit: VisitOfDelivery): void;
};

/** The connector chosen for a claim, and the configuration the attempt began with. */
export type AttemptOrder = { readonly connector: OutboundConnector; readonly config: Config };

/** An attempt's report, and whether any host gave a session at all. */
export type AttemptResult = { readonly report: DeliveryReport; readonly reached: boolean };

/** Makes the attempt. Never rejects for what a peer, the network or DNS does. */
export async function attempt(claim: Claim, order: AttemptOrder, context: AttemptContext): Promise<AttemptResult> {
  const run = new Attempt(claim, order, context);
  const reached = await run.carryOut();
  return { report: run.report(), reached };
}

class Attempt {
  readonly #claim: Claim;
  readonly #connector: OutboundConnector;
  readonly #config: Config;
  readonly #context: AttemptContext;
  readonly #startedAt;
  readonly #outcomes = new Map<number, DeliveryOutcome>();
  #door: Door | null = null;
  #lastWhere: Where | null = null;
  #lastPolicy: TlsPolicy | null = null;
  #pending: readonly ClaimedRecipient[];

  constructor(claim: Claim, order: AttemptOrder, context: AttemptContext) {
    this.#claim = claim;
    this.#connector = order.connector;
    this.#config = order.config;
    this.#context = context;
    this.#pending = claim.recipients;
    this.#startedAt = context.clock.now();
  }

  async carryOut(): Promise<boolean> {
    const { route } = this.#connector;
    if (route.kind === 'reject') {
      this.#failAll({ permanent: true, enhanced: '5.7.1', text: route.text, reply: null, mx: null, ip: null });
      return true;
    }
    const planned = this.#context.resolveHosts(this.#connector, this.#claim);
    const plan = planned instanceof Promise ? await planned : planned;
    if (plan.kind === 'failed') {
      this.#failAll({ ...plan.failure, reply: null, mx: null, ip: null });
      return true;
    }
    return this.#visit(plan.hosts, this.#approach());
  }

  #approach(): Approach {
    const decisions = new Map<HostCandidate, TlsDecision | Promise<TlsDecision>>();
    const parts = { connector: this.#connector, config: this.#config, materials: this.#context.materials(this.#connector) };
    return approachOf(parts, (host) => {
      const decided = decisions.get(host) ?? this.#decide(host);
      decisions.set(host, decided);
      return decided;
    });
  }

  #decide(host: HostCandidate): TlsDecision | Promise<TlsDecision> {
    const order = { connector: this.#connector, config: this.#config, demand: demandOf(this.#claim.envelope) };
    const gathered = this.#context.gather({ connector: this.#connector, host, recipientDomain: this.#claim.domain });
    return gathered instanceof Promise
      ? gathered.then((security) => decideHost(order, host, security))
      : decideHost(order, host, gathered);
  }

  /** Door after door until every recipient has its answer. False: no door opened. */
  async #visit(hosts: readonly HostCandidate[], approach: Approach): Promise<boolean> {
    for (let door = await this.#keptDoor(hosts, approach); door !== null; door = await this.#keptDoor(hosts, approach)) {
      const stale = await this.#use(door);
      if (!stale && this.#pending.length === 0) return true;
      if (!stale) break;
    }
    const walk = new HostWalk(hosts, approach, this.#observed());
    let sessions = 0;
    while (this.#pending.length > 0 && sessions < MAX_SESSIONS) {
      const door = await walk.next();
      if (door === null) break;
      sessions += 1;
      await this.#use(door);
    }
    this.#closeAccount(walk);
    return this.#door !== null || walk.closed.some(({ failure }) => failure.kind === 'skipped' || failure.kind === 'peer');
  }

  #observed(): WalkContext {
    const context = this.#context;
    if (context.onSession === undefined || this.#claim.envelope.origin.kind === 'report') return context;
    const about = { connector: this.#connector, recipientDomain: this.#claim.domain };
    return { ...context, onVisit: (visit) => context.onSession?.({ ...visit, ...about }) };
  }

  async #keptDoor(hosts: readonly HostCandidate[], approach: Approach): Promise<Door | null> {
    const kept = await takePooled(hosts, approach, this.#context.pool);
    if (kept === null) return null;
    const { pooled, target, decision } = kept;
    const blocked = wouldBlock(decision.shadow, pooled.session.facts, this.#context.clock.now());
    return { pooled, where: target.where, reused: true, fallbacks: [], policy: decision.policy, wouldBlock: blocked };
  }

  /** Carries the message through a door. True: an idle session turned out to be dead before it heard of the message. */
  async #use(door: Door): Promise<boolean> {
    const { session } = door.pooled;
    this.#door = door;
    const carrying = judgeCarrying({ envelope: this.#claim.envelope, recipients: this.#pending }, session.facts, door.where);
    if (carrying !== null) {
      this.#failAll(carrying);
      this.#release(door.pooled, true);
      return false;
    }
    let reusable = true;
    for (const recipients of batches(this.#pending, this.#connector.limits.recipientsPerMessage)) {
      if (!reusable && !(await session.reset())) break;
      door.pooled.messages += 1;
      const result = await session.deliver({ envelope: this.#claim.envelope, recipients, body: this.#claim.body });
      if (door.reused && result.kind === 'broken' && result.command === 'mail' && !result.inDoubt) {
        this.#door = null;
        return true;
      }
      this.#record(recipients, result, door);
      reusable = result.kind === 'answered' && result.reusable;
      if (result.kind !== 'answered') break;
    }
    this.#release(door.pooled, reusable);
    return false;
  }

  #record(recipients: readonly ClaimedRecipient[], result: TransactionResult, door: Door): void {
    const relayedDsn = door.pooled.session.facts.extensions.has('DSN');
    const replies = result.kind === 'local' ? new Map<number, never>() : result.replies;
    for (const { number } of recipients) {
      const answer = replies.get(number);
      const outcome =
        answer !== undefined
          ? judgeReply(answer.reply, door.where, relayedDsn)
          : result.kind === 'answered'
            ? null
            : judgeBroken(result, door.where);
      if (outcome !== null) this.#outcomes.set(number, outcome);
    }
    // After the final dot the message may have arrived: another host now would make two of it.
    const over = result.kind === 'local' || (result.kind === 'broken' && result.inDoubt);
    this.#pending = over
      ? []
      : this.#pending.filter(({ number }) => (this.#outcomes.get(number)?.kind ?? 'deferred') === 'deferred');
  }

  /** Back to the pool where it is clean and young enough, else good-bye. */
  #release(pooled: Pooled, clean: boolean): void {
    const young = pooled.messages < this.#connector.limits.messagesPerConnection;
    if (clean && young) this.#context.pool.giveBack(pooled);
    else if (!young || !pooled.session.alive) void pooled.session.quit();
    else
      void pooled.session.reset().then((isClean) => (isClean ? this.#context.pool.giveBack(pooled) : void pooled.session.quit()));
  }

  /** Recipients no session answered for share the judgement of the doors that stayed shut. */
  #closeAccount(walk: HostWalk): void {
    const unanswered = this.#pending.filter(({ number }) => !this.#outcomes.has(number));
    if (unanswered.length > 0) {
      const failure = judgeClosedDoors(walk.closed);
      for (const { number } of unanswered) this.#outcomes.set(number, outcomeOf(failure));
    }
    const last = walk.closed.at(-1);
    if (this.#door !== null || last === undefined) return;
    this.#lastWhere = last.where;
    this.#lastPolicy = last.policy;
  }

  #failAll(failure: DeliveryFailure): void {
    for (const { number } of this.#pending)
      this.#outcomes.set(number, failure.permanent ? { kind: 'failed', failure } : { kind: 'deferred', failure });
    this.#pending = [];
  }

  report(): DeliveryReport {
    const facts = this.#door?.pooled.session.facts;
    const where = this.#door?.where ?? this.#lastWhere;
    const path: AttemptPath = {
      connector: this.#connector.name,
      policy: this.#door?.policy ?? this.#lastPolicy,
      mx: where?.mx ?? null,
      ip: where?.ip ?? null,
      rung: facts?.rung ?? null,
      tls: facts?.tls ?? null,
      fallbacks: this.#door?.fallbacks ?? [],
      wouldBlock: this.#door?.wouldBlock ?? null,
    };
    return { path, startedAt: this.#startedAt, endedAt: this.#context.clock.now(), outcomes: this.#outcomes };
  }
}

const outcomeOf = (failure: DeliveryFailure): DeliveryOutcome =>
  failure.permanent ? { kind: 'failed', failure } : { kind: 'deferred', failure };

/** The recipients in runs of at most `size`. */
function batches(recipients: readonly ClaimedRecipient[], size: number): readonly (readonly ClaimedRecipient[])[] {
  if (recipients.length <= size) return [recipients];
  const found: ClaimedRecipient[][] = [];
  for (let at = 0; at < recipients.length; at += size) found.push(recipients.slice(at, at + size));
  return found;
}
