/**
 * What the peer of a TLS socket showed, read once and right after the handshake: node:tls gives the leaf away only once.
 */
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { Domain } from '../domain/address.ts';
import type { TlsFacts } from '../domain/tls.ts';
import { dnsNames, satisfies } from '../security/certificate-names-format.ts';
import type { PresentedPeer } from '../security/peer-policy.ts';
import { untrustedReason } from '../security/untrusted-table.ts';

/** A longer chain proves nothing. */
const MAX_CHAIN = 10;

/** The chain and its verdict. A resumed session proves nothing: it shows no chain. */
export function presentedPeer(socket: TLSSocket, offersRequireTls: boolean): PresentedPeer {
  const chain: X509Certificate[] = [];
  const leaf = socket.isSessionReused() ? undefined : socket.getPeerX509Certificate();
  for (let next = leaf; next !== undefined && chain.length < MAX_CHAIN; next = next.issuerCertificate) {
    if (chain.some(({ fingerprint256 }) => fingerprint256 === next?.fingerprint256)) break;
    chain.push(next);
  }
  const problem: unknown = socket.authorizationError;
  const trusted = socket.authorized && chain.length > 0;
  const reason = chain.length === 0 ? 'no-certificate' : untrustedReason(String(problem));
  return { chain, verdict: trusted ? { kind: 'trusted' } : { kind: 'untrusted', reason }, offersRequireTls };
}

/** What the handshake gave; `peer` is the host's name where the chain and the name prove it. */
export function tlsFacts(socket: TLSSocket, peer: PresentedPeer, host: Domain | null): TlsFacts {
  const key = socket.getEphemeralKeyInfo() as { readonly name?: string; readonly type?: string } | null;
  const leaf = peer.chain[0];
  const proven =
    host !== null &&
    leaf !== undefined &&
    peer.verdict.kind === 'trusted' &&
    dnsNames(leaf).some((name) => satisfies(name, { kind: 'exact', domain: host }));
  return {
    version: socket.getProtocol() ?? 'unknown',
    cipher: socket.getCipher().standardName,
    group: key?.name ?? key?.type ?? null,
    peer: proven ? host : null,
  };
}
