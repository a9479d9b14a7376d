/**
 * TLS contexts of outbound connections. They cost milliseconds and are few: one for each rung, floor, trust and client certificate.
 */
import { constants } from 'node:crypto';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import type { TlsRung } from '../domain/tls.ts';
import { rungOffer } from '../security/rung-table.ts';
import type { ConnectPlan, TrustAnchors } from './session.ts';

type ContextFacts = Pick<ConnectPlan, 'minVersion' | 'trust' | 'clientCertificate'>;

/** Contexts are kept as long as the trust and certificate objects they were made from; a reload brings new objects. */
export function openTlsContexts(): (rung: TlsRung, plan: ContextFacts) => SecureContext {
  const byTrust = new WeakMap<object, Map<string, SecureContext>>();
  const certificateNumbers = new WeakMap<object, number>();
  let numbers = 0;
  const numberOf = (certificate: object | null): number => {
    if (certificate === null) return 0;
    const known = certificateNumbers.get(certificate);
    if (known !== undefined) return known;
    numbers += 1;
    certificateNumbers.set(certificate, numbers);
    return numbers;
  };
  return (rung, plan) => {
    const made = byTrust.get(plan.trust) ?? new Map<string, SecureContext>();
    byTrust.set(plan.trust, made);
    const name = `${rung} ${plan.minVersion} ${numberOf(plan.clientCertificate)}`;
    const context = made.get(name) ?? makeContext(rung, plan);
    made.set(name, context);
    return context;
  };
}

function makeContext(rung: TlsRung, { minVersion, trust, clientCertificate }: ContextFacts): SecureContext {
  const offer = rungOffer(rung, minVersion);
  if (offer === null) throw new Error(`rung ${rung} offers nothing from ${minVersion} on`);
  return createSecureContext({
    minVersion: offer.minVersion,
    maxVersion: offer.maxVersion,
    ciphers: offer.ciphers,
    ecdhCurve: offer.groups,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    ca: anchorTexts(trust),
    ...(clientCertificate === null ? {} : { cert: clientCertificate.cert, key: clientCertificate.key }),
  });
}

/** The anchors as PEM texts. A container may have no certificates of its own system: then those Node brings along. */
export function anchorTexts({ system, pem }: TrustAnchors): string[] {
  if (!system) return [...pem];
  const own = getCACertificates('system');
  return [...(own.length > 0 ? own : getCACertificates('bundled')), ...pem];
}
