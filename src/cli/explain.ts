/**
 * `postern explain`: what would be done with a message, and why. Uses the configuration and DNS, no running relay; connects to
 * nobody but name servers and MTA-STS policy hosts.
 */
import { networkInterfaces } from 'node:os';
import type { Command } from 'commander';
import { formatIssue } from '../config/issue-format.ts';
import { loadConfig, thisMachine } from '../config/load-config.ts';
import { type ExplainContext, type ExplainRequest, explain } from '../delivery/explain.ts';
import { type Mailbox, parseMailbox } from '../domain/address.ts';
import type { Clock, Instant } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import { type OpenFactSources, openFactSources } from '../fact-sources.ts';
import { loadMaterials } from '../platform/tls-materials.ts';
import { createHostResolver } from '../routing/resolve-hosts.ts';
import { gatherFacts } from '../security/gather-facts.ts';
import type { PolicyStore } from '../security/mta-sts-cache.ts';
import { explanationDocument, explanationText } from './explain-format.ts';
import { type CommandContext, jsonText } from './status.ts';
import type { ExitCode } from './terminal.ts';

/** What the command line said. */
export type ExplainOptions = {
  readonly config?: string;
  readonly from: string;
  readonly requiretls: boolean;
  readonly dns: boolean;
  readonly json: boolean;
};

const clock: Clock = { now: () => Date.now() as Instant, monotonic: () => performance.now() };
/** Nothing is kept: an explanation sees what DNS and the policy hosts say now. */
const NO_STORE: PolicyStore = { load: async () => [], put: () => {}, onChange: () => {} };

/** 0: explained. 1: the message would not go anywhere. 2: usage or configuration. */
export async function runExplain(recipient: string, options: ExplainOptions, { terminal }: CommandContext): Promise<ExitCode> {
  const loaded = loadConfig({ file: options.config, environment: process.env, machine: thisMachine() });
  if (!loaded.ok) {
    terminal.complain(loaded.error.map(formatIssue).join('\n'));
    return 2;
  }
  const request = requestOf(recipient, options);
  if (typeof request === 'string') {
    terminal.complain(request);
    return 2;
  }
  const { config } = loaded.value;
  const sources = options.dns ? await openSources(config) : null;
  const explanation = await explain(request, contextOf(config, sources));
  sources?.close();
  await terminal.write(
    options.json ? jsonText(explanationDocument(explanation)) : explanationText(explanation, terminal.columns),
  );
  return explanation.next.kind === 'rejected' || explanation.next.kind === 'no-host' ? 1 : 0;
}

/** The message meant, or what is wrong with how it was written. */
function requestOf(recipient: string, { from, requiretls }: ExplainOptions): ExplainRequest | string {
  const to = parseMailbox(recipient, true);
  if (!to.ok) return `${recipient} is no address: write user@domain`;
  const sender = from === '' || from === '<>' ? null : parseMailbox(from, true);
  if (sender !== null && !sender.ok) return `${from} is no address: write user@domain, or <> for the null sender`;
  const mailbox: Mailbox | null = sender === null ? null : sender.value;
  return { recipient: to.value, sender: mailbox, inboundConnectors: [], demand: requiretls ? 'requiretls' : 'none' };
}

function openSources(config: Config): Promise<OpenFactSources> {
  const materials = loadMaterials(config);
  const usual = config.outbound[config.outbound.length - 1]?.name ?? '';
  const trust = (materials.ok ? materials.value[usual]?.trust : undefined) ?? { system: true, pem: [] };
  return openFactSources({ config, clock, trust, store: NO_STORE, onNews: () => {} });
}

function contextOf(config: Config, sources: OpenFactSources | null): ExplainContext {
  const base = { config, now: clock.now(), recall: () => null };
  if (sources === null) return { ...base, dns: null };
  const ownAddresses = new Set(Object.values(networkInterfaces()).flatMap((list) => list?.map(({ address }) => address) ?? []));
  const hosts = createHostResolver({
    config: () => config,
    resolver: sources.resolver,
    random: Math.random,
    clock,
    ownAddresses,
  });
  return {
    ...base,
    dns: { resolveHosts: (connector, to) => hosts.resolve(connector, to), gather: (question) => gatherFacts(question, sources) },
  };
}

/** Adds `explain` to the program. */
export function registerExplain(program: Command, context: CommandContext): void {
  program
    .command('explain')
    .description(
      'what would be done with a message and why: connector, next hops, TLS policy with its source, ladder, retry plan',
    )
    .argument('<recipient>', 'address of the recipient')
    .option('--from <sender>', 'sender of the message; <> for the null sender', '')
    .option('--requiretls', 'as if the message came with REQUIRETLS', false)
    .option('--no-dns', 'look nothing up: connector and demands only')
    .option('--json', 'print one JSON document', false)
    .addHelpText('after', '\nExit status: 0 explained, 1 the message would go nowhere, 2 usage or configuration error.')
    .action(async (recipient: string, _options: unknown, command: Command) => {
      context.exit(await runExplain(recipient, command.optsWithGlobals<ExplainOptions>(), context));
    });
}
