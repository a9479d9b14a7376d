/**
 * The grammar of the configuration: every key with its type, default and description. Strict: nothing else may stand there.
 * Keys of later versions are here, too; not-supported-table.ts refuses them. Pure.
 */
import { z } from 'zod';
import { certificateSchema, inboundConnectorSchema, listenerSchema, userSchema } from './schema-inbound.ts';
import { expectationSchema, outboundConnectorSchema, tlsSchema } from './schema-outbound.ts';
import {
  adminSchema,
  bouncesSchema,
  deliverySchema,
  limitsSchema,
  logSchema,
  queueSchema,
  reportsSchema,
  resolverSchema,
} from './schema-service.ts';
import { domain, domainPattern, MOST_CONNECTORS, some, workers } from './schema-values.ts';

/** The whole document. */
export const configSchema = z.strictObject({
  hostname: domain().optional().describe("name for EHLO, banner and Received; by default the machine's"),
  listeners: some(listenerSchema).describe('where the relay listens; at least one'),
  certificates: z
    .array(certificateSchema)
    .default([])
    .describe('shown to clients; the first is the default, SNI picks by name; by default a self-signed one is made'),
  acceptedDomains: z.array(domainPattern()).default([]).describe('domains we take mail for from anyone'),
  tls: tlsSchema.prefault({}).describe('how TLS is spoken'),
  inbound: z
    .array(inboundConnectorSchema)
    .max(MOST_CONNECTORS)
    .default([])
    .describe('connectors: on what terms a peer may hand us mail'),
  users: z.array(userSchema).default([]).describe('who may log in'),
  outbound: z
    .array(outboundConnectorSchema)
    .default([])
    .describe('connectors: where mail goes and how safely; the first match wins'),
  queue: queueSchema.prefault({}).describe('where mail waits and how long'),
  limits: limitsSchema.prefault({}).describe('how much is taken in'),
  resolver: resolverSchema.prefault({}).describe('name resolution'),
  delivery: deliverySchema.prefault({}).describe('what holds for every delivery'),
  bounces: bouncesSchema.prefault({}).describe('failure and delay notices'),
  reports: reportsSchema.prefault({}).describe('reports to others'),
  admin: adminSchema.prefault({}).describe('the admin HTTP server'),
  log: logSchema.prefault({}).describe('the log'),
  workers: workers().prefault('auto').describe("threads that carry SMTP; auto: the machine's cores"),
  expect: z.array(expectationSchema).default([]).describe('policy tests that must hold'),
});

/** The document once it satisfied the schema: texts parsed, defaults filled in. */
export type ConfigDocument = z.output<typeof configSchema>;
/** One outbound connector of it. */
export type OutboundDocument = z.output<typeof outboundConnectorSchema>;
/** One inbound connector of it. */
export type InboundDocument = z.output<typeof inboundConnectorSchema>;
