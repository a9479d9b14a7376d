/**
 * A real HTTPS server that publishes MTA-STS policies, one site for each policy domain: as it should be, or with one named
 * misbehaviour. Certificates come from an authority of its own, `caPem`.
 */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { createSecureContext } from 'node:tls';
import { type CertificateRequest, createAuthority } from './certificates.ts';

/** What goes wrong when a policy is asked for. */
export type PolicyMisbehaviour =
  | 'not-found'
  /** To a place where the policy is. */
  | 'redirect'
  | 'not-modified'
  | 'server-error'
  | 'wrong-type'
  /** A chunk at a time, without end. */
  | 'oversized'
  | 'oversized-announced'
  /** A header without end. */
  | 'oversized-header'
  | 'compressed'
  /** Says how long the body is and stops before. */
  | 'truncated'
  /** No misbehaviour: a body that ends where the connection ends. */
  | 'until-close'
  /** Takes the request and says nothing. */
  | 'silent'
  /** Headers, and then a byte now and then. */
  | 'drip'
  | 'hang-up'
  /** TLS, and then no HTTP. */
  | 'not-http'
  | 'wrong-certificate'
  | 'common-name-only'
  | 'wildcard-certificate'
  | 'wildcard-two-levels'
  | 'expired-certificate'
  | 'future-certificate'
  | 'self-signed'
  | 'unknown-authority'
  | 'client-certificate-only';

/** What a site publishes; defaults make a good policy in mode enforce. */
export type PolicySite = {
  readonly does?: PolicyMisbehaviour;
  readonly mode?: 'enforce' | 'testing' | 'none';
  readonly mx?: readonly string[];
  readonly maxAge?: number;
  /** Instead of all these. */
  readonly text?: string;
};

/** One request as it came. */
export type SeenRequest = { readonly method: string; readonly path: string; readonly headers: IncomingMessage['headers'] };

/** The running server; disposing of it ends every connection. */
export type PolicyHost = AsyncDisposable & {
  readonly port: number;
  readonly caPem: string;
  /** By policy domain; may be changed while it runs. */
  readonly sites: Record<string, PolicySite>;
  readonly seen: SeenRequest[];
  /** Connections accepted so far, those that came to no request included. */
  connections(): number;
};

const DAY = 86_400_000;
const DRIP_INTERVAL = 20;
const authority = createAuthority('Policy');

/** The text of a site's policy. */
export const policyText = ({ text, mode = 'enforce', mx = [], maxAge = 604_800 }: PolicySite): string =>
  text ?? ['version: STSv1', `mode: ${mode}`, ...mx.map((host) => `mx: ${host}`), `max_age: ${maxAge}`, ''].join('\r\n');

function certificateOf(name: string, does: PolicySite['does']): { readonly cert: string; readonly key: string } {
  const parent = name.slice(name.indexOf('.') + 1);
  const usual: CertificateRequest = { names: [name] };
  const requests: Partial<Record<PolicyMisbehaviour, CertificateRequest>> = {
    'wrong-certificate': { names: [`www.${parent}`, parent] },
    'common-name-only': { names: [], commonName: name },
    'wildcard-certificate': { names: [`*.${parent}`] },
    'wildcard-two-levels': { names: [`*.${parent.slice(parent.indexOf('.') + 1)}`] },
    'expired-certificate': { ...usual, notBefore: new Date(Date.now() - 30 * DAY), notAfter: new Date(Date.now() - DAY) },
    'future-certificate': { ...usual, notBefore: new Date(Date.now() + DAY) },
    'self-signed': { ...usual, selfSigned: true },
    'client-certificate-only': { ...usual, usages: ['clientAuth'] },
  };
  if (does === 'unknown-authority') return createAuthority('Stranger').issue(usual);
  return authority.issue((does === undefined ? undefined : requests[does]) ?? usual);
}

function reply(site: PolicySite, request: IncomingMessage, response: ServerResponse): void {
  const text = policyText(site);
  const plain = { 'content-type': 'text/plain; charset=utf-8' };
  const moved = request.url !== '/.well-known/mta-sts.txt';
  switch (site.does) {
    case 'not-found':
      return void response.writeHead(404, plain).end('not here');
    case 'redirect':
      return void (moved
        ? response.writeHead(200, plain).end(text)
        : response.writeHead(302, { ...plain, location: '/elsewhere' }).end(text));
    case 'not-modified':
      return void response.writeHead(304).end();
    case 'server-error':
      return void response.writeHead(500, plain).end(text);
    case 'wrong-type':
      return void response.writeHead(200, { 'content-type': 'text/html' }).end(text);
    case 'oversized':
      return pour(response.writeHead(200, plain), Buffer.alloc(16_384, 'x'), 1);
    case 'oversized-announced':
      return void response.writeHead(200, { ...plain, 'content-length': 65_537 }).write(text);
    case 'oversized-header':
      return void response.writeHead(200, { ...plain, 'x-much': 'y'.repeat(20_000) }).end(text);
    case 'compressed':
      return void response.writeHead(200, { ...plain, 'content-encoding': 'gzip' }).end(text);
    case 'truncated':
      response.writeHead(200, { ...plain, 'content-length': text.length + 10 }).write(text);
      return void setTimeout(() => response.destroy(), DRIP_INTERVAL);
    case 'until-close':
      return void request.socket.end(`HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n${text}`);
    case 'silent':
      return;
    case 'drip':
      return pour(response.writeHead(200, plain), Buffer.from('x'), DRIP_INTERVAL);
    case 'hang-up':
      return void response.destroy();
    case 'not-http':
      return void request.socket.end('220 mx.example.test ESMTP\r\n');
    default:
      return void response.writeHead(200, plain).end(text);
  }
}

/** Writes the piece again and again until the peer has had enough. */
function pour(response: ServerResponse, piece: Buffer, every: number): void {
  const timer = setInterval(() => response.write(piece), every);
  response.once('close', () => clearInterval(timer));
}

/** Serves the sites on a loopback address, by default on a free port, until disposed of. `oldTls`: nothing newer than TLS 1.1. */
export async function startPolicyHost(
  sites: Record<string, PolicySite>,
  { address = '127.0.0.1', port = 0, oldTls = false } = {},
): Promise<PolicyHost> {
  const seen: SeenRequest[] = [];
  const sockets = new Set<Duplex>();
  let connections = 0;
  const siteOf = (name: string | undefined): PolicySite | undefined => sites[name?.replace(/^mta-sts\./, '') ?? ''];
  const versions = oldTls ? ({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const) : {};
  const server = createServer({
    ...versions,
    SNICallback: (name, done) => done(null, createSecureContext({ ...certificateOf(name, siteOf(name)?.does), ...versions })),
  });
  server.on('request', (request, response) => {
    seen.push({ method: request.method ?? '', path: request.url ?? '', headers: request.headers });
    response.on('error', () => {});
    const site = siteOf(request.headers.host);
    if (site === undefined) response.writeHead(421).end();
    else reply(site, request, response);
  });
  server.on('connection', (socket) => {
    connections++;
    sockets.add(socket.on('error', () => {}).on('close', () => sockets.delete(socket)));
  });
  server.on('tlsClientError', () => {});
  await once(server.listen(port, address), 'listening');
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : 0,
    caPem: authority.caPem,
    sites,
    seen,
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
