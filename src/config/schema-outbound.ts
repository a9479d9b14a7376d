/**
 * Schema of what sends mail: TLS defaults, outbound connectors, policy tests. Pure.
 */
import { z } from 'zod';
import { certificateSchema } from './schema-inbound.ts';
import {
  address,
  certificateName,
  DEADLINE,
  day,
  domain,
  domainPattern,
  duration,
  filePath,
  integer,
  ipAddress,
  line,
  name,
  nextHop,
  OPTIONAL_PATIENCE,
  PATIENCE,
  pin,
  secret,
  some,
} from './schema-values.ts';

const autoOff = () => z.enum(['auto', 'off']);
const ladder = () => some(z.enum(['modern', 'compatible', 'legacy']));
const modes = ['opportunistic', 'encrypt', 'trusted', 'verify', 'dane', 'plaintext'] as const;

/** What holds for every delivery unless its connector says otherwise. */
export const tlsSchema = z.strictObject({
  minVersion: z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2').describe('the lowest TLS version spoken'),
  ladder: ladder()
    .prefault(['modern', 'compatible', 'legacy'])
    .describe('how TLS is tried, strongest rung first; plaintext follows only where the policy allows it'),
  trust: z
    .union([filePath(), some(filePath())], { error: () => 'is no trust; write system, a path of a PEM bundle or a list of both' })
    .prefault('system')
    .describe('whose certificates are trusted: system, a PEM bundle, or a list of both'),
  clientCertificate: certificateSchema.optional().describe('shown to peers that ask; by default the first certificate'),
  dane: autoOff().default('auto').describe('whether DANE is honoured'),
  mtaSts: autoOff().default('auto').describe('whether MTA-STS is honoured'),
  downgradeMemory: duration(OPTIONAL_PATIENCE)
    .prefault('30d')
    .describe('how long it is remembered that a host spoke TLS; 0: not at all'),
  onDowngrade: z.enum(['warn', 'defer']).default('defer').describe('what happens when such a host no longer offers TLS'),
});

const outboundMatchSchema = z.strictObject({
  recipientDomains: some(domainPattern()).optional().describe('domains of the recipient, any of; by default all'),
  senderDomains: some(domainPattern()).optional().describe('domains of the reverse-path, any of; by default all'),
  inboundConnector: some(name()).optional().describe('inbound connectors the mail came through, any of; by default all mail'),
});

const routeSchema = z.strictObject({
  kind: z
    .enum(['mx', 'smarthost', 'reject'])
    .describe('mx: to the MX hosts of the recipient domain; smarthost: to the hosts named; reject: refuse'),
  hosts: some(nextHop())
    .optional()
    .describe('smarthost: where to, tried in order, like "smtp.example:25", "[192.0.2.7]:2525" or "mx:example.org"'),
  balance: z.boolean().optional().describe('smarthost: true shuffles the hosts'),
  tls: z.enum(['starttls', 'implicit']).optional().describe('smarthost: STARTTLS, or TLS from the first byte'),
  auth: z
    .strictObject({
      user: line(255).describe('the name to log in with'),
      password: secret().describe(`the password, best as "\${file:PATH}"`),
    })
    .optional()
    .describe('smarthost: credentials to log in with'),
  text: line(400).optional().describe('reject: the reason given to the sender'),
});

const connectorTlsSchema = z.strictObject({
  mode: z.enum(modes).default('opportunistic').describe('what every delivery must have, from plaintext to verify'),
  names: some(certificateName())
    .optional()
    .describe('verify: names of which the certificate must have one; by default that of the host'),
  pins: some(pin()).optional().describe('verify: public keys of which the certificate must have one'),
  ladder: ladder().optional().describe('narrower than tls.ladder'),
  ca: filePath().optional().describe('PEM bundle to trust instead of tls.trust'),
  clientCertificate: certificateSchema.optional().describe('shown to peers that ask, instead of tls.clientCertificate'),
  dane: autoOff().optional().describe('off: DANE is not asked for; wants an exception'),
  mtaSts: autoOff().optional().describe('off: MTA-STS is not asked for; wants an exception'),
  exception: z
    .strictObject({
      reason: line(400).describe('why DANE or MTA-STS is off here'),
      until: day().describe('until when, like 2026-12-31'),
    })
    .optional()
    .describe('why and until when DANE or MTA-STS is off'),
});

const connectorLimitsSchema = z.strictObject({
  connections: integer(1, 10_000).default(20).describe('connections at a time, for the whole relay'),
  messagesPerConnection: integer(1, 100_000).default(100).describe('messages before a connection is closed'),
  messagesPerMinute: integer(0, 10_000_000).default(0).describe('messages a minute, for the whole relay; 0: no limit'),
  recipientsPerMessage: integer(1, 10_000).default(100).describe('recipients in one transaction'),
});

const sourceSchema = z.strictObject({
  address: ipAddress().optional().describe('the local address to connect from'),
  helo: domain().optional().describe('the name to greet with; by default hostname'),
});

const connectorRetrySchema = z.strictObject({
  intervals: some(duration(PATIENCE)).optional().describe('instead of queue.retry'),
  expireAfter: duration(PATIENCE).optional().describe('instead of queue.expireAfter'),
});

/** Where mail goes and how safely. */
export const outboundConnectorSchema = z.strictObject({
  name: name().describe('what logs, metrics and commands call this connector'),
  match: outboundMatchSchema.prefault({}).describe('which mail this connector is for; the first that matches is taken'),
  route: routeSchema.prefault({ kind: 'mx' }).describe('where the mail goes; by default to the MX hosts'),
  tls: connectorTlsSchema.prefault({}).describe('how safely'),
  limits: connectorLimitsSchema.prefault({}).describe('how fast'),
  source: sourceSchema.prefault({}).describe('as whom'),
  retry: connectorRetrySchema.prefault({}).describe('how often and how long'),
  enabled: z.boolean().default(true).describe('false: as if the connector were not there'),
  testMode: z.boolean().default(false).describe('true: delivers opportunistically, counts what it would have blocked'),
});

/** Deadlines of a delivery. */
export const timeoutsSchema = z.strictObject({
  connect: duration(DEADLINE).prefault('30s').describe('for a TCP connection'),
  greeting: duration(DEADLINE).prefault('5m').describe('for the 220 greeting'),
  tls: duration(DEADLINE).prefault('30s').describe('for a TLS handshake'),
  command: duration(DEADLINE).prefault('5m').describe('for the reply to a command'),
  data: duration(DEADLINE).prefault('10m').describe('for each block of a message and for the final reply'),
});

/** One policy test. */
export const expectationSchema = z.strictObject({
  recipient: address().describe('a message to this address'),
  from: address().optional().describe('from this address; by default the null sender'),
  connector: name().optional().describe('must take this connector'),
  tls: z.enum(modes).optional().describe('must have this TLS mode'),
  plaintext: z
    .enum(['always', 'allowed', 'never'])
    .optional()
    .describe('may travel in plaintext always, as a last resort, or never'),
});
