/**
 * Which outbound connector carries a message: the first enabled one that matches, read from the top (interface.md, section 2).
 * Domains are canonical and compared by whole labels. Pure.
 */
import type { Domain } from '../domain/address.ts';
import type { NonEmpty } from '../domain/basics.ts';
import { domainPatternText, matchesDomain, type OutboundConnector } from '../domain/connector.ts';

/** What decides about the connector of one recipient. */
export type ConnectorQuery = {
  readonly recipient: Domain;
  /** Null: the null reverse-path. */
  readonly sender: Domain | null;
  /** Names of the inbound connectors the message came in by. */
  readonly inboundConnectors: readonly string[];
};

/** Why a connector does not apply. */
export type Mismatch = 'disabled' | 'recipient' | 'sender' | 'origin';

/** A connector above the chosen one, and in plain words why it did not apply. */
export type PassedOver = { readonly name: string; readonly because: string };

/** The choice with its reasons. */
export type ConnectorChoice = { readonly connector: OutboundConnector; readonly passedOver: readonly PassedOver[] };

/** The first thing that keeps a connector from applying, or null where it applies. */
function mismatch({ match, enabled }: OutboundConnector, query: ConnectorQuery): Mismatch | null {
  if (!enabled) return 'disabled';
  if (!match.recipientDomains.some((pattern) => matchesDomain(pattern, query.recipient))) return 'recipient';
  if (match.senderDomains.length > 0 && !matchesSender(match.senderDomains, query.sender)) return 'sender';
  const origins = match.inboundConnectors;
  return origins.length === 0 || origins.some((name) => query.inboundConnectors.includes(name)) ? null : 'origin';
}

/** `*` means any sender, the null one too: a bounce must not slip past a connector that means everyone. */
const matchesSender = (patterns: OutboundConnector['match']['senderDomains'], sender: Domain | null): boolean =>
  patterns.some((pattern) => (sender === null ? pattern.kind === 'any' : matchesDomain(pattern, sender)));

/** The connector alone, for every message. The last one is the configuration's implicit `default`, which matches everything. */
export function findConnector(query: ConnectorQuery, connectors: NonEmpty<OutboundConnector>): OutboundConnector {
  for (const connector of connectors) if (mismatch(connector, query) === null) return connector;
  return connectors[connectors.length - 1] ?? connectors[0];
}

/** The same connector with the reasons why those above it did not apply, for explanations. */
export function chooseConnector(query: ConnectorQuery, connectors: NonEmpty<OutboundConnector>): ConnectorChoice {
  const connector = findConnector(query, connectors);
  const passedOver = connectors.slice(0, connectors.indexOf(connector)).map((other) => ({
    name: other.name,
    because: mismatchText(other, query),
  }));
  return { connector, passedOver };
}

function mismatchText(connector: OutboundConnector, query: ConnectorQuery): string {
  const { match } = connector;
  switch (mismatch(connector, query)) {
    case null:
      return 'it matches';
    case 'disabled':
      return 'it is disabled';
    case 'recipient':
      return `recipient domain ${query.recipient} is not one of ${match.recipientDomains.map(domainPatternText).join(', ')}`;
    case 'sender':
      return `${query.sender === null ? 'the null sender' : `sender domain ${query.sender}`} is not one of ${match.senderDomains.map(domainPatternText).join(', ')}`;
    case 'origin':
      return `the message did not come in by ${match.inboundConnectors.join(' or ')}`;
  }
}
