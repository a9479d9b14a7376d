/**
 * Goes from door to door: opens a session at the hosts of a destination, in order, down the ladder where TLS fails.
 * Executes what ladder-policy.ts decides and tells what it met; judges nothing itself.
 */
import type { Domain } from '../domain/address.ts';
import type { Clock, Milliseconds, Result } from '../domain/basics.ts';
import type { DeliveryTimeouts } from '../domain/config.ts';
import type { Rung, TlsAttempt, TlsFailure, TlsPolicy, TlsRung } from '../domain/tls.ts';
import type { HostCandidate } from '../routing/resolve-hosts.ts';
import type { HostMemory } from '../security/host-memory.ts';
import { firstRung, mayFallToPlaintext, nextRung, rungMemory } from '../security/ladder-policy.ts';
import type { Pool, Pooled } from '../transport/pool.ts';
import { type PoolKeyFacts, poolKey } from '../transport/pool-key-policy.ts';
import type { OpenFailure, Session, Transport } from '../transport/session.ts';
import type { Where } from './failure-policy.ts';
import { AVOID_ADDRESS_FOR, speaksOfAddress } from './pace-policy.ts';

/** Addresses tried in one attempt (security-notes: an MX set of hundreds costs no more than one of five). */
const MAX_ADDRESSES = 8;

/** What is fixed for all hosts of one delivery. */
export type Approach = {
  readonly connector: string;
  readonly policy: TlsPolicy;
  readonly sourceAddress: string | null;
  readonly helo: Domain;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  readonly timeouts: DeliveryTimeouts;
};

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
};

/** A session ready for a message, and the way to it. */
export type Door = {
  readonly pooled: Pooled;
  readonly where: Where;
  readonly reused: boolean;
  readonly fallbacks: readonly TlsAttempt[];
};

/** A host that gave none. */
export type ClosedDoor = { readonly where: Where; readonly failure: OpenFailure };

type Target = { readonly host: HostCandidate; readonly address: string; readonly where: Where };

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

/** An idle session at the most preferred hosts, if there is one. Costs no network. */
export function takePooled(hosts: readonly HostCandidate[], approach: Approach, pool: Pool): Door | null {
  const first = hosts[0];
  if (first === undefined) return null;
  for (const host of hosts) {
    if (host.preference !== first.preference) return null;
    for (const address of host.addresses) {
      const pooled = pool.take(keyFor({ host, address, where: whereOf(host, address) }, approach));
      if (pooled !== null) return { pooled, where: whereOf(host, address), reused: true, fallbacks: [] };
    }
  }
  return null;
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
    const targets = hosts.flatMap((host) => host.addresses.map((address) => ({ host, address, where: whereOf(host, address) })));
    const avoided = targets.filter(({ address }) => this.#context.avoided.has(address, now));
    const good = avoided.length === 0 ? targets : targets.filter((target) => !avoided.includes(target));
    return [...good, ...avoided].slice(0, MAX_ADDRESSES);
  }

  /** The hosts of one preference: TLS at each, and only then, where allowed, the clear. */
  async *#walkGroup(targets: readonly Target[]): AsyncGenerator<Door, void> {
    const exhausted: { readonly target: Target; readonly fallbacks: readonly TlsAttempt[] }[] = [];
    let opened = false;
    let localFault = false;
    for (const target of targets) {
      const result = await this.#descend(target);
      if (result.kind === 'door') {
        opened = true;
        yield result.door;
      } else if (result.kind === 'exhausted') exhausted.push({ target, fallbacks: result.fallbacks });
      else localFault ||= result.local;
    }
    if (opened || !mayFallToPlaintext(this.#approach.policy, { exhausted: exhausted.length, localFault })) return;
    for (const { target, fallbacks } of exhausted) {
      const session = await this.#open(target, 'plaintext');
      if (session.ok) yield this.#door(target, session.value, fallbacks);
      else this.#shut(target, session.error);
    }
  }

  /** The TLS rungs at one address, from the highest not known to fail. */
  async #descend(
    target: Target,
  ): Promise<
    | { readonly kind: 'door'; readonly door: Door }
    | { readonly kind: 'exhausted'; readonly fallbacks: readonly TlsAttempt[] }
    | { readonly kind: 'shut'; readonly local: boolean }
  > {
    const { policy } = this.#approach;
    const start = firstRung(policy, this.#context.memory.recall(target.where.mx, target.address), this.#context.clock.now());
    if (start.kind === 'none') return { kind: 'shut', local: true };
    if (start.kind === 'plaintext' && policy.plaintext !== 'always') return { kind: 'exhausted', fallbacks: [] };
    const fallbacks: TlsAttempt[] = [];
    for (let rung: Rung = start.kind === 'tls' ? start.rung : 'plaintext'; ; ) {
      const session = await this.#open(target, rung);
      if (session.ok) {
        if (rung !== 'plaintext') this.#tellIfClear(target, rung, session.value);
        return { kind: 'door', door: this.#door(target, session.value, fallbacks) };
      }
      this.#shut(target, session.error);
      if (session.error.kind !== 'tls' || rung === 'plaintext') return { kind: 'shut', local: session.error.kind === 'local' };
      const next = nextRung(policy, rung, session.error.failure);
      fallbacks.push({ rung, failure: session.error.failure });
      this.#tell(target, { from: rung, next, failure: session.error.failure });
      if (next.kind === 'exhausted') return { kind: 'exhausted', fallbacks };
      if (next.kind === 'unavailable') return { kind: 'shut', local: false };
      rung = next.rung;
    }
  }

  /** STARTTLS was not to be had, and the same connection goes on in the clear. */
  #tellIfClear(target: Target, from: TlsRung, { facts }: Session): void {
    if (facts.tlsFailure === null) return;
    this.#context.onFallback({
      ...target.where,
      connector: this.#approach.connector,
      from,
      to: facts.rung,
      failure: facts.tlsFailure,
    });
  }

  #tell(
    target: Target,
    step: { readonly from: TlsRung; readonly next: ReturnType<typeof nextRung>; readonly failure: TlsFailure },
  ): void {
    const clear = step.next.kind === 'exhausted' && this.#approach.policy.plaintext === 'allowed';
    const to = step.next.kind === 'tls' ? step.next.rung : clear ? 'plaintext' : null;
    this.#context.onFallback({
      ...target.where,
      connector: this.#approach.connector,
      from: step.from,
      to,
      failure: step.failure,
    });
  }

  #open(target: Target, rung: Rung): Promise<Result<Session, OpenFailure>> {
    const { policy, sourceAddress, helo, minVersion, timeouts } = this.#approach;
    return this.#context.transport.open({
      host: target.host.name,
      address: target.address,
      port: target.host.port,
      sourceAddress,
      helo,
      rung,
      minVersion,
      tlsRequired: policy.plaintext === 'never',
      timeouts,
    });
  }

  #shut(target: Target, failure: OpenFailure): void {
    this.closed.push({ where: target.where, failure });
    if (speaksOfAddress(failure)) this.#context.avoided.avoid(target.address, this.#context.clock.monotonic());
  }

  #door(target: Target, session: Session, fallbacks: readonly TlsAttempt[]): Door {
    const { memory, clock, avoided } = this.#context;
    const { mx, ip } = target.where;
    avoided.forget(ip);
    const now = clock.now();
    const change = rungMemory(this.#approach.policy, session.facts.rung, {
      remembered: memory.recall(mx, ip),
      now,
      stepped: fallbacks.length > 0,
    });
    if (change.kind === 'remember') memory.remember(mx, ip, change.rung, now);
    else if (change.kind === 'forget') memory.forget(mx, ip);
    const pooled: Pooled = { session, key: keyFor(target, this.#approach), messages: 0, idleSince: 0 };
    return { pooled, where: target.where, reused: false, fallbacks };
  }
}

const whereOf = (host: HostCandidate, address: string): Where => ({ mx: host.name ?? address, ip: address });

function keyFor(target: Target, approach: Approach): string {
  const facts: PoolKeyFacts = {
    host: target.host.name,
    address: target.address,
    port: target.host.port,
    sourceAddress: approach.sourceAddress,
    helo: approach.helo,
    minVersion: approach.minVersion,
    connector: approach.connector,
    policy: approach.policy,
  };
  return poolKey(facts);
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
