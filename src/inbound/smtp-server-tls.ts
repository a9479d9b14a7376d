/**
 * TLS as smtp-server wants it: contexts made of our options, and what a handshake gave. A context that asks for client certificates
 * resumes no session: resumed, a client without certificate counts as verified in Node (security: nodejs/node #35317, #64677).
 */
import { constants, X509Certificate } from 'node:crypto';
import { createSecureContext, getCACertificates, type SecureContext, setDefaultCACertificates, type TLSSocket } from 'node:tls';
import type { Instant } from '../domain/basics.ts';
import type { TlsFacts } from '../domain/tls.ts';
import { type ClientCertificate, judgeClientCertificate } from '../security/client-certificate-policy.ts';
import { type TrustAnchors, trustAnchors } from '../security/server-chain-policy.ts';
import type { ListenerTls, ServerTlsOptions } from './context.ts';
import { OFFERED_CIPHERS, OFFERED_GROUPS } from './tls-offer-table.ts';
import { groupOfSession } from './tls-session-format.ts';

/** Certificates of a client that are looked at. */
const LONGEST_CHAIN = 10;

/** What client certificates are asked for and judged by. */
export type ClientTrust = {
  /** Some connector needs one. */
  asks(): boolean;
  /** Trust anchors in PEM; the same array as long as nothing changed. */
  anchors(): readonly string[];
};

type Made = { readonly context: SecureContext; readonly asks: boolean; readonly anchors: readonly string[] };

/** TLS contexts by what they are made of. A certificate that cannot be used leaves the last good one in service. */
export class Contexts extends Map<string, SecureContext> {
  readonly #tls: ListenerTls;
  readonly #client: ClientTrust;
  readonly #made = new WeakMap<ServerTlsOptions, Made>();
  #lastGood: SecureContext;

  constructor(tls: ListenerTls, client: ClientTrust) {
    super();
    this.#tls = tls;
    this.#client = client;
    this.#lastGood = this.#make(tls.optionsFor(null));
  }

  /** smtp-server asks for `*` as the default. */
  override get(name: string): SecureContext {
    const options = this.#tls.optionsFor(name === '*' ? null : name);
    const known = this.#made.get(options);
    if (known !== undefined && known.asks === this.#client.asks() && (!known.asks || known.anchors === this.#client.anchors()))
      return known.context;
    try {
      const context = this.#make(options);
      if (name === '*') this.#lastGood = context;
      return context;
    } catch {
      this.#remember(options, this.#lastGood);
      return this.#lastGood;
    }
  }

  #make(options: ServerTlsOptions): SecureContext {
    const context = this.#client.asks() ? askingContext(options, this.#client.anchors()) : secureContext(options, QUIET);
    this.#remember(options, context);
    return context;
  }

  #remember(options: ServerTlsOptions, context: SecureContext): void {
    this.#made.set(options, { context, asks: this.#client.asks(), anchors: this.#client.anchors() });
  }
}

type Attitude = { readonly secureOptions: number; readonly sessionIdContext: string; readonly ca?: string[] };

/** Asks no client for anything, and would trust no answer. Sessions resume; the same everywhere, so that they do on other threads, too. */
const QUIET: Attitude = { secureOptions: 0, sessionIdContext: 'postern', ca: [] };
/** A session of a listener that does not ask is none here, should tickets ever come back. */
const ASKING: Attitude = { secureOptions: constants.SSL_OP_NO_TICKET, sessionIdContext: 'postern-certificates' };

const secureContext = (options: ServerTlsOptions, { secureOptions, ...attitude }: Attitude): SecureContext =>
  createSecureContext({
    key: [...options.key],
    cert: [...options.cert],
    minVersion: options.minVersion,
    maxVersion: 'TLSv1.3',
    ciphers: OFFERED_CIPHERS,
    ecdhCurve: OFFERED_GROUPS,
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | secureOptions,
    ...attitude,
    ...(options.ticketKeys === undefined ? {} : { ticketKeys: options.ticketKeys }),
  });

/**
 * Anchors given as `ca` would all be named in every CertificateRequest: 11 KB with those of a usual system, and clients that go by the
 * list would keep back a certificate from elsewhere. Anchors taken as the default are trusted just the same and named nowhere.
 */
function askingContext(options: ServerTlsOptions, anchors: readonly string[]): SecureContext {
  const usual = getCACertificates('default');
  setDefaultCACertificates(anchors.flatMap(certificatesIn));
  try {
    return secureContext(options, ASKING);
  } finally {
    setDefaultCACertificates(usual);
  }
}

const certificatesIn = (pem: string): readonly string[] =>
  pem.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]+-----END (?:TRUSTED )?CERTIFICATE-----/g) ?? [];

/** The facts of a completed handshake, seen from the server; who the client is comes from its certificate. */
export function tlsFacts(socket: TLSSocket): TlsFacts {
  return {
    version: socket.getProtocol() ?? 'unknown',
    cipher: socket.getCipher()?.standardName ?? 'unknown',
    group: groupOfSession(socket.getSession()),
    peer: null,
  };
}

/** Judges the certificates of clients; parses trust anchors once, and only where it must. */
export class CertificateJudge {
  readonly #client: ClientTrust;
  #parsed: { readonly pem: readonly string[]; readonly anchors: TrustAnchors } | null = null;

  constructor(client: ClientTrust) {
    this.#client = client;
  }

  /** What the client proved in this handshake. smtp-server has put OpenSSL's verdict where tls.Server would. */
  judge(socket: TLSSocket, now: Instant): ClientCertificate {
    const error: unknown = socket.authorizationError;
    const verdict = socket.authorized ? null : String(error ?? 'no verdict');
    const shown = { chain: chainOf(socket), verdict, resumed: socket.isSessionReused() };
    return judgeClientCertificate(shown, () => this.#anchors(), now);
  }

  #anchors(): TrustAnchors {
    const pem = this.#client.anchors();
    if (this.#parsed?.pem === pem) return this.#parsed.anchors;
    const anchors = trustAnchors(pem.flatMap(certificatesIn).map((one) => new X509Certificate(one)));
    this.#parsed = { pem, anchors };
    return anchors;
  }
}

function chainOf(socket: TLSSocket): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next = socket.getPeerX509Certificate();
  while (next !== undefined && chain.length < LONGEST_CHAIN) {
    chain.push(next);
    next = next.issuerCertificate;
  }
  return chain;
}
