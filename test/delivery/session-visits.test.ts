/** Which connections of an attempt are told for TLS reports: each new one once, kept ones never, those that carry a report never. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { attempt } from '../../src/delivery/attempt.ts';
import type { VisitOfDelivery } from '../../src/delivery/session-result-policy.ts';
import { AvoidedAddresses } from '../../src/delivery/walk-hosts.ts';
import type { Domain } from '../../src/domain/address.ts';
import type { Instant } from '../../src/domain/basics.ts';
import type { Config } from '../../src/domain/config.ts';
import type { Envelope, Origin, QueueId } from '../../src/domain/envelope.ts';
import type { Claim } from '../../src/domain/queue.ts';
import type { TlsMode } from '../../src/domain/tls.ts';
import { ADDRESS_GIVEN } from '../../src/routing/proof-policy.ts';
import type { HostSecurity } from '../../src/security/gather-facts.ts';
import { createTransport } from '../../src/transport/nodemailer-session.ts';
import { Pool } from '../../src/transport/pool.ts';
import { systemClock } from '../support/clock.ts';
import { outboundConnector, outboundTls } from '../support/connectors.ts';
import type { BehaviourName } from '../support/lab/behaviour-table.ts';
import { labAuthority, startReceiver } from '../support/lab/receiver.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();

const SMTP: Origin = { kind: 'smtp', ip: '192.0.2.1', helo: 'x', listener: 'x', tls: null, inboundConnectors: [], user: null };
const NOTHING: HostSecurity = {
  dane: { kind: 'not-applicable', because: 'off' },
  mtaSts: { kind: 'not-applicable', problem: null },
};
const BOGUS: HostSecurity = { ...NOTHING, dane: { kind: 'undetermined', problem: 'bogus', text: 'bogus' } };

function claim(origin: Origin): Claim {
  const wire = Buffer.from('Subject: x\r\n\r\nx\r\n');
  const envelope: Envelope = {
    queueId: 'TEST' as QueueId,
    reversePath: null,
    origin,
    receivedAt: Date.now() as Instant,
    sizeBytes: wire.length,
    eightBit: false,
    smtpUtf8: false,
    requireTls: false,
    tlsRequiredNo: false,
    dsn: { return: null, envelopeId: null },
  };
  const domain = 'lab.test' as Domain;
  const recipient = { mailbox: { localPart: 'user', domain }, notify: null, originalRecipient: null };
  const recipients = [{ number: 0, recipient, attempts: 1, delayNoticeSent: false }] as const;
  const { queueId } = envelope;
  return { queueId, domain, fence: 1, leaseUntil: 0 as Instant, envelope, recipients, body: { kind: 'memory', wire } };
}

type Deliveries = { readonly origins: readonly Origin[]; readonly mode?: TlsMode; readonly security?: HostSecurity };

/** What was told of some deliveries, one after another, to a receiver with two addresses of one. */
async function visits(behaviour: BehaviourName, { origins, mode = 'opportunistic', security = NOTHING }: Deliveries) {
  const receiver = await startReceiver(behaviour);
  const transport = createTransport(systemClock);
  const pool = new Pool(systemClock);
  const seen: VisitOfDelivery[] = [];
  const host = { ...ADDRESS_GIVEN, name: receiver.hostname as Domain, preference: 0, port: receiver.port };
  const patience = { connect: 2000, greeting: 2000, tls: 400, command: 2000, data: 2000 };
  const config = {
    hostname: 'relay.test' as Domain,
    tls: { minVersion: 'TLSv1.2', ladder: ['modern', 'compatible', 'legacy'] },
    delivery: { timeouts: patience },
  } as unknown as Config;
  for (const origin of origins) {
    const order = { connector: outboundConnector({ tls: outboundTls({ mode }) }), config };
    await attempt(claim(origin), order, {
      transport,
      pool,
      memory: { recall: () => null, remember: () => {}, forget: () => {} },
      avoided: new AvoidedAddresses(),
      clock: systemClock,
      onFallback: () => {},
      onSession: (visit) => seen.push(visit),
      gather: () => security,
      materials: () => ({ id: 'none', trust: { system: false, pem: [labAuthority().caPem] }, clientCertificate: null }),
      resolveHosts: () => ({ kind: 'hosts', hosts: [{ ...host, addresses: [receiver.address] }] }),
    });
  }
  const connections = receiver.eventsOf('connection').length;
  pool.close();
  transport.close();
  await receiver.stop();
  return { told: seen.map(({ met }) => met.kind), connections, seen };
}

const REPORT: Origin = { kind: 'report' };
type Row = readonly [
  what: string,
  behaviour: BehaviourName,
  deliveries: Deliveries,
  told: readonly string[],
  connections: number,
];
const ROWS: readonly Row[] = [
  ['one message', 'tls13', { origins: [SMTP] }, ['session'], 1],
  ['three messages over one kept connection', 'tls13', { origins: [SMTP, SMTP, SMTP] }, ['session'], 1],
  ['a notice is mail like any', 'tls13', { origins: [{ kind: 'notice' }] }, ['session'], 1],
  ['no STARTTLS, in the clear on the same connection', 'starttls-absent', { origins: [SMTP] }, ['session'], 1],
  ['no STARTTLS where TLS is demanded', 'starttls-absent', { origins: [SMTP], mode: 'encrypt' }, ['failure'], 1],
  [
    'each rung that failed, and not the clear after them',
    'close-after-220',
    { origins: [SMTP] },
    ['failure', 'failure', 'failure'],
    4,
  ],
  [
    'the peer did not prove what the connector demands: TLS stood',
    'self-signed',
    { origins: [SMTP], mode: 'verify' },
    ['session'],
    1,
  ],
  ['a host passed over', 'tls13', { origins: [SMTP], security: BOGUS }, ['skipped'], 0],
  ['plaintext by configuration', 'tls13', { origins: [SMTP], mode: 'plaintext' }, [], 1],
  ['a report', 'tls13', { origins: [REPORT] }, [], 1],
  ['a report, where TLS fails', 'starttls-absent', { origins: [REPORT] }, [], 1],
  ['mail over the connection a report opened', 'tls13', { origins: [REPORT, SMTP] }, [], 1],
];
for (const [what, behaviour, deliveries, told, connections] of ROWS)
  test(`${what}: ${told.length === 0 ? 'nothing' : told.join(', ')} is told`, async () => {
    const found = await visits(behaviour, deliveries);
    assert.deepEqual(found.told, told);
    assert.equal(found.connections, connections);
    for (const { recipientDomain } of found.seen) assert.equal(recipientDomain, 'lab.test');
  });
