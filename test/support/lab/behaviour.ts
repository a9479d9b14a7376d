/**
 * What a receiver of the lab can be told to do differently from a well-behaved SMTP server. Types and tiny helpers;
 * the behaviours themselves are rows of tls-behaviours.ts and smtp-behaviours.ts.
 */

/** A moment in the conversation at which a behaviour may answer in its own way. `message`: after the final dot. */
export type Step =
  | 'greeting'
  | 'ehlo'
  | 'helo'
  | 'starttls'
  | 'mail'
  | 'rcpt'
  | 'data'
  | 'message'
  | 'rset'
  | 'noop'
  | 'quit'
  | 'unknown';

/** What a receiver does at a step. `say`: reply lines joined by CRLF, without the last CRLF. `flood`: the same text for ever. */
export type Answer =
  | { readonly kind: 'say'; readonly text: string; readonly thenClose: boolean }
  | { readonly kind: 'flood'; readonly text: string }
  | { readonly kind: 'close' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'stall' };

/** What is known at a step. */
export type StepFacts = {
  /** What followed the verb. */
  readonly argument: string;
  readonly secure: boolean;
  /** MAIL commands on this connection so far, this one included. */
  readonly transactions: number;
  /** Octets of the message; 0 before it came. */
  readonly size: number;
};

/** What happens between the 220 to STARTTLS (or the accepted connection, for implicit TLS) and the end of the handshake. */
export type HandshakeConduct = 'complete' | 'garbage' | 'close' | 'reset' | 'alert' | 'stall' | 'inject' | 'refuse-large-hello';

/** Which certificate the receiver shows. `valid`: from the lab's authority, for `NAME.lab.test`. */
export type CertificateKind = 'valid' | 'self-signed' | 'expired' | 'wrong-name';

export type TlsConduct = {
  readonly start: 'starttls' | 'implicit' | 'absent';
  readonly handshake: HandshakeConduct;
  readonly certificate: CertificateKind;
  /** `required`: the handshake fails without one. Its issuer is nobody's concern. */
  readonly clientCertificate: 'none' | 'asked' | 'required';
  readonly keyType: 'ec' | 'rsa';
  readonly minVersion: 'TLSv1' | 'TLSv1.2' | 'TLSv1.3';
  readonly maxVersion: 'TLSv1' | 'TLSv1.2' | 'TLSv1.3';
  /** OpenSSL's cipher list; null for Node's default. */
  readonly ciphers: string | null;
};

/** How fast replies go out; the milliseconds come from the receiver's options. */
export type Pace = 'at-once' | 'pause-per-reply' | 'pause-per-byte';

/** One way to receive mail. */
export type Behaviour = {
  /** What it does, in a few words. */
  readonly does: string;
  /** What a correct relay does with it where plaintext is allowed. */
  readonly opportunistic: string;
  /** What a correct relay does with it where TLS is demanded. */
  readonly encrypt: string;
  readonly tls: TlsConduct;
  /** EHLO keywords with parameters, without STARTTLS. Parameters of others are refused with 555. */
  readonly keywords: readonly string[];
  /** Own answers; null from one, or none: what a well-behaved server says. */
  readonly answers: Readonly<Partial<Record<Step, (facts: StepFacts) => Answer | null>>>;
  readonly pace: Pace;
  /** Closes as soon as octets of a message arrive. */
  readonly dropsData: boolean;
  /** False: nothing listens at all. */
  readonly listens: boolean;
};

/** A row of a behaviour table: what differs from the well-behaved default. */
export type BehaviourRow = Pick<Behaviour, 'does' | 'opportunistic' | 'encrypt'> &
  Partial<Omit<Behaviour, 'tls'>> & { readonly tls?: Partial<TlsConduct> };

export const DEFAULT_KEYWORDS: readonly string[] = [
  'PIPELINING',
  'SIZE 104857600',
  '8BITMIME',
  'SMTPUTF8',
  'ENHANCEDSTATUSCODES',
];

const DEFAULT_TLS: TlsConduct = {
  start: 'starttls',
  handshake: 'complete',
  certificate: 'valid',
  clientCertificate: 'none',
  keyType: 'ec',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: null,
};

/** The whole behaviour a row describes. */
export const behaviour = (row: BehaviourRow): Behaviour => ({
  keywords: DEFAULT_KEYWORDS,
  answers: {},
  pace: 'at-once',
  dropsData: false,
  listens: true,
  ...row,
  tls: { ...DEFAULT_TLS, ...row.tls },
});

/** A reply; several lines are written with CRLF between them. */
export const say = (text: string): Answer => ({ kind: 'say', text, thenClose: false });
/** A reply, then the end of the connection. */
export const sayAndClose = (text: string): Answer => ({ kind: 'say', text, thenClose: true });
export const CLOSE: Answer = { kind: 'close' };
export const STALL: Answer = { kind: 'stall' };

/** The default keywords without some. */
export const keywordsWithout = (...names: readonly string[]): readonly string[] =>
  DEFAULT_KEYWORDS.filter((keyword) => !names.includes(keyword.split(' ')[0] ?? ''));
