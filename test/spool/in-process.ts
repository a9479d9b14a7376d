/**
 * The spool without its thread: the same loop, store and client on one event loop, with a clock moved by hand and a store that
 * can be made to fail. For what a real disk does only on its worst day.
 */
import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import type { Clock, Instant, Milliseconds, Result } from '../../src/domain/basics.ts';
import { bodyFilesIn, prepareBodyFolders, sweepBodies } from '../../src/spool/body-files.ts';
import { createGroupCommit } from '../../src/spool/group-commit.ts';
import { createQueueState } from '../../src/spool/queue-state.ts';
import { recoverQueue } from '../../src/spool/recover-queue.ts';
import type { Spool, SpoolAdmin, SpoolProblem } from '../../src/spool/spool.ts';
import type { SpoolEvent } from '../../src/spool/spool-events.ts';
import type { SpoolPost } from '../../src/spool/spool-protocol.ts';
import type { Store } from '../../src/spool/spool-store.ts';
import { connectSpool } from '../../src/spool/sqlite-spool.ts';
import { openSqliteStore } from '../../src/spool/sqlite-store.ts';
import { RECEIVED_AT } from './messages.ts';

/** `advance` is time passing; `jump` is someone setting the wall clock. */
export type HandClock = Clock & { advance(by: Milliseconds): void; jump(by: Milliseconds): void };

function handClock(): HandClock {
  let passed = 0;
  let set: number = RECEIVED_AT;
  return {
    now: () => (set + passed) as Instant,
    monotonic: () => passed,
    advance: (by) => {
      passed += by;
    },
    jump: (by) => {
      set += by;
    },
  };
}

export type InProcessSpool = AsyncDisposable & {
  readonly clock: HandClock;
  readonly path: string;
  readonly events: SpoolEvent[];
  connect(): Spool & SpoolAdmin;
  /** A second of the thread's life: recovery is tried, leases are looked at. Resolves when all clients are up to date. */
  tick(): Promise<void>;
  /** Ends everything without closing properly, as a crash would, and starts again on the files. */
  crash(): Promise<void>;
};

/** What a test puts between the loop and the store. */
export type Tampering = {
  readonly store?: (store: Store) => Store;
  readonly reopen?: () => SpoolProblem | null;
};

/** A running queue in a temporary folder. */
export async function inProcessSpool(tampering: Tampering = {}): Promise<InProcessSpool> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-loop-'));
  const path = join(folder, 'queue.db');
  const bodies = join(folder, 'bodies');
  const clock = handClock();
  const events: SpoolEvent[] = [];
  let clients: (Spool & SpoolAdmin)[] = [];
  const open = (): Result<Store, SpoolProblem> => {
    const refusal = tampering.reopen?.() ?? null;
    if (refusal !== null) return { ok: false, error: refusal };
    const store = openSqliteStore(path);
    return store.ok ? { ok: true, value: tampering.store?.(store.value) ?? store.value } : store;
  };
  prepareBodyFolders(bodies);
  const start = () => {
    const store = open();
    assert.ok(store.ok);
    const state = createQueueState({ store: store.value, bodies: bodyFilesIn(bodies), clock });
    recoverQueue(state, (owned) => sweepBodies(bodies, owned));
    const loop = createGroupCommit({ state, reopen: open, onEvent: (event) => events.push(event) });
    loop.tick({ freeBytes: 1e9, low: false });
    return { state, loop };
  };
  let running = start();
  let count = 0;
  const stop = async (): Promise<void> => {
    await Promise.all(clients.map((client) => client.close()));
    clients = [];
    running.loop.close();
    running.state.store.close();
  };
  return {
    clock,
    path,
    events,
    connect() {
      const { port1, port2 } = new MessageChannel();
      const { loop } = running;
      const client = {
        id: ++count,
        post: (reply: object, transfer: readonly ArrayBuffer[]) => port1.postMessage(reply, transfer),
      };
      port1.on('message', (post: SpoolPost) => loop.receive(client, post));
      port1.on('close', () => loop.leave(client));
      loop.join(client);
      const spool = connectSpool(port2, { bodies, clock });
      clients.push(spool);
      return spool;
    },
    async tick() {
      running.loop.tick({ freeBytes: 1e9, low: false });
      for (const client of clients) await client.stats().catch(() => undefined);
    },
    async crash() {
      // Clients vanish only after the store: what they held is still leased in the file, as after a SIGKILL.
      running.loop.close();
      running.state.store.close();
      const old = clients;
      clients = [];
      running = start();
      await Promise.all(old.map((client) => client.close()));
    },
    async [Symbol.asyncDispose]() {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
