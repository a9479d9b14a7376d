/**
 * TLS as smtp-server wants it: contexts made of our options, and what a handshake gave.
 */
import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import type { TlsFacts } from '../domain/tls.ts';
import type { ListenerTls, ServerTlsOptions } from './context.ts';
import { OFFERED_CIPHERS, OFFERED_GROUPS } from './tls-offer-table.ts';
import { groupOfSession } from './tls-session-format.ts';

/** TLS contexts by what they are made of. A certificate that cannot be used leaves the last good one in service. */
export class Contexts extends Map<string, SecureContext> {
  readonly #tls: ListenerTls;
  readonly #made = new WeakMap<ServerTlsOptions, SecureContext>();
  #lastGood: SecureContext;

  constructor(tls: ListenerTls) {
    super();
    this.#tls = tls;
    this.#lastGood = secureContext(tls.optionsFor(null));
  }

  /** smtp-server asks for `*` as the default. */
  override get(name: string): SecureContext {
    const options = this.#tls.optionsFor(name === '*' ? null : name);
    const known = this.#made.get(options);
    if (known !== undefined) return known;
    try {
      const context = secureContext(options);
      this.#made.set(options, context);
      if (name === '*') this.#lastGood = context;
      return context;
    } catch {
      this.#made.set(options, this.#lastGood);
      return this.#lastGood;
    }
  }
}

const secureContext = (options: ServerTlsOptions): SecureContext =>
  createSecureContext({
    key: [...options.key],
    cert: [...options.cert],
    minVersion: options.minVersion,
    maxVersion: 'TLSv1.3',
    ciphers: OFFERED_CIPHERS,
    ecdhCurve: OFFERED_GROUPS,
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    // The same everywhere: a ticket of one thread or listener must resume on the next.
    sessionIdContext: 'postern',
    ...(options.ticketKeys === undefined ? {} : { ticketKeys: options.ticketKeys }),
  });

/** The facts of a completed handshake, seen from the server. */
export function tlsFacts(socket: TLSSocket): TlsFacts {
  return {
    version: socket.getProtocol() ?? 'unknown',
    cipher: socket.getCipher()?.standardName ?? 'unknown',
    group: groupOfSession(socket.getSession()),
    peer: null,
  };
}
