/**
 * Certificates made while the tests run, by the openssl command line: authorities, leaves, chains, expired and self-signed ones.
 * Everything lies in one temporary folder per process, removed at exit; the same request twice gives the same certificate.
 */
import { spawnSync } from 'node:child_process';
import { createHash, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type KeyType = 'ec' | 'rsa';
export type KeyUsage = 'serverAuth' | 'clientAuth';

/** What to certify. */
export type CertificateRequest = {
  /** Subject alternative names: domains, wildcards, IP addresses. Empty: no such extension. */
  readonly names: readonly string[];
  /** By default the first name. */
  readonly commonName?: string;
  /** EC P-256 (default) or RSA-2048. */
  readonly keyType?: KeyType;
  /** By default yesterday. */
  readonly notBefore?: Date;
  /** By default in thirty days. */
  readonly notAfter?: Date;
  /** Extended key usages, by default serverAuth only, as public authorities issue them since 2026. Empty: no such extension. */
  readonly usages?: readonly KeyUsage[];
  /** Signed by its own key: nobody vouches for it. */
  readonly selfSigned?: boolean;
  /** Signed by an intermediate authority, which the chain then contains. */
  readonly intermediate?: boolean;
};

/** A certificate with everything a test needs to serve or judge it. */
export type IssuedCertificate = {
  /** PEM, the leaf first, then the intermediate if there is one. */
  readonly cert: string;
  /** PEM, PKCS #8, without a passphrase. */
  readonly key: string;
  /** PEM of what to trust: the root, or the certificate itself where self-signed. */
  readonly caPem: string;
  /** SHA-256 of the SubjectPublicKeyInfo in lower-case hex: a pin, or the data of a TLSA 3 1 1 record. */
  readonly spkiSha256: string;
};

/** A root that issues. */
export type Authority = {
  readonly caPem: string;
  /** For certificates no honest authority issues: see `subordinate` and `issueUnder`. */
  readonly root: KeyedCertificate;
  issue(request: CertificateRequest): IssuedCertificate;
  /** Issues and writes `NAME.pem`, `NAME.key` and `NAME.ca.pem` into `folder`, each replaced in one step. */
  issueTo(folder: string, name: string, request: CertificateRequest): CertificatePaths;
};

/** A certificate and its key in PEM. */
export type KeyedCertificate = { readonly cert: string; readonly key: string };

export type CertificatePaths = { readonly cert: string; readonly key: string; readonly ca: string };

type Signer = { readonly certPath: string; readonly keyPath: string; readonly pem: string };
type Signing = {
  readonly subject: string;
  readonly extensions: readonly string[];
  readonly keyType: KeyType;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Null: its own key. */
  readonly signer: Signer | null;
};

const DAY = 86_400_000;
/** Authorities live long, so that leaves may be expired or not yet valid on their own account. */
const ERA = { notBefore: new Date(Date.UTC(2000, 0, 1)), notAfter: new Date(Date.UTC(2049, 0, 1)) };
const AUTHORITY_EXTENSIONS = [
  'basicConstraints=critical,CA:TRUE',
  'keyUsage=critical,keyCertSign,cRLSign',
  'subjectKeyIdentifier=hash',
];

const folder = mkdtempSync(join(tmpdir(), 'postern-certificates-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const authorities = new Map<string, Authority>();
let serial = 0;

/** The authority of that name, made at the first call in this process. Throws where openssl is missing or refuses. */
export function createAuthority(name: string): Authority {
  const known = authorities.get(name);
  if (known !== undefined) return known;
  const root = sign({ ...ERA, subject: `${name} Root`, extensions: AUTHORITY_EXTENSIONS, keyType: 'ec', signer: null });
  const authority = issuingAuthority(name, root);
  authorities.set(name, authority);
  return authority;
}

/** Writes a certificate into a folder (made if need be); each file is replaced in one step, the key readable by its owner only. */
export function writeCertificate(into: string, name: string, issued: IssuedCertificate): CertificatePaths {
  mkdirSync(into, { recursive: true });
  const paths = { cert: join(into, `${name}.pem`), key: join(into, `${name}.key`), ca: join(into, `${name}.ca.pem`) };
  const replace = (path: string, text: string): void => {
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  };
  replace(paths.key, issued.key);
  replace(paths.cert, issued.cert);
  replace(paths.ca, issued.caPem);
  return paths;
}

/** A certificate with exactly these extensions, signed by any key: an authority, or what only pretends to be one. */
export function subordinate(issuer: KeyedCertificate, name: string, extensions: readonly string[]): KeyedCertificate {
  const { pem, key } = sign({ ...ERA, subject: name, extensions, keyType: 'ec', signer: signerOf(issuer) });
  return { cert: pem, key };
}

/** A leaf signed by any key, an authority's or not. */
export function issueUnder(issuer: KeyedCertificate, request: CertificateRequest): KeyedCertificate {
  const { pem, key } = sign(leafSigning(request, signerOf(issuer)));
  return { cert: pem, key };
}

function signerOf(issuer: KeyedCertificate): Signer {
  const base = join(folder, `issuer-${++serial}`);
  const signer = { certPath: `${base}.pem`, keyPath: `${base}.key`, pem: issuer.cert };
  writeFileSync(signer.certPath, issuer.cert);
  writeFileSync(signer.keyPath, issuer.key, { mode: 0o600 });
  return signer;
}

function issuingAuthority(name: string, root: Signer): Authority {
  const issued = new Map<string, IssuedCertificate>();
  let between: Signer | null = null;
  const intermediate = (): Signer => {
    between ??= sign({ ...ERA, subject: `${name} Intermediate`, extensions: AUTHORITY_EXTENSIONS, keyType: 'ec', signer: root });
    return between;
  };
  const make = (request: CertificateRequest): IssuedCertificate => {
    const signer = request.selfSigned === true ? null : request.intermediate === true ? intermediate() : root;
    const leaf = sign(leafSigning(request, signer));
    const spki = createPublicKey(leaf.key).export({ type: 'spki', format: 'der' });
    return {
      cert: signer === null || signer === root ? leaf.pem : leaf.pem + signer.pem,
      key: leaf.key,
      caPem: signer === null ? leaf.pem : root.pem,
      spkiSha256: createHash('sha256').update(spki).digest('hex'),
    };
  };
  const issue = (request: CertificateRequest): IssuedCertificate => {
    const fingerprint = JSON.stringify(request, Object.keys(request).sort());
    const certificate = issued.get(fingerprint) ?? make(request);
    issued.set(fingerprint, certificate);
    return certificate;
  };
  const keyed = { cert: root.pem, key: readFileSync(root.keyPath, 'utf8') };
  return { caPem: root.pem, root: keyed, issue, issueTo: (into, file, request) => writeCertificate(into, file, issue(request)) };
}

function leafSigning(request: CertificateRequest, signer: Signer | null): Signing {
  const names = request.names.map((name) => `${isIP(name) === 0 ? 'DNS' : 'IP'}:${name}`);
  const usages = request.usages ?? ['serverAuth'];
  return {
    subject: request.commonName ?? request.names[0] ?? 'nameless',
    extensions: [
      'basicConstraints=critical,CA:FALSE',
      'keyUsage=critical,digitalSignature,keyEncipherment',
      ...(usages.length > 0 ? [`extendedKeyUsage=${usages.join(',')}`] : []),
      ...(names.length > 0 ? [`subjectAltName=${names.join(',')}`] : []),
    ],
    keyType: request.keyType ?? 'ec',
    notBefore: request.notBefore ?? new Date(Date.now() - DAY),
    notAfter: request.notAfter ?? new Date(Date.now() + 30 * DAY),
    signer,
  };
}

/** One key and its certificate. `openssl ca` because OpenSSL 3.0's `x509` cannot set the start of the validity. */
function sign(signing: Signing): Signer & { readonly key: string } {
  const base = join(folder, String(++serial));
  const paths = {
    keyPath: `${base}.key`,
    certPath: `${base}.pem`,
    request: `${base}.csr`,
    config: `${base}.cnf`,
    index: `${base}.index`,
  };
  const key = newKey(signing.keyType);
  writeFileSync(paths.keyPath, key, { mode: 0o600 });
  writeFileSync(paths.index, '');
  writeFileSync(paths.config, configText(paths.index, signing.extensions));
  openssl([
    'req',
    '-new',
    '-utf8',
    '-config',
    paths.config,
    '-key',
    paths.keyPath,
    '-subj',
    `/CN=${signing.subject}`,
    '-out',
    paths.request,
  ]);
  const by =
    signing.signer === null
      ? ['-selfsign', '-keyfile', paths.keyPath]
      : ['-cert', signing.signer.certPath, '-keyfile', signing.signer.keyPath];
  const dates = ['-startdate', asn1Time(signing.notBefore), '-enddate', asn1Time(signing.notAfter)];
  const pem = openssl([
    'ca',
    '-batch',
    '-notext',
    '-rand_serial',
    '-config',
    paths.config,
    '-in',
    paths.request,
    ...by,
    ...dates,
  ]);
  writeFileSync(paths.certPath, pem);
  return { certPath: paths.certPath, keyPath: paths.keyPath, pem, key };
}

function newKey(type: KeyType): string {
  const pair =
    type === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

const configText = (index: string, extensions: readonly string[]): string => `
[req]
distinguished_name = subject
prompt = no
[subject]
CN = replaced
[ca]
default_ca = authority
[authority]
database = ${index}
serial = ${index}.serial
new_certs_dir = ${folder}
default_md = sha256
policy = anything
unique_subject = no
x509_extensions = extensions
[anything]
commonName = supplied
[extensions]
${extensions.join('\n')}
`;

/** `20260102030405Z`. */
const asn1Time = (time: Date): string => `${time.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`;

function openssl(args: readonly string[]): string {
  const run = spawnSync('openssl', args, { encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`openssl ${args[0]} failed: ${run.error?.message ?? run.stderr}`);
  return run.stdout;
}
