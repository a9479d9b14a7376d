/**
 * The certificate of last resort: made by the relay itself when none is configured, so that STARTTLS is always offered.
 * It protects against listeners, not against impostors; whoever verifies us needs a real one. node:crypto only, no openssl binary.
 */
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname } from 'node:path';
import type { Domain } from '../domain/address.ts';
import type { Instant, Result } from '../domain/basics.ts';
import { err, ok } from '../domain/basics.ts';
import type { CertificateFiles } from '../domain/connector.ts';
import {
  bitString,
  explicit,
  implicit,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
  TRUE,
  time,
  utf8String,
} from './der-format.ts';
import { replaceFile } from './replace-file.ts';

/** A certificate and its private key (PKCS #8), both PEM. */
export type CertificatePem = { readonly cert: string; readonly key: string };

const DAY = 86_400_000;
/** Long, because nobody renews it by hand; near its end it is made anew at a start. */
const VALID_FOR = 5 * 365 * DAY;
const RENEW_BEFORE = 30 * DAY;
/** Peers whose clock is behind accept it, too. */
const BACKDATED = DAY;
/** RFC 5280, upper bound of a common name. */
const COMMON_NAME_LIMIT = 64;

const ECDSA_WITH_SHA256 = sequence(objectIdentifier('1.2.840.10045.4.3.2'));

/** A fresh ECDSA P-256 key and a certificate over it for `hostname`, valid from a day before `now` for five years. */
export function makeSelfSigned(hostname: Domain, now: Instant): CertificatePem {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const body = toBeSigned({ hostname, now, publicKey });
  const signature = sign('sha256', body, privateKey);
  const der = sequence(body, ECDSA_WITH_SHA256, bitString(signature));
  const base64 = Buffer.from(der)
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n');
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** RFC 5280, section 4.1: TBSCertificate, version 3. */
function toBeSigned({ hostname, now, publicKey }: { hostname: Domain; now: Instant; publicKey: KeyObject }): Uint8Array {
  const commonName = hostname.length <= COMMON_NAME_LIMIT ? hostname : 'postern';
  const name = sequence(setOf(sequence(objectIdentifier('2.5.4.3'), utf8String(commonName))));
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return sequence(
    explicit(0, integer(Uint8Array.of(2))),
    integer(randomBytes(16)),
    ECDSA_WITH_SHA256,
    name,
    sequence(time(now - BACKDATED), time(now - BACKDATED + VALID_FOR)),
    name,
    spki,
    explicit(3, sequence(...extensions(hostname, spki))),
  );
}

function extensions(hostname: Domain, spki: Uint8Array): readonly Uint8Array[] {
  const extension = (id: string, critical: boolean, value: Uint8Array): Uint8Array =>
    sequence(objectIdentifier(id), ...(critical ? [TRUE] : []), octetString(value));
  const keyIdentifier = createHash('sha256').update(spki).digest().subarray(0, 20);
  return [
    // basicConstraints: no authority.
    extension('2.5.29.19', true, sequence()),
    // keyUsage: digitalSignature, the first of eight bits.
    extension('2.5.29.15', true, bitString(Uint8Array.of(0x80), 7)),
    // extKeyUsage: serverAuth.
    extension('2.5.29.37', false, sequence(objectIdentifier('1.3.6.1.5.5.7.3.1'))),
    // subjectAltName.
    extension('2.5.29.17', false, sequence(alternativeName(hostname))),
    // subjectKeyIdentifier.
    extension('2.5.29.14', false, octetString(keyIdentifier)),
  ];
}

const withoutBrackets = (literal: Domain): string => literal.replace(/^\[(ipv6:)?|\]$/g, '');

/** dNSName, or iPAddress for an address literal. */
function alternativeName(hostname: Domain): Uint8Array {
  const address = withoutBrackets(hostname);
  if (!hostname.startsWith('[')) return implicit(2, Buffer.from(hostname));
  return implicit(7, isIP(address) === 4 ? Uint8Array.from(address.split('.').map(Number)) : ipv6Bytes(address));
}

function ipv6Bytes(address: string): Uint8Array {
  // WHATWG URLs write IPv6 in hexadecimal groups, dotted tails included.
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [head = '', tail] = canonical.split('::');
  const groups = (text: string): number[] => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)));
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const all = [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

/** Whether the files were found in order or written now. */
export type SelfSignedState = 'kept' | 'made';

/**
 * Sees to it that a self-signed certificate for `hostname` lies at `files`: kept while it is in order, made anew where it is missing, damaged,
 * for another name or within thirty days of its end. The key is readable by its owner only. An error is one sentence.
 */
export function ensureSelfSigned(files: CertificateFiles, hostname: Domain, now: Instant): Result<SelfSignedState, string> {
  if (isUsable(files, hostname, now)) return ok('kept');
  const made = makeSelfSigned(hostname, now);
  try {
    mkdirSync(dirname(files.cert), { recursive: true });
    mkdirSync(dirname(files.key), { recursive: true });
    // Key first: a crash in between leaves a pair that does not match, which the next start makes anew.
    replaceFile(files.key, made.key, 0o600);
    replaceFile(files.cert, made.cert, 0o644);
    return ok('made');
  } catch (error) {
    return err(
      `cannot write the self-signed certificate ${files.cert}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function isUsable(files: CertificateFiles, hostname: Domain, now: Instant): boolean {
  if (!existsSync(files.cert) || !existsSync(files.key)) return false;
  try {
    const certificate = new X509Certificate(readFileSync(files.cert));
    const fresh = certificate.validFromDate.getTime() <= now && now < certificate.validToDate.getTime() - RENEW_BEFORE;
    return fresh && isNamed(certificate, hostname) && certificate.checkPrivateKey(createPrivateKey(readFileSync(files.key)));
  } catch {
    return false;
  }
}

const isNamed = (certificate: X509Certificate, hostname: Domain): boolean =>
  hostname.startsWith('[')
    ? certificate.checkIP(withoutBrackets(hostname)) !== undefined
    : certificate.checkHost(hostname, { subject: 'never' }) !== undefined;
