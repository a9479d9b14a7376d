/**
 * Connectors: on what terms a peer may hand us mail, and where and how safely mail goes out.
 */
import { type Domain, isAddressLiteral } from './address.ts';
import type { Instant, Milliseconds, NonEmpty } from './basics.ts';
import type { NamePattern, SpkiHash } from './peer.ts';
import type { TlsMode, TlsRung } from './tls.ts';

/** `example.org`, `*.example.org` (any depth below, not the name itself) or `*`. */
export type DomainPattern =
  | { readonly kind: 'exact'; readonly domain: Domain }
  | { readonly kind: 'below'; readonly domain: Domain }
  | { readonly kind: 'any' };

/** True where the canonical domain is one the pattern means. Compares whole labels; `*` matches address literals, too. */
export function matchesDomain(pattern: DomainPattern, domain: Domain): boolean {
  switch (pattern.kind) {
    case 'any':
      return true;
    case 'exact':
      return domain === pattern.domain;
    case 'below':
      return !isAddressLiteral(domain) && domain.endsWith(`.${pattern.domain}`);
  }
}

/** The pattern as YAML writes it. */
export function domainPatternText(pattern: DomainPattern): string {
  switch (pattern.kind) {
    case 'any':
      return '*';
    case 'exact':
      return pattern.domain;
    case 'below':
      return `*.${pattern.domain}`;
  }
}

/** A range of addresses, `2001:db8::/32`; the address is canonical as node:net prints it. */
export type AddressRange = { readonly family: 'ipv4' | 'ipv6'; readonly address: string; readonly prefix: number };

/** On what terms a peer may hand us mail (interface.md, sections 2 and 3). */
export type InboundConnector = {
  readonly name: string;
  /** partner: restricts. organization: restricts, and may relay to anywhere. */
  readonly type: 'partner' | 'organization';
  readonly match: {
    readonly senderDomains: readonly DomainPattern[];
    readonly addresses: readonly AddressRange[];
    /** Names of a verified client certificate, any of. */
    readonly certificates: readonly NamePattern[];
  };
  readonly require: {
    /** True also where `certificates` is not empty. */
    readonly tls: boolean;
    readonly addresses: readonly AddressRange[];
    /** A verified client certificate must have one of these names. Empty: none is required. */
    readonly certificates: readonly NamePattern[];
  };
  readonly enabled: boolean;
  /** Never blocks; what it would have blocked is logged and counted. */
  readonly testMode: boolean;
  /** A client certificate may lack the clientAuth usage, as long as it has serverAuth. */
  readonly acceptServerAuthOnly: boolean;
};

/** A next hop as an operator names it in `hosts`. */
export type NextHop =
  | { readonly kind: 'host'; readonly name: Domain; readonly port: number }
  | { readonly kind: 'address'; readonly address: string; readonly port: number }
  /** The MX hosts of a domain. */
  | { readonly kind: 'mx'; readonly domain: Domain; readonly port: number };

/** What this relay shows to a smarthost. Never logged. */
export type Credentials = { readonly user: string; readonly password: string };

/** Where a connector's mail goes. */
export type Route =
  | { readonly kind: 'mx' }
  | {
      readonly kind: 'smarthost';
      readonly hosts: NonEmpty<NextHop>;
      readonly balance: boolean;
      readonly tls: 'starttls' | 'implicit';
      /** Sent inside TLS only, whatever the mode. */
      readonly auth: Credentials | null;
    }
  | { readonly kind: 'reject'; readonly text: string };

/** How one connector's traffic is paced, for the whole relay (threads divide it). */
export type ConnectorLimits = {
  readonly connections: number;
  readonly messagesPerConnection: number;
  /** Null: no limit. */
  readonly messagesPerMinute: number | null;
  readonly recipientsPerMessage: number;
};

/** When to try again and when to give up. */
export type RetrySchedule = {
  /** The last one repeats. */
  readonly intervals: NonEmpty<Milliseconds>;
  readonly delayNoticeAfter: Milliseconds | null;
  readonly expireAfter: Milliseconds;
};

/** What a connector demands of the peer's TLS. */
export type OutboundTls = {
  readonly mode: TlsMode;
  readonly ladder: readonly TlsRung[];
  /** `verify`: acceptable names. Empty: the name of the host. */
  readonly names: readonly NamePattern[];
  /** `verify`: acceptable keys, any of. */
  readonly pins: readonly SpkiHash[];
  /** A PEM bundle instead of `tls.trust`; an absolute path. */
  readonly ca: string | null;
  /** Shown when the peer asks for one. Null: `tls.clientCertificate`. */
  readonly clientCertificate: CertificateFiles | null;
  readonly dane: 'auto' | 'off';
  readonly mtaSts: 'auto' | 'off';
  /** Why DANE or MTA-STS are off, and until when; null where both are on. */
  readonly exception: { readonly reason: string; readonly until: Instant } | null;
};

/** Paths of one certificate chain and its key, absolute. */
export type CertificateFiles = { readonly cert: string; readonly key: string };

/** Where mail goes and how safely (interface.md, sections 2 and 4). */
export type OutboundConnector = {
  readonly name: string;
  readonly match: {
    readonly recipientDomains: readonly DomainPattern[];
    /** Empty: any sender, the null sender included. */
    readonly senderDomains: readonly DomainPattern[];
    /** Empty: any origin. */
    readonly inboundConnectors: readonly string[];
  };
  readonly route: Route;
  readonly tls: OutboundTls;
  /** Deliver opportunistically; count and log what `tls` would have blocked. */
  readonly testMode: boolean;
  readonly limits: ConnectorLimits;
  readonly source: { readonly address: string | null; readonly helo: Domain | null };
  readonly retry: RetrySchedule;
  readonly enabled: boolean;
};
