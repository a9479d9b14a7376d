/**
 * Schema of what receives mail: listeners, certificates, inbound connectors, users. Pure.
 */
import { z } from 'zod';
import {
  addressRange,
  certificateName,
  domainPattern,
  endpoint,
  filePath,
  line,
  name,
  scryptHash,
  senderPattern,
  some,
} from './schema-values.ts';

/** A certificate and its key. */
export const certificateSchema = z.strictObject({
  cert: filePath().describe('PEM file with the certificate, then the intermediate certificates'),
  key: filePath().describe('PEM file with the private key'),
});

/** One address the relay listens on. */
export const listenerSchema = z.strictObject({
  name: name().describe('what logs and metrics call this listener'),
  address: endpoint().describe('IP address and port, like "0.0.0.0:25" or "[::]:25"'),
  tls: z
    .enum(['starttls', 'implicit', 'off'])
    .default('starttls')
    .describe('starttls: offered; implicit: from the first byte (port 465); off: never'),
  proxyProtocol: z.array(addressRange()).optional().describe('peers that must speak PROXY protocol v1 or v2'),
  auth: z.enum(['off', 'optional', 'required']).default('off').describe('whether clients may or must log in; only after TLS'),
  requireTls: z.boolean().default(false).describe('true: 530 5.7.0 before STARTTLS for everyone'),
});

const inboundMatchSchema = z.strictObject({
  senderDomains: some(domainPattern()).optional().describe('domains of the reverse-path, any of'),
  addresses: some(addressRange()).optional().describe('addresses or networks of the client, any of'),
  certificates: some(certificateName()).optional().describe('names in a client certificate that chains to tls.trust, any of'),
});

const inboundRequireSchema = z.strictObject({
  tls: z.boolean().default(false).describe('true: mail only over TLS'),
  certificates: some(certificateName())
    .optional()
    .describe('names of which a verified client certificate must have one; implies tls'),
  addresses: some(addressRange()).optional().describe('addresses or networks the client must come from'),
});

/** On what terms a peer may hand us mail. */
export const inboundConnectorSchema = z.strictObject({
  name: name().describe('what logs, metrics and match.inboundConnector call this connector'),
  type: z
    .enum(['partner', 'organization'])
    .describe('partner: restricts who may send; organization: restricts, and may relay to anywhere'),
  match: inboundMatchSchema.prefault({}).describe('which mail this connector is about'),
  require: inboundRequireSchema.prefault({}).describe('what that mail must come with; else it is refused'),
  enabled: z.boolean().default(true).describe('false: as if the connector were not there'),
  testMode: z.boolean().default(false).describe('true: never blocks, logs and counts what it would have blocked'),
  acceptServerAuthOnly: z
    .boolean()
    .default(true)
    .describe('whether a client certificate may lack the clientAuth usage, as those of public authorities do since 2026'),
});

/** Someone who may log in. */
export const userSchema = z.strictObject({
  name: line(128).describe('the name to log in with'),
  password: scryptHash().describe('scrypt hash of the password'),
  senders: some(senderPattern()).describe('addresses this user may send from, like "*@example.org"'),
});
