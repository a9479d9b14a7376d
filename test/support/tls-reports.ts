/**
 * TLS reports as their receivers see them: the shape of RFC 8460, appendix B, the attachment of a message, its DKIM signature
 * verified by other means than it was made with, and an HTTPS endpoint.
 */
import { strict as assert } from 'node:assert';
import { createHash, createVerify, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import { isIP } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { createAuthority } from './certificates.ts';

type Fields = Record<string, unknown>;

/** A report, checked to be one. */
export type ReadReport = {
  readonly 'organization-name': string;
  readonly 'date-range': { readonly 'start-datetime': string; readonly 'end-datetime': string };
  readonly 'contact-info': string;
  readonly 'report-id': string;
  readonly policies: readonly {
    readonly policy: Readonly<Record<string, unknown>>;
    readonly summary: Readonly<Record<'total-successful-session-count' | 'total-failure-session-count', number>>;
    readonly 'failure-details'?: readonly Readonly<Record<string, unknown>>[];
  }[];
};

const RESULT_TYPES = [
  ...[
    'starttls-not-supported',
    'certificate-host-mismatch',
    'certificate-expired',
    'certificate-not-trusted',
    'validation-failure',
  ],
  ...['tlsa-invalid', 'dnssec-invalid', 'dane-required', 'sts-policy-fetch-error', 'sts-policy-invalid', 'sts-webpki-invalid'],
];
const isText = (value: unknown): boolean => typeof value === 'string' && value.length > 0;
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
const isName = (value: unknown): boolean => typeof value === 'string' && /^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(value);
const areTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText);
const areNames = (value: unknown): boolean => Array.isArray(value) && value.length > 0 && value.every(isName);
const isTime = (value: unknown): boolean => typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(value);
const isAddress = (value: unknown): boolean => typeof value === 'string' && isIP(value) > 0;

/** Exactly these fields, those with `?` if at all, each as its check says. */
function shape(value: unknown, fields: Readonly<Record<string, (value: unknown) => boolean>>): Fields {
  assert.ok(typeof value === 'object' && value !== null && !Array.isArray(value));
  const found = value as Fields;
  const names = Object.keys(fields).map((name) => name.replace('?', ''));
  for (const name of Object.keys(found)) assert.ok(names.includes(name), `unknown field ${name}`);
  for (const [name, check] of Object.entries(fields)) {
    const field = found[name.replace('?', '')];
    if (field === undefined && name.endsWith('?')) continue;
    assert.ok(check(field), `${name}: ${JSON.stringify(field)}`);
  }
  return found;
}

/** The report of a JSON text; fails where it departs from RFC 8460, section 4.4, or its sums do not add up. */
export function readReport(json: string): ReadReport {
  const top = shape(JSON.parse(json), {
    'organization-name': isText,
    'date-range': (value) => shape(value, { 'start-datetime': isTime, 'end-datetime': isTime }) !== null,
    'contact-info': (value) => isText(value) && String(value).includes('@'),
    'report-id': isText,
    policies: (value) => Array.isArray(value) && value.length > 0,
  });
  for (const each of top['policies'] as readonly unknown[]) readPolicy(each);
  return top as unknown as ReadReport;
}

function readPolicy(each: unknown): void {
  const { summary, ...rest } = shape(each, {
    policy: (value) => {
      shape(value, {
        'policy-type': (type) => ['sts', 'tlsa', 'no-policy-found'].includes(String(type)),
        'policy-string?': areTexts,
        'policy-domain': isName,
        'mx-host?': areNames,
      });
      return true;
    },
    summary: (value) =>
      shape(value, { 'total-successful-session-count': isCount, 'total-failure-session-count': isCount }) !== null,
    'failure-details?': (value) => Array.isArray(value) && value.length > 0,
  });
  let failed = 0;
  for (const detail of (rest['failure-details'] as readonly unknown[] | undefined) ?? []) {
    const found = shape(detail, {
      'result-type': (type) => RESULT_TYPES.includes(String(type)),
      'sending-mta-ip?': isAddress,
      'receiving-mx-hostname?': isName,
      'receiving-mx-helo?': isText,
      'receiving-ip?': isAddress,
      'failed-session-count': isCount,
      'additional-information?': isText,
      'failure-reason-code?': isText,
    });
    failed += Number(found['failed-session-count']);
  }
  assert.equal((summary as Fields)['total-failure-session-count'], failed);
}

/** The header and the report of a message without dot-stuffing. */
export function readReportMail(message: string): {
  readonly head: string;
  readonly filename: string;
  readonly report: ReadReport;
} {
  const end = message.indexOf('\r\n\r\n');
  const head = message.slice(0, end).replaceAll(/\r\n[ \t]/g, ' ');
  const boundary = /boundary="([^"]+)"/.exec(head)?.[1];
  assert.ok(boundary !== undefined, head);
  const part = message.split(`--${boundary}`)[2] ?? '';
  assert.match(part, /^\r\nContent-Type: application\/tlsrpt\+gzip\r\nContent-Transfer-Encoding: base64\r\n/);
  const body = part.slice(part.indexOf('\r\n\r\n') + 4);
  const filename = /filename="([^"]+)"/.exec(part)?.[1] ?? '';
  return { head, filename, report: readReport(gunzipSync(Buffer.from(body, 'base64')).toString()) };
}

/** The tags of a message's signature, once it has been verified (RFC 6376, relaxed/relaxed); fails where it is wrong. */
export function verifyDkim(message: string, key: KeyObject): Readonly<Record<string, string>> {
  const end = message.indexOf('\r\n\r\n');
  const headers = message.slice(0, end).split(/\r\n(?![ \t])/);
  const at = headers.findIndex((line) => /^dkim-signature:/i.test(line));
  const signature = headers[at];
  assert.ok(signature !== undefined, 'the message is not signed');
  const tags = Object.fromEntries(
    signature
      .slice('dkim-signature:'.length)
      .split(';')
      .map((tag) => tag.split('='))
      .map(([name = '', ...value]) => [name.trim(), value.join('=').replaceAll(/\s/g, '')]),
  );
  const body = `${message
    .slice(end + 4)
    .replaceAll(/[ \t]+(?=\r\n)/g, '')
    .replaceAll(/[ \t]+/g, ' ')
    .replace(/(\r\n)*$/, '')}\r\n`;
  assert.equal(createHash('sha256').update(body).digest('base64'), tags['bh']);
  const relaxed = (line: string): string => {
    const colon = line.indexOf(':');
    return `${line.slice(0, colon).trim().toLowerCase()}:${line
      .slice(colon + 1)
      .replaceAll('\r\n', '')
      .replaceAll(/[ \t]+/g, ' ')
      .trim()}`;
  };
  const signed = (tags['h'] ?? '')
    .split(':')
    .map((name) => headers.findLast((line) => line.toLowerCase().startsWith(`${name}:`)));
  const own = relaxed(signature.replace(/(\bb=)[^;]*$/, '$1'));
  const text = [...signed.map((line) => relaxed(line ?? assert.fail())), own].join('\r\n');
  assert.ok(
    createVerify('sha256')
      .update(text)
      .verify(key, tags['b'] ?? '', 'base64'),
    'the signature is wrong',
  );
  return tags;
}

/** One POST as it came. */
export type Posted = {
  readonly url: string;
  readonly method: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
};

/** An HTTPS endpoint for reports; disposing of it ends every connection. */
export type ReportHost = AsyncDisposable & {
  readonly port: number;
  readonly caPem: string;
  status: number;
  readonly posted: Posted[];
};

const authority = createAuthority('Reports');

/** Listens on a loopback address, with a certificate for `name`. */
export async function startReportHost(name: string, address = '127.0.0.1'): Promise<ReportHost> {
  const { cert, key } = authority.issue({ names: [name] });
  const posted: Posted[] = [];
  const server = createServer({ cert, key });
  await once(server.listen(0, address), 'listening');
  const bound = server.address();
  const host = {
    port: typeof bound === 'object' && bound !== null ? bound.port : 0,
    caPem: authority.caPem,
    status: 200,
    posted,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
  server.on('tlsClientError', () => {});
  server.on('request', (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { url = '', method = '', headers } = request;
      posted.push({ url, method, headers, body: Buffer.concat(chunks) });
      response.writeHead(host.status).end();
    });
  });
  return host;
}
