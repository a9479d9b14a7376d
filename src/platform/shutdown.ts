/**
 * Signals of the process as one AbortSignal: the first SIGTERM or SIGINT asks everybody to finish, a second one or the deadline ends at once.
 * A signal that comes right behind the first is the same wish told twice (npm and a terminal both pass Ctrl-C on).
 */
import type { Clock, Milliseconds } from '../domain/basics.ts';

/** Signals that stop the relay. */
export type StopSignal = 'SIGTERM' | 'SIGINT';

/** Why the relay ends before everybody has finished. */
export type ForcedEnd = 'second-signal' | 'deadline';

/** What a process gives: `process` itself, or a test's stand-in. */
export type SignalSource = {
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  off(signal: NodeJS.Signals, listener: () => void): unknown;
};

/** How stopping is done. */
export type ShutdownOptions = {
  readonly source: SignalSource;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** From the first signal on. */
  readonly deadline: Milliseconds;
  /** Ends the process; called at most once. */
  forceEnd(reason: ForcedEnd): void;
  /** SIGHUP: read configuration and certificates again. */
  onReload(): void;
};

/** The stop of a process. */
export type Shutdown = Disposable & {
  /** Aborts when the relay is asked to stop; its reason is the signal's name. */
  readonly signal: AbortSignal;
  /** Stops for a reason of our own, as a signal would. */
  stop(reason: string): void;
};

/** Signals closer together than this are one. */
const SAME_WISH: Milliseconds = 1000;
const STOPPING: readonly StopSignal[] = ['SIGTERM', 'SIGINT'];

/** Listens to signals until disposed of. The deadline's timer keeps no process alive. */
export function openShutdown({ source, clock, deadline, forceEnd, onReload }: ShutdownOptions): Shutdown {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | null = null;
  let forced = false;
  let stoppedAt = 0;
  const force = (reason: ForcedEnd): void => {
    if (forced) return;
    forced = true;
    forceEnd(reason);
  };
  const stop = (reason: string): void => {
    if (controller.signal.aborted) return;
    stoppedAt = clock.monotonic();
    timer = setTimeout(() => force('deadline'), deadline).unref();
    controller.abort(reason);
  };
  const hear = (name: StopSignal): void => {
    if (!controller.signal.aborted) stop(name);
    else if (clock.monotonic() - stoppedAt >= SAME_WISH) force('second-signal');
  };
  const listeners = new Map(STOPPING.map((name) => [name, (): void => hear(name)] as const));
  for (const [name, listener] of listeners) source.on(name, listener);
  source.on('SIGHUP', onReload);
  return {
    signal: controller.signal,
    stop,
    [Symbol.dispose]: () => {
      if (timer !== null) clearTimeout(timer);
      for (const [name, listener] of listeners) source.off(name, listener);
      source.off('SIGHUP', onReload);
    },
  };
}
