/** What a partner's and our own DNS should say of this relay's certificate: TLSA records (RFC 7672) and an MTA-STS policy (RFC 8461). */
import { createHash } from 'node:crypto';
import { parseNamePattern } from '../domain/peer.ts';
import { type CertificateSheet, coversName } from '../platform/certificate-sheet-format.ts';
import { policyLines } from '../security/mta-sts-format.ts';

/** A week: long enough to protect, short enough to be corrected (RFC 8461, section 3.2, allows a year). */
const MAX_AGE_SECONDS = 604_800;

/** `_25._tcp.<name>. IN TLSA 3 1 1 …` of each certificate that covers the name; one line for certificates of one key. */
export const tlsaRecords = (names: readonly string[], sheets: readonly CertificateSheet[]): readonly string[] => [
  ...new Set(
    names.flatMap((name) =>
      sheets
        .filter((sheet) => (sheet.use === 'current' || sheet.use === 'next') && coversName(sheet, name))
        .map(({ keySha256 }) => `_25._tcp.${name}. IN TLSA 3 1 1 ${keySha256}`),
    ),
  ),
];

/** A policy and where it goes. */
export type PublishedPolicy = {
  /** The content of `https://mta-sts.<domain>/.well-known/mta-sts.txt`, lines ended by LF. */
  readonly policy: string;
  /** Changes whenever the policy does. */
  readonly id: string;
  readonly domains: readonly { readonly domain: string; readonly url: string; readonly record: string }[];
};

/** The policy for domains whose MX records name these hosts. */
export function stsPolicy(names: readonly string[], domains: readonly string[], mode: 'enforce' | 'testing'): PublishedPolicy {
  const mx = names.map(parseNamePattern).filter((name) => name !== null);
  const lines = policyLines({ mode, mx, maxAgeSeconds: MAX_AGE_SECONDS });
  const policy = lines.map((line) => `${line}\n`).join('');
  const id = createHash('sha256').update(policy).digest('hex').slice(0, 20);
  return {
    policy,
    id,
    domains: domains.map((domain) => ({
      domain,
      url: `https://mta-sts.${domain}/.well-known/mta-sts.txt`,
      record: `_mta-sts.${domain}. IN TXT "v=STSv1; id=${id};"`,
    })),
  };
}
