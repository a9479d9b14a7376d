/**
 * What this thread knows of hosts' TLS: a view of the spool's memory, kept current by what other threads learn.
 * Holds and passes on; ladder-policy.ts decides what is worth remembering.
 */
import type { Instant } from '../domain/basics.ts';
import type { Rung } from '../domain/tls.ts';
import type { Spool } from '../spool/spool.ts';
import type { RememberedRung } from './ladder-policy.ts';

/** The memory a delivery asks and tells. Writes are durable soon, not at once: losing one costs a handshake. */
export type HostMemory = {
  recall(host: string, address: string): RememberedRung | null;
  remember(host: string, address: string, rung: Rung, now: Instant): void;
  forget(host: string, address: string): void;
};

const key = (host: string, address: string): string => `${host} ${address}`;

/** Loads what the spool remembers and follows it from then on. */
export async function openHostMemory(spool: Spool): Promise<HostMemory> {
  const known = new Map<string, RememberedRung>();
  spool.onHostMemory((change) => {
    if (change.kind === 'remember') known.set(key(change.memory.host, change.memory.address), change.memory);
    else known.delete(key(change.host, change.address));
  });
  for (const memory of await spool.recallHosts()) known.set(key(memory.host, memory.address), memory);
  return {
    recall: (host, address) => (known.size === 0 ? null : (known.get(key(host, address)) ?? null)),
    remember: (host, address, rung, now) => {
      known.set(key(host, address), { rung, since: now });
      void spool.rememberHost({ host, address, rung, since: now });
    },
    forget: (host, address) => {
      known.delete(key(host, address));
      void spool.forgetHost(host, address);
    },
  };
}
