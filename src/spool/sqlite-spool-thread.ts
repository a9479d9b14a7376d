/** Starts the spool thread and stands for it on the main thread. */
import { dirname, join, resolve } from 'node:path';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { err, ok, type Result } from '../domain/basics.ts';
import type { SpoolProblem } from './spool.ts';
import type { SpoolEvent, SpoolRecovery } from './spool-events.ts';
import type { SpoolThreadOptions, ThreadNews, ThreadOrder } from './thread-protocol.ts';

/** The running spool thread. */
export type SpoolThread = {
  /** Absolute folder of the body files, for `connectSpool`. */
  readonly bodies: string;
  /** What the start found and put right. */
  readonly recovery: SpoolRecovery;
  /** A port for one client, to be posted to its thread (transfer list) or used on this one. */
  connect(): MessagePort;
  /** Changes `limits.diskFree`. */
  setDiskFree(bytes: number): void;
  onEvent(listener: (event: SpoolEvent) => void): void;
  /** The thread ended though nobody asked it to: every client's spool is closed from now on. `error` is null where it gave none. */
  onExit(listener: (error: Error | null) => void): void;
  /** Commits what has arrived, returns leases, closes the file. Clients still connected find their spool closed. */
  close(): Promise<void>;
};

/** Where the queue lies and when its disk is low. */
export type SpoolThreadRequest = { readonly path: string; readonly diskFreeBytes: number };

/** Starts the thread; resolves when the queue is open and recovered, or with the reason why it cannot be. */
export async function startSpoolThread(request: SpoolThreadRequest): Promise<Result<SpoolThread, SpoolProblem>> {
  const path = resolve(request.path);
  const options: SpoolThreadOptions = { path, bodies: join(dirname(path), 'bodies'), diskFreeBytes: request.diskFreeBytes };
  const worker = new Worker(new URL('./spool-thread.ts', import.meta.url), { workerData: options, name: 'spool' });
  const exited = new Promise<void>((done) => worker.once('exit', () => done()));
  const first = await new Promise<ThreadNews>((settle) => {
    const refused = (detail: string): void => settle({ kind: 'refused', problem: { kind: 'broken', detail } });
    worker.once('message', settle);
    worker.once('error', (error) => refused(error instanceof Error ? error.message : String(error)));
    worker.once('exit', () => refused('the spool thread ended while it started'));
  });
  if (first.kind === 'ready') return ok(threadOn(worker, { options, recovery: first.recovery, exited }));
  await exited;
  return err(first.kind === 'refused' ? first.problem : { kind: 'broken', detail: 'the spool thread spoke out of turn' });
}

type Started = { readonly options: SpoolThreadOptions; readonly recovery: SpoolRecovery; readonly exited: Promise<void> };

function threadOn(worker: Worker, { options, recovery, exited }: Started): SpoolThread {
  const eventListeners: ((event: SpoolEvent) => void)[] = [];
  const exitListeners: ((error: Error | null) => void)[] = [];
  let closing = false;
  let failure: Error | null = null;
  worker.on('message', (news: ThreadNews) => {
    if (news.kind === 'event') for (const listener of eventListeners) listener(news.event);
  });
  worker.on('error', (error) => {
    failure = error instanceof Error ? error : new Error(String(error));
  });
  worker.on('exit', () => {
    if (!closing) for (const listener of exitListeners) listener(failure);
  });
  const order = (what: ThreadOrder, transfer: readonly MessagePort[] = []): void => worker.postMessage(what, transfer);
  return {
    bodies: options.bodies,
    recovery,
    connect() {
      const { port1, port2 } = new MessageChannel();
      order({ kind: 'connect', port: port1 }, [port1]);
      return port2;
    },
    setDiskFree: (bytes) => order({ kind: 'disk-free', bytes }),
    onEvent: (listener) => void eventListeners.push(listener),
    onExit: (listener) => void exitListeners.push(listener),
    close() {
      if (!closing) order({ kind: 'close' });
      closing = true;
      return exited;
    },
  };
}
