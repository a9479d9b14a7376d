/** Waiting that can be cut short. */
import type { Milliseconds } from '../domain/basics.ts';

/** Resolves after the pause, or as soon as `signal` aborts. */
export const pause = (length: Milliseconds, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, length);
    signal.addEventListener('abort', end, { once: true });
  });

/** Resolves as soon as `signal` aborts. */
export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
