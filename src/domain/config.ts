/**
 * The configuration as everything behind config/compile.ts knows it: validated, defaults filled in, references resolved,
 * plain data that can be posted to a thread. Immutable; a session or attempt uses the snapshot it began with.
 */
import type { Domain, Mailbox, ReversePath } from './address.ts';
import type { Milliseconds, NonEmpty } from './basics.ts';
import type {
  AddressRange,
  CertificateFiles,
  DomainPattern,
  InboundConnector,
  OutboundConnector,
  RetrySchedule,
} from './connector.ts';
import type { Plaintext, TlsMode, TlsRung } from './tls.ts';
import type { UserConfig } from './user.ts';

/** One address the relay listens on. */
export type ListenerConfig = {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly tls: 'starttls' | 'implicit' | 'off';
  /** 530 5.7.0 before STARTTLS for everyone. */
  readonly requireTls: boolean;
  /** Whether clients may or must log in; only ever inside TLS. */
  readonly auth: 'off' | 'optional' | 'required';
};

/** Inbound limits (interface.md, section 2). */
export type LimitsConfig = {
  readonly messageSizeBytes: number;
  readonly recipientsPerMessage: number;
  readonly connections: number;
  readonly connectionsPerAddress: number;
  /** Null: no limit. */
  readonly messagesPerMinutePerAddress: number | null;
  readonly hops: number;
  readonly diskFreeBytes: number;
};

/** A policy test: what must be decided about a message that no inbound connector is known to have brought. */
export type Expectation = {
  readonly recipient: Mailbox;
  /** Null: the null sender, also where none is written. */
  readonly from: ReversePath;
  /** Each null: whatever it is. */
  readonly connector: string | null;
  readonly tls: TlsMode | null;
  readonly plaintext: Plaintext | null;
};

/** Outbound deadlines by phase. */
export type DeliveryTimeouts = {
  readonly connect: Milliseconds;
  readonly greeting: Milliseconds;
  readonly tls: Milliseconds;
  readonly command: Milliseconds;
  /** For each block of the data and for the reply to the final dot. */
  readonly data: Milliseconds;
};

/** Reports about TLS to the domains mail goes to (RFC 8460). */
export type TlsRptConfig = {
  /** The sender: From, reverse-path and contact of reports. */
  readonly from: Mailbox;
  /** Who reports. */
  readonly organization: string;
  /** Signs reports; `key` is a file with an RSA key in PEM. Null: they go unsigned, and most receivers ignore such. */
  readonly dkim: { readonly domain: Domain; readonly selector: string; readonly key: string } | null;
};

/** The whole configuration. Paths are absolute. */
export type Config = {
  readonly hostname: Domain;
  readonly listeners: NonEmpty<ListenerConfig>;
  /** Empty: a self-signed certificate is made at first start, at `selfSigned`. */
  readonly certificates: readonly CertificateFiles[];
  readonly selfSigned: CertificateFiles;
  readonly acceptedDomains: readonly DomainPattern[];
  readonly tls: {
    readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
    readonly ladder: readonly TlsRung[];
    /** Trust anchors: the system's, PEM bundles (absolute paths), or both. */
    readonly trust: { readonly system: boolean; readonly files: readonly string[] };
    /** Shown when a peer asks for one. Null: the first of `certificates`. */
    readonly clientCertificate: CertificateFiles | null;
    readonly dane: 'auto' | 'off';
    readonly mtaSts: 'auto' | 'off';
    /** How long it is remembered that a host spoke TLS; null: not at all. */
    readonly downgradeMemory: Milliseconds | null;
    readonly onDowngrade: 'warn' | 'defer';
  };
  readonly inbound: readonly InboundConnector[];
  /** Who may log in where a listener's `auth` lets them; names are unique. */
  readonly users: readonly UserConfig[];
  /** In the order written, the implicit `default` last. Disabled ones are still here, for explanations. */
  readonly outbound: NonEmpty<OutboundConnector>;
  readonly queue: {
    /** The SQLite file. */
    readonly path: string;
    readonly ephemeral: boolean;
    readonly retry: RetrySchedule;
  };
  readonly limits: LimitsConfig;
  readonly resolver: {
    /** `address` or `address:port`; empty: those of /etc/resolv.conf. */ readonly servers: readonly string[];
    readonly dnssec: 'auto' | 'trust' | 'off';
  };
  readonly delivery: {
    readonly port: number;
    readonly ipv6: boolean;
    readonly allowPrivateAddresses: boolean;
    readonly timeouts: DeliveryTimeouts;
  };
  readonly bounces: {
    /** `MAILER-DAEMON@…` for the From header of notices. */ readonly from: string;
    readonly return: 'headers' | 'full';
  };
  readonly reports: {
    /** TLS reports (RFC 8460); null: none are sent. */
    readonly tlsRpt: TlsRptConfig | null;
  };
  readonly admin: {
    readonly host: string;
    readonly port: number;
    readonly token: string | null;
    readonly stuckAfter: Milliseconds;
  };
  readonly log: {
    readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
    readonly addresses: 'full' | 'domain' | 'hashed';
  };
  /** Relay threads. */
  readonly workers: number;
  readonly expect: readonly Expectation[];
};

/** Addresses of peers in a list, for policies that ask "is this one of them?". */
export type AddressList = readonly AddressRange[];
