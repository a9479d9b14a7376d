/**
 * The house rules about imports as tables: kinds of file by name, who owns which technology, which stage may look at which.
 * Paths are relative to src/.
 */

/** What a file is, by its name (README, "The house"). */
export type Kind = 'pure' | 'port' | 'root' | 'adapter' | 'flow';

/** First match wins. */
export const KINDS: readonly (readonly [pattern: RegExp, kind: Kind])[] = [
  [/^domain\//, 'pure'],
  [/-(policy|format|table)\.ts$/, 'pure'],
  // Of config/ only the files that read and watch touch the world.
  [/^config\/(?!(live|load)-config\.ts)/, 'pure'],
  [/^(spool\/spool|dns\/resolver|transport\/session|platform\/logger|reporting\/history)\.ts$/, 'port'],
  [
    /^(main|app|active-config|fact-sources|history-service|relay-snapshot|relay-worker|relay-protocol|tls-report-service)\.ts$/,
    'root',
  ],
  [/^spool\/spool-thread\.ts$/, 'root'],
  [/^reporting\/history-thread\.ts$/, 'root'],
  [/^cli\//, 'root'],
  [/^inbound\/smtp-server-/, 'adapter'],
  [/^transport\/nodemailer-/, 'adapter'],
  [/^spool\/(sqlite|postgres)-/, 'adapter'],
  [/^reporting\/sqlite-/, 'adapter'],
  [/^dns\/stub-/, 'adapter'],
  [/^platform\/log\.ts$/, 'adapter'],
];

/** Who may import a technology, types included. What is not listed here may be imported by no file at all. */
export const TECHNOLOGIES: readonly (readonly [module: RegExp, owners: RegExp])[] = [
  [/^smtp-server(\/|$)/, /^inbound\/smtp-server-/],
  [/^nodemailer(\/|$)/, /^transport\/nodemailer-/],
  [/^node:sqlite$/, /^(spool\/(sqlite-[\w-]+|spool-thread)|reporting\/sqlite-[\w-]+)\.ts$/],
  [/^pino$/, /^platform\/log\.ts$/],
  [/^zod$/, /^config\/(schema|compile)[\w-]*\.ts$/],
  [/^yaml$/, /^config\//],
  [/^dns-packet$/, /^dns\/stub-/],
  [/^commander$/, /^(main\.ts|cli\/)/],
  [
    /^node:worker_threads$/,
    /^(platform\/threads|relay-worker|relay-protocol|app|spool\/spool-thread|spool\/[\w-]+-protocol|spool\/sqlite-[\w-]+|reporting\/history-thread)\.ts$/,
  ],
  [/^node:(dgram|dns)(\/promises)?$/, /^(dns\/|platform\/local-address\.ts$)/],
  [/^node:http$/, /^((admin|cli)\/|security\/mta-sts-fetch\.ts$)/],
  [/^node:tls$/, /^(inbound\/smtp-server-|transport\/nodemailer-|platform\/|security\/mta-sts-fetch\.ts$)/],
  [/^node:/, /./],
];

/** What a pure file may take from Node: functions of their arguments. An empty list: types only. */
export const PURE_NODE: Readonly<Record<string, readonly string[]>> = {
  'node:net': ['isIP', 'isIPv4', 'isIPv6', 'BlockList', 'SocketAddress'],
  'node:url': ['domainToASCII', 'domainToUnicode', 'URL'],
  'node:buffer': ['Buffer', 'isUtf8', 'isAscii'],
  'node:crypto': [
    'X509Certificate',
    'KeyObject',
    'createPrivateKey',
    'createPublicKey',
    'createHash',
    'createHmac',
    'timingSafeEqual',
  ],
  'node:path': ['isAbsolute', 'join', 'dirname', 'basename', 'extname', 'normalize', 'posix', 'sep'],
  'node:util': ['isDeepStrictEqual'],
  'node:punycode': [],
};

/** Packages a pure file may use: parsers, functions of their arguments. */
export const PURE_PACKAGES: readonly RegExp[] = [/^zod$/, /^yaml$/];

/** What a pure file must not say. */
export const IMPURE: readonly (readonly [pattern: RegExp, what: string])[] = [
  [/(?<![.\w$])Date\.now\b/, 'the clock'],
  [/(?<![.\w$])new\s+Date\s*\(\s*\)|(?<![.\w$])(?<!new\s+)Date\s*\(/, 'the clock'],
  [/(?<![.\w$])performance\b(?!\s*\??:)/, 'the clock'],
  [/(?<![.\w$])Math\.random\b/, 'chance'],
  [/(?<![.\w$])crypto\.(randomUUID|getRandomValues)\b/, 'chance'],
  [/(?<![.\w$])process\b(?!\s*\??:)/, 'the process'],
  [/(?<![.\w$])console\b(?!\s*\??:)/, 'the console'],
  [/(?<![.\w$])(fetch|setTimeout|setInterval|setImmediate|queueMicrotask)\s*\(/, 'the world outside'],
  [/(?<![.\w$])(globalThis|import\.meta)\b/, 'the world outside'],
];

/** What only a composition root may say: time and chance come in as arguments. */
export const ROOTS_ONLY: readonly (readonly [pattern: RegExp, what: string])[] = [
  [/(?<![.\w$])Date\.now\b/, 'the wall clock'],
  [/(?<![.\w$])new\s+Date\s*\(\s*\)/, 'the wall clock'],
  [/(?<![.\w$])Math\.random\b/, 'chance'],
];

/**
 * Which folders a folder may look at, besides itself. `inbound → spool ← delivery → routing, security, transport, reporting`.
 * Of platform/ everyone may use ports and pure files; its flows and adapters are for roots.
 */
export const STAGES: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  config: ['domain'],
  inbound: ['domain', 'spool', 'security', 'platform'],
  spool: ['domain', 'platform'],
  delivery: ['domain', 'spool', 'routing', 'security', 'transport', 'reporting', 'dns', 'platform'],
  routing: ['domain', 'dns'],
  security: ['domain', 'dns', 'spool'],
  transport: ['domain', 'security', 'platform'],
  reporting: ['domain', 'platform'],
  dns: ['domain'],
  admin: ['domain', 'spool', 'config', 'routing', 'security', 'reporting', 'platform'],
  cli: ['domain', 'config', 'admin', 'delivery', 'platform', 'routing', 'security', 'reporting', 'dns', 'transport', 'inbound'],
  platform: ['domain', 'dns'],
};

/** Of these folders others see the port (and pure files) only; the rest is for composition roots. */
export const PORT_ONLY: readonly string[] = ['spool', 'dns', 'platform'];
