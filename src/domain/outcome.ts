/**
 * What came of an attempt, per recipient. Nothing else leaves the delivery engine.
 */
import type { Instant } from './basics.ts';
import type { Rung, TlsAttempt, TlsFacts, TlsPolicy } from './tls.ts';

/** RFC 3463: class.subject.detail. */
export type EnhancedStatusCode = `${2 | 4 | 5}.${number}.${number}`;

/** A reply of a peer, or one of ours: text without controls, lines joined by a space, capped at 512 characters. */
export type SmtpReply = { readonly code: number; readonly enhanced: EnhancedStatusCode | null; readonly text: string };

/** The SMTP command a reply answered; `dot` is the end of the data. */
export type Command = 'connect' | 'ehlo' | 'starttls' | 'auth' | 'mail' | 'rcpt' | 'data' | 'dot';

/** Why a recipient was not delivered, in a form that log, bounce, trace and queue listing share. */
export type DeliveryFailure = {
  /** Permanent: no further attempt can help. */
  readonly permanent: boolean;
  readonly enhanced: EnhancedStatusCode;
  /** One plain sentence that an administrator understands; no controls; may quote the peer. */
  readonly text: string;
  /** The peer's own words, where it spoke. */
  readonly reply: SmtpReply | null;
  /** Host name and address last tried, null where none was reached. */
  readonly mx: string | null;
  readonly ip: string | null;
};

/** How one recipient fared in one attempt. */
export type DeliveryOutcome =
  | { readonly kind: 'delivered'; readonly reply: SmtpReply; readonly relayedDsn: boolean }
  | { readonly kind: 'deferred'; readonly failure: DeliveryFailure }
  | { readonly kind: 'failed'; readonly failure: DeliveryFailure };

/** How an attempt went on the wire: the decision executed and what it met. */
export type AttemptPath = {
  readonly connector: string;
  readonly policy: TlsPolicy | null;
  readonly mx: string | null;
  readonly ip: string | null;
  readonly rung: Rung | null;
  readonly tls: TlsFacts | null;
  /** TLS rungs that failed on the way, in order. */
  readonly fallbacks: readonly TlsAttempt[];
  /** Why a connector in test mode would not have sent the message this way; null where it would, or is none. */
  readonly wouldBlock: string | null;
};

/** One attempt at the recipients of one destination, told as data: what the log, the bounce and `trace` print. */
export type DeliveryReport = {
  readonly path: AttemptPath;
  readonly startedAt: Instant;
  readonly endedAt: Instant;
  /** By recipient number. */
  readonly outcomes: ReadonlyMap<number, DeliveryOutcome>;
};
