/**
 * A relay's delivery side with its own pool and memory, against receivers of the lab: real transport, injected facts.
 * The happy default with something changed.
 */
import { strict as assert } from 'node:assert';
import { type AttemptResult, attempt } from '../../src/delivery/attempt.ts';
import { AvoidedAddresses, type Fallback } from '../../src/delivery/walk-hosts.ts';
import type { Domain } from '../../src/domain/address.ts';
import { type Instant, isNonEmpty } from '../../src/domain/basics.ts';
import type { Config } from '../../src/domain/config.ts';
import type { OutboundConnector } from '../../src/domain/connector.ts';
import type { Envelope, QueueId } from '../../src/domain/envelope.ts';
import type { Claim } from '../../src/domain/queue.ts';
import { ADDRESS_GIVEN, type HostProof } from '../../src/routing/proof-policy.ts';
import type { HostQuestion, HostSecurity } from '../../src/security/gather-facts.ts';
import type { RememberedRung } from '../../src/security/ladder-policy.ts';
import { createTransport } from '../../src/transport/nodemailer-session.ts';
import { Pool } from '../../src/transport/pool.ts';
import type { Transport } from '../../src/transport/session.ts';
import { systemClock } from './clock.ts';
import { labAuthority, type Receiver } from './lab/receiver.ts';

/** As it lies in the spool: dots stuffed. */
export const BODY = 'Received: from test\r\nSubject: lab\r\n\r\nSECRET-OF-THE-MESSAGE\r\n..dot\r\n';

/** A message to `user@lab.test`, changed. */
export function claim(change: Partial<Envelope> = {}, recipients: readonly string[] = ['user']): Claim {
  const wire = Buffer.from(BODY);
  const envelope: Envelope = {
    queueId: 'TEST' as QueueId,
    reversePath: { localPart: 'sender', domain: 'sender.test' as Domain },
    origin: { kind: 'notice' },
    receivedAt: Date.now() as Instant,
    sizeBytes: wire.length - 1,
    eightBit: false,
    smtpUtf8: false,
    requireTls: false,
    tlsRequiredNo: false,
    dsn: { return: null, envelopeId: null },
    ...change,
  };
  const claimed = recipients.map((localPart, number) => ({
    number,
    recipient: { mailbox: { localPart, domain: 'lab.test' as Domain }, notify: null, originalRecipient: null },
    attempts: 1,
    delayNoticeSent: false,
  }));
  assert.ok(isNonEmpty(claimed));
  return {
    queueId: envelope.queueId,
    domain: 'lab.test' as Domain,
    fence: 1,
    leaseUntil: 0 as Instant,
    envelope,
    recipients: claimed,
    body: { kind: 'memory', wire },
  };
}

/** Loaded files of a connector, as approach.ts takes them. */
export type Materials = {
  readonly id: string;
  readonly trust: { readonly system: boolean; readonly pem: readonly string[] };
  readonly clientCertificate: { readonly cert: string; readonly key: string } | null;
};

/** Trust in the lab's authority, no client certificate. */
export const labMaterials = (): Materials => ({
  id: 'lab',
  trust: { system: false, pem: [labAuthority().caPem] },
  clientCertificate: null,
});

/** How one delivery goes; hosts of falling preference unless `equal`. */
export type Order = {
  readonly connector: OutboundConnector;
  readonly receivers: readonly Receiver[];
  readonly materials?: Materials;
  readonly gather?: (question: HostQuestion) => HostSecurity;
  readonly proof?: Partial<HostProof>;
  /** Called something else than the receiver calls itself; null: named by its address only. */
  readonly hostname?: string | null;
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3';
};

/** Neither DANE nor MTA-STS. */
export const NO_SECURITY: HostSecurity = {
  dane: { kind: 'not-applicable', because: 'off' },
  mtaSts: { kind: 'not-applicable', problem: null },
};

const configOf = (timeouts: Partial<Config['delivery']['timeouts']>, minVersion: 'TLSv1.2' | 'TLSv1.3'): Config =>
  ({
    hostname: 'relay.test',
    tls: { minVersion, ladder: ['modern', 'compatible', 'legacy'] },
    delivery: { timeouts: { connect: 2000, greeting: 2000, tls: 400, command: 2000, data: 2000, ...timeouts } },
  }) as unknown as Config;

const hostsOf = ({ receivers, hostname, proof }: Order) =>
  receivers.map((receiver, at) => ({
    ...ADDRESS_GIVEN,
    ...proof,
    name: (hostname === undefined ? receiver.hostname : hostname) as Domain | null,
    port: receiver.port,
    addresses: [receiver.address] as const,
    preference: at,
  }));

/** A relay's delivery side; `spoil` may put a faulty transport in its place. Close it, or the leak check tells. */
export function world(timeouts: Partial<Config['delivery']['timeouts']> = {}, spoil = (sound: Transport): Transport => sound) {
  const transport: Transport = spoil(createTransport(systemClock));
  const pool = new Pool(systemClock);
  const remembered = new Map<string, RememberedRung>();
  const fallbacks: Fallback[] = [];
  const usual = labMaterials();
  const deliver = (message: Claim, order: Order): Promise<AttemptResult> =>
    attempt(
      message,
      { connector: order.connector, config: configOf(timeouts, order.minVersion ?? 'TLSv1.2') },
      {
        transport,
        pool,
        clock: systemClock,
        avoided: new AvoidedAddresses(),
        memory: {
          recall: (host, address) => remembered.get(`${host} ${address}`) ?? null,
          remember: (host, address, rung, since) => void remembered.set(`${host} ${address}`, { rung, since }),
          forget: (host, address) => void remembered.delete(`${host} ${address}`),
        },
        gather: order.gather ?? (() => NO_SECURITY),
        materials: () => order.materials ?? usual,
        onFallback: (fallback) => void fallbacks.push(fallback),
        resolveHosts: () => {
          const hosts = hostsOf(order);
          assert.ok(isNonEmpty(hosts));
          return { kind: 'hosts', hosts };
        },
      },
    );
  const close = (): void => {
    pool.close();
    transport.close();
  };
  return { deliver, pool, remembered, fallbacks, close };
}

/** `delivered`, `deferred 4.4.2`, `failed 5.1.1`, of one recipient. */
export function outcomeOf(result: AttemptResult, number = 0): string {
  const outcome = result.report.outcomes.get(number);
  if (outcome === undefined) return 'none';
  return outcome.kind === 'delivered' ? 'delivered' : `${outcome.kind} ${outcome.failure.enhanced}`;
}

/** The sentence an administrator reads of a recipient that was not delivered; empty where it was. */
export function sentenceOf(result: AttemptResult, number = 0): string {
  const outcome = result.report.outcomes.get(number);
  return outcome === undefined || outcome.kind === 'delivered' ? '' : outcome.failure.text;
}
