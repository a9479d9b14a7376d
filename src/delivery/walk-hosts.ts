/**
 * Goes from door to door: opens a session at the hosts of a destination, in order, down the ladder where TLS fails.
 * Executes what ladder-policy.ts decides and tells what it met; judges nothing itself.
 */
import { type Clock, err, type Milliseconds, type Result } from '../domain/basics.ts';
import type { Rung, TlsAttempt, TlsFailure, TlsPolicy, TlsRung } from '../domain/tls.ts';
import type { HostCandidate } from '../routing/resolve-hosts.ts';
import type { HostMemory } from '../security/host-memory.ts';
import { firstRung, mayFallToPlaintext, nextRung, rungMemory } from '../security/ladder-policy.ts';
import { judgePeer } from '../security/peer-policy.ts';
import type { TlsDecision } from '../security/tls-policy.ts';
import type { Pool, Pooled } from '../transport/pool.ts';
import type { OpenFailure, Session, Transport } from '../transport/session.ts';
import { type Approach, connectPlan, keyFor, type Target, targetOf } from './approach.ts';
import type { ClosedDoor, Where } from './failure-policy.ts';
import { AVOID_ADDRESS_FOR, speaksOfAddress } from './pace-policy.ts';
import type { Visit } from './session-result-policy.ts';
import { wouldBlock } from './test-mode-policy.ts';

/** Addresses tried in one attempt (security-notes: an MX set of hundreds costs no more than one of five). */
const MAX_ADDRESSES = 8;

/** One step down, for the log: from which rung to which and why. `to` null: no rung is left at this address. */
export type Fallback = Where & {
  readonly connector: string;
  readonly from: Rung;
  readonly to: Rung | null;
  readonly failure: TlsFailure;
};

/** What the walk works with. */
export type WalkContext = {
  readonly transport: Transport;
  readonly pool: Pool;
  readonly memory: HostMemory;
  readonly avoided: AvoidedAddresses;
  readonly clock: Clock;
  onFallback(fallback: Fallback): void;
  /** Told of every connection on which TLS was wanted, and of hosts passed over; never of kept connections. For TLS reports. */
  onVisit?(visit: Visit): void;
};

/** A session ready for a message, the way to it, and the decision it satisfies. */
export type Door = {
  readonly pooled: Pooled;
  readonly where: Where;
  readonly reused: boolean;
  readonly fallbacks: readonly TlsAttempt[];
  readonly policy: TlsPolicy;
  /** What a connector in test mode would have said against this door. */
  readonly wouldBlock: string | null;
};

type Decision = Extract<TlsDecision, { kind: 'use' }>;
/** TLS failed on every rung at this address. */
type Exhausted = { readonly target: Target; readonly decision: Decision; readonly fallbacks: readonly TlsAttempt[] };
type Descent =
  | { readonly kind: 'door'; readonly door: Door }
  | ({ readonly kind: 'exhausted' } & Exhausted)
  | { readonly kind: 'shut'; readonly local: boolean };

/** Addresses that lately did not answer: tried after all others. Bounded by forgetting what is over. */
export class AvoidedAddresses {
  readonly #until = new Map<string, Milliseconds>();

  avoid(address: string, now: Milliseconds): void {
    if (this.#until.size > 10_000) for (const [known, until] of this.#until) if (until <= now) this.#until.delete(known);
    this.#until.set(address, now + AVOID_ADDRESS_FOR);
  }

  has(address: string, now: Milliseconds): boolean {
    return this.#until.size > 0 && (this.#until.get(address) ?? 0) > now;
  }

  forget(address: string): void {
    if (this.#until.size > 0) this.#until.delete(address);
  }
}

/** One delivery's walk. `next` opens the next door, at most once per rung and address; null when there is none left. */
export class HostWalk {
  /** Doors that stayed shut, in the order met. */
  readonly closed: ClosedDoor[] = [];
  readonly #approach: Approach;
  readonly #context: WalkContext;
  readonly #doors: AsyncGenerator<Door, void>;

  constructor(hosts: readonly HostCandidate[], approach: Approach, context: WalkContext) {
    this.#approach = approach;
    this.#context = context;
    this.#doors = this.#walk(hosts);
  }

  async next(): Promise<Door | null> {
    const step = await this.#doors.next();
    return step.done === true ? null : step.value;
  }

  async *#walk(hosts: readonly HostCandidate[]): AsyncGenerator<Door, void> {
    for (const group of groups(this.#order(hosts))) yield* this.#walkGroup(group);
  }

  /** The targets to try, those that lately did not answer last. */
  #order(hosts: readonly HostCandidate[]): readonly Target[] {
    const now = this.#context.clock.monotonic();
    const targets = hosts.flatMap((host) => host.addresses.map((address) => targetOf(host, address)));
    const avoided = targets.filter(({ address }) => this.#context.avoided.has(address, now));
    const good = avoided.length === 0 ? targets : targets.filter((target) => !avoided.includes(target));
    return [...good, ...avoided].slice(0, MAX_ADDRESSES);
  }

  /** The hosts of one preference: TLS at each, and only then, where allowed, the clear. */
  async *#walkGroup(targets: readonly Target[]): AsyncGenerator<Door, void> {
    const exhausted: Exhausted[] = [];
    let opened = false;
    let localFault = false;
    for (const target of targets) {
      const result = await this.#approachTarget(target);
      if (result.kind === 'door') {
        opened = true;
        yield result.door;
      } else if (result.kind === 'exhausted') exhausted.push(result);
      else localFault ||= result.local;
    }
    if (opened) return;
    for (const { target, decision, fallbacks } of exhausted) {
      if (!mayFallToPlaintext(decision.policy, { exhausted: exhausted.length, localFault })) continue;
      if (fallbacks.length === 0) this.#visited(target, { kind: 'known-to-fail' });
      const session = await this.#open(target, decision, 'plaintext');
      if (session.ok) yield this.#door(target, session.value, { decision, fallbacks });
      else this.#shut(target, session.error, decision.policy);
    }
  }

  async #approachTarget(target: Target): Promise<Descent> {
    const decision = await this.#approach.decide(target.host);
    if (decision.kind === 'use') return this.#descend(target, decision);
    this.closed.push({ where: target.where, failure: { kind: 'skipped', problem: decision.problem }, policy: null });
    if (target.address === target.host.addresses[0]) this.#visited(target, { kind: 'skipped' });
    return { kind: 'shut', local: false };
  }

  /** The TLS rungs at one address, from the highest not known to fail. */
  async #descend(target: Target, decision: Decision): Promise<Descent> {
    const { policy } = decision;
    const start = firstRung(policy, this.#context.memory.recall(target.where.mx, target.address), this.#context.clock.now());
    if (start.kind === 'none') return this.#noRung(target, policy);
    if (start.kind === 'plaintext' && policy.plaintext !== 'always')
      return { kind: 'exhausted', target, decision, fallbacks: [] };
    const fallbacks: TlsAttempt[] = [];
    for (let rung: Rung = start.kind === 'tls' ? start.rung : 'plaintext'; ; ) {
      const session = await this.#open(target, decision, rung);
      if (session.ok) {
        if (rung !== 'plaintext') this.#tellIfClear(target, rung, session.value);
        return { kind: 'door', door: this.#door(target, session.value, { decision, fallbacks }) };
      }
      this.#shut(target, session.error, policy);
      if (session.error.kind !== 'tls' || rung === 'plaintext') return { kind: 'shut', local: session.error.kind === 'local' };
      const next = nextRung(policy, rung, session.error.failure);
      fallbacks.push({ rung, failure: session.error.failure });
      const clear = next.kind === 'exhausted' && policy.plaintext === 'allowed';
      this.#tell(target, {
        from: rung,
        to: next.kind === 'tls' ? next.rung : clear ? 'plaintext' : null,
        failure: session.error.failure,
      });
      if (next.kind === 'exhausted') return { kind: 'exhausted', target, decision, fallbacks };
      if (next.kind === 'unavailable') return { kind: 'shut', local: false };
      rung = next.rung;
    }
  }

  /** The configuration leaves nothing to offer: a fault of ours. */
  #noRung(target: Target, policy: TlsPolicy): Descent {
    this.#shut(target, { kind: 'local', detail: 'no rung of the ladder is left by tls.minVersion and tls.ladder' }, policy);
    return { kind: 'shut', local: true };
  }

  /** STARTTLS was not to be had, and the same connection goes on in the clear. */
  #tellIfClear(target: Target, from: TlsRung, { facts }: Session): void {
    if (facts.tlsFailure !== null) this.#tell(target, { from, to: facts.rung, failure: facts.tlsFailure });
  }

  #tell(target: Target, step: { readonly from: TlsRung; readonly to: Rung | null; readonly failure: TlsFailure }): void {
    this.#context.onFallback({ ...target.where, connector: this.#approach.connector, ...step });
  }

  /** Opens, has the peer judged, and shows credentials to no one who was not. */
  async #open(target: Target, { policy }: Decision, rung: Rung): Promise<Result<Session, OpenFailure>> {
    const opened = await this.#context.transport.open(connectPlan(this.#approach, target, { policy, rung }));
    if (rung !== 'plaintext') {
      const met = opened.ok
        ? ({ kind: 'session', facts: opened.value.facts } as const)
        : ({ kind: 'failure', failure: opened.error } as const);
      this.#visited(target, met);
    }
    if (!opened.ok) return opened;
    const session = opened.value;
    const failure = this.#judge(session, policy) ?? (await this.#authenticate(session));
    if (failure === null) return opened;
    void session.quit();
    return err(failure);
  }

  #visited({ host, address }: Target, met: Visit['met']): void {
    this.#context.onVisit?.({ host, address, met });
  }

  #judge({ facts }: Session, policy: TlsPolicy): OpenFailure | null {
    if (facts.peer === null) {
      // The transport refuses this before; a session in the clear must not pass for one whose peer was judged.
      const needsTls = policy.plaintext === 'never' || policy.peer.length > 0;
      return needsTls ? { kind: 'tls', failure: facts.tlsFailure ?? { kind: 'not-offered' } } : null;
    }
    const failure = judgePeer(policy.peer, facts.peer, this.#context.clock.now());
    return failure === null ? null : { kind: 'peer', failure };
  }

  async #authenticate(session: Session): Promise<OpenFailure | null> {
    const { credentials } = this.#approach;
    return credentials === null ? null : session.authenticate(credentials);
  }

  #shut(target: Target, failure: OpenFailure, policy: TlsPolicy): void {
    this.closed.push({ where: target.where, failure, policy });
    if (speaksOfAddress(failure)) this.#context.avoided.avoid(target.address, this.#context.clock.monotonic());
  }

  #door(target: Target, session: Session, way: { readonly decision: Decision; readonly fallbacks: readonly TlsAttempt[] }): Door {
    const { memory, clock, avoided } = this.#context;
    const { policy, shadow } = way.decision;
    const { mx, ip } = target.where;
    avoided.forget(ip);
    const now = clock.now();
    const change = rungMemory(policy, session.facts.rung, {
      remembered: memory.recall(mx, ip),
      now,
      stepped: way.fallbacks.length > 0,
    });
    if (change.kind === 'remember') memory.remember(mx, ip, change.rung, now);
    else if (change.kind === 'forget') memory.forget(mx, ip);
    const pooled: Pooled = { session, key: keyFor(this.#approach, target, policy), messages: 0, idleSince: 0 };
    return {
      pooled,
      where: target.where,
      reused: false,
      fallbacks: way.fallbacks,
      policy,
      wouldBlock: wouldBlock(shadow, session.facts, now),
    };
  }
}

/** Runs of equal preference. */
function groups(targets: readonly Target[]): readonly (readonly Target[])[] {
  const found: Target[][] = [];
  let last: Target[] | undefined;
  for (const target of targets) {
    if (last !== undefined && last[0]?.host.preference === target.host.preference) last.push(target);
    else {
      last = [target];
      found.push(last);
    }
  }
  return found;
}
