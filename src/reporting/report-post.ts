/**
 * Posts a report to an HTTPS endpoint that a stranger named: to an address the relay may connect to, TLS verified, one try within
 * the patience, nothing of the answer but its status. RFC 8460, section 5.4.
 */
import { request } from 'node:https';
import type { Domain } from '../domain/address.ts';
import { err, type Milliseconds, ok, type Result } from '../domain/basics.ts';

/** Where to post. */
export type PostTarget = { readonly host: Domain; readonly port: number; readonly path: string };

/** What posting works with. */
export type PostContext = {
  /** The addresses of the host that the relay may connect to. */
  addressesOf(host: Domain, signal: AbortSignal): Promise<readonly string[]>;
  /** PEM of the authorities to trust; null: Node's own. */
  readonly ca: readonly string[] | null;
  readonly patience: Milliseconds;
  /** Ends the try at once. */
  readonly signal: AbortSignal;
};

const MOST_ADDRESSES = 3;
const MOST_HEADERS = 16_384;

/** Posts the compressed report. Never rejects; the error is a clause to follow the name of the host. */
export async function postReport(
  target: PostTarget,
  compressed: Uint8Array,
  { addressesOf, ca, patience, signal: ending }: PostContext,
): Promise<Result<void, string>> {
  const signal = AbortSignal.any([ending, AbortSignal.timeout(patience)]);
  const addresses = (await addressesOf(target.host, signal)).slice(0, MOST_ADDRESSES);
  let result: Result<void, string> = err('has no address this relay connects to');
  for (const address of addresses) {
    result = await post({ ...target, address, ca }, compressed, signal);
    if (result.ok || signal.aborted) return result;
  }
  return result;
}

type Post = PostTarget & { readonly address: string; readonly ca: readonly string[] | null };

function post({ host, port, path, address, ca }: Post, body: Uint8Array, signal: AbortSignal): Promise<Result<void, string>> {
  return new Promise((resolve) => {
    const posting = request({
      host: address,
      port,
      path,
      method: 'POST',
      servername: host,
      headers: {
        host: port === 443 ? host : `${host}:${port}`,
        'content-type': 'application/tlsrpt+gzip',
        'content-length': body.byteLength,
        connection: 'close',
      },
      agent: false,
      ...(ca === null ? {} : { ca: [...ca] }),
      minVersion: 'TLSv1.2',
      rejectUnauthorized: true,
      maxHeaderSize: MOST_HEADERS,
      signal,
    });
    posting.on('error', (error) => resolve(err(signal.aborted ? 'did not answer in time' : `failed (${codeOf(error)})`)));
    posting.on('response', (response) => {
      const { statusCode = 0 } = response;
      resolve(statusCode >= 200 && statusCode < 300 ? ok(undefined) : err(`answered with status ${statusCode}`));
      response.destroy();
    });
    posting.end(body);
  });
}

const codeOf = (error: Error): string =>
  ('code' in error && typeof error.code === 'string' ? error.code : error.message).replace(/[^\x20-\x7e]/g, '?').slice(0, 100);
