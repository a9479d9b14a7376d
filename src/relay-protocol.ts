/**
 * What the main thread and a relay thread say to each other. Types only; everything is plain data or shared memory.
 */
import type { MessagePort } from 'node:worker_threads';
import type { Milliseconds } from './domain/basics.ts';
import type { Config } from './domain/config.ts';
import type { SessionCount } from './domain/tls-report.ts';
import type { ListenProblem } from './inbound/context.ts';
import type { ListenerCertificates } from './platform/certificates.ts';
import type { MaterialsByConnector } from './platform/tls-materials.ts';
import type { HistoryBatch } from './reporting/history.ts';

/** One configuration with the files it names, loaded: taken whole or not at all. Holds private keys: never log it. */
export type PostedSnapshot = {
  readonly config: Config;
  readonly certificates: ListenerCertificates;
  readonly materials: MaterialsByConnector;
};

/** What a relay thread begins with. */
export type RelayWorkerData = {
  readonly snapshot: PostedSnapshot;
  /** From 0 to `threads` - 1. */
  readonly thread: number;
  readonly threads: number;
  readonly spoolPort: MessagePort;
  /** Folder of the body files. */
  readonly bodies: string;
  readonly peerTable: { readonly memory: SharedArrayBuffer; readonly seed: number };
  readonly counters: SharedArrayBuffer;
  readonly log: { readonly format: 'json' | 'pretty'; readonly colour: boolean };
};

/** From the main thread. */
export type RelayCommand =
  /** Serve by this from now on; sessions and attempts under way finish by the one they began with. */
  | { readonly kind: 'snapshot'; readonly snapshot: PostedSnapshot }
  /** The last `history` has arrived. */
  | { readonly kind: 'history-taken' }
  /** Take nothing new, finish what is under way within the time, then end. */
  | { readonly kind: 'drain'; readonly within: Milliseconds };

/** From a relay thread. */
export type RelayWord =
  | { readonly kind: 'ready'; readonly ports: readonly number[] }
  | { readonly kind: 'cannot-listen'; readonly problem: ListenProblem }
  /** What happened, for `trace`; answered by `history-taken`. */
  | { readonly kind: 'history'; readonly batch: HistoryBatch }
  /** TLS sessions, for reports. */
  | { readonly kind: 'tls-sessions'; readonly counts: readonly SessionCount[] }
  | { readonly kind: 'drained' };
