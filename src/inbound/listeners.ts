/**
 * The listeners of a thread as the configuration names them: opens what is new, drains what is gone, leaves alone what stayed.
 */
import type { Result } from '../domain/basics.ts';
import type { ListenerConfig } from '../domain/config.ts';
import type { Listener, ListenProblem } from './context.ts';

/** Sessions of a listener that is gone may finish for so long. */
const DRAIN_WITHIN = 60_000;

/** A thread's listeners. */
export type Listeners = {
  /** Serves these from now on. */
  serve(wanted: readonly ListenerConfig[]): Promise<void>;
  /** True where all that were wanted last could be opened. */
  complete(): boolean;
  /** Connections open now, those of listeners that are being drained included. */
  sessions(): number;
  /** Stops all; what is left when `signal` aborts is cut. */
  drain(signal: AbortSignal): Promise<void>;
};

/** No listeners yet. What cannot be opened is told to `onProblem`, and the others serve. */
export function createListeners(
  start: (config: ListenerConfig) => Promise<Result<Listener, ListenProblem>>,
  onProblem: (problem: ListenProblem) => void,
): Listeners {
  const open = new Map<string, Listener>();
  const leaving = new Set<Listener>();
  let missing = 0;

  const leave = async (listener: Listener, signal: AbortSignal): Promise<void> => {
    leaving.add(listener);
    await listener.drain(signal);
    leaving.delete(listener);
  };
  return {
    serve: async (wanted) => {
      // A listener is what its configuration says: one that differs in anything is another.
      const keys = new Set(wanted.map((config) => JSON.stringify(config)));
      missing = 0;
      for (const config of wanted) {
        const key = JSON.stringify(config);
        if (open.has(key)) continue;
        const started = await start(config);
        if (started.ok) open.set(key, started.value);
        else {
          missing += 1;
          onProblem(started.error);
        }
      }
      for (const [key, listener] of open) {
        if (keys.has(key)) continue;
        open.delete(key);
        void leave(listener, AbortSignal.timeout(DRAIN_WITHIN));
      }
    },
    complete: () => missing === 0,
    sessions: () => [...open.values(), ...leaving].reduce((sum, listener) => sum + listener.sessions(), 0),
    drain: async (signal) => {
      const all = [...open.values(), ...leaving];
      open.clear();
      await Promise.all(all.map((listener) => listener.drain(signal)));
    },
  };
}
