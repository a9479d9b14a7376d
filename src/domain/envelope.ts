/**
 * A message as the relay knows it: who sent it, for whom, over what, and what the sender asked for.
 * The body is never looked into.
 */
import type { Mailbox, ReversePath } from './address.ts';
import type { Branded, Instant, NonEmpty } from './basics.ts';
import type { TlsFacts } from './tls.ts';

/** Name of a queued message in logs, headers and commands: sortable by time, 80 random bits. No capability. */
export type QueueId = Branded<string, 'QueueId'>;

/** RFC 3461, section 4.1: when the sender wants to hear. Empty: NEVER. Null in `Recipient`: the sender did not say (failure and delay). */
export type NotifyOn = 'success' | 'failure' | 'delay';

/** One recipient as the client gave it. */
export type Recipient = {
  readonly mailbox: Mailbox;
  readonly notify: readonly NotifyOn[] | null;
  /** RFC 3461 ORCPT, still xtext (`rfc822;a+2Bb@c`), checked, at most 500 octets. */
  readonly originalRecipient: string | null;
};

/** Where a message came from, as trace, log and policy need it. */
export type Origin =
  | {
      readonly kind: 'smtp';
      readonly ip: string;
      /** What the client said in HELO/EHLO, checked for controls, at most 255 characters. */
      readonly helo: string;
      readonly listener: string;
      readonly tls: TlsFacts | null;
      /** Names of the inbound connectors that matched, certificate before address before sender. */
      readonly inboundConnectors: readonly string[];
      /** Name of the authenticated user. */
      readonly user: string | null;
    }
  /** Made here: a bounce or another notice. */
  | { readonly kind: 'notice' }
  /** Made here: a TLS report (RFC 8460). Given up after a day, told to no one, and never reported on. */
  | { readonly kind: 'report' };

/** The message's own facts, apart from recipients and body. */
export type Envelope = {
  readonly queueId: QueueId;
  readonly reversePath: ReversePath;
  readonly origin: Origin;
  readonly receivedAt: Instant;
  /** Octets of the message as its recipients count them: CRLF line ends, no dot-stuffing (RFC 1870, section 5). */
  readonly sizeBytes: number;
  /** The message holds octets above 127 (found by looking, whatever BODY= said). */
  readonly eightBit: boolean;
  /** The client asked for SMTPUTF8 (RFC 6531). */
  readonly smtpUtf8: boolean;
  /** RFC 8689: the message came with REQUIRETLS. */
  readonly requireTls: boolean;
  /** RFC 8689, section 5: the header says `TLS-Required: No`. */
  readonly tlsRequiredNo: boolean;
  readonly dsn: {
    /** RFC 3461 RET. */
    readonly return: 'full' | 'headers' | null;
    /** RFC 3461 ENVID, still xtext, checked, at most 100 octets. */
    readonly envelopeId: string | null;
  };
};

/** All recipients of one message, numbered by their place. */
export type Recipients = NonEmpty<Recipient>;
