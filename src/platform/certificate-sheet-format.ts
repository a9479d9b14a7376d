/**
 * The sheet a partner's administrator asks for before they demand our certificate: who issued it, what it says, how long it holds,
 * what to pin and what to publish. Reads certificates; knows no files.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { Domain } from '../domain/address.ts';
import type { Instant } from '../domain/basics.ts';
import type { CertificatePair } from './certificate-policy.ts';
import { extendedUsages, keyUsages } from './certificate-usage-format.ts';

/** A name as certificates carry them: null where a part is not given. */
export type DistinguishedName = {
  readonly name: string | null;
  readonly organisation: string | null;
  readonly organisationalUnit: string | null;
};

/** Where the chain ends. known: public: most machines trust it; file: it came with our file; no: nobody can say from here. */
export type RootSheet = DistinguishedName & {
  readonly known: 'public' | 'file' | 'self-signed' | 'no';
  readonly sha256: string | null;
};

/** One certificate. */
export type CertificateSheet = {
  /** current: served now. next: for the same names and later, not served yet. client: shown when we send. unused: nobody gets it. */
  readonly use: 'current' | 'next' | 'client' | 'unused';
  readonly file: string;
  readonly root: RootSheet;
  readonly issuer: DistinguishedName;
  readonly subject: DistinguishedName;
  readonly names: readonly string[];
  readonly key: { readonly type: string; readonly bits: number | null; readonly curve: string | null };
  readonly signedWith: string | null;
  readonly notBefore: Instant;
  readonly notAfter: Instant;
  readonly serialNumber: string;
  readonly sha1: string;
  readonly sha256: string;
  /** SHA-256 of the public key: what TLSA `3 1 1` and pins name, lower-case hex. */
  readonly keySha256: string;
  /** Null: not restricted. */
  readonly keyUsage: readonly string[] | null;
  readonly extendedKeyUsage: readonly string[] | null;
  /** Leaf first, as we send it. */
  readonly chain: readonly {
    readonly name: string;
    readonly issuer: string;
    readonly sha256: string;
    readonly notAfter: Instant;
  }[];
  readonly pem: string;
};

const PEM = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

const chainOf = (pem: string): readonly X509Certificate[] => (pem.match(PEM) ?? []).map((block) => new X509Certificate(block));

/** The sheets of all pairs, in their order. `findRoot` gives the trusted root that issued a certificate, if there is one. */
export function certificateSheets(
  pairs: readonly CertificatePair[],
  findRoot: (certificate: X509Certificate) => X509Certificate | null,
): readonly CertificateSheet[] {
  const sheets = pairs.map((pair) => sheetOf(pair, findRoot));
  return sheets.flatMap((sheet, at) => (sheet === null ? [] : [{ ...sheet, use: useOf(at, pairs) }]));
}

const namesKey = ({ facts }: CertificatePair): string =>
  facts.names
    .map((name) => name.toLowerCase())
    .sort()
    .join();

/** The first of its names and key type is served; one that begins later is meant to follow it. */
function useOf(at: number, pairs: readonly CertificatePair[]): CertificateSheet['use'] {
  const own = pairs[at];
  if (own === undefined) return 'unused';
  const served = pairs.find((pair) => namesKey(pair) === namesKey(own) && pair.facts.keyType === own.facts.keyType);
  if (served === undefined || served === own) return 'current';
  return own.facts.notBefore > served.facts.notBefore ? 'next' : 'unused';
}

function sheetOf(
  { cert, facts }: CertificatePair,
  findRoot: (certificate: X509Certificate) => X509Certificate | null,
): Omit<CertificateSheet, 'use'> | null {
  const chain = chainOf(cert);
  const [leaf] = chain;
  if (leaf === undefined) return null;
  const { asymmetricKeyDetails: details, asymmetricKeyType } = leaf.publicKey;
  return {
    file: facts.file,
    root: rootOf(chain, findRoot),
    issuer: nameOf(leaf, 'issuer'),
    subject: nameOf(leaf, 'subject'),
    names: facts.names,
    key: {
      type: (asymmetricKeyType ?? 'unknown').toUpperCase(),
      bits: details?.modulusLength ?? null,
      curve: details?.namedCurve ?? null,
    },
    signedWith: leaf.signatureAlgorithm ?? null,
    notBefore: facts.notBefore,
    notAfter: facts.notAfter,
    serialNumber: leaf.serialNumber,
    sha1: leaf.fingerprint,
    sha256: leaf.fingerprint256,
    keySha256: createHash('sha256')
      .update(leaf.publicKey.export({ type: 'spki', format: 'der' }))
      .digest('hex'),
    keyUsage: keyUsages(leaf),
    extendedKeyUsage: extendedUsages(leaf),
    chain: chain.map((certificate) => ({
      name: shortName(nameOf(certificate, 'subject')),
      issuer: shortName(nameOf(certificate, 'issuer')),
      sha256: certificate.fingerprint256,
      notAfter: certificate.validToDate.getTime() as Instant,
    })),
    pem: chain.map((certificate) => certificate.toString()).join(''),
  };
}

function rootOf(
  chain: readonly X509Certificate[],
  findRoot: (certificate: X509Certificate) => X509Certificate | null,
): RootSheet {
  const last = chain.at(-1);
  if (last === undefined) return { name: null, organisation: null, organisationalUnit: null, known: 'no', sha256: null };
  const root = findRoot(last);
  if (root !== null) return { ...nameOf(root, 'subject'), known: 'public', sha256: root.fingerprint256 };
  if (last.subject !== last.issuer || !last.verify(last.publicKey))
    return { ...nameOf(last, 'issuer'), known: 'no', sha256: null };
  return { ...nameOf(last, 'subject'), known: chain.length === 1 ? 'self-signed' : 'file', sha256: last.fingerprint256 };
}

/** The parts of a name; of several values all, joined. */
function nameOf(certificate: X509Certificate, which: 'subject' | 'issuer'): DistinguishedName {
  const parts: Readonly<Record<string, unknown>> = { ...certificate.toLegacyObject()[which] };
  const part = (name: string): string | null => {
    const value = parts[name];
    return value === undefined ? null : Array.isArray(value) ? value.join(', ') : String(value);
  };
  return { name: part('CN'), organisation: part('O'), organisationalUnit: part('OU') };
}

/** `R11, Let's Encrypt`. */
export const shortName = ({ name, organisation }: DistinguishedName): string =>
  [name, organisation].filter((part) => part !== null).join(', ') || 'no name';

/** The host names a relay with these certificates can be an MX by: its own, where they cover it, and every name written out. */
export function mxNames(hostname: Domain, sheets: readonly CertificateSheet[]): readonly string[] {
  const written = sheets.flatMap(({ names }) =>
    names.flatMap((name) => (name.startsWith('DNS:') ? [name.slice(4).toLowerCase()] : [])),
  );
  const names = new Set(written.filter((name) => !name.includes('*') && name.includes('.')));
  const covered = sheets.some((sheet) => coversName(sheet, hostname));
  return [...new Set([...(covered && isIP(hostname) === 0 ? [hostname] : []), ...names])];
}

/** True where the certificate proves the name (RFC 9525: alternative names only, one label for `*`). */
export function coversName({ pem }: CertificateSheet, name: string): boolean {
  const [leaf] = chainOf(pem);
  return leaf?.checkHost(name, { subject: 'never', partialWildcards: false }) !== undefined;
}
