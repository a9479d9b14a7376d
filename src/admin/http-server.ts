/**
 * The admin API on node:http: lets requests in by guard-policy.ts, reads them within bounds, writes the API's answers.
 * The only part of the relay that speaks HTTP.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { err, ok, type Result } from '../domain/basics.ts';
import type { Logger } from '../platform/logger.ts';
import type { Api, ApiReply } from './api.ts';
import { type ProblemDocument, problemDocument } from './documents-format.ts';
import { judgeRequest } from './guard-policy.ts';
import { openContent } from './message-content.ts';

/** Where to listen, and the token in force. */
export type AdminServerOptions = {
  readonly host: string;
  readonly port: number;
  /** Asked at every request, so that a reload takes effect. */
  token(): string | null;
  readonly log: Logger;
};

/** The server while it listens. */
export type AdminServer = AsyncDisposable & {
  readonly port: number;
  /** Stops listening and ends connections; requests under way get two seconds. Idempotent. */
  close(): Promise<void>;
};

const REQUEST_BYTES = 64 * 1024;
const ANSWER_WITHIN = 30_000;
const CLOSE_WITHIN = 2000;
const HTTP_LIMITS = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 5000,
  connectionsCheckingInterval: 5000,
};
const MAX_CONNECTIONS = 64;

const SECURITY_HEADERS = {
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
  'Cross-Origin-Resource-Policy': 'same-origin',
} as const;

type Allow = 'GET' | 'POST' | null;
const refusal = (status: number, detail: string, allow: Allow = null): ApiReply => ({
  kind: 'problem',
  problem: problemDocument(status, detail),
  allow,
});

/** The document of a POST; a refusal where it is none, or too large. Reads no more than it may. */
async function readDocument(request: IncomingMessage): Promise<Result<unknown, ApiReply>> {
  if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '')) {
    return err(refusal(415, 'Send Content-Type: application/json.'));
  }
  const pieces: Buffer[] = [];
  let length = 0;
  // The answer still needs the connection: do not destroy it with the request.
  for await (const piece of request.iterator({ destroyOnReturn: false })) {
    length += piece.length;
    if (length > REQUEST_BYTES) return err(refusal(413, `At most ${REQUEST_BYTES} octets are read.`));
    pieces.push(piece);
  }
  try {
    return ok(JSON.parse(Buffer.concat(pieces).toString('utf8')));
  } catch {
    return err(refusal(400, 'The body is not JSON.'));
  }
}

async function withinTime(answer: Promise<ApiReply>): Promise<ApiReply> {
  const { promise, resolve } = Promise.withResolvers<ApiReply>();
  const timer = setTimeout(() => resolve(refusal(503, 'The relay is too busy to answer.')), ANSWER_WITHIN);
  try {
    return await Promise.race([answer, promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function answer(request: IncomingMessage, api: Api, options: AdminServerOptions): Promise<ApiReply> {
  const { headers, socket } = request;
  const remoteAddress = socket.remoteAddress ?? '';
  const fetchSite = headers['sec-fetch-site'];
  const credentials = {
    remoteAddress,
    host: headers.host,
    origin: headers.origin,
    fetchSite: Array.isArray(fetchSite) ? fetchSite.join() : fetchSite,
    authorization: headers.authorization,
  };
  const admission = judgeRequest(credentials, options.token());
  if (admission.kind === 'refused') {
    options.log.warn('admin.refused', { ip: remoteAddress, status: admission.status, text: admission.detail });
    return refusal(admission.status, admission.detail);
  }
  const url = request.url?.startsWith('/') === true ? URL.parse(request.url, 'http://localhost') : null;
  if (url === null) return refusal(400, 'The path is not understood.');
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  if (method !== 'GET' && method !== 'POST') return refusal(405, 'Use GET or POST.', 'GET');
  const mayPost = method === 'POST' && admission.kind === 'full';
  const document = mayPost ? await readDocument(request) : ok(null);
  if (!document.ok) return document.error;
  return withinTime(api.handle({ method, url, admission: admission.kind, document: document.value, remoteAddress }));
}

function writeProblem(response: ServerResponse, problem: ProblemDocument, allow: Allow): void {
  if (problem.status === 401) response.setHeader('WWW-Authenticate', 'Bearer realm="postern"');
  if (allow !== null) response.setHeader('Allow', allow === 'GET' ? 'GET, HEAD' : allow);
  // What is left of a refused request is not waited for.
  if (problem.status === 413 || problem.status === 415) response.setHeader('Connection', 'close');
  response.writeHead(problem.status, { 'Content-Type': 'application/problem+json' }).end(`${JSON.stringify(problem)}\n`);
}

async function writeReply(request: IncomingMessage, response: ServerResponse, reply: ApiReply): Promise<void> {
  switch (reply.kind) {
    case 'document':
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(`${JSON.stringify(reply.document)}\n`);
      break;
    case 'problem':
      writeProblem(response, reply.problem, reply.allow);
      break;
    case 'message': {
      const content = request.method === 'HEAD' ? [] : await openContent(reply.body);
      if (content === null) {
        writeProblem(response, problemDocument(404, 'The message has just left the queue.'), null);
        break;
      }
      response.writeHead(200, { 'Content-Type': 'message/rfc822', 'Content-Disposition': 'attachment; filename="message.eml"' });
      await pipeline(Readable.from(content, { objectMode: false }), response);
      break;
    }
  }
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  tools: { api: Api; options: AdminServerOptions },
): Promise<void> {
  const { log } = tools.options;
  response.on('error', () => response.destroy());
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value);
  try {
    await writeReply(request, response, await answer(request, tools.api, tools.options));
  } catch (error) {
    // A client that left in the middle is no fault of ours.
    if (request.socket.destroyed) return;
    log.error('admin.fault', {
      path: request.url?.slice(0, 200),
      text: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    if (response.headersSent) response.destroy();
    else writeProblem(response, problemDocument(500, 'The relay could not answer; its log says why.'), null);
  }
}

/** What is not HTTP is answered once, if the client still listens. */
function refuseNoise(_error: Error, socket: Socket): void {
  if (!socket.writable) return void socket.destroy();
  const text = JSON.stringify(problemDocument(400, 'This is not HTTP as it is understood here.'));
  const head = `HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: ${text.length}\r\nConnection: close\r\n\r\n`;
  socket.end(head + text, () => socket.destroy());
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), CLOSE_WITHIN);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}

/** Listens for admin requests; an error says in plain words why it cannot. Port 0 takes a free one. */
export async function startAdminServer(options: AdminServerOptions, api: Api): Promise<Result<AdminServer, string>> {
  const server = createServer(HTTP_LIMITS, (request, response) => void serve(request, response, { api, options }));
  server.maxConnections = MAX_CONNECTIONS;
  server.on('clientError', refuseNoise);
  const failed = await new Promise<Error | null>((resolve) => {
    server.once('error', resolve);
    server.listen({ host: options.host, port: options.port }, () => resolve(null));
  });
  if (failed !== null) return err(`the admin API cannot listen on ${options.host}:${options.port}: ${failed.message}`);
  server.on('error', (error) => options.log.error('admin.fault', { text: error.message }));
  const address = server.address();
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => (closing ??= closeServer(server));
  return ok({
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    close,
    [Symbol.asyncDispose]: close,
  });
}
