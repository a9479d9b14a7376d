/**
 * Composition root of the facts about hosts: resolver, DANE, MTA-STS. One for each relay thread, and one for every command that
 * explains: they see what deliveries see.
 */
import { randomInt } from 'node:crypto';
import type { Resolver } from './dns/resolver.ts';
import { createStubResolver } from './dns/stub-resolver.ts';
import { systemServers } from './dns/system-servers.ts';
import type { Clock } from './domain/basics.ts';
import type { Config } from './domain/config.ts';
import { mayConnect } from './routing/address-policy.ts';
import { judgeDane, NOTHING_ASKED, nextQuestion } from './security/dane-policy.ts';
import { gatherDane } from './security/gather-dane.ts';
import type { FactSources } from './security/gather-facts.ts';
import { type MtaStsPolicies, openMtaStsPolicies, type PolicyStore, type StsNews } from './security/mta-sts-cache.ts';
import { createStsFetch, STS_FETCH_PATIENCE } from './security/mta-sts-fetch.ts';
import { anchorTexts } from './transport/nodemailer-tls-contexts.ts';
import type { TrustAnchors } from './transport/session.ts';

const HTTPS = 443;

/** What the sources are made of. */
export type FactSourcesOptions = {
  readonly config: Config;
  readonly clock: Clock;
  /** `tls.trust`, loaded. */
  readonly trust: TrustAnchors;
  /** Where MTA-STS policies are kept. */
  readonly store: PolicyStore;
  onNews(news: StsNews): void;
};

/** The sources while they are open. */
export type OpenFactSources = FactSources & {
  readonly resolver: Resolver;
  /** Null where MTA-STS is off. */
  readonly policies: MtaStsPolicies | null;
  /** Ends what is under way; later lookups are 'unreachable'. */
  close(): void;
};

/** Opens them as the configuration says. */
export async function openFactSources(options: FactSourcesOptions): Promise<OpenFactSources> {
  const { config, clock } = options;
  const resolver = createStubResolver({ ...systemServers(config.resolver), clock, randomInt: (below) => randomInt(below) });
  const closing = new AbortController();
  const policies = config.tls.mtaSts === 'off' ? null : await openPolicies(options, resolver);
  const dane: FactSources['dane'] =
    config.tls.dane === 'off'
      ? null
      : (host) =>
          nextQuestion(host, NOTHING_ASKED) === null
            ? judgeDane(host, NOTHING_ASKED)
            : gatherDane(host, resolver, closing.signal);
  return {
    resolver,
    policies,
    dane,
    mtaSts: policies === null ? null : (domain) => policies.statusFor(domain),
    close: () => {
      closing.abort();
      void policies?.close();
      resolver.close();
    },
  };
}

function openPolicies({ config, clock, trust, store, onNews }: FactSourcesOptions, resolver: Resolver): Promise<MtaStsPolicies> {
  const { ipv6, allowPrivateAddresses } = config.delivery;
  const context = {
    resolver,
    ipv6,
    mayConnect: (address: string) => mayConnect(address, { allowPrivate: allowPrivateAddresses, exempt: false }).ok,
    ca: anchorTexts(trust),
    port: HTTPS,
    patience: STS_FETCH_PATIENCE,
  };
  return openMtaStsPolicies({
    store,
    resolver,
    fetch: createStsFetch(context),
    clock,
    onNews,
  });
}
