/**
 * What the listeners need from the house, and what they give it. Types, and the times and counts no configuration sets.
 */
import type { Clock, Milliseconds, Result } from '../domain/basics.ts';
import type { Config, ListenerConfig } from '../domain/config.ts';
import type { QueueId } from '../domain/envelope.ts';
import type { SmtpReply } from '../domain/outcome.ts';
import type { Claim } from '../domain/queue.ts';
import type { TlsFacts } from '../domain/tls.ts';
import type { ScryptHash } from '../domain/user.ts';
import type { Spool } from '../spool/spool.ts';
import type { PeerLimits } from './peer-limits.ts';

/** Keys and chains for one handshake, in PEM. RSA and ECDSA side by side: `key[n]` belongs to `cert[n]`. */
export type ServerTlsOptions = {
  readonly key: readonly (string | Buffer)[];
  readonly cert: readonly (string | Buffer)[];
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** 48 octets shared by all threads, so that a ticket of one resumes on another. */
  readonly ticketKeys?: Buffer;
};

/** Where the listeners get their certificates. */
export type ListenerTls = {
  /**
   * The options for the name the client asked for by SNI; the default certificate's where it asked for none or an unknown one.
   * The same object as long as nothing changed: contexts are kept by it. Version and ticket keys are the default's for all names.
   */
  optionsFor(serverName: string | null): ServerTlsOptions;
};

/** Facts of a peer that every log line about it shares. */
export type PeerFields = {
  readonly listener: string;
  readonly ip: string;
  readonly helo: string | null;
  readonly tls: TlsFacts | null;
};

/** A session ended, or never began, by our refusal or a broken handshake. */
export type SessionRejected = PeerFields & { readonly reason: string; readonly reply: SmtpReply | null };

/** A message is durable. */
export type MessageAccepted = PeerFields & {
  readonly queueId: QueueId;
  readonly from: string;
  readonly to: readonly string[];
  readonly sizeBytes: number;
  /** Names of the inbound connectors that matched. */
  readonly connectors: readonly string[];
  /** Who logged in. */
  readonly user: string | null;
};

/** A connector in test mode would have refused what was taken. */
export type PolicyWouldBlock = PeerFields & { readonly connector: string; readonly from: string; readonly reply: SmtpReply };

/** Someone could not log in. */
export type LoginFailed = PeerFields & {
  readonly mechanism: string;
  /** Null where there is no such user: what was typed may be a password. */
  readonly user: string | null;
  readonly reply: SmtpReply;
};

/** A sender, a recipient or a message was refused. */
export type MessageRejected = PeerFields & {
  readonly command: 'mail' | 'rcpt' | 'dot';
  readonly from: string | null;
  readonly to: readonly string[];
  readonly connectors: readonly string[];
  readonly reply: SmtpReply;
};

/** What is told of sessions and messages. Never throws. */
export type InboundLog = {
  sessionRejected(fields: SessionRejected): void;
  messageAccepted(fields: MessageAccepted): void;
  messageRejected(fields: MessageRejected): void;
  policyWouldBlock(fields: PolicyWouldBlock): void;
  loginFailed(fields: LoginFailed): void;
};

/** Patience with one client. Times in milliseconds. */
export type SessionPatience = {
  /** For the next command, complete with its line end; RFC 5321 section 4.5.3.2.7 wants five minutes. */
  readonly command: Milliseconds;
  /** For a TLS handshake. */
  readonly handshake: Milliseconds;
  /** For a whole session. A message under way is finished first, under its own limit. */
  readonly session: Milliseconds;
  /** For one message's data. */
  readonly data: Milliseconds;
  /** After this long in DATA the client must have kept up `minimumRate`. */
  readonly rateGrace: Milliseconds;
  /** Octets a second. */
  readonly minimumRate: number;
  /** 5xx replies to one client before it is cut off; an accepted message starts the count anew. */
  readonly errors: number;
  /** Commands that bring no mail (NOOP, RSET, VRFY, EHLO, …), likewise. */
  readonly junkCommands: number;
  /** Failed logins in one session; then it ends. */
  readonly failedLogins: number;
  /** How long the reply to a failed login is held back, times the failures so far. */
  readonly loginDelay: Milliseconds;
  /** How often deadlines are looked at. */
  readonly sweepEvery: Milliseconds;
};

/** What production uses. */
export const USUAL_PATIENCE: SessionPatience = {
  command: 5 * 60_000,
  handshake: 60_000,
  session: 60 * 60_000,
  data: 60 * 60_000,
  rateGrace: 60_000,
  minimumRate: 500,
  errors: 20,
  junkCommands: 100,
  failedLogins: 3,
  loginDelay: 1000,
  sweepEvery: 1000,
};

/** Everything a listener works with. */
export type InboundContext = {
  /** The configuration now; each session takes it once. */
  config(): Config;
  readonly spool: Spool;
  readonly tls: ListenerTls;
  /** What client certificates must chain to, in PEM. The same array as long as nothing changed. */
  clientAnchors(): readonly string[];
  /** Whether a password has this hash; null: too many are being checked. Takes the same time whatever the answer. */
  checkPassword(password: string, hash: ScryptHash): Promise<boolean | null>;
  readonly clock: Clock;
  newQueueId(): QueueId;
  /** Shared by all listeners of a thread. */
  readonly peers: PeerLimits;
  /** True where this thread can deliver a message of so many octets from memory now; else it is stored unclaimed. */
  mayClaim(bytes: number): boolean;
  readonly leaseFor: Milliseconds;
  /** Hands the claims of a message just stored to the scheduler. */
  offer(claims: readonly Claim[]): void;
  readonly log: InboundLog;
  /** A bug of ours; it ended no more than one session or message. */
  broke(error: unknown): void;
  readonly patience: SessionPatience;
  /** Several threads listen on the same port. */
  readonly reusePort: boolean;
};

/** A listener that is open. */
export type Listener = {
  readonly port: number;
  /** Connections open now. */
  sessions(): number;
  /** Stops listening; idle sessions hear 421, messages under way get their reply. What is left when `signal` aborts is cut. */
  drain(signal: AbortSignal): Promise<void>;
  /** Stops listening and cuts every session. Idempotent. */
  close(): Promise<void>;
};

/** Why a listener could not be opened. */
export type ListenProblem = {
  readonly kind: 'address-in-use' | 'not-permitted' | 'address-not-available' | 'certificate' | 'other';
  readonly listener: string;
  readonly detail: string;
};

/** Opens a listener. */
export type StartListener = (config: ListenerConfig, context: InboundContext) => Promise<Result<Listener, ListenProblem>>;
