/**
 * Whether a certificate, its chain and its key belong together and are fit to be served: judged from the files' texts.
 * Every finding says which file, what is wrong and what would be right.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import type { Instant } from '../domain/basics.ts';
import type { CertificateFiles } from '../domain/connector.ts';
import { escapeText } from '../domain/escape.ts';

/** One finding. error: the pair cannot be served. warning: it is served, and somebody should act. */
export type CertificateProblem = {
  readonly severity: 'error' | 'warning';
  readonly file: string;
  readonly wrong: string;
  readonly right: string;
};

/** What a certificate is, for log, self-test and the sheet partners ask for. */
export type CertificateFacts = {
  readonly file: string;
  readonly subject: string;
  readonly issuer: string;
  /** Alternative names as node:crypto prints them: `DNS:relay.example.org`. */
  readonly names: readonly string[];
  /** `rsa`, `ec`, … : one certificate of each type can serve the same names. */
  readonly keyType: string;
  readonly notBefore: Instant;
  readonly notAfter: Instant;
  /** SHA-256 of the certificate, upper-case hex with colons. */
  readonly fingerprint: string;
  readonly selfSigned: boolean;
};

/** A pair that can be served: PEM texts, leaf first. */
export type CertificatePair = { readonly cert: string; readonly key: string; readonly facts: CertificateFacts };

/** The files' texts, and what judging needs to know besides. */
export type PairTexts = {
  readonly files: CertificateFiles;
  readonly cert: string;
  readonly key: string;
  readonly now: Instant;
  /** Whether a name is the subject of a root that machines trust. */
  isKnownRoot(subject: string): boolean;
};

/** A pair with its warnings, or only problems, at least one of them an error. */
export type PairVerdict = { readonly pair: CertificatePair | null; readonly problems: readonly CertificateProblem[] };

const DAY = 86_400_000;
/** A certificate that ends sooner is announced; ACME clients renew at thirty days. */
const EXPIRING_WITHIN = 14 * DAY;
/** OpenSSL's security level 2 refuses less. */
const RSA_BITS = 2048;
/** More certificates than any chain has; the rest would only make every handshake longer. */
const CHAIN_LIMIT = 10;
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/** Judges one certificate with its key. Never throws. */
export function judgePair(texts: PairTexts): PairVerdict {
  const chain = readChain(texts);
  if ('wrong' in chain) return { pair: null, problems: [chain] };
  const key = readKey(texts);
  if ('wrong' in key) return { pair: null, problems: [key] };
  const [leaf, ...rest] = chain;
  const misfit = judgeKey(texts.files, key, [leaf, ...rest]);
  if (misfit !== null) return { pair: null, problems: [misfit] };
  const facts = factsOf(texts.files.cert, leaf, key);
  const cert = chain.map((certificate) => certificate.toString()).join('');
  return { pair: { cert, key: texts.key, facts }, problems: [...judgeChain(texts, chain), ...judgeFacts(facts, texts.now)] };
}

type Chain = readonly [X509Certificate, ...X509Certificate[]];

const failed = (file: string, wrong: string, right: string): CertificateProblem => ({ severity: 'error', file, wrong, right });
const warned = (file: string, wrong: string, right: string): CertificateProblem => ({ severity: 'warning', file, wrong, right });

function readChain({ files, cert }: PairTexts): Chain | CertificateProblem {
  const right = 'a PEM file: the certificate of this relay first, then its intermediates ("fullchain.pem")';
  const blocks = cert.match(PEM_CERTIFICATE) ?? [];
  if (blocks.length > CHAIN_LIMIT) return failed(files.cert, `it holds ${blocks.length} certificates`, right);
  const chain: X509Certificate[] = [];
  for (const [index, block] of blocks.entries()) {
    try {
      chain.push(new X509Certificate(block));
    } catch {
      return failed(files.cert, `its certificate number ${index + 1} cannot be read`, right);
    }
  }
  const [leaf, ...rest] = chain;
  return leaf === undefined ? failed(files.cert, 'it holds no certificate', right) : [leaf, ...rest];
}

function readKey({ files, key }: PairTexts): KeyObject | CertificateProblem {
  try {
    return createPrivateKey(key);
  } catch {
    if (/\bENCRYPTED\b/.test(key))
      return failed(files.key, 'the key is encrypted', 'a key without passphrase, readable by the relay only (mode 0600)');
    return failed(files.key, 'it holds no private key that can be read', 'the private key of the certificate in PEM');
  }
}

/** Key and leaf belong together, and OpenSSL will take them. */
function judgeKey(files: CertificateFiles, key: KeyObject, [leaf, ...rest]: Chain): CertificateProblem | null {
  if (!leaf.checkPrivateKey(key)) {
    if (rest.some((certificate) => certificate.checkPrivateKey(key))) {
      return failed(files.cert, 'the certificate of the key does not come first', 'the order leaf, intermediate, …');
    }
    return failed(
      files.key,
      `it is not the key of ${files.cert}`,
      `the key that the certificate for ${describe(leaf)} was made with`,
    );
  }
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined && bits < RSA_BITS)
    return failed(files.key, `the RSA key has ${bits} bits only`, `at least ${RSA_BITS}, or an EC key`);
  return null;
}

/** Each certificate is issued by the next; what a peer that verifies would stumble over. */
function judgeChain({ files, isKnownRoot }: PairTexts, chain: Chain): readonly CertificateProblem[] {
  const problems: CertificateProblem[] = [];
  for (const [index, certificate] of chain.entries()) {
    const issuer = chain[index + 1];
    if (issuer === undefined || (certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey))) continue;
    const wrong = `certificate number ${index + 2} (${describe(issuer)}) did not issue number ${index + 1}`;
    problems.push(warned(files.cert, wrong, `next in the file comes the issuer, ${escapeText(oneLine(certificate.issuer))}`));
  }
  const last = chain.at(-1);
  if (problems.length === 0 && last !== undefined && !isSelfIssued(last) && !isKnownRoot(last.issuer)) {
    const wrong = `the chain ends at an issuer that is no public root: ${escapeText(oneLine(last.issuer))}`;
    problems.push(
      warned(files.cert, wrong, 'the intermediates follow the certificate ("fullchain.pem"), unless the issuer is your own root'),
    );
  }
  return problems;
}

/** Dates and names. Out of date is served all the same: most senders do not look, and no TLS would be worse. */
function judgeFacts(facts: CertificateFacts, now: Instant): readonly CertificateProblem[] {
  const problems: CertificateProblem[] = [];
  const day = (instant: Instant): string => new Date(instant).toISOString().slice(0, 10);
  if (now >= facts.notAfter)
    problems.push(
      warned(facts.file, `it expired on ${day(facts.notAfter)}`, 'a renewed certificate; senders that verify refuse this one'),
    );
  else if (facts.notAfter - now < EXPIRING_WITHIN)
    problems.push(warned(facts.file, `it expires on ${day(facts.notAfter)}`, 'a renewed certificate'));
  if (now < facts.notBefore)
    problems.push(
      warned(
        facts.file,
        `it is valid only from ${day(facts.notBefore)} on`,
        'a certificate valid now, or the right time on this machine',
      ),
    );
  if (!facts.names.some((name) => name.startsWith('DNS:') || name.startsWith('IP Address:'))) {
    problems.push(
      warned(
        facts.file,
        'it has no subject alternative name',
        'a certificate that names this relay; peers that verify look nowhere else',
      ),
    );
  }
  return problems;
}

const oneLine = (name: string): string => name.replaceAll('\n', ', ');
const describe = (certificate: X509Certificate): string =>
  escapeText(oneLine(certificate.subject || certificate.subjectAltName || 'no name'));
/** Not `checkIssued`: that wants the right to sign certificates, which a leaf of our own making does not have. */
const isSelfIssued = (certificate: X509Certificate): boolean =>
  certificate.subject === certificate.issuer && certificate.verify(certificate.publicKey);

function factsOf(file: string, leaf: X509Certificate, key: KeyObject): CertificateFacts {
  return {
    file,
    subject: describe(leaf),
    issuer: escapeText(oneLine(leaf.issuer || '')),
    names: (leaf.subjectAltName ?? '').split(', ').filter((name) => name !== ''),
    keyType: key.asymmetricKeyType ?? 'unknown',
    notBefore: leaf.validFromDate.getTime() as Instant,
    notAfter: leaf.validToDate.getTime() as Instant,
    fingerprint: leaf.fingerprint256,
    selfSigned: isSelfIssued(leaf),
  };
}
