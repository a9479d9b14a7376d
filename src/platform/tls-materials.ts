/**
 * Loads what outbound TLS needs from files: trust anchors and client certificates of every connector. Plain data, to be posted to
 * relay threads; holds private keys: never log it. Never throws: what is wrong comes back as values.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { err, isNonEmpty, type NonEmpty, ok, type Result } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import type { CertificateFiles, OutboundConnector } from '../domain/connector.ts';
import { dkimKeyProblem } from './dkim-key-policy.ts';

/** PEM texts of trust anchors, and whether the system's are among them. */
type Trust = { readonly system: boolean; readonly pem: readonly string[] };

/** A connector's files. `id` is equal only where trust, client certificate and credentials are. */
export type ConnectorMaterials = {
  readonly id: string;
  readonly trust: Trust;
  readonly clientCertificate: { readonly cert: string; readonly key: string } | null;
};

/** By connector name. */
export type MaterialsByConnector = Readonly<Record<string, ConnectorMaterials>>;

/** A file that cannot serve, in plain words. */
export type MaterialProblem = { readonly file: string; readonly text: string };

const LARGEST = 4 * 1024 * 1024;

/** Everything the outbound connectors name, or every problem with it. */
export function loadMaterials(config: Config): Result<MaterialsByConnector, NonEmpty<MaterialProblem>> {
  const problems: MaterialProblem[] = [];
  const bundle = reader(problems, checkBundle);
  const usual: Trust = { system: config.tls.trust.system, pem: config.tls.trust.files.map(bundle) };
  const pair = (files: CertificateFiles): ConnectorMaterials['clientCertificate'] => loadPair(files, problems);
  const shown = config.tls.clientCertificate ?? config.certificates[0] ?? null;
  const usualCertificate = shown === null ? null : pair(shown);
  const made = config.outbound.map((connector): [string, ConnectorMaterials] => {
    const { ca, clientCertificate: own } = connector.tls;
    const trust = ca === null ? usual : { system: false, pem: [bundle(ca)] };
    const clientCertificate = own === null ? usualCertificate : pair(own);
    return [connector.name, { id: idOf(connector, { trust, clientCertificate }), trust, clientCertificate }];
  });
  // Read again when a report is signed; here only so that a key that cannot sign is found before.
  if (config.reports.tlsRpt?.dkim) readText(config.reports.tlsRpt.dkim.key, problems, dkimKeyProblem);
  return isNonEmpty(problems) ? err(problems) : ok(Object.fromEntries(made));
}

const idOf = (connector: OutboundConnector, materials: Omit<ConnectorMaterials, 'id'>): string => {
  const auth = connector.route.kind === 'smarthost' ? connector.route.auth : null;
  return createHash('sha256')
    .update(JSON.stringify([materials, auth]))
    .digest('base64url');
};

/** Reads each file once; an unreadable or unfit one is a problem and reads as empty. */
function reader(problems: MaterialProblem[], check: (text: string) => string | null): (file: string) => string {
  const known = new Map<string, string>();
  return (file) => {
    const read = known.get(file) ?? readText(file, problems, check);
    known.set(file, read);
    return read;
  };
}

function readText(file: string, problems: MaterialProblem[], check: (text: string) => string | null): string {
  try {
    const text = readFileSync(file, 'utf8');
    const problem = text.length > LARGEST ? 'is too large for a PEM file' : check(text);
    if (problem === null) return text;
    problems.push({ file, text: problem });
  } catch (error) {
    problems.push({ file, text: `cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'error'}` });
  }
  return '';
}

function checkBundle(text: string): string | null {
  const certificates = text.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]+-----END (?:TRUSTED )?CERTIFICATE-----/g) ?? [];
  if (certificates.length === 0) return 'holds no certificate in PEM';
  for (const certificate of certificates) {
    try {
      new X509Certificate(certificate);
    } catch {
      return 'holds a certificate that cannot be parsed';
    }
  }
  return null;
}

function loadPair({ cert, key }: CertificateFiles, problems: MaterialProblem[]): ConnectorMaterials['clientCertificate'] {
  const before = problems.length;
  const pair = { cert: readText(cert, problems, checkBundle), key: readText(key, problems, () => null) };
  if (problems.length > before) return null;
  try {
    createSecureContext(pair);
    return pair;
  } catch {
    problems.push({ file: key, text: `is not the key of ${cert}, or is encrypted` });
    return null;
  }
}
