/** A queue on SQLite in a temporary folder, with the real thread. */
import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Spool, SpoolAdmin } from '../../src/spool/spool.ts';
import type { SpoolEvent } from '../../src/spool/spool-events.ts';
import { connectSpool } from '../../src/spool/sqlite-spool.ts';
import { type SpoolThread, startSpoolThread } from '../../src/spool/sqlite-spool-thread.ts';
import { systemClock } from '../support/clock.ts';

/** A queue under test; disposing closes it and removes its folder. */
export type TempQueue = AsyncDisposable & {
  readonly folder: string;
  readonly path: string;
  /** What the thread reported since the last start. */
  events(): readonly SpoolEvent[];
  thread(): SpoolThread;
  connect(): Spool & SpoolAdmin;
  stop(): Promise<void>;
  start(): Promise<void>;
  restart(): Promise<void>;
};

/** Starts the thread on `folder` (by default a new one). */
export async function tempQueue(folder = mkdtempSync(join(tmpdir(), 'postern-spool-'))): Promise<TempQueue> {
  const path = join(folder, 'queue.db');
  let running: { thread: SpoolThread; clients: (Spool & SpoolAdmin)[]; events: SpoolEvent[] } | null = null;
  const now = (): NonNullable<typeof running> => {
    assert.ok(running !== null, 'the queue is running');
    return running;
  };
  const start = async (): Promise<void> => {
    const started = await startSpoolThread({ path, diskFreeBytes: 0 });
    assert.ok(started.ok, started.ok ? '' : started.error.detail);
    const events: SpoolEvent[] = [];
    started.value.onEvent((event) => events.push(event));
    running = { thread: started.value, clients: [], events };
  };
  const stop = async (): Promise<void> => {
    if (running === null) return;
    await Promise.all(running.clients.map((client) => client.close()));
    await running.thread.close();
    running = null;
  };
  await start();
  return {
    folder,
    path,
    events: () => now().events,
    thread: () => now().thread,
    connect() {
      const client = connectSpool(now().thread.connect(), { bodies: now().thread.bodies, clock: systemClock });
      now().clients.push(client);
      return client;
    },
    start,
    stop,
    async restart() {
      await stop();
      await start();
    },
    async [Symbol.asyncDispose]() {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
