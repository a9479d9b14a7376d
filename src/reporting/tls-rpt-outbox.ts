/**
 * Counts a thread's TLS sessions and gives the counts away once a second. What fared alike is one count: a flood of sessions costs
 * no more than one.
 */
import type { Clock, Milliseconds } from '../domain/basics.ts';
import type { SessionCount, TlsSession } from '../domain/tls-report.ts';
import { dayOf } from './tls-rpt-policy.ts';

/** A thread's counting. */
export type TlsRptOutbox = {
  count(session: TlsSession): void;
  /** Gives away what is counted, now. */
  flush(): void;
};

const EVERY: Milliseconds = 1000;
/** Different counts gathered before they leave at once. */
const MOST = 2000;

/** An outbox; `post` gives a batch away. */
export function createTlsRptOutbox({
  clock,
  post,
}: {
  readonly clock: Clock;
  post(counts: readonly SessionCount[]): void;
}): TlsRptOutbox {
  const counts = new Map<string, SessionCount & { count: number }>();
  let timer: NodeJS.Timeout | null = null;
  const flush = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (counts.size === 0) return;
    post([...counts.values()]);
    counts.clear();
  };
  return {
    count: ({ reportDomain, policy, result }) => {
      const found = { day: dayOf(clock.now()), reportDomain, policy: JSON.stringify(policy), result: JSON.stringify(result) };
      const key = JSON.stringify(found);
      const known = counts.get(key);
      if (known === undefined) counts.set(key, { ...found, count: 1 });
      else known.count += 1;
      if (counts.size >= MOST) flush();
      else timer ??= setTimeout(flush, EVERY).unref();
    },
    flush,
  };
}
