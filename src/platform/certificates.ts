/**
 * Loads the listeners' certificates: reads the files, has them judged, and packs what passed as plain data that can be posted to
 * relay threads. Without a configured certificate it makes a self-signed one. Never throws: what is wrong comes back as values.
 */

import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext, rootCertificates } from 'node:tls';
import type { Instant } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import type { CertificateFiles } from '../domain/connector.ts';
import {
  type CertificateFacts,
  type CertificatePair,
  type CertificateProblem,
  judgePair,
  type PairVerdict,
} from './certificate-policy.ts';
import { ensureSelfSigned, type SelfSignedState } from './self-signed-certificate.ts';
import { certificateSelector } from './sni-policy.ts';

/** What all relay threads need for their listeners: plain data. Holds private keys: never log it. */
export type ListenerCertificates = {
  /** In the order configured; the first is the default. */
  readonly pairs: readonly CertificatePair[];
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** 48 random octets: a session ticket of one thread resumes on every other. */
  readonly ticketKeys: Uint8Array;
};

/** What came of loading. */
export type CertificateLoad = {
  /** Pairs fit to be served, in order. Empty: there is an error among the problems. */
  readonly pairs: readonly CertificatePair[];
  readonly facts: readonly CertificateFacts[];
  readonly problems: readonly CertificateProblem[];
  /** Null: certificates are configured. */
  readonly selfSigned: SelfSignedState | null;
};

/** What loading looks at. */
export type CertificateConfig = Pick<Config, 'certificates' | 'selfSigned' | 'hostname'>;

/** Far more than any chain or key. */
const FILE_LIMIT = 256 * 1024;

/** Loads everything the configuration names, or the self-signed certificate where it names none. */
export function loadCertificates(config: CertificateConfig, now: Instant): CertificateLoad {
  if (config.certificates.length > 0)
    return gathered(
      config.certificates.map((files) => loadPair(files, now)),
      config,
      null,
    );
  const made = ensureSelfSigned(config.selfSigned, config.hostname, now);
  if (made.ok) return gathered([loadPair(config.selfSigned, now)], config, made.value);
  const problem: CertificateProblem = {
    severity: 'error',
    file: config.selfSigned.cert,
    wrong: made.error,
    right: 'a folder the relay may write to, or certificates in the configuration',
  };
  return { pairs: [], facts: [], problems: [problem], selfSigned: null };
}

function gathered(
  verdicts: readonly PairVerdict[],
  config: CertificateConfig,
  selfSigned: SelfSignedState | null,
): CertificateLoad {
  const pairs = verdicts.flatMap((verdict) => (verdict.pair === null ? [] : [verdict.pair]));
  const problems = verdicts.flatMap((verdict) => verdict.problems);
  return { pairs, facts: pairs.map((pair) => pair.facts), problems: [...problems, ...judgeTogether(pairs, config)], selfSigned };
}

/** What only shows when all pairs are seen. */
function judgeTogether(pairs: readonly CertificatePair[], { hostname }: CertificateConfig): readonly CertificateProblem[] {
  const [first] = pairs;
  if (first === undefined) return [];
  const selector = certificateSelector(pairs);
  const problems = selector.unreachable.map((index): CertificateProblem => {
    const file = pairs[index]?.facts.file ?? '';
    return {
      severity: 'warning',
      file,
      wrong: 'no client ever gets it: an earlier one has its names and key type',
      right: 'one RSA and one EC certificate a name',
    };
  });
  const leaf = new X509Certificate(first.cert);
  if (hostname.startsWith('[') || leaf.checkHost(hostname, { subject: 'never' }) !== undefined) return problems;
  const wrong = `it does not name ${hostname}, the name this relay greets with`;
  return [
    ...problems,
    { severity: 'warning', file: first.facts.file, wrong, right: 'a certificate for the names that MX records give this relay' },
  ];
}

/** Reads and judges one pair; OpenSSL has the last word. */
function loadPair(files: CertificateFiles, now: Instant): PairVerdict {
  const cert = readPem(files.cert);
  const key = readPem(files.key);
  if (typeof cert !== 'string') return { pair: null, problems: [cert] };
  if (typeof key !== 'string') return { pair: null, problems: [key] };
  const verdict = judgePair({ files, cert, key, now, isKnownRoot });
  if (verdict.pair === null) return verdict;
  const refused = tryContext(verdict.pair);
  if (refused !== null) return { pair: null, problems: [refused] };
  return { pair: verdict.pair, problems: [...verdict.problems, ...keyReaders(files.key)] };
}

function readPem(file: string): string | CertificateProblem {
  try {
    const { size } = statSync(file);
    if (size <= FILE_LIMIT) return readFileSync(file, 'utf8');
    return { severity: 'error', file, wrong: `it is ${size} bytes long`, right: 'a PEM file of a few kilobytes' };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'ENOENT') return { severity: 'error', file, wrong: 'there is no such file', right: 'the path of a PEM file' };
    if (code === 'EACCES')
      return {
        severity: 'error',
        file,
        wrong: 'the relay may not read it',
        right: 'read permission for the user the relay runs as',
      };
    return { severity: 'error', file, wrong: `it cannot be read (${String(code)})`, right: 'the path of a PEM file' };
  }
}

/** Whoever can read the key can be this relay. */
function keyReaders(file: string): readonly CertificateProblem[] {
  const mode = statSync(file, { throwIfNoEntry: false })?.mode ?? 0;
  if ((mode & 0o004) === 0) return [];
  return [
    {
      severity: 'warning',
      file,
      wrong: 'every user of this machine can read the private key',
      right: `mode 0600: chmod 600 ${file}`,
    },
  ];
}

function tryContext(pair: CertificatePair): CertificateProblem | null {
  try {
    createSecureContext({ cert: pair.cert, key: pair.key });
    return null;
  } catch (error) {
    const wrong = `OpenSSL refuses it: ${error instanceof Error ? error.message : String(error)}`;
    return {
      severity: 'error',
      file: pair.facts.file,
      wrong,
      right: 'a certificate signed with SHA-256 or better, RSA from 2048 bits or EC',
    };
  }
}

/** Compares names as node:crypto prints them. Roots are read when first asked for: it costs milliseconds. */
function isKnownRoot(subject: string): boolean {
  return rootCertificates.some((pem) => new X509Certificate(pem).subject === subject);
}
