/**
 * Talks to a running relay through its admin API. What goes wrong is a sentence that says what to do about it.
 */
import { type IncomingMessage, request } from 'node:http';
import { isIPv6 } from 'node:net';
import { formatIssue } from '../config/issue-format.ts';
import { loadConfig, thisMachine } from '../config/load-config.ts';
import { err, ok, type Result } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import { escapeText } from '../domain/escape.ts';
import type { ExitCode } from './terminal.ts';

/** Where the relay's admin API listens, and its token. */
export type AdminTarget = { readonly host: string; readonly port: number; readonly token: string | null };

/** Why there is no answer, and what the command exits with. */
export type ClientProblem = { readonly text: string; readonly exit: Exclude<ExitCode, 0> };

/** Takes a piece of content; the next one comes when it resolves. */
export type Sink = (piece: Uint8Array) => Promise<void>;

/** The API as commands use it. Documents are the relay's own (admin/documents-format.ts). */
export type AdminClient = {
  get<T extends object>(path: string, query?: Readonly<Record<string, string | undefined>>): Promise<Result<T, ClientProblem>>;
  post<T extends object>(path: string, document: object): Promise<Result<T, ClientProblem>>;
  /** Content that is no JSON, piece by piece. */
  read(path: string, sink: Sink): Promise<Result<void, ClientProblem>>;
};

const LARGEST_ANSWER = 32 * 1024 * 1024;
const PATIENCE = 35_000;

/** An address that listens everywhere is asked on this machine. */
const WILDCARDS: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** The target a configuration names. */
export const targetOf = ({ admin }: Pick<Config, 'admin'>): AdminTarget => ({
  host: WILDCARDS[admin.host] ?? admin.host,
  port: admin.port,
  token: admin.token,
});

/** The target in a configuration file, by default the usual one. */
export function targetFromFile(file: string | undefined): Result<AdminTarget, ClientProblem> {
  const loaded = loadConfig({ file, environment: process.env, machine: thisMachine() });
  if (loaded.ok) return ok(targetOf(loaded.value.config));
  return err({
    text: `the configuration does not say where the relay is:\n${loaded.error.map(formatIssue).join('\n')}`,
    exit: 2,
  });
}

type Call = { readonly method: 'GET' | 'POST'; readonly path: string; readonly document: object | null };
type Raw = Result<IncomingMessage, ClientProblem>;

const endpoint = ({ host, port }: AdminTarget): string => `${isIPv6(host) ? `[${host}]` : host}:${port}`;

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ETIMEDOUT: 'no answer in time',
  EHOSTUNREACH: 'unreachable',
  ENOTFOUND: 'unknown host',
  ECONNRESET: 'connection cut',
};

function unreachable(target: AdminTarget, error: Error): ClientProblem {
  const code = 'code' in error ? String(error.code) : '';
  const text = `the relay does not answer at ${endpoint(target)} (${REASONS[code] ?? escapeText(error.message, 100)}): is it running?
Start it with "postern serve", or name the configuration it runs with: --config FILE`;
  return { text, exit: 1 };
}

function send(target: AdminTarget, { method, path, document }: Call): Promise<Raw> {
  const body = document === null ? undefined : JSON.stringify(document);
  const headers = {
    Host: endpoint(target),
    ...(target.token === null ? {} : { Authorization: `Bearer ${target.token}` }),
    ...(body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }),
  };
  return new Promise((resolve) => {
    const { host, port } = target;
    const outgoing = request({ host, port, path, method, headers, agent: false, timeout: PATIENCE }, (response) =>
      resolve(ok(response)),
    );
    outgoing.on('timeout', () => outgoing.destroy(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' })));
    outgoing.on('error', (error) => resolve(err(unreachable(target, error))));
    outgoing.end(body);
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of response) {
    length += piece.length;
    if (length > LARGEST_ANSWER) throw new Error('the answer is too large');
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

/** What a refusal means for the one who asked. The relay's own words say more where it has any. */
function refusal(target: AdminTarget, status: number, text: string): ClientProblem {
  if (status === 401)
    return { text: `the relay at ${endpoint(target)} refuses the token: is admin.token here the one it runs with?`, exit: 1 };
  let detail = '';
  try {
    const problem: unknown = JSON.parse(text);
    if (typeof problem === 'object' && problem !== null && 'detail' in problem) detail = escapeText(String(problem.detail));
  } catch {
    detail = `what answers at ${endpoint(target)} is no Postern relay (HTTP ${status})`;
  }
  return { text: detail === '' ? `the relay answered HTTP ${status}` : detail, exit: status === 400 ? 2 : 1 };
}

async function call<T extends object>(target: AdminTarget, what: Call): Promise<Result<T, ClientProblem>> {
  const response = await send(target, what);
  if (!response.ok) return response;
  try {
    const text = await textOf(response.value);
    const status = response.value.statusCode ?? 0;
    if (status !== 200) return err(refusal(target, status, text));
    const document: T = JSON.parse(text);
    return ok(document);
  } catch (error) {
    return err(unreachable(target, error instanceof Error ? error : new Error(String(error))));
  }
}

async function pass(target: AdminTarget, path: string, sink: Sink): Promise<Result<void, ClientProblem>> {
  const response = await send(target, { method: 'GET', path, document: null });
  if (!response.ok) return response;
  try {
    const status = response.value.statusCode ?? 0;
    if (status !== 200) return err(refusal(target, status, await textOf(response.value)));
    for await (const piece of response.value) await sink(piece);
    return ok(undefined);
  } catch (error) {
    return err(unreachable(target, error instanceof Error ? error : new Error(String(error))));
  }
}

function pathWith(path: string, query: Readonly<Record<string, string | undefined>>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, value);
  return parameters.size === 0 ? path : `${path}?${parameters}`;
}

/** A client of the relay at `target`; one connection for each call. */
export const createAdminClient = (target: AdminTarget): AdminClient => ({
  get: (path, query = {}) => call(target, { method: 'GET', path: pathWith(path, query), document: null }),
  post: (path, document) => call(target, { method: 'POST', path, document }),
  read: (path, sink) => pass(target, path, sink),
});
