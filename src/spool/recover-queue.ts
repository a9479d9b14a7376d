/** What a start puts right after whatever ended the last process: leases, body files, memories past their time. */
import { after } from '../domain/basics.ts';
import { MAX_STORED_POLICIES } from '../domain/mta-sts.ts';
import { finishEffects, type QueueState, reload } from './queue-state.ts';
import { bodyFileDamage, quarantine } from './serve-claims.ts';
import type { SpoolRecovery } from './spool-events.ts';

const HOST_MEMORY_AGE = 30 * 86_400_000;
const HOST_MEMORY_COUNT = 100_000;

/**
 * Returns leases, holds messages whose body file is missing or cut, then lets `sweep` remove files no row owns. In this order:
 * nothing is removed before what refers to it is known. Throws what the store throws.
 */
export function recoverQueue(state: QueueState, sweep: (owned: (name: string) => boolean) => number): SpoolRecovery {
  const { store, clock, bodies } = state;
  store.begin();
  const leasesReturned = store.unleaseAll(clock.now());
  forgetOld(state);
  for (const { id, queueId, name, wireBytes } of store.bodyFiles()) {
    const damage = bodyFileDamage(bodies, { name, wireBytes });
    if (damage !== null) quarantine(state, { id, queueId }, damage);
  }
  store.commit();
  const { events } = finishEffects(state);
  const orphanBodies = sweep((name) => store.ownsBodyFile(name));
  reload(state);
  const quarantined = events.flatMap((event) =>
    event.kind === 'quarantined' ? [{ queueId: event.queueId, detail: event.detail }] : [],
  );
  return { leasesReturned, orphanBodies, quarantined };
}

/** Forgets destinations whose down is over, hosts not met for thirty days, MTA-STS policies that ended. Within a transaction. */
export function forgetOld(state: QueueState): void {
  const now = state.clock.now();
  state.store.unmarkDestinations(now);
  state.store.pruneHosts(after(now, -HOST_MEMORY_AGE), HOST_MEMORY_COUNT);
  state.store.prunePolicies(now, MAX_STORED_POLICIES);
  state.due.prune(now);
}
