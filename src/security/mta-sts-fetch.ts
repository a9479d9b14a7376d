/**
 * Fetches a domain's MTA-STS policy: looks up the policy host, connects to an address it may connect to, and takes nothing but what
 * RFC 8461, section 3.3, lets count: 200, plain text, 64 KiB, a certificate for the very name, a minute in all. Caches nothing.
 */
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { Resolver } from '../dns/resolver.ts';
import { type Domain, parseDomain } from '../domain/address.ts';
import { err, isNonEmpty, type Milliseconds, type NonEmpty, ok, type Result } from '../domain/basics.ts';
import type { DnsAnswer } from '../domain/dns.ts';
import type { StsFetchFailure, StsPolicy } from '../domain/mta-sts.ts';
import { namePatternText } from '../domain/peer.ts';
import { dnsNames, satisfies } from './certificate-names-format.ts';
import { isPlainText, MAX_POLICY_BYTES, parsePolicy } from './mta-sts-format.ts';
import { untrustedReason } from './untrusted-table.ts';

/** How long a fetch may take in all (RFC 8461, section 3.3). */
export const STS_FETCH_PATIENCE: Milliseconds = 60_000;
/** Until TLS stands at one address, where there is another to try. */
const CONNECT_PATIENCE: Milliseconds = 10_000;
const MAX_ADDRESSES = 4;
const MAX_HEADER_BYTES = 16_384;
const PATH = '/.well-known/mta-sts.txt';

/** What a fetch works with. */
export type StsFetchContext = {
  readonly resolver: Pick<Resolver, 'a' | 'aaaa'>;
  readonly ipv6: boolean;
  /** Whether the relay connects to this address of a host that a stranger named. */
  mayConnect(address: string): boolean;
  /** PEM of the authorities to trust; null: Node's own. */
  readonly ca: readonly string[] | null;
  /** 443. */
  readonly port: number;
  readonly patience: Milliseconds;
};

type Fetched<T> = Result<T, StsFetchFailure>;
type Work = Omit<StsFetchContext, 'ca'> & { trust(): SecureContext };
type Target = { readonly name: Domain; readonly address: string; readonly last: boolean; readonly work: Work };

/** Fetches the policy of a domain as published now. Never rejects; ends within the patience, and soon after `signal` aborts ('timeout'). */
export type StsFetch = (domain: Domain, signal: AbortSignal) => Promise<Fetched<StsPolicy>>;

/** A fetcher. The authorities are read once, at the first fetch: some systems have hundreds. */
export function createStsFetch({ ca, ...context }: StsFetchContext): StsFetch {
  let trusted: SecureContext | null = null;
  const trust = (): SecureContext => {
    trusted ??= createSecureContext({ ...(ca === null ? {} : { ca: [...ca] }), minVersion: 'TLSv1.2' });
    return trusted;
  };
  return (domain, signal) => fetchPolicy(domain, { ...context, trust }, signal);
}

async function fetchPolicy(domain: Domain, work: Work, signal: AbortSignal): Promise<Fetched<StsPolicy>> {
  const name = parseDomain(`mta-sts.${domain}`);
  if (name === null) return err({ kind: 'address', problem: 'absent' });
  const ending = new AbortController();
  const end = (): void => ending.abort();
  const timer = setTimeout(end, work.patience);
  signal.addEventListener('abort', end);
  if (signal.aborted) end();
  try {
    const body = await fetchBody(name, work, ending.signal);
    if (!body.ok) return body;
    const policy = parsePolicy(body.value);
    return policy.ok ? policy : err({ kind: 'invalid', fault: policy.error });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  }
}

async function fetchBody(name: Domain, work: Work, signal: AbortSignal): Promise<Fetched<Uint8Array>> {
  const addresses = await findAddresses(name, work, signal);
  if (!addresses.ok) return addresses;
  let result: Fetched<Uint8Array> = err({ kind: 'timeout' });
  for (const [index, address] of addresses.value.entries()) {
    if (signal.aborted) return err({ kind: 'timeout' });
    result = await get({ name, address, last: index === addresses.value.length - 1, work }, signal);
    // Only where nobody answered may another address do better; what a host said counts.
    if (result.ok || (result.error.kind !== 'connect' && result.error.kind !== 'timeout')) return result;
  }
  return result;
}

async function findAddresses(name: Domain, work: Work, signal: AbortSignal): Promise<Fetched<NonEmpty<string>>> {
  const { resolver, ipv6, mayConnect } = work;
  const answers = await Promise.all([resolver.a(name, signal), ...(ipv6 ? [resolver.aaaa(name, signal)] : [])]);
  if (signal.aborted) return err({ kind: 'timeout' });
  const [a = [], aaaa = []] = answers.map((answer) => (answer.kind === 'records' ? answer.records : []));
  const found = Array.from({ length: MAX_ADDRESSES }, (_, index) => [a[index], aaaa[index]]).flat();
  const known = found.filter((address) => address !== undefined);
  const allowed = known.filter(mayConnect).slice(0, MAX_ADDRESSES);
  if (isNonEmpty(allowed)) return ok(allowed);
  if (isNonEmpty(known)) return err({ kind: 'forbidden-address', address: known[0] });
  return err({ kind: 'address', problem: whyNone(answers) });
}

/** "There is none" only where every answer said so. */
function whyNone(answers: readonly DnsAnswer<string>[]): Extract<StsFetchFailure, { kind: 'address' }>['problem'] {
  for (const answer of answers) {
    if (answer.kind === 'bogus') return 'bogus';
    if (answer.kind === 'unknown') return answer.problem;
  }
  return 'absent';
}

type Phase = 'connect' | 'handshake' | 'http';

/** One GET at one address. */
function get({ name, address, last, work }: Target, signal: AbortSignal): Promise<Fetched<Uint8Array>> {
  return new Promise((resolve) => {
    let phase: Phase = 'connect';
    const secureContext = { secureContext: work.trust() };
    const request = httpsRequest({
      // Known to node:tls, which gets all options, though not to the types of node:https.
      ...secureContext,
      host: address,
      port: work.port,
      servername: name,
      path: PATH,
      headers: {
        host: name,
        accept: 'text/plain',
        'accept-encoding': 'identity',
        'cache-control': 'no-cache',
        connection: 'close',
      },
      agent: false,
      rejectUnauthorized: true,
      checkServerIdentity: (_host, certificate) => judgeName(name, certificate.subjectaltname),
      maxHeaderSize: MAX_HEADER_BYTES,
    });
    const finish = (result: Fetched<Uint8Array>): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
      resolve(result);
      request.destroy();
    };
    const giveUp = (): void => finish(err({ kind: 'timeout' }));
    const timer = last ? undefined : setTimeout(giveUp, CONNECT_PATIENCE);
    signal.addEventListener('abort', giveUp, { once: true });
    request.on('error', (error) => finish(err(failureOf(phase, error))));
    request.on('socket', (socket) => {
      socket.once('connect', () => {
        phase = 'handshake';
      });
      socket.once('secureConnect', () => {
        phase = 'http';
        clearTimeout(timer);
      });
    });
    const closed = (): void => finish(err({ kind: 'broken', code: 'closed' }));
    request.on('close', closed);
    request.on('response', (response) => {
      // A body that ends with the connection is whole only after the request has closed.
      request.off('close', closed);
      readResponse(response, finish);
    });
    request.end();
  });
}

/** Takes the body of an acceptable response. `finish` may be called more than once; the first call counts. */
function readResponse(response: IncomingMessage, finish: (result: Fetched<Uint8Array>) => void): void {
  const broken = (code: string): void => finish(err({ kind: 'broken', code }));
  response.on('error', (error) => broken(codeOf(error)));
  response.on('close', () => broken('closed'));
  const { statusCode = 0, headers } = response;
  if (statusCode !== 200) return finish(err({ kind: 'status', status: statusCode }));
  const type = headers['content-type'] ?? '';
  if (!isPlainText(type)) return finish(err({ kind: 'media-type', presented: printable(type) }));
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') return broken('content-encoding');
  if (Number(headers['content-length'] ?? 0) > MAX_POLICY_BYTES) return finish(err({ kind: 'too-large' }));
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  response.on('data', (chunk: Uint8Array) => {
    bytes += chunk.length;
    if (bytes > MAX_POLICY_BYTES) finish(err({ kind: 'too-large' }));
    else chunks.push(chunk);
  });
  response.on('end', () => (response.complete ? finish(ok(Buffer.concat(chunks))) : broken('truncated')));
}

/** A certificate for another name, as node:https wants to hear of it. */
class WrongName extends Error {
  readonly presented: readonly string[];
  constructor(presented: readonly string[]) {
    super('the certificate is for other names');
    this.presented = presented;
  }
}

/** Alternative names only (RFC 8461, section 3.3: DNS-ID); Node's own check would take a common name. */
function judgeName(name: Domain, subjectAltName: string | undefined): Error | undefined {
  const presented = dnsNames({ subjectAltName });
  if (presented.some((pattern) => satisfies(pattern, { kind: 'exact', domain: name }))) return undefined;
  return new WrongName(presented.slice(0, 20).map(namePatternText));
}

const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?').slice(0, 100);
const codeOf = (error: Error): string =>
  printable('code' in error && typeof error.code === 'string' ? error.code : error.message);

/** The phase decides; within the handshake OpenSSL's verdicts on the chain are told from everything else by their names. */
function failureOf(phase: Phase, error: Error): StsFetchFailure {
  if (error instanceof WrongName) return { kind: 'name-mismatch', presented: error.presented };
  const code = codeOf(error);
  switch (phase) {
    case 'connect':
      return { kind: 'connect', code };
    case 'handshake':
      return /^(E[A-Z]+$|ERR_)/.test(code) ? { kind: 'handshake', code } : { kind: 'untrusted', reason: untrustedReason(code) };
    case 'http':
      return { kind: 'broken', code };
  }
}
