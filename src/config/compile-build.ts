/**
 * A document that satisfied every check becomes a `Config`: paths absolute, defaults that depend on others filled in. Pure.
 */
import { isAbsolute, join } from 'node:path';
import { type Domain, parseDomain } from '../domain/address.ts';
import type { Config, Expectation, TlsRptConfig } from '../domain/config.ts';
import type {
  CertificateFiles,
  InboundConnector,
  OutboundConnector,
  OutboundTls,
  RetrySchedule,
  Route,
} from '../domain/connector.ts';
import type { TlsRung } from '../domain/tls.ts';
import { DEFAULT_CONNECTOR } from './compile-outbound.ts';
import { UNTIL_SUPPORTED } from './not-supported-table.ts';
import type { ConfigDocument, InboundDocument, OutboundDocument } from './schema.ts';
import { outboundConnectorSchema } from './schema-outbound.ts';
import { lastMomentOf } from './schema-values.ts';
import { type Draft, errorAt, field, type Tree } from './tree.ts';

/** What defaults are taken from the machine. */
export type Machine = {
  readonly hostname: string;
  /** Cores the process may use, at least one. */
  readonly cores: number;
};

/** More relay threads than this gain nothing. */
const MOST_WORKERS = 64;
const REJECT_TEXT = 'Mail to this destination is not accepted here';

/** The machine's name must do where none is given. */
export function checkMachine(tree: Tree, machine: Machine): readonly Draft[] {
  if (field(tree.root, 'hostname') !== undefined || parseDomain(machine.hostname) !== null) return [];
  return [errorAt(['hostname'], 'is missing, and the name of this machine is no domain name; write it like relay.example.org')];
}

/** What buildConfig needs besides the document. */
export type BuildContext = { readonly root: string; readonly machine: Machine };

type Absolute = (path: string) => string;
type Defaults = { readonly ladder: readonly TlsRung[]; readonly retry: RetrySchedule; readonly absolute: Absolute };

/** The configuration of a document that passed. */
export function buildConfig(document: ConfigDocument, { root, machine }: BuildContext): Config {
  const absolute = (path: string): string => (isAbsolute(path) ? path : join(root, path));
  const hostname = document.hostname ?? machineName(machine);
  const { queue, resolver, delivery, log, tls, admin, bounces } = document;
  const [first, ...rest] = document.listeners;
  const retry: RetrySchedule = {
    intervals: queue.retry,
    delayNoticeAfter: orNull(queue.delayNoticeAfter),
    expireAfter: queue.expireAfter,
  };
  return {
    hostname,
    listeners: [buildListener(first), ...rest.map(buildListener)],
    certificates: document.certificates.map(({ cert, key }) => ({ cert: absolute(cert), key: absolute(key) })),
    selfSigned: { cert: absolute('certs/self-signed.pem'), key: absolute('certs/self-signed.key') },
    acceptedDomains: document.acceptedDomains,
    tls: {
      minVersion: tls.minVersion,
      ladder: tls.ladder,
      trust: buildTrust(tls.trust, absolute),
      clientCertificate: filesOf(tls.clientCertificate, absolute),
      dane: tls.dane,
      mtaSts: tls.mtaSts,
      downgradeMemory: orNull(tls.downgradeMemory),
      onDowngrade: tls.onDowngrade,
      ...UNTIL_SUPPORTED,
    },
    inbound: document.inbound.map(buildInbound),
    users: document.users,
    outbound: buildOutbound(document.outbound, { ladder: tls.ladder, retry, absolute }),
    queue: { path: absolute(sqlitePath(document)), ephemeral: queue.ephemeral, retry },
    limits: buildLimits(document),
    resolver,
    delivery,
    bounces: { from: bounces.from ?? `MAILER-DAEMON@${hostname}`, return: bounces.return },
    reports: { tlsRpt: buildTlsRpt(document, hostname, absolute) },
    admin: { ...admin.address, token: admin.token ?? null, stuckAfter: admin.stuckAfter },
    log,
    workers: document.workers === 'auto' ? Math.min(Math.max(machine.cores, 1), MOST_WORKERS) : document.workers,
    expect: document.expect.map(buildExpectation),
  };
}

const orNull = (value: number): number | null => (value === 0 ? null : value);

function machineName(machine: Machine): Domain {
  const hostname = parseDomain(machine.hostname);
  if (hostname === null) throw new Error('checkMachine was not asked');
  return hostname;
}

function sqlitePath({ queue: { store } }: ConfigDocument): string {
  if (store.kind !== 'sqlite') throw new Error('checkSupported was not asked');
  return store.path;
}

function buildListener({ name, address, tls, requireTls, auth }: ConfigDocument['listeners'][0]): Config['listeners'][0] {
  return { name, host: address.host, port: address.port, tls, requireTls, auth };
}

function buildLimits({ limits }: ConfigDocument): Config['limits'] {
  return {
    messageSizeBytes: limits.messageSize,
    recipientsPerMessage: limits.recipientsPerMessage,
    connections: limits.connections,
    connectionsPerAddress: limits.connectionsPerAddress,
    messagesPerMinutePerAddress: orNull(limits.messagesPerMinutePerAddress),
    hops: limits.hops,
    diskFreeBytes: limits.diskFree,
  };
}

function buildInbound({ match, require, ...rest }: InboundDocument): InboundConnector {
  const { senderDomains = [], addresses = [], certificates = [] } = match;
  const demanded = require.certificates ?? [];
  return {
    ...rest,
    match: { senderDomains, addresses, certificates },
    require: { tls: require.tls || demanded.length > 0, addresses: require.addresses ?? [], certificates: demanded },
  };
}

function buildExpectation({ recipient, from, connector, tls, plaintext }: ConfigDocument['expect'][number]): Expectation {
  return { recipient, from: from ?? null, connector: connector ?? null, tls: tls ?? null, plaintext: plaintext ?? null };
}

/** Reports are sent under this relay's name unless another is given. */
function buildTlsRpt({ reports: { tlsRpt } }: ConfigDocument, hostname: Domain, absolute: Absolute): TlsRptConfig | null {
  if (!tlsRpt.enabled) return null;
  const { dkim } = tlsRpt;
  return {
    from: tlsRpt.from ?? { localPart: 'tls-reports', domain: hostname },
    organization: tlsRpt.organization ?? hostname,
    dkim: dkim === undefined ? null : { ...dkim, key: absolute(dkim.key) },
  };
}

const filesOf = (files: CertificateFiles | undefined, absolute: Absolute): CertificateFiles | null =>
  files === undefined ? null : { cert: absolute(files.cert), key: absolute(files.key) };

/** `system` stands for the system's anchors; everything else is a file. */
function buildTrust(trust: string | readonly string[], absolute: Absolute): Config['tls']['trust'] {
  const named = typeof trust === 'string' ? [trust] : trust;
  return { system: named.includes('system'), files: named.filter((each) => each !== 'system').map(absolute) };
}

function buildTls({ tls }: OutboundDocument, defaults: Defaults): OutboundTls {
  const { exception } = tls;
  return {
    mode: tls.mode,
    ladder: tls.mode === 'plaintext' ? [] : (tls.ladder ?? defaults.ladder),
    names: tls.names ?? [],
    pins: tls.pins ?? [],
    ca: tls.ca === undefined ? null : defaults.absolute(tls.ca),
    clientCertificate: filesOf(tls.clientCertificate, defaults.absolute),
    dane: tls.dane ?? 'auto',
    mtaSts: tls.mtaSts ?? 'auto',
    exception: exception === undefined ? null : { reason: exception.reason, until: lastMomentOf(exception.until) },
  };
}

/** The connectors as written, and the implicit one that takes what none of them does. */
function buildOutbound(documents: readonly OutboundDocument[], defaults: Defaults): Config['outbound'] {
  const last = buildConnector(outboundConnectorSchema.parse({ name: DEFAULT_CONNECTOR }), defaults);
  const [first, ...rest] = documents.map((document) => buildConnector(document, defaults));
  return first === undefined ? [last] : [first, ...rest, last];
}

function buildConnector(document: OutboundDocument, defaults: Defaults): OutboundConnector {
  const { name, match, limits, source, retry, enabled, testMode } = document;
  return {
    name,
    match: {
      recipientDomains: match.recipientDomains ?? [{ kind: 'any' }],
      senderDomains: match.senderDomains ?? [],
      inboundConnectors: match.inboundConnector ?? [],
    },
    route: buildRoute(document.route),
    tls: buildTls(document, defaults),
    testMode,
    limits: { ...limits, messagesPerMinute: orNull(limits.messagesPerMinute) },
    source: { address: source.address ?? null, helo: source.helo ?? null },
    retry: {
      intervals: retry.intervals ?? defaults.retry.intervals,
      delayNoticeAfter: defaults.retry.delayNoticeAfter,
      expireAfter: retry.expireAfter ?? defaults.retry.expireAfter,
    },
    enabled,
  };
}

function buildRoute({ kind, hosts, balance, tls, auth, text }: OutboundDocument['route']): Route {
  switch (kind) {
    case 'mx':
      return { kind };
    case 'smarthost':
      if (hosts === undefined) throw new Error('checkOutbound was not asked');
      return { kind, hosts, balance: balance ?? false, tls: tls ?? 'starttls', auth: auth ?? null };
    case 'reject':
      return { kind, text: text ?? REJECT_TEXT };
  }
}
