/**
 * Schema of the relay itself: queue, limits, resolver, delivery, notices, reports, admin, log. Pure.
 */
import { z } from 'zod';
import { timeoutsSchema } from './schema-outbound.ts';
import {
  address,
  domain,
  duration,
  endpoint,
  filePath,
  integer,
  line,
  mailbox,
  nameServer,
  OPTIONAL_PATIENCE,
  PATIENCE,
  secret,
  selector,
  size,
  some,
  store,
} from './schema-values.ts';

const GIB = 2 ** 30;

/** The queue. */
export const queueSchema = z.strictObject({
  store: store().prefault('sqlite:data/queue.db').describe('where the queue lies: "sqlite:PATH"'),
  ephemeral: z.boolean().default(false).describe('true: the queue may lie on a file system that does not survive the container'),
  retry: some(duration(PATIENCE))
    .prefault(['1m', '5m', '15m', '30m', '1h', '2h'])
    .describe('waits between attempts; the last one repeats'),
  delayNoticeAfter: duration(OPTIONAL_PATIENCE).prefault('4h').describe('when the sender hears that a message is late; 0: never'),
  expireAfter: duration(PATIENCE).prefault('5d').describe('when a message is given up and returned'),
});

/** Limits on what comes in. */
export const limitsSchema = z.strictObject({
  messageSize: size({ min: 65_536, max: 2 * GIB })
    .prefault('50MiB')
    .describe('largest message, advertised as SIZE'),
  recipientsPerMessage: integer(1, 100_000).default(1000).describe('recipients in one transaction (RFC 5321 wants at least 100)'),
  connections: integer(1, 1_000_000).default(2000).describe('connections at a time; 421 beyond'),
  connectionsPerAddress: integer(1, 1_000_000).default(50).describe('connections at a time from one address'),
  messagesPerMinutePerAddress: integer(0, 10_000_000).default(0).describe('messages a minute from one address; 0: no limit'),
  hops: integer(1, 1000).default(50).describe('Received header fields before a message counts as looping'),
  diskFree: size({ min: 0, max: 1024 * GIB })
    .prefault('512MiB')
    .describe('free disk space below which MAIL is answered with 452'),
});

/** Name resolution. */
export const resolverSchema = z.strictObject({
  servers: z.array(nameServer()).max(10).default([]).describe('name servers; by default those of /etc/resolv.conf'),
  dnssec: z
    .enum(['auto', 'trust', 'off'])
    .default('auto')
    .describe('auto: validated answers are trusted from loopback only; trust: from the servers named; off: never'),
});

/** What holds for every delivery. */
export const deliverySchema = z.strictObject({
  port: integer(1, 65_535).default(25).describe('the port of MX hosts'),
  ipv6: z.boolean().default(true).describe('false: IPv4 only'),
  allowPrivateAddresses: z.boolean().default(false).describe('true: MX hosts may have loopback, private or link-local addresses'),
  timeouts: timeoutsSchema.prefault({}).describe('how long a peer may take'),
});

/** Failure and delay notices. */
export const bouncesSchema = z.strictObject({
  from: mailbox().optional().describe('From of notices; by default MAILER-DAEMON at hostname'),
  return: z.enum(['headers', 'full']).default('headers').describe('how much of the message a notice contains'),
});

/** Reports to others. */
export const reportsSchema = z.strictObject({
  tlsRpt: z
    .strictObject({
      enabled: z.boolean().default(false).describe('true: TLS reports (RFC 8460) are sent'),
      from: address().optional().describe('their sender; by default tls-reports at hostname'),
      organization: line(255).optional().describe('who reports; by default hostname'),
      dkim: z
        .strictObject({
          domain: domain().describe('d= of the signature: the domain of from, or one above it'),
          selector: selector().describe('s= of the signature; its key is published at SELECTOR._domainkey.DOMAIN'),
          key: filePath().describe('file with the RSA private key in PEM'),
        })
        .optional()
        .describe('signs reports; without it most receivers ignore them (RFC 8460, section 3)'),
    })
    .prefault({})
    .describe('TLS reports (RFC 8460)'),
});

/** The admin HTTP server. */
export const adminSchema = z.strictObject({
  address: endpoint().prefault('127.0.0.1:8025').describe('IP address and port'),
  token: secret().optional().describe('bearer token; required for any address that is not loopback'),
  stuckAfter: duration(PATIENCE)
    .prefault('2h')
    .describe('how long mail may be queued with nothing delivered before /healthz turns red'),
});

/** The log. */
export const logSchema = z.strictObject({
  level: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info').describe('how much is logged'),
  addresses: z.enum(['full', 'domain', 'hashed']).default('full').describe('how mail addresses appear'),
});
