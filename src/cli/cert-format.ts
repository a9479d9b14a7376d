/** The partner sheet as text that can be mailed as it is, and as one JSON document. */
import { endpointText } from '../config/address-format.ts';
import type { Instant } from '../domain/basics.ts';
import type { ListenerConfig } from '../domain/config.ts';
import { type CertificateSheet, type RootSheet, shortName } from '../platform/certificate-sheet-format.ts';
import type { PublishedPolicy } from './publish-format.ts';
import type { TlsOffer } from './suite-format.ts';
import { facts, table } from './table-format.ts';

/** Everything on the sheet. */
export type PartnerSheet = {
  readonly hostname: string;
  readonly listeners: readonly ListenerConfig[];
  readonly certificates: readonly CertificateSheet[];
  readonly tlsa: readonly string[];
  readonly mtaSts: PublishedPolicy;
  readonly offer: TlsOffer;
  /** What is wrong with the files, in words. */
  readonly problems: readonly string[];
  readonly now: Instant;
};

const DAY = 86_400_000;
/** OpenSSL's names of curves, as RFCs call them, and their bits. */
const CURVES: Readonly<Record<string, readonly [string, number]>> = {
  prime256v1: ['P-256', 256],
  secp384r1: ['P-384', 384],
  secp521r1: ['P-521', 521],
};
const HEAD = {
  current: 'now',
  next: 'next: published before it is served',
  client: 'shown when we send, to servers that ask for one',
  unused: 'not served to anyone',
} as const;

const day = (instant: Instant): string => new Date(instant).toISOString().slice(0, 10);
const or = (text: string | null): string => text ?? 'none';
const section = (heading: string, text: string): string => `${heading}\n${text.replace(/^(?=.)/gm, '  ')}`;

/** The sheet for people. */
export function sheetText(sheet: PartnerSheet, width: number | null): string {
  return [
    ...sheet.certificates.map((certificate) => certificateText(certificate, sheet.now)),
    tlsaText(sheet),
    stsText(sheet),
    offerText(sheet, width),
  ].join('\n');
}

function certificateText(certificate: CertificateSheet, now: Instant): string {
  const { use, root, issuer, subject, key, chain } = certificate;
  const rows: readonly (readonly [string, string])[] = [
    ['issuer root', rootText(root)],
    ['issued by', shortName(issuer)],
    ['certificate name', or(subject.name)],
    ['organisation', or(subject.organisation)],
    ['organisational unit', or(subject.organisationalUnit)],
    ['alternative names', certificate.names.map((name) => name.replace(/^DNS:/, '')).join(', ') || 'none'],
    ['key', keyText(key)],
    ['signed with', or(certificate.signedWith)],
    ['valid', validText(certificate, now)],
    ['serial number', certificate.serialNumber],
    ['SHA-1 fingerprint', certificate.sha1],
    ['SHA-256 fingerprint', certificate.sha256],
    ['key pin', `sha256:${certificate.keySha256}`],
    ['key usage', certificate.keyUsage?.join(', ') ?? 'not restricted'],
    ['extended key usage', usageText(certificate)],
    ['chain sent', chain.map(({ name }) => name).join(' < ')],
  ];
  return section(`Certificate (${HEAD[use]})`, facts(rows));
}

function rootText(root: RootSheet): string {
  const print = root.sha256 === null ? '' : `, SHA-256 ${root.sha256}`;
  switch (root.known) {
    case 'public':
      return `${shortName(root)} (a public root)${print}`;
    case 'file':
      return `${shortName(root)} (a root of our own, sent along)${print}`;
    case 'self-signed':
      return 'none: self-signed; only its key or fingerprint can be trusted';
    case 'no':
      return `${shortName(root)} (no public root; ask us for its certificate)`;
  }
}

function keyText({ type, bits, curve }: CertificateSheet['key']): string {
  const [name, strength] = CURVES[curve ?? ''] ?? [curve, bits];
  return [type, strength === null ? null : `${strength} bits`, name].filter((part) => part !== null).join(', ');
}

function validText({ notBefore, notAfter }: CertificateSheet, now: Instant): string {
  const left = Math.floor((notAfter - now) / DAY);
  const state =
    now < notBefore ? `begins in ${Math.ceil((notBefore - now) / DAY)} days` : left < 0 ? 'EXPIRED' : `${left} days left`;
  return `${day(notBefore)} to ${day(notAfter)} (${state})`;
}

function usageText({ extendedKeyUsage }: CertificateSheet): string {
  if (extendedKeyUsage === null) return 'not restricted';
  const client = extendedKeyUsage.includes('clientAuth') || extendedKeyUsage.includes('any');
  return `${extendedKeyUsage.join(', ')}${client ? '' : ' (no clientAuth: we show it as a client all the same)'}`;
}

function tlsaText({ tlsa, certificates }: PartnerSheet): string {
  if (tlsa.length === 0) return section('DANE', 'No record: no certificate names a host in full.\n');
  const next = certificates.some(({ use }) => use === 'next');
  const advice = next
    ? 'Both keys are listed: publish all lines two TTLs before the change, and drop the old ones after it.'
    : 'Before a new key is served, publish its line beside this one for two TTLs.';
  return section(
    'DANE: TLSA records to publish (they count only in a zone signed with DNSSEC)',
    `${[...tlsa, advice].join('\n')}\n`,
  );
}

function stsText({ mtaSts, certificates }: PartnerSheet): string {
  const verifiable = certificates.some(({ use, root }) => use === 'current' && root.known === 'public');
  const warning = verifiable
    ? 'Publish it with "mode: testing" first if you like; "enforce" is what protects.'
    : 'Not with this certificate: senders that honour MTA-STS trust public roots only, and would stop sending.';
  const where = mtaSts.domains.flatMap(({ url, record }) => [record, `  the policy at ${url}`]);
  const none = where.length === 0 ? ['acceptedDomains names no domain in full: there is nothing to publish it for.'] : [];
  return section('MTA-STS: a policy to publish', `${mtaSts.policy}\n${[...where, ...none, warning].join('\n')}\n`);
}

function offerText({ hostname, listeners, offer }: PartnerSheet, width: number | null): string {
  const rows = offer.suites.map(({ iana, openssl, forwardSecrecy }, at) => [
    String(at + 1),
    iana,
    openssl,
    forwardSecrecy ? 'yes' : 'no',
  ]);
  const columns = [
    { heading: '#', align: 'right' },
    { heading: 'SUITE' },
    { heading: 'OPENSSL NAME' },
    { heading: 'FORWARD SECRECY' },
  ] as const;
  const open = listeners.filter(({ tls }) => tls !== 'off').map((listener) => `${endpointText(listener)} (${listener.tls})`);
  const head = facts([
    ['host', hostname],
    ['listeners with TLS', open.join(', ') || 'none'],
    ['versions', offer.versions.join(', ')],
    ['key exchange', offer.groups.join(', ')],
    ['suites', 'in our order, which counts'],
  ]);
  return section('TLS as we offer it to whoever sends to us', `${head}${table(columns, rows, width)}`);
}

/** The chains: one after the other, each told apart where there are several. */
export function chainsText(certificates: readonly CertificateSheet[]): string {
  const shown = certificates.filter(({ use }) => use !== 'unused');
  if (shown.length === 1) return shown[0]?.pem ?? '';
  return shown.map(({ use, subject, key, pem }) => `# ${shortName(subject)}, ${keyText(key)}, ${HEAD[use]}\n${pem}`).join('');
}

/** The sheet for scripts; keys are stable. */
export const sheetDocument = ({ now: _now, listeners, certificates, ...rest }: PartnerSheet): object => ({
  ...rest,
  listeners: listeners.map((listener) => ({ name: listener.name, address: endpointText(listener), tls: listener.tls })),
  certificates: certificates.map((certificate) => ({
    ...certificate,
    notBefore: new Date(certificate.notBefore).toISOString(),
    notAfter: new Date(certificate.notAfter).toISOString(),
    chain: certificate.chain.map((link) => ({ ...link, notAfter: new Date(link.notAfter).toISOString() })),
  })),
});
