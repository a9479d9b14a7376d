/**
 * Words of TLS: what a delivery demands, the rungs of the ladder, what a handshake gave or how it failed.
 */
import type { Domain } from './address.ts';
import type { NonEmpty } from './basics.ts';
import type { PeerRequirement } from './peer.ts';

/** The rungs, strongest first (interface.md, section 4). Each is a new TCP connection. */
export const RUNGS = ['modern', 'compatible', 'legacy', 'plaintext'] as const;
export type Rung = (typeof RUNGS)[number];
/** A rung on which TLS is spoken. */
export type TlsRung = Exclude<Rung, 'plaintext'>;

/** How a connector wants its deliveries protected; the floor of the decision. */
export type TlsMode = 'opportunistic' | 'encrypt' | 'trusted' | 'verify' | 'dane' | 'plaintext';

/** Who asked for what the policy says. */
export type PolicySource =
  | { readonly kind: 'connector'; readonly name: string }
  | { readonly kind: 'dane'; readonly tlsaBase: Domain }
  | { readonly kind: 'mta-sts'; readonly domain: Domain; readonly id: string }
  | { readonly kind: 'message'; readonly demand: 'requiretls' | 'tls-required-no' }
  | { readonly kind: 'credentials' }
  | { readonly kind: 'default' };

/** Whether the message may travel in the clear: always so, only after the last TLS rung failed, or never. */
export type Plaintext = 'always' | 'allowed' | 'never';

/** What one host must offer before it may see the message: all that apply, combined. */
export type TlsPolicy = {
  readonly plaintext: Plaintext;
  /** The TLS rungs that may be tried, strongest first; empty only where plaintext is 'always'. */
  readonly ladder: readonly TlsRung[];
  /** What the peer must prove inside TLS before MAIL; all of it. Empty: any certificate will do. */
  readonly peer: readonly PeerRequirement[];
  readonly because: NonEmpty<PolicySource>;
};

/** What a handshake gave. */
export type TlsFacts = {
  /** As negotiated: `TLSv1.3`, `TLSv1.2`. */
  readonly version: string;
  /** IANA name of the suite. */
  readonly cipher: string;
  /** Key-exchange group, such as `X25519`; null where the exchange was RSA. */
  readonly group: string | null;
  /** The name proven by the peer's certificate, null where none was asked for or proven. */
  readonly peer: string | null;
};

/** Why TLS did not come about, or did not satisfy. The phase decides, never the text of an error. */
export type TlsFailure =
  | { readonly kind: 'not-offered' }
  | { readonly kind: 'refused'; readonly code: number; readonly text: string }
  | { readonly kind: 'handshake'; readonly alert: string | null }
  | { readonly kind: 'handshake-timeout' }
  /** Bytes in the clear behind the 220 to STARTTLS: someone on the path is talking (security: never read, connection dropped). */
  | { readonly kind: 'injected' };

/** One rung tried at one address, in the order tried. Logged as `tls.fallback` where another follows. */
export type TlsAttempt = { readonly rung: TlsRung; readonly failure: TlsFailure };
