/**
 * `postern cert`: the sheet a partner's administrator asks for. Reads the configuration and its certificates; needs no running relay
 * and changes nothing.
 */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { formatIssue } from '../config/issue-format.ts';
import { loadConfig, thisMachine } from '../config/load-config.ts';
import type { Config } from '../domain/config.ts';
import { escapeText } from '../domain/escape.ts';
import { type CertificateSheet, certificateSheets, mxNames } from '../platform/certificate-sheet-format.ts';
import { type CertificateLoad, loadCertificates } from '../platform/certificates.ts';
import { publicRootOf } from '../platform/public-roots.ts';
import { chainsText, type PartnerSheet, sheetDocument, sheetText } from './cert-format.ts';
import { stsPolicy, tlsaRecords } from './publish-format.ts';
import { type CommandContext, jsonText } from './status.ts';
import { tlsOffer } from './suite-format.ts';
import type { ExitCode, Terminal } from './terminal.ts';

/** What the command line said. */
export type CertOptions = { readonly config?: string; readonly pem: boolean; readonly json: boolean };

/** 0: there is a certificate. 1: there is none that can be served. 2: usage or configuration. */
export async function cert(options: CertOptions, terminal: Terminal): Promise<ExitCode> {
  const loaded = loadConfig({ file: options.config, environment: process.env, machine: thisMachine() });
  if (!loaded.ok) {
    terminal.complain(loaded.error.map(formatIssue).join('\n'));
    return 2;
  }
  const { config } = loaded.value;
  const certificates = existing(config, terminal);
  if (certificates === null) {
    terminal.complain(
      'there is no certificate yet: the relay makes a self-signed one at its first start, or name one in certificates',
    );
    return 1;
  }
  const sheet = partnerSheet(config, certificates, terminal);
  // Not on the sheet: it goes to the partner, these go to us.
  for (const problem of sheet.problems) terminal.complain(problem);
  if (sheet.certificates.length === 0) return 1;
  if (options.pem) await terminal.write(chainsText(sheet.certificates));
  else await terminal.write(options.json ? jsonText(sheetDocument(sheet)) : sheetText(sheet, terminal.columns));
  return 0;
}

/** Those configured, or the self-signed one if it was made already: a question makes none. */
function existing(config: Config, terminal: Terminal): CertificateLoad | null {
  if (config.certificates.length > 0) return loadCertificates(config, terminal.now());
  if (!existsSync(config.selfSigned.cert)) return null;
  return loadCertificates({ ...config, certificates: [config.selfSigned] }, terminal.now());
}

function partnerSheet(config: Config, load: CertificateLoad, terminal: Terminal): PartnerSheet {
  const served = certificateSheets(load.pairs, publicRootOf);
  const names = mxNames(config.hostname, served);
  const certificates = [...served, ...clientSheets(config, terminal)];
  const domains = config.acceptedDomains.flatMap((pattern) => (pattern.kind === 'exact' ? [pattern.domain] : []));
  const keyTypes = certificates.filter(({ use }) => use === 'current').map(({ key }) => key.type);
  const next = new Set(certificates.filter(({ use }) => use === 'next').map(({ file }) => file));
  return {
    hostname: config.hostname,
    listeners: config.listeners,
    certificates,
    tlsa: tlsaRecords(names, certificates),
    mtaSts: stsPolicy(names.length === 0 ? [config.hostname] : names, domains, 'enforce'),
    offer: tlsOffer(config.tls.minVersion, keyTypes),
    // That a coming certificate is not served yet, and not valid yet, is what it is there for.
    problems: load.problems
      .filter(({ file, severity }) => severity === 'error' || !next.has(file))
      .map(({ file, wrong, right }) => escapeText(`${file}: ${wrong}; what would be right: ${right}`)),
    now: terminal.now(),
  };
}

/** The certificate we send with, where it is one of its own. */
function clientSheets(config: Config, terminal: Terminal): readonly CertificateSheet[] {
  const { clientCertificate } = config.tls;
  if (clientCertificate === null) return [];
  const { pairs } = loadCertificates({ ...config, certificates: [clientCertificate] }, terminal.now());
  return certificateSheets(pairs, publicRootOf).map((sheet) => ({ ...sheet, use: 'client' }));
}

/** Adds `cert` to the program. `--config` is the program's own option. */
export function registerCert(program: Command, context: CommandContext): void {
  program
    .command('cert')
    .description(
      'the sheet a partner asks for: our certificate and the next one, what to pin, TLSA and MTA-STS to publish, suites',
    )
    .option('--pem', 'print the chain instead', false)
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      `
A certificate listed in "certificates" for the same names and with the same type of key as an earlier one, but valid from later on,
is the next one: it is shown here and not served until it comes first.

Examples:
  postern cert > for-our-partner.txt
  postern cert --pem | openssl x509 -noout -text

Exit codes: 0 fine, 1 there is no certificate, 2 usage or configuration error.`,
    )
    .action(async (_options: unknown, command: Command) => {
      context.exit(await cert(command.optsWithGlobals<CertOptions>(), context.terminal));
    });
}
