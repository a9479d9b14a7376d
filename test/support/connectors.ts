/** Outbound connectors for tests: the default one, with something changed. */
import type { OutboundConnector, OutboundTls } from '../../src/domain/connector.ts';

/** `tls` of the default connector, changed. */
export const outboundTls = (change: Partial<OutboundTls> = {}): OutboundTls => ({
  mode: 'opportunistic',
  ladder: change.mode === 'plaintext' ? [] : ['modern', 'compatible', 'legacy'],
  names: [],
  pins: [],
  ca: null,
  clientCertificate: null,
  dane: 'auto',
  mtaSts: 'auto',
  exception: null,
  ...change,
});

/** A connector that takes everything to its MX hosts, changed. */
export const outboundConnector = (change: Partial<OutboundConnector> = {}): OutboundConnector => ({
  name: 'lab',
  match: { recipientDomains: [{ kind: 'any' }], senderDomains: [], inboundConnectors: [] },
  route: { kind: 'mx' },
  tls: outboundTls(),
  testMode: false,
  limits: { connections: 20, messagesPerConnection: 100, messagesPerMinute: null, recipientsPerMessage: 100 },
  source: { address: null, helo: null },
  retry: { intervals: [60_000], delayNoticeAfter: null, expireAfter: 86_400_000 },
  enabled: true,
  ...change,
});
