/**
 * The port to a peer's SMTP server: opens one connection on one rung and carries transactions over it. Types only.
 * Decides nothing: which rung, which host and what a failure means is told or judged elsewhere.
 */
import type { Domain } from '../domain/address.ts';
import type { Result } from '../domain/basics.ts';
import type { DeliveryTimeouts } from '../domain/config.ts';
import type { Credentials } from '../domain/connector.ts';
import type { Envelope } from '../domain/envelope.ts';
import type { Command, SmtpReply } from '../domain/outcome.ts';
import type { IdentityFailure } from '../domain/peer.ts';
import type { Body, ClaimedRecipient } from '../domain/queue.ts';
import type { Rung, TlsFacts, TlsFailure } from '../domain/tls.ts';
import type { PresentedPeer } from '../security/peer-policy.ts';

/** Whom to believe about certificates: PEM texts of anchors, and whether the system's are among them. Plain data. */
export type TrustAnchors = { readonly system: boolean; readonly pem: readonly string[] };

/** A chain and its key in PEM. Never logged. */
export type ClientCertificate = { readonly cert: string; readonly key: string };

/** Everything one connection depends on. Two messages may share a connection only if all of this is equal. */
export type ConnectPlan = {
  /** The host's name, for SNI, log and memory; null where the operator named an address. */
  readonly host: Domain | null;
  readonly address: string;
  readonly port: number;
  readonly sourceAddress: string | null;
  readonly helo: Domain;
  readonly rung: Rung;
  /** `tls.minVersion`. */
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** False: where STARTTLS is not offered or refused the same connection may go on in the clear. */
  readonly tlsRequired: boolean;
  /** TLS from the first byte (RFC 8314, section 3.3) instead of STARTTLS. */
  readonly implicitTls: boolean;
  /** SNI: the name whose certificate is wanted; null: none is sent. */
  readonly serverName: Domain | null;
  /** Against which the peer's chain is judged. */
  readonly trust: TrustAnchors;
  /** Shown if the peer asks. */
  readonly clientCertificate: ClientCertificate | null;
  readonly timeouts: DeliveryTimeouts;
};

/** Why no session came about. */
export type OpenFailure =
  | { readonly kind: 'connect'; readonly problem: 'refused' | 'timeout' | 'unreachable' | 'reset' }
  /** The peer spoke, but not 220, or 421 and the like, before TLS or without it. */
  | { readonly kind: 'reply'; readonly command: Command; readonly reply: SmtpReply }
  /** Closed, silent or not SMTP, outside the TLS phase. */
  | { readonly kind: 'broken'; readonly command: Command; readonly problem: 'closed' | 'timeout' | 'malformed' }
  /** Between the 220 to STARTTLS and the reply to the EHLO inside TLS, or TLS not to be had at all. */
  | { readonly kind: 'tls'; readonly failure: TlsFailure }
  /** TLS stands, and the peer did not prove what the policy demands. */
  | { readonly kind: 'peer'; readonly failure: IdentityFailure }
  /** Our own fault (descriptors, source address, certificate): never a reason for plaintext. */
  | { readonly kind: 'local'; readonly detail: string };

/** What the peer offers on this connection, after the last EHLO. */
export type SessionFacts = {
  readonly tls: TlsFacts | null;
  /** What the peer showed in the handshake of this very connection; null in the clear. */
  readonly peer: PresentedPeer | null;
  /** The rung the connection ended on: 'plaintext' where STARTTLS was not to be had and need not. */
  readonly rung: Rung;
  /** Why the connection is in the clear, where TLS was wanted. */
  readonly tlsFailure: TlsFailure | null;
  /** EHLO keywords, upper case, with their parameters. */
  readonly extensions: ReadonlyMap<string, string>;
  /** Null: SIZE not announced or without a limit. */
  readonly sizeLimit: number | null;
  readonly remoteAddress: string;
};

/** One message for some of its recipients over an open session. */
export type Transaction = {
  readonly envelope: Envelope;
  readonly recipients: readonly ClaimedRecipient[];
  readonly body: Body;
};

/** What came of a transaction. By recipient number where the peer tells recipients apart. */
export type TransactionResult =
  /** Every recipient has the reply that decided its fate: its RCPT's where that was refused, else the final one. */
  | {
      readonly kind: 'answered';
      readonly replies: ReadonlyMap<number, { readonly command: Command; readonly reply: SmtpReply }>;
      readonly reusable: boolean;
    }
  /** The session broke; `replies` are the RCPT refusals that came before. `inDoubt`: the final dot was sent, the message may have arrived. */
  | {
      readonly kind: 'broken';
      readonly command: Command;
      readonly problem: 'closed' | 'timeout' | 'malformed';
      readonly inDoubt: boolean;
      readonly replies: ReadonlyMap<number, { readonly command: Command; readonly reply: SmtpReply }>;
    }
  /** Our body could not be read. Nothing was accepted by the peer. */
  | { readonly kind: 'local'; readonly detail: string };

/** An open connection after EHLO, idle between transactions. */
export type Session = {
  readonly facts: SessionFacts;
  /** False once the peer or we closed. */
  readonly alive: boolean;
  /** Shows credentials (RFC 4954; PLAIN or LOGIN), only ever inside TLS. Null: accepted; else why not. */
  authenticate(credentials: Credentials): Promise<OpenFailure | null>;
  /** Asks whether the peer would take a message for these recipients, and takes the question back: MAIL, RCPT, RSET, no DATA. */
  sound(question: Pick<Transaction, 'envelope' | 'recipients'>): Promise<TransactionResult>;
  deliver(transaction: Transaction): Promise<TransactionResult>;
  /** RSET; true if the peer answered 250 and the session may serve another message. */
  reset(): Promise<boolean>;
  /** QUIT, then close; never rejects. */
  quit(): Promise<void>;
  /** Closes at once. */
  destroy(): void;
  /** Calls back once when the session ends, whoever ended it. */
  onClose(listener: () => void): void;
};

/** Opens sessions. Never rejects. */
export type Transport = {
  open(plan: ConnectPlan): Promise<Result<Session, OpenFailure>>;
  /** Destroys every session and what is being opened; later calls of `open` fail as 'local'. */
  close(): void;
};
