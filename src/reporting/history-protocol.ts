/** What the main thread and the history thread say to each other. Types only; everything is plain data. */
import type { Milliseconds } from '../domain/basics.ts';
import type { HistoryAnswer, HistoryBatch, HistoryQuestion } from './history.ts';

/** What the thread begins with. */
export type HistoryThreadData = {
  readonly path: string;
  readonly mostBytes: number;
  readonly keepFor: Milliseconds;
  readonly leaveFree: number;
};

/** To the thread. Every batch is answered by `taken`, every question by `found`. */
export type HistoryOrder =
  | { readonly kind: 'batch'; readonly batch: HistoryBatch }
  | { readonly kind: 'find'; readonly id: number; readonly question: HistoryQuestion }
  | { readonly kind: 'close' };

/** From the thread. */
export type HistoryWord =
  | { readonly kind: 'taken' }
  | { readonly kind: 'found'; readonly id: number; readonly answer: HistoryAnswer | null }
  | { readonly kind: 'trouble'; readonly text: string };
