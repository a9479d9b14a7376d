/**
 * Composition root of the history on the main thread: keeps its thread running, hands it the batches of the relay threads, asks it
 * questions. While the thread is gone batches are lost and counted; mail goes on.
 */
import type { Clock } from './domain/basics.ts';
import type { AddressPrivacy } from './platform/log-privacy-format.ts';
import type { Logger } from './platform/logger.ts';
import { keepThread, type Thread } from './platform/threads.ts';
import type { HistoryAnswer, HistoryBatch, HistoryReader, HistoryRecorder } from './reporting/history.ts';
import { createHistoryOutbox } from './reporting/history-outbox.ts';
import type { HistoryOrder, HistoryThreadData, HistoryWord } from './reporting/history-protocol.ts';

/** How long and how much is kept. */
const KEEP_FOR = 30 * 86_400_000;
const MOST_BYTES = 512 * 1024 * 1024;
/** The history stops writing when the disk has this much more than `limits.diskFree`, where the queue would stop. */
const HEADROOM = 128 * 1024 * 1024;
const READY_WITHIN = 30_000;
const ANSWER_WITHIN = 20_000;

/** What the service is made of. */
export type HistoryServiceOptions = {
  readonly path: string;
  readonly diskFreeBytes: number;
  readonly clock: Clock;
  readonly log: Logger;
  privacy(): AddressPrivacy;
};

/** The history while the relay runs. What the main thread records itself goes through the recorder. */
export type HistoryService = HistoryRecorder &
  HistoryReader & {
    /** Takes a relay thread's batch; `taken` is called once the next may come. */
    take(batch: HistoryBatch, taken: () => void): void;
    /** Writes what has arrived and ends the thread. */
    close(): Promise<void>;
  };

/** Starts the history. */
export function openHistoryService(options: HistoryServiceOptions): HistoryService {
  return new Service(options);
}

class Service implements HistoryService {
  readonly #options: HistoryServiceOptions;
  readonly #closing = new AbortController();
  readonly #kept: Promise<void>;
  readonly #outbox;
  readonly #waiting: (() => void)[] = [];
  readonly #asked = new Map<number, (answer: HistoryAnswer | null) => void>();
  #thread: Thread | null = null;
  #lastId = 0;
  /** Lost while no thread took them. */
  #lost = 0;

  constructor(options: HistoryServiceOptions) {
    this.#options = options;
    const { clock, privacy } = options;
    this.#outbox = createHistoryOutbox({ clock, privacy, post: (batch) => this.take(batch, () => this.#outbox.taken()) });
    this.#kept = this.#keep();
  }

  #keep(): Promise<void> {
    const { path, diskFreeBytes, clock, log } = this.#options;
    const data = { path, mostBytes: MOST_BYTES, keepFor: KEEP_FOR, leaveFree: diskFreeBytes + HEADROOM };
    return keepThread<HistoryThreadData>({
      plan: {
        name: 'history',
        entry: new URL('./reporting/history-thread.ts', import.meta.url),
        readyWithin: READY_WITHIN,
        data: () => ({ data, transfer: [] }),
        onMessage: (word) => this.#hear(word as HistoryWord),
      },
      clock,
      signal: this.#closing.signal,
      onStarted: (thread) => {
        this.#thread = thread;
      },
      onDied: (end, restartIn) => {
        log.warn('history.thread-died', { end, restartIn, text: 'what happens meanwhile is missing from trace; mail goes on' });
        this.#forget();
      },
    });
  }

  #forget(): void {
    this.#thread = null;
    for (const taken of this.#waiting.splice(0)) taken();
    for (const answer of this.#asked.values()) answer(null);
    this.#asked.clear();
  }

  #hear(word: HistoryWord): void {
    switch (word.kind) {
      case 'taken':
        this.#waiting.shift()?.();
        break;
      case 'found':
        this.#asked.get(word.id)?.(word.answer);
        this.#asked.delete(word.id);
        break;
      case 'trouble':
        this.#options.log.warn('history.trouble', { text: word.text });
        break;
    }
  }

  #post(order: HistoryOrder): void {
    this.#thread?.post(order);
  }

  record(event: Parameters<HistoryRecorder['record']>[0]): void {
    this.#outbox.record(event);
  }

  refused(what: 'session' | 'message'): void {
    this.#outbox.refused(what);
  }

  take(batch: HistoryBatch, taken: () => void): void {
    if (batch.dropped > 0)
      this.#options.log.warn('history.dropped', { events: batch.dropped, text: 'the history could not keep up; mail goes on' });
    if (this.#thread === null) {
      this.#lost += batch.events + batch.dropped;
      return taken();
    }
    const dropped = batch.dropped + this.#lost;
    this.#lost = 0;
    this.#waiting.push(taken);
    this.#post({ kind: 'batch', batch: { ...batch, dropped } });
  }

  find(question: Parameters<HistoryReader['find']>[0]): Promise<HistoryAnswer | null> {
    if (this.#thread === null) return Promise.resolve(null);
    this.#outbox.flush();
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#asked.delete(id);
        resolve(null);
      }, ANSWER_WITHIN);
      this.#asked.set(id, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      this.#post({ kind: 'find', id, question });
    });
  }

  async close(): Promise<void> {
    this.#outbox.flush();
    this.#closing.abort();
    this.#post({ kind: 'close' });
    await this.#kept;
    this.#forget();
  }
}

/** The history's file beside the queue's. */
export const historyPath = (queuePath: string): string => queuePath.replace(/[^/]*$/, 'history.db');
