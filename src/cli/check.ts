/**
 * `postern check`: everything that is wrong with a configuration, or in short what it says, and whether DANE will work with its name
 * servers. Starts nothing.
 */
import { randomInt } from 'node:crypto';
import { endpointText } from '../config/address-format.ts';
import { overdueExceptions } from '../config/exception-policy.ts';
import { type ConfigIssue, formatIssue } from '../config/issue-format.ts';
import { type Loaded, loadConfig, readBounded, thisMachine } from '../config/load-config.ts';
import { listenerFiles, outboundFiles } from '../config/named-files-policy.ts';
import { nextHopText } from '../config/next-hop-format.ts';
import { formatSize } from '../config/size-format.ts';
import { judgeExpectations } from '../delivery/expectation-policy.ts';
import { createServerProbes } from '../dns/stub-probes.ts';
import { systemServers } from '../dns/system-servers.ts';
import type { Clock, Instant } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import { domainPatternText, type OutboundConnector } from '../domain/connector.ts';
import { dnssecTest } from '../platform/dnssec-test.ts';
import type { SelfTestLine } from '../platform/self-test-policy.ts';
import { loadMaterials } from '../platform/tls-materials.ts';

/** Chains are short. */
const LARGEST_PEM = 1_048_576;

/** What the command line said. */
export type CheckOptions = {
  readonly config: string | undefined;
  readonly json: boolean;
};

/** How long silent name servers may hold up the answer. */
const DNS_PATIENCE = 2_000;

/** 0: the relay would start with it. 1: it holds, but a file it names cannot be read. 2: it does not hold. */
export async function check(
  options: CheckOptions,
  out: { write(text: string): void },
  testDnssec: (config: Config) => Promise<readonly SelfTestLine[]> = testNameServers,
): Promise<0 | 1 | 2> {
  const loaded = loadConfig({ file: options.config, environment: process.env, machine: thisMachine(), judge: judgeExpectations });
  if (!loaded.ok) {
    print({ file: loaded.error[0].file, issues: loaded.error, summary: '', dnssec: null }, options, out);
    return 2;
  }
  const unreadable = checkFiles(loaded.value);
  const overdue = overdueExceptions(loaded.value.config, Date.now() as Instant).map(({ path, text }) => ({
    ...loaded.value.issueAt(path, text),
    severity: 'warning' as const,
  }));
  const issues = [...loaded.value.warnings, ...overdue, ...unreadable];
  const [dnssec = null] = await testDnssec(loaded.value.config);
  const summary = unreadable.length === 0 ? summarize(loaded.value, dnssec) : '';
  print({ file: loaded.value.file, issues, summary, dnssec }, options, out);
  return unreadable.length === 0 ? 0 : 1;
}

/** Asks the name servers that the relay would ask. */
function testNameServers({ resolver, tls }: Config): Promise<readonly SelfTestLine[]> {
  const clock: Clock = { now: () => Date.now() as Instant, monotonic: () => performance.now() };
  const dns = { ...systemServers(resolver), clock, randomInt: (below: number) => randomInt(below) };
  const probes = createServerProbes(dns, DNS_PATIENCE);
  return dnssecTest({ mode: dns.dnssec, daneWanted: tls.dane === 'auto', probes });
}

type Finding = {
  readonly file: string;
  readonly issues: readonly ConfigIssue[];
  readonly summary: string;
  /** Null where the configuration does not hold, or DANE is off. */
  readonly dnssec: SelfTestLine | null;
};

function print({ file, issues, summary, dnssec }: Finding, { json }: CheckOptions, out: { write(text: string): void }): void {
  const ok = !issues.some(({ severity }) => severity === 'error');
  if (json) out.write(`${JSON.stringify({ ok, file, issues, dnssec: dnssecDocument(dnssec) }, null, 2)}\n`);
  else out.write(`${[...issues.map(formatIssue), ...(summary === '' ? [] : [summary])].join('\n')}\n`);
}

const dnssecDocument = (line: SelfTestLine | null): object | null =>
  line === null ? null : { verdict: line.verdict, text: line.text };

/** Files that are named but cannot be read, and those of deliveries that cannot serve. */
function checkFiles({ config, issueAt }: Loaded): readonly ConfigIssue[] {
  const outbound = outboundFiles(config);
  const unreadable = new Set<string>();
  const missing = [...listenerFiles(config), ...outbound].flatMap(({ path, file }) => {
    const text = readBounded(file, LARGEST_PEM);
    if (text.ok) return [];
    unreadable.add(file);
    return [issueAt(path, `cannot read ${file}: ${text.error}`)];
  });
  const materials = loadMaterials(config);
  const problems = new Map(materials.ok ? [] : materials.error.map(({ file, text }) => [file, text]));
  const unfit = outbound.flatMap(({ path, file }) => {
    const text = unreadable.has(file) ? undefined : problems.get(file);
    return text === undefined ? [] : [issueAt(path, `${file} ${text}`)];
  });
  return [...missing, ...unfit];
}

function summarize({ file, config }: Loaded, dnssec: SelfTestLine | null): string {
  const listeners = config.listeners.map((listener) => [listener.name, endpointText(listener), listener.tls, demand(listener)]);
  const inbound = config.inbound.map((connector) => [connector.name, connector.type, connector.enabled ? '' : 'disabled']);
  const outbound = config.outbound.map((connector) => [
    connector.name,
    recipientsText(connector),
    routeText(connector),
    safetyText(connector),
  ]);
  return [
    `${file}: ok`,
    '',
    `${config.hostname}, queue in ${config.queue.path}, messages up to ${formatSize(config.limits.messageSizeBytes)}, ${config.workers} threads`,
    ...section('listeners', [['name', 'address', 'tls', ''], ...listeners]),
    ...section('accepted domains', [[config.acceptedDomains.map(domainPatternText).join(', ') || 'none']]),
    ...(inbound.length === 0 ? [] : section('inbound', [['name', 'type', ''], ...inbound])),
    ...section('outbound, first match wins', [['name', 'recipients', 'route', 'tls'], ...outbound]),
    ...(dnssec === null ? [] : section('DNSSEC', [[dnssec.verdict, dnssec.text]])),
  ].join('\n');
}

const demand = ({ requireTls }: Config['listeners'][0]): string => (requireTls ? 'required' : '');

const recipientsText = ({ match }: OutboundConnector): string => shorten(match.recipientDomains.map(domainPatternText));

function routeText({ route }: OutboundConnector): string {
  switch (route.kind) {
    case 'mx':
      return 'mx';
    case 'smarthost':
      return `smarthost ${shorten(route.hosts.map(nextHopText))}`;
    case 'reject':
      return 'reject';
  }
}

function safetyText({ enabled, route, tls }: OutboundConnector): string {
  if (!enabled) return 'disabled';
  if (route.kind === 'reject') return '';
  return tls.ladder.length === 0 ? tls.mode : `${tls.mode} (${tls.ladder.join(' > ')})`;
}

const shorten = (list: readonly string[]): string =>
  list.length <= 3 ? list.join(', ') : `${list.slice(0, 3).join(', ')} and ${list.length - 3} more`;

/** A heading and its rows, columns aligned. */
function section(heading: string, rows: readonly (readonly string[])[]): readonly string[] {
  const width = (column: number): number => Math.max(...rows.map((row) => (row[column] ?? '').length));
  return ['', heading, ...rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(width(column))).join('  ')}`.trimEnd())];
}
