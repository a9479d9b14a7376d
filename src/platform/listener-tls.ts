/**
 * Gives listeners the certificates for the name a client asked for, and takes renewed ones while they serve.
 */
import type { ListenerCertificates } from './certificates.ts';
import { certificateSelector, type Selection } from './sni-policy.ts';

/** Keys and chains for a handshake: `key[n]` belongs to `cert[n]`. */
export type HandshakeOptions = {
  readonly key: readonly string[];
  readonly cert: readonly string[];
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  readonly ticketKeys: Buffer;
};

/** The certificates of one thread's listeners. */
export type ListenerTlsSource = {
  /** The same object for the same certificates until they are replaced. Never throws: it is called from within a handshake. */
  optionsFor(serverName: string | null): HandshakeOptions;
  /** Serves others from the next handshake on. */
  replace(certificates: ListenerCertificates): void;
};

/** Certificates for the listeners of a thread. Expects at least one pair. */
export function openListenerTls(certificates: ListenerCertificates): ListenerTlsSource {
  let current = generation(certificates);
  return {
    optionsFor: (serverName) => current(serverName),
    replace: (next) => {
      current = generation(next);
    },
  };
}

function generation({ pairs, minVersion, ticketKeys }: ListenerCertificates): (serverName: string | null) => HandshakeOptions {
  const selector = certificateSelector(pairs);
  const keys = Buffer.from(ticketKeys);
  const made = new Map<string, HandshakeOptions>();
  const optionsOf = (selection: Selection): HandshakeOptions => {
    const name = selection.join();
    const known = made.get(name);
    if (known !== undefined) return known;
    const chosen = pairs.filter((_, index) => selection.includes(index));
    const options = { key: chosen.map((pair) => pair.key), cert: chosen.map((pair) => pair.cert), minVersion, ticketKeys: keys };
    made.set(name, options);
    return options;
  };
  const fallback = optionsOf(selector.fallback);
  return (serverName) => {
    if (serverName === null) return fallback;
    try {
      return optionsOf(selector.select(serverName));
    } catch {
      return fallback;
    }
  };
}
