/**
 * One configuration as a relay thread works with it: immutable, opened once, closed when nothing uses it any more. An attempt finds
 * everything by the connector it began with, so that no message is delivered under a mix of two configurations.
 */
import type { Clock, Random } from './domain/basics.ts';
import type { Config } from './domain/config.ts';
import type { OutboundConnector } from './domain/connector.ts';
import { type OpenFactSources, openFactSources } from './fact-sources.ts';
import type { ConnectorMaterials } from './platform/tls-materials.ts';
import type { PostedSnapshot } from './relay-protocol.ts';
import { createHostResolver, type HostResolver } from './routing/resolve-hosts.ts';
import type { PolicyStore, StsNews } from './security/mta-sts-cache.ts';
import { anchorTexts } from './transport/nodemailer-tls-contexts.ts';

/** What all snapshots of a thread share. */
export type SnapshotContext = {
  readonly clock: Clock;
  readonly random: Random;
  readonly ownAddresses: ReadonlySet<string>;
  readonly store: PolicyStore;
  onNews(news: StsNews): void;
};

/** A configuration, opened. */
export type Snapshot = {
  readonly config: Config;
  readonly facts: OpenFactSources;
  readonly hosts: HostResolver;
  /** `tls.trust` in PEM: what client certificates must chain to. Read at the first call. */
  clientAnchors(): readonly string[];
  materials(connector: OutboundConnector): ConnectorMaterials;
};

/** The snapshots of a thread: the current one, and older ones while attempts still use their connectors. */
export type Snapshots = {
  current(): Snapshot;
  /** The snapshot a connector belongs to. */
  of(connector: object): Snapshot;
  /** Makes another one current. */
  take(posted: PostedSnapshot): Promise<void>;
  /** Ends lookups of all that are open. */
  close(): void;
};

/** Trusts no one and shows nothing: for a connector without files, which loading would not have let through. */
const NO_MATERIALS: ConnectorMaterials = { id: 'none', trust: { system: false, pem: [] }, clientCertificate: null };
/** Longer than any attempt: then the lookups of a replaced configuration are ended. */
const CLOSE_AFTER = 30 * 60_000;

/** Opens the first snapshot. */
export async function openSnapshots(first: PostedSnapshot, context: SnapshotContext): Promise<Snapshots> {
  const byConnector = new WeakMap<object, Snapshot>();
  const open = new Set<OpenFactSources>();
  let factsKey = '';
  let current: Snapshot | null = null;

  const factsFor = async ({ config, materials }: PostedSnapshot): Promise<OpenFactSources> => {
    const trust = usualTrust(config, materials);
    const { resolver, tls, delivery } = config;
    const key = JSON.stringify([resolver, tls.dane, tls.mtaSts, trust, delivery.ipv6, delivery.allowPrivateAddresses]);
    if (current !== null && key === factsKey) return current.facts;
    const { clock, store, onNews } = context;
    const facts = await openFactSources({ config, clock, trust, store, onNews });
    const replaced = current?.facts;
    if (replaced !== undefined) setTimeout(() => retire(replaced), CLOSE_AFTER).unref();
    factsKey = key;
    open.add(facts);
    return facts;
  };
  const retire = (facts: OpenFactSources): void => {
    facts.close();
    open.delete(facts);
  };
  const take = async (posted: PostedSnapshot): Promise<void> => {
    const { config, materials } = posted;
    const facts = await factsFor(posted);
    const { random, clock, ownAddresses } = context;
    const snapshot: Snapshot = {
      config,
      facts,
      clientAnchors: once(() => anchorTexts(usualTrust(config, materials))),
      hosts: createHostResolver({ config: () => config, resolver: facts.resolver, random, clock, ownAddresses }),
      materials: ({ name }) => materials[name] ?? NO_MATERIALS,
    };
    for (const connector of config.outbound) byConnector.set(connector, snapshot);
    current = snapshot;
  };
  await take(first);
  const now = (): Snapshot => {
    if (current === null) throw new Error('no snapshot was taken');
    return current;
  };
  return {
    current: now,
    of: (connector) => byConnector.get(connector) ?? now(),
    take,
    close: () => {
      for (const facts of open) facts.close();
    },
  };
}

/** The value, made at the first call. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** `tls.trust`: that of the implicit last connector, which has no anchors of its own. */
export const usualTrust = ({ outbound }: Config, materials: PostedSnapshot['materials']): ConnectorMaterials['trust'] =>
  materials[outbound[outbound.length - 1]?.name ?? '']?.trust ?? NO_MATERIALS.trust;
