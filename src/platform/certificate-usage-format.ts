/**
 * What a certificate's key may be used for: the key usage extension, which node:crypto does not read, and names for the extended
 * usages, which it gives as numbers. RFC 5280, sections 4.2.1.3 and 4.2.1.12.
 */
import type { X509Certificate } from 'node:crypto';

/** Bits of the extension, the first one first. */
const USAGES = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;

const EXTENDED: Readonly<Record<string, string>> = {
  '1.3.6.1.5.5.7.3.1': 'serverAuth',
  '1.3.6.1.5.5.7.3.2': 'clientAuth',
  '1.3.6.1.5.5.7.3.3': 'codeSigning',
  '1.3.6.1.5.5.7.3.4': 'emailProtection',
  '1.3.6.1.5.5.7.3.8': 'timeStamping',
  '1.3.6.1.5.5.7.3.9': 'OCSPSigning',
  '2.5.29.37.0': 'any',
};

const SEQUENCE = 0x30;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const EXPLICIT_3 = 0xa3;
/** 2.5.29.15, as DER writes it with tag and length. */
const KEY_USAGE = '0603551d0f';

type Element = { readonly tag: number; readonly whole: Buffer; readonly content: Buffer };

/** The elements in a piece of DER, as far as they can be read. */
function elements(der: Buffer): readonly Element[] {
  const found: Element[] = [];
  for (let at = 0; at + 2 <= der.length; ) {
    const short = der[at + 1] ?? 0;
    const lengthOctets = short < 0x80 ? 0 : short & 0x7f;
    if (lengthOctets > 4 || at + 2 + lengthOctets > der.length) break;
    const length = lengthOctets === 0 ? short : der.readUIntBE(at + 2, lengthOctets);
    const start = at + 2 + lengthOctets;
    if (start + length > der.length) break;
    found.push({ tag: der[at] ?? 0, whole: der.subarray(at, start + length), content: der.subarray(start, start + length) });
    at = start + length;
  }
  return found;
}

const child = (parent: Element | undefined, tag: number): Element | undefined =>
  parent === undefined ? undefined : elements(parent.content).find((element) => element.tag === tag);

/** The names of the usages; null where the certificate does not restrict them, which allows all. */
export function keyUsages({ raw }: Pick<X509Certificate, 'raw'>): readonly string[] | null {
  const toBeSigned = child(elements(raw)[0], SEQUENCE);
  const extensions = child(child(toBeSigned, EXPLICIT_3), SEQUENCE);
  if (extensions === undefined) return null;
  const extension = elements(extensions.content).find(({ content }) => elements(content)[0]?.whole.toString('hex') === KEY_USAGE);
  const bits = child(child(extension, OCTET_STRING), BIT_STRING)?.content;
  if (bits === undefined) return null;
  return USAGES.filter((_, bit) => ((bits[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0);
}

/** The names of the extended usages, numbers where they have none; null where the certificate does not restrict them. */
export const extendedUsages = ({ keyUsage }: Pick<X509Certificate, 'keyUsage'>): readonly string[] | null =>
  (keyUsage as readonly string[] | undefined)?.map((number) => EXTENDED[number] ?? number) ?? null;
