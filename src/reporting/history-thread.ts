/**
 * Entry and composition root of the history thread: writes the history in its own time, at low priority, so that mail never waits
 * for it; answers questions.
 */
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import type { Instant } from '../domain/basics.ts';
import { reportReady, threadData } from '../platform/threads.ts';
import type { HistoryOrder, HistoryThreadData, HistoryWord } from './history-protocol.ts';
import { SqliteHistory } from './sqlite-history.ts';

const TICK = 1000;
/** The same trouble is told once in so many milliseconds. */
const TELL_AGAIN = 600_000;
/** On Linux a thread's own: this one runs when mail leaves it time. */
const NICE = 10;

const now = (): Instant => Date.now() as Instant;
const say = (word: HistoryWord): void => parentPort?.postMessage(word);
const told = new Map<string, number>();
function tellTrouble(text: string): void {
  if (performance.now() < (told.get(text) ?? 0)) return;
  if (told.size > 100) told.clear();
  told.set(text, performance.now() + TELL_AGAIN);
  say({ kind: 'trouble', text });
}

try {
  setPriority(0, NICE);
} catch {
  // A sandbox may forbid it; the history is then as urgent as the rest.
}
const history = new SqliteHistory({ ...threadData<HistoryThreadData>(), onTrouble: tellTrouble });
const timer = setInterval(() => history.flush(now()), TICK);
parentPort?.on('message', (order: HistoryOrder) => {
  switch (order.kind) {
    case 'batch':
      history.append(order.batch);
      say({ kind: 'taken' });
      break;
    case 'find':
      say({ kind: 'found', id: order.id, answer: history.find(order.question, now()) });
      break;
    case 'close':
      clearInterval(timer);
      history.close();
      parentPort?.close();
      break;
  }
});
reportReady();
