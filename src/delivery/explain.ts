/**
 * What would be done with a message to a recipient: the same routing, facts and decisions as a delivery, carried out up to the
 * point where a connection would be opened. Looks up, decides, connects to no one.
 */
import type { Domain, Mailbox } from '../domain/address.ts';
import type { Instant } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import type { OutboundConnector } from '../domain/connector.ts';
import { chooseConnector } from '../routing/connector-policy.ts';
import type { HostCandidate, HostPlan } from '../routing/resolve-hosts.ts';
import type { HostQuestion, HostSecurity } from '../security/gather-facts.ts';
import { firstRung, type RememberedRung, type Start } from '../security/ladder-policy.ts';
import type { MessageDemand, TlsDecision } from '../security/tls-policy.ts';
import { decideHost } from './approach.ts';

/** The message one wants to know about. */
export type ExplainRequest = {
  readonly recipient: Mailbox;
  /** Null: the null sender. */
  readonly sender: Mailbox | null;
  readonly inboundConnectors: readonly string[];
  /** This connector, whatever would match; null: the first that matches. */
  readonly connector: string | null;
  readonly demand: MessageDemand;
};

/** What explaining works with; the same parts a delivery uses. */
export type ExplainContext = {
  readonly config: Config;
  readonly now: Instant;
  /** Null: no lookups at all. */
  readonly dns: {
    resolveHosts(connector: OutboundConnector, to: { readonly domain: Domain }): HostPlan | Promise<HostPlan>;
    gather(question: HostQuestion): HostSecurity | Promise<HostSecurity>;
  } | null;
  /** What is remembered of a host's rungs; null where nothing is known. */
  recall(host: string, address: string): RememberedRung | null;
};

/** One host and what it would have to offer. */
export type ExplainedHost = {
  readonly host: HostCandidate;
  readonly security: HostSecurity;
  readonly decision: TlsDecision;
  /** Where the ladder would begin at each address. */
  readonly starts: readonly { readonly address: string; readonly remembered: RememberedRung | null; readonly start: Start }[];
};

/** Everything decided about the message, and why. */
export type Explanation = {
  readonly request: ExplainRequest;
  readonly connector: OutboundConnector;
  readonly passedOver: readonly { readonly name: string; readonly because: string }[];
  readonly next:
    | { readonly kind: 'rejected'; readonly text: string }
    | { readonly kind: 'not-looked-up' }
    | { readonly kind: 'no-host'; readonly failure: Extract<HostPlan, { kind: 'failed' }>['failure'] }
    | { readonly kind: 'hosts'; readonly hosts: readonly ExplainedHost[] };
};

/** Explains. Never rejects for what DNS does. */
export async function explain(request: ExplainRequest, context: ExplainContext): Promise<Explanation> {
  const { recipient, sender, inboundConnectors } = request;
  const query = { recipient: recipient.domain, sender: sender?.domain ?? null, inboundConnectors };
  const { outbound } = context.config;
  const forced = outbound.find(({ name }) => name === request.connector);
  const { connector, passedOver } =
    forced === undefined ? chooseConnector(query, outbound) : { connector: forced, passedOver: [] };
  return { request, connector, passedOver, next: await nextSteps(request, connector, context) };
}

async function nextSteps(
  request: ExplainRequest,
  connector: OutboundConnector,
  context: ExplainContext,
): Promise<Explanation['next']> {
  if (connector.route.kind === 'reject') return { kind: 'rejected', text: connector.route.text };
  if (context.dns === null) return { kind: 'not-looked-up' };
  const plan = await context.dns.resolveHosts(connector, { domain: request.recipient.domain });
  if (plan.kind === 'failed') return { kind: 'no-host', failure: plan.failure };
  const hosts: ExplainedHost[] = [];
  for (const host of plan.hosts) hosts.push(await explainHost(host, { request, connector, context }));
  return { kind: 'hosts', hosts };
}

async function explainHost(
  host: HostCandidate,
  {
    request,
    connector,
    context,
  }: { readonly request: ExplainRequest; readonly connector: OutboundConnector; readonly context: ExplainContext },
): Promise<ExplainedHost> {
  const question = { connector, host, recipientDomain: request.recipient.domain };
  const security = (await context.dns?.gather(question)) ?? {
    dane: { kind: 'not-applicable', because: 'off' },
    mtaSts: { kind: 'not-applicable', problem: null },
  };
  const decision = decideHost({ connector, config: context.config, demand: request.demand }, host, security);
  const starts = host.addresses.map((address) => {
    const remembered = context.recall(host.name ?? address, address);
    const start: Start = decision.kind === 'use' ? firstRung(decision.policy, remembered, context.now) : { kind: 'none' };
    return { address, remembered, start };
  });
  return { host, security, decision, starts };
}
