/**
 * What `explain` and `probe` share: the message meant, and the parts of a delivery they put together from the configuration.
 */
import { networkInterfaces } from 'node:os';
import { formatIssue } from '../config/issue-format.ts';
import { loadConfig, thisMachine } from '../config/load-config.ts';
import type { ExplainContext, ExplainRequest } from '../delivery/explain.ts';
import { type Mailbox, parseMailbox } from '../domain/address.ts';
import { type Clock, err, type Instant, ok, type Result } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import type { OutboundConnector } from '../domain/connector.ts';
import { type OpenFactSources, openFactSources } from '../fact-sources.ts';
import { loadMaterials, type MaterialsByConnector } from '../platform/tls-materials.ts';
import { createHostResolver } from '../routing/resolve-hosts.ts';
import { gatherFacts } from '../security/gather-facts.ts';
import type { PolicyStore } from '../security/mta-sts-cache.ts';

/** How the command line names the message. */
export type MessageOptions = {
  readonly config?: string;
  readonly from: string;
  readonly requiretls: boolean;
  readonly connector?: string;
};

/** A configuration with its files, ready to be asked. */
export type Prepared = { readonly config: Config; readonly materials: MaterialsByConnector; readonly request: ExplainRequest };

/** The clock of a command. */
export const commandClock: Clock = { now: () => Date.now() as Instant, monotonic: () => performance.now() };
/** Nothing is kept: a command sees what DNS and the policy hosts say now. */
const NO_STORE: PolicyStore = { load: async () => [], put: () => {}, onChange: () => {} };

/** Reads configuration and addresses; an error is one text for people, several lines maybe. */
export function prepare(recipient: string | undefined, options: MessageOptions): Result<Prepared, string> {
  const loaded = loadConfig({ file: options.config, environment: process.env, machine: thisMachine() });
  if (!loaded.ok) return err(loaded.error.map(formatIssue).join('\n'));
  const { config } = loaded.value;
  const chosen =
    options.connector === undefined ? null : (config.outbound.find(({ name }) => name === options.connector) ?? null);
  if (options.connector !== undefined && chosen === null)
    return err(
      `there is no outbound connector ${options.connector}; there are ${config.outbound.map(({ name }) => name).join(', ')}`,
    );
  const to = recipient ?? (chosen === null ? undefined : exampleRecipient(chosen));
  if (to === undefined) return err('name a recipient (user@domain)');
  const request = requestOf(to, options);
  if (!request.ok) return request;
  const materials = loadMaterials(config);
  if (!materials.ok) return err(materials.error.map(({ file, text }) => `${file} ${text}`).join('\n'));
  return ok({ config, materials: materials.value, request: request.value });
}

/** Someone every mail domain has (RFC 5321, section 4.5.1), in a domain the connector is for. */
function exampleRecipient({ match }: OutboundConnector): string | undefined {
  for (const pattern of match.recipientDomains) if (pattern.kind !== 'any') return `postmaster@${pattern.domain}`;
  return undefined;
}

function requestOf(recipient: string, { from, requiretls, connector }: MessageOptions): Result<ExplainRequest, string> {
  const to = parseMailbox(recipient, true);
  if (!to.ok) return err(`${recipient} is no address: write user@domain`);
  const sender = from === '' || from === '<>' ? null : parseMailbox(from, true);
  if (sender !== null && !sender.ok) return err(`${from} is no address: write user@domain, or <> for the null sender`);
  const mailbox: Mailbox | null = sender === null ? null : sender.value;
  return ok({
    recipient: to.value,
    sender: mailbox,
    inboundConnectors: [],
    connector: connector ?? null,
    demand: requiretls ? 'requiretls' : 'none',
  });
}

/** DNS, DANE and MTA-STS as a delivery sees them; to be closed. */
export function openSources({ config, materials }: Prepared): Promise<OpenFactSources> {
  const usual = materials[config.outbound[config.outbound.length - 1]?.name ?? ''];
  const trust = usual?.trust ?? { system: true, pem: [] };
  return openFactSources({ config, clock: commandClock, trust, store: NO_STORE, onNews: () => {} });
}

/** The context of `explain`; without sources nothing is looked up. */
export function explainContext({ config }: Prepared, sources: OpenFactSources | null): ExplainContext {
  const base = { config, now: commandClock.now(), recall: () => null };
  if (sources === null) return { ...base, dns: null };
  const ownAddresses = new Set(Object.values(networkInterfaces()).flatMap((list) => list?.map(({ address }) => address) ?? []));
  const hosts = createHostResolver({
    config: () => config,
    resolver: sources.resolver,
    random: Math.random,
    clock: commandClock,
    ownAddresses,
  });
  return {
    ...base,
    dns: { resolveHosts: (connector, to) => hosts.resolve(connector, to), gather: (question) => gatherFacts(question, sources) },
  };
}
