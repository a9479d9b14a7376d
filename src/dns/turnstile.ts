/** Lets at most so many tasks run at once; the others wait in line. Bounds the sockets that lookups hold open. */

/** Runs a task as soon as there is room. */
export type Turnstile = { run<T>(task: () => Promise<T>): Promise<T> };

/** A turnstile for `width` tasks at a time. */
export function createTurnstile(width: number): Turnstile {
  const waiting: (() => void)[] = [];
  let running = 0;
  return {
    async run(task) {
      if (running >= width) await new Promise<void>((enter) => waiting.push(enter));
      else running++;
      try {
        return await task();
      } finally {
        // The place goes to the next in line without being counted down and up again.
        const next = waiting.shift();
        if (next === undefined) running--;
        else next();
      }
    },
  };
}
