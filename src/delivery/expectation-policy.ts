/**
 * Policy tests of the configuration (`expect:`): whether routing and TLS decisions come out as the operator says, by the same
 * policies that decide deliveries. What DANE and MTA-STS would add is not known here, so a test speaks of what the configuration
 * itself guarantees. Pure.
 */
import { mailboxText } from '../domain/address.ts';
import type { Config, Expectation } from '../domain/config.ts';
import type { OutboundConnector } from '../domain/connector.ts';
import type { Plaintext, TlsMode } from '../domain/tls.ts';
import { type ConnectorChoice, chooseConnector } from '../routing/connector-policy.ts';
import { decideTlsPolicy } from '../security/tls-policy.ts';

/** An expectation that does not hold: the place in the configuration, and in one sentence what is so instead. */
export type BrokenExpectation = { readonly path: readonly (string | number)[]; readonly text: string };

type JudgedConfig = Pick<Config, 'outbound' | 'tls' | 'expect'>;

/** Every expectation that does not hold. */
export function judgeExpectations(config: JudgedConfig): readonly BrokenExpectation[] {
  return config.expect.flatMap((expectation, index) => judge(expectation, config).map(({ key, text }) => at(index, key, text)));
}

const at = (index: number, key: string, text: string): BrokenExpectation => ({ path: ['expect', index, key], text });

type Broken = { readonly key: 'connector' | 'tls' | 'plaintext'; readonly text: string };

function judge(expectation: Expectation, config: JudgedConfig): readonly Broken[] {
  const { recipient, from, tls, plaintext } = expectation;
  const query = { recipient: recipient.domain, sender: from?.domain ?? null, inboundConnectors: [] };
  const choice = chooseConnector(query, config.outbound);
  const { connector } = choice;
  const message = mailboxText(recipient);
  const mode = modeOf(connector);
  const fate = mode === null ? null : plaintextOf(connector, expectation, config);
  return [
    ...judgeConnector(expectation, choice),
    ...(tls === null || tls === mode ? [] : [{ key: 'tls' as const, text: modeText(connector, message) }]),
    ...(plaintext === null || plaintext === fate || (plaintext === 'never' && fate === null)
      ? []
      : [{ key: 'plaintext' as const, text: plaintextText(fate, { connector, message }) }]),
  ];
}

function judgeConnector(expectation: Expectation, { connector, passedOver }: ConnectorChoice): readonly Broken[] {
  const wanted = expectation.connector;
  if (wanted === null || wanted === connector.name) return [];
  const because = passedOver.find(({ name }) => name === wanted)?.because ?? `${connector.name} stands above it and matches`;
  const text = `${mailboxText(expectation.recipient)} takes connector ${connector.name}, not ${wanted}: ${because}`;
  return [{ key: 'connector', text }];
}

/** What the connector enforces; null where it delivers nothing. */
function modeOf({ route, testMode, tls }: OutboundConnector): TlsMode | null {
  if (route.kind === 'reject') return null;
  return testMode ? 'opportunistic' : tls.mode;
}

function modeText(connector: OutboundConnector, message: string): string {
  const mode = modeOf(connector);
  if (mode === null) return `connector ${connector.name} rejects ${message}`;
  const test = connector.testMode ? `, which is in test mode and enforces no ${connector.tls.mode}` : '';
  return `${message} goes with TLS mode ${mode} by connector ${connector.name}${test}`;
}

/** Whether the message may travel in the clear as far as the configuration says. A host that is refused sees nothing in the clear. */
function plaintextOf(connector: OutboundConnector, { recipient }: Expectation, { tls }: JudgedConfig): Plaintext {
  const { route } = connector;
  const decision = decideTlsPolicy({
    connector,
    minVersion: tls.minVersion,
    host: { name: recipient.domain, nameIsSecure: false },
    dane: { kind: 'not-applicable', because: 'no-tlsa' },
    mtaSts: { kind: 'not-applicable', problem: null },
    message: 'none',
    credentials: route.kind === 'smarthost' && route.auth !== null,
    implicitTls: route.kind === 'smarthost' && route.tls === 'implicit',
  });
  return decision.kind === 'use' ? decision.policy.plaintext : 'never';
}

const PLAINTEXT: Readonly<Record<Plaintext, string>> = {
  always: 'always travels in plaintext',
  allowed: 'may travel in plaintext where TLS fails',
  never: 'never travels in plaintext',
};

function plaintextText(
  fate: Plaintext | null,
  { connector, message }: { readonly connector: OutboundConnector; readonly message: string },
): string {
  if (fate === null) return `connector ${connector.name} rejects ${message}`;
  return `${message} ${PLAINTEXT[fate]} by connector ${connector.name}${connector.testMode ? ', which is in test mode' : ''}`;
}
