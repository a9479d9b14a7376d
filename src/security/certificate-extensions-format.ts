/**
 * Reads the extensions of a certificate (RFC 5280, section 4.1.2.9) that node:crypto does not tell: which are critical, path length,
 * key usage. Takes DER that node:crypto has parsed before; what does not fit is no extension list at all.
 */

/** One extension; `value` is the DER inside its OCTET STRING. */
export type CertificateExtension = { readonly id: string; readonly critical: boolean; readonly value: Uint8Array };

/** What limits a certificate's use as an issuer, or as a key that signs a handshake. */
export type UsageLimits = {
  /** basicConstraints say so. */
  readonly isAuthority: boolean;
  /** Certificates of authorities that may stand below it; null: any number. */
  readonly pathLength: number | null;
  /** Bits of keyUsage, the first at 0; null where there is no such extension. */
  readonly keyUsage: ReadonlySet<number> | null;
};

/** keyUsage bits: RFC 5280, section 4.2.1.3. */
export const DIGITAL_SIGNATURE = 0;
export const KEY_CERT_SIGN = 5;

type Element = { readonly tag: number; readonly content: Uint8Array; readonly end: number };

/** The DER element at `at`; null where it does not fit. */
function elementAt(der: Uint8Array, at: number): Element | null {
  const tag = der[at];
  const first = der[at + 1];
  if (tag === undefined || first === undefined || first === 0x80 || first > 0x83) return null;
  const octets = first < 0x80 ? 0 : first & 0x7f;
  let length = octets === 0 ? first : 0;
  for (let index = 0; index < octets; index += 1) length = length * 256 + (der[at + 2 + index] ?? 0);
  const start = at + 2 + octets;
  return start + length <= der.length ? { tag, content: der.subarray(start, start + length), end: start + length } : null;
}

/** The elements inside a constructed one; null where they do not fill it. */
function members(content: Uint8Array): readonly Element[] | null {
  const found: Element[] = [];
  for (let at = 0; at < content.length; ) {
    const element = elementAt(content, at);
    if (element === null) return null;
    found.push(element);
    at = element.end;
  }
  return found;
}

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex');
const BOOLEAN = 0x01;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
/** `[3] EXPLICIT Extensions` of TBSCertificate. */
const EXTENSIONS = 0xa3;

/** Object identifiers in hex of their DER content. */
export const EXTENSION_IDS = {
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  certificatePolicies: '551d20',
  extendedKeyUsage: '551d25',
} as const;

/** The extensions of a certificate in DER; null where they cannot be read. */
export function extensionsOf(certificate: Uint8Array): readonly CertificateExtension[] | null {
  const signed = elementAt(certificate, 0);
  const tbs = signed === null ? null : elementAt(signed.content, 0);
  const fields = tbs === null ? null : members(tbs.content);
  if (fields === null) return null;
  const wrapped = fields.find(({ tag }) => tag === EXTENSIONS);
  if (wrapped === undefined) return [];
  const list = elementAt(wrapped.content, 0);
  const entries = list === null ? null : members(list.content);
  if (entries === null) return null;
  const read = entries.map(({ content }) => extensionOf(content));
  return read.every((extension) => extension !== null) ? read : null;
}

function extensionOf(content: Uint8Array): CertificateExtension | null {
  const parts = members(content);
  const id = parts?.[0];
  const value = parts?.at(-1);
  if (parts === null || id?.tag !== OBJECT_IDENTIFIER || value?.tag !== OCTET_STRING) return null;
  const critical = parts.some(({ tag, content: given }) => tag === BOOLEAN && given[0] !== 0);
  return { id: hex(id.content), critical, value: value.content };
}

/** What the extensions allow; null where one of them cannot be read. */
export function usageLimits(extensions: readonly CertificateExtension[]): UsageLimits | null {
  const valueUnder = (id: string): Uint8Array | undefined => extensions.find((extension) => extension.id === id)?.value;
  const constraints = valueUnder(EXTENSION_IDS.basicConstraints);
  const usage = valueUnder(EXTENSION_IDS.keyUsage);
  const authority = constraints === undefined ? { isAuthority: false, pathLength: null } : readConstraints(constraints);
  const keyUsage = usage === undefined ? null : readBits(usage);
  if (authority === null || (usage !== undefined && keyUsage === null)) return null;
  return { ...authority, keyUsage };
}

function readConstraints(value: Uint8Array): Pick<UsageLimits, 'isAuthority' | 'pathLength'> | null {
  const sequence = elementAt(value, 0);
  const parts = sequence === null ? null : members(sequence.content);
  if (parts === null) return null;
  const isAuthority = parts.some(({ tag, content }) => tag === BOOLEAN && content[0] !== 0);
  const length = parts.find(({ tag }) => tag === 0x02)?.content;
  if (length !== undefined && length.length !== 1) return null;
  return { isAuthority, pathLength: length?.[0] ?? null };
}

function readBits(value: Uint8Array): ReadonlySet<number> | null {
  const bits = elementAt(value, 0);
  if (bits === null || bits.tag !== 0x03) return null;
  const set = new Set<number>();
  for (let bit = 0; bit < (bits.content.length - 1) * 8; bit += 1) {
    if (((bits.content[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0) set.add(bit);
  }
  return set;
}
