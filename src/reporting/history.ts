/**
 * The history behind `trace`: what happened to messages, as data. Losable without harm to mail: whoever records never waits, and
 * what cannot be kept is counted. Types only.
 */
import type { Instant, Milliseconds } from '../domain/basics.ts';
import type { SmtpReply } from '../domain/outcome.ts';
import type { QueueAction, RecipientSettlement } from '../domain/queue.ts';
import type { Rung, TlsAttempt, TlsFacts, TlsPolicy } from '../domain/tls.ts';

/** A message became durable. Addresses are as `log.addresses` lets them be kept. */
export type AcceptedEvent = {
  readonly kind: 'accepted';
  readonly at: Instant;
  readonly queueId: string;
  /** Empty for the null reverse-path. */
  readonly from: string;
  readonly to: readonly string[];
  readonly sizeBytes: number;
  readonly ip: string;
  readonly helo: string | null;
  readonly listener: string;
  readonly tls: TlsFacts | null;
  /** Inbound connectors that matched. */
  readonly connectors: readonly string[];
};

/** How one recipient came out of an attempt. */
export type RecipientFate = {
  readonly to: string;
  readonly becomes: RecipientSettlement['becomes'];
  /** Attempts so far, this one included. */
  readonly attempt: number;
  /** Where it was decided: the host that answered or failed. */
  readonly mx: string | null;
  readonly ip: string | null;
  /** Enhanced code and plain sentence of the failure; null for a delivery. */
  readonly status: string | null;
  readonly text: string | null;
  readonly reply: SmtpReply | null;
  /** When it is tried again. */
  readonly next: Instant | null;
};

/** One attempt at the recipients of one message in one domain. */
export type AttemptEvent = {
  readonly kind: 'attempt';
  readonly at: Instant;
  readonly queueId: string;
  readonly domain: string;
  readonly connector: string;
  readonly policy: TlsPolicy | null;
  readonly rung: Rung | null;
  readonly tls: TlsFacts | null;
  readonly fallbacks: readonly TlsAttempt[];
  readonly wouldBlock: string | null;
  readonly attemptMs: Milliseconds;
  readonly recipients: readonly RecipientFate[];
};

/** A notice about `queueId` went into the queue as a message of its own. */
export type NoticeEvent = {
  readonly kind: 'notice';
  readonly at: Instant;
  readonly queueId: string;
  readonly noticeId: string;
  readonly notice: 'failure' | 'delay' | 'success';
  readonly to: string;
};

/** An operator gave recipients up; their senders were told. */
export type GivenUpEvent = {
  readonly kind: 'given-up';
  readonly at: Instant;
  readonly queueId: string;
  readonly domain: string;
  readonly to: readonly string[];
};

/** An operator acted on the queue. No selection at all: the whole queue. */
export type OperatorEvent = {
  readonly kind: 'operator';
  readonly at: Instant;
  readonly action: QueueAction;
  readonly ids: readonly string[] | null;
  readonly domain: string | null;
  readonly connector: string | null;
  /** How many were changed. */
  readonly recipients: number;
};

/** What is kept. Sessions and messages that were refused are kept as counts only. */
export type HistoryEvent = AcceptedEvent | AttemptEvent | NoticeEvent | GivenUpEvent | OperatorEvent;

/** What is not kept one by one. */
export type HistoryCounts = {
  readonly sessionsRefused: number;
  readonly messagesRefused: number;
  /** Events that were lost because keeping them could not keep up, or the file could not be written. */
  readonly dropped: number;
};

/** Events on their way into the history: one line of JSON each, with the keys they are found by. */
export type HistoryBatch = HistoryCounts & {
  readonly lines: string;
  readonly keys: Uint32Array;
  readonly events: number;
  readonly since: Instant;
  readonly until: Instant;
};

/** Where threads that carry mail leave what happened. Never waits, never throws. */
export type HistoryRecorder = {
  record(event: HistoryEvent): void;
  refused(what: 'session' | 'message'): void;
};

/** Whose history. An address is given in every form in which it may have been kept. */
export type HistoryQuestion =
  | { readonly kind: 'message'; readonly queueId: string; readonly limit: number }
  | { readonly kind: 'address'; readonly forms: readonly string[]; readonly limit: number };

/** What the history knows. */
export type HistoryAnswer = {
  /** In no order. Of all messages asked for, newest first, at most `limit`; with all operator's actions since the oldest. */
  readonly events: readonly HistoryEvent[];
  /** False: there is more than was read. */
  readonly complete: boolean;
  /** When the history begins; null where it is empty. */
  readonly since: Instant | null;
  readonly counts: HistoryCounts;
};

/** Where `trace` asks. Null: the history cannot be read now. */
export type HistoryReader = { find(question: HistoryQuestion): Promise<HistoryAnswer | null> };
