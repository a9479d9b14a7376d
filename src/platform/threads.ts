/**
 * Worker threads: started with data, ready when they say so, started again when they die. No business logic: what the messages
 * mean is between the composition roots.
 */
import { parentPort, type Transferable, Worker, workerData } from 'node:worker_threads';
import { type Clock, err, type Milliseconds, ok, type Result } from '../domain/basics.ts';
import { earlyDeaths, restartDelay } from './restart-policy.ts';

/** What to start. */
export type ThreadPlan<Data> = {
  /** Shown by debuggers and told in the log. */
  readonly name: string;
  readonly entry: URL;
  /** Called for every start: a port can be transferred only once. */
  data(): { readonly data: Data; readonly transfer: readonly Transferable[] };
  /** A thread that is not ready by then is ended. */
  readonly readyWithin: Milliseconds;
  onMessage(message: unknown): void;
};

/** How a thread ended. */
export type ThreadEnd =
  | { readonly kind: 'exited'; readonly code: number }
  /** An exception nobody caught, with its stack. */
  | { readonly kind: 'crashed'; readonly error: string }
  | { readonly kind: 'not-ready' };

/** A thread that is ready. */
export type Thread = {
  readonly name: string;
  post(message: unknown, transfer?: readonly Transferable[]): void;
  /** Resolves when it has ended; never rejects. */
  readonly ended: Promise<ThreadEnd>;
  /** Ends it at once, wherever it is. */
  terminate(): Promise<void>;
};

/** The one message that belongs to this file. */
const READY = 'postern:ready';

/** Within a thread: the data it was started with. Its type is what the plan gave. */
export const threadData = <Data>(): Data => workerData as Data;

/** Within a thread: tells the starter that it serves. */
export const reportReady = (): void => parentPort?.postMessage(READY);

/** Starts a thread and waits until it is ready. */
export async function startThread<Data>(plan: ThreadPlan<Data>): Promise<Result<Thread, ThreadEnd>> {
  const { data, transfer } = plan.data();
  const worker = new Worker(plan.entry, { workerData: data, transferList: [...transfer], name: plan.name });
  let crash: string | null = null;
  worker.on('error', (error) => {
    crash = error instanceof Error ? (error.stack ?? error.message) : String(error);
  });
  const ended = new Promise<ThreadEnd>((resolve) => {
    worker.once('exit', (code) => resolve(crash === null ? { kind: 'exited', code } : { kind: 'crashed', error: crash }));
  });
  const ready = new Promise<'ready'>((resolve) => {
    worker.on('message', (message: unknown) => (message === READY ? resolve('ready') : plan.onMessage(message)));
  });
  let timer: NodeJS.Timeout | null = null;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), plan.readyWithin);
  });
  const first = await Promise.race([ready, late, ended]);
  if (timer !== null) clearTimeout(timer);
  const terminate = async (): Promise<void> => void (await worker.terminate());
  if (first === 'late') await terminate();
  if (first === 'late') return err({ kind: 'not-ready' });
  if (first !== 'ready') return err(first);
  return ok({ name: plan.name, post: (message, moved = []) => worker.postMessage(message, moved), ended, terminate });
}

/** How a thread is kept running. */
export type KeepOptions<Data> = {
  readonly plan: ThreadPlan<Data>;
  readonly clock: Clock;
  /** It is ready: the first time (0), or again after so many restarts. */
  onStarted(thread: Thread, restarts: number): void;
  /** It died; the next start is after so many milliseconds. */
  onDied(end: ThreadEnd, restartIn: Milliseconds): void;
  /** Aborts when the thread may end for good. Ending it is up to whoever talks to it. */
  readonly signal: AbortSignal;
};

/** Keeps a thread running until the signal aborts. Resolves when it has ended for good; never rejects. */
export async function keepThread<Data>({ plan, clock, onStarted, onDied, signal }: KeepOptions<Data>): Promise<void> {
  let deaths = 0;
  for (let restarts = 0; !signal.aborted; restarts += 1) {
    const startedAt = clock.monotonic();
    const started = await startThread(plan);
    if (started.ok) onStarted(started.value, restarts);
    const end = started.ok ? await started.value.ended : started.error;
    if (signal.aborted) return;
    deaths = earlyDeaths(deaths, clock.monotonic() - startedAt);
    const wait = restartDelay(deaths);
    onDied(end, wait);
    await pause(wait, signal);
  }
}

/** Ends early, without an error, when the signal aborts. */
function pause(length: Milliseconds, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, length);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}
