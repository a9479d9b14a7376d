/**
 * What a TLS client proved with its certificate: judged once, on the handshake of this very session. A resumed session proves nothing:
 * TLS 1.3 lets a client without any certificate resume, and OpenSSL then calls it verified.
 */
import type { X509Certificate } from 'node:crypto';
import type { Instant } from '../domain/basics.ts';
import type { NamePattern, UntrustedReason } from '../domain/peer.ts';
import { dnsNames, satisfies } from './certificate-names-format.ts';
import { judgeServerChain, type TrustAnchors } from './server-chain-policy.ts';
import { untrustedReason } from './untrusted-table.ts';

/** What a client showed. */
export type ShownCertificate = {
  /** Leaf first; empty where none was asked for or shown. */
  readonly chain: readonly X509Certificate[];
  /** OpenSSL's code for what is wrong with the chain, null where nothing is. */
  readonly verdict: string | null;
  readonly resumed: boolean;
};

/** What came of it. */
export type ClientCertificate =
  | { readonly kind: 'none' }
  | { readonly kind: 'untrusted'; readonly reason: UntrustedReason }
  /** Its chain leads to the trust anchors. `server-only`: it lacks the clientAuth usage, but has serverAuth. */
  | { readonly kind: 'verified'; readonly names: readonly NamePattern[]; readonly usage: 'client' | 'server-only' };

/** No certificate. */
export const NO_CERTIFICATE: ClientCertificate = { kind: 'none' };

/** The verdict. `anchors` is called only where a certificate must be looked at that OpenSSL refuses for its usage. */
export function judgeClientCertificate(shown: ShownCertificate, anchors: () => TrustAnchors, now: Instant): ClientCertificate {
  const leaf = shown.chain[0];
  if (leaf === undefined || shown.resumed) return NO_CERTIFICATE;
  if (shown.verdict === null) return { kind: 'verified', names: dnsNames(leaf), usage: 'client' };
  const reason = untrustedReason(shown.verdict);
  if (reason !== 'wrong-purpose') return { kind: 'untrusted', reason };
  const wrong = judgeServerChain({ chain: shown.chain, anchors: anchors(), now });
  return wrong === null
    ? { kind: 'verified', names: dnsNames(leaf), usage: 'server-only' }
    : { kind: 'untrusted', reason: wrong };
}

/** What a demand for names takes into account. */
export type NameDemand = { readonly names: readonly NamePattern[]; readonly acceptServerAuthOnly: boolean };

/** The name of the certificate that meets the demand, null where none does. */
export function provenName(certificate: ClientCertificate, demand: NameDemand): NamePattern | null {
  if (certificate.kind !== 'verified') return null;
  if (certificate.usage === 'server-only' && !demand.acceptServerAuthOnly) return null;
  return certificate.names.find((name) => demand.names.some((wanted) => satisfies(name, wanted))) ?? null;
}
