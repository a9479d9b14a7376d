/**
 * The leaves of the schema: texts that are parsed to domain values while the schema is checked. Pure.
 */
import { z } from 'zod';
import { type Domain, type Mailbox, mailboxText, parseDomain, parseMailbox } from '../domain/address.ts';
import { type Instant, type Milliseconds, ok, type Result } from '../domain/basics.ts';
import { parseNamePattern, parsePin } from '../domain/peer.ts';
import { parseEndpoint, parseIpAddress, parseRange, parseServer } from './address-format.ts';
import { formatDuration, parseDuration } from './duration-format.ts';
import { parseNextHop } from './next-hop-format.ts';
import { parseDomainPattern } from './pattern-format.ts';
import { type Refusal, refuse } from './refusal.ts';
import { parseScrypt } from './scrypt-format.ts';
import { parseSender } from './sender-format.ts';
import { formatSize, parseSize } from './size-format.ts';

/** A text that `parse` turns into a value; its refusal becomes an issue whose correction travels in `params.right`. */
function parsed<T>(parse: (text: string) => Result<T, Refusal>) {
  return z.string().transform((text, context): T => settle(parse(text), context, text));
}

/** The same for what YAML may read as a number. */
function parsedScalar<T>(parse: (text: string) => Result<T, Refusal>, wanted: string) {
  const scalar = z.union([z.string(), z.number()], { error: () => `is not ${wanted}` });
  return scalar.transform((given, context): T => settle(parse(String(given)), context, given));
}

function settle<T>(result: Result<T, Refusal>, context: z.RefinementCtx, input: unknown): T {
  if (result.ok) return result.value;
  context.issues.push({ code: 'custom', input, message: result.error.wrong, params: { right: result.error.right } });
  return z.NEVER;
}

/** Smallest and largest value allowed. */
export type Bounds = { readonly min: number; readonly max: number };

/** Checks compare connectors pair by pair. */
export const MOST_CONNECTORS = 5_000;

const SECOND = 1_000;
const DAY = 86_400_000;
/** A deadline: at least a second, at most what a timer can hold. */
export const DEADLINE: Bounds = { min: SECOND, max: DAY };
/** A time to wait or to keep. */
export const PATIENCE: Bounds = { min: SECOND, max: 30 * DAY };
/** The same, where 0 turns the matter off. */
export const OPTIONAL_PATIENCE: Bounds = { min: 0, max: 365 * DAY };

function within(value: number, { min, max }: Bounds, format: (value: number) => string): Result<number, Refusal> {
  return value >= min && value <= max ? ok(value) : refuse(`is out of range; it goes from ${format(min)} to ${format(max)}`);
}

/** A duration in milliseconds. */
export const duration = (bounds: Bounds) =>
  parsedScalar((text): Result<Milliseconds, Refusal> => {
    const length = parseDuration(text);
    return length.ok ? within(length.value, bounds, formatDuration) : length;
  }, 'a duration, like 30s, 5m, 4h or 2d');

/** A size in bytes. */
export const size = (bounds: Bounds) =>
  parsedScalar((text): Result<number, Refusal> => {
    const bytes = parseSize(text);
    return bytes.ok ? within(bytes.value, bounds, formatSize) : bytes;
  }, 'a size, like 512KiB or 50MiB');

/** A whole number. */
export const integer = (min: number, max: number) => z.int().min(min).max(max);

/** A list with at least one element. */
export const some = <S extends z.ZodType>(element: S) => z.tuple([element], element);

/** A text that is not empty and has no control characters; for names of users, reasons and the like. */
export const line = (longest: number) =>
  parsed((text) => {
    if (text === '') return refuse('is empty');
    if (text.length > longest) return refuse(`is longer than ${longest} characters`);
    return /[\x00-\x1f\x7f]/.test(text) ? refuse('has control characters') : ok(text);
  });

/** A secret, never printed. */
export const secret = () => line(4096);

/** What listeners and connectors are called in logs, metrics and commands. */
export const name = () =>
  parsed((text) =>
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text)
      ? ok(text)
      : refuse('is no name; it takes up to 64 letters, digits, dots, hyphens and underscores, and starts with a letter or digit'),
  );

/** A path of a file. */
export const filePath = () =>
  parsed((text) => (text === '' || /[\x00-\x1f]/.test(text) ? refuse('is no path of a file') : ok(text)));

/** A domain name, canonical. */
export const domain = () =>
  parsed((text): Result<Domain, Refusal> => {
    const canonical = parseDomain(text);
    return canonical === null ? refuse('is no domain name; write it like relay.example.org') : ok(canonical);
  });

/** A mailbox as it goes into headers. */
export const mailbox = () =>
  parsed((text) => {
    const address = parseMailbox(text, true);
    return address.ok ? ok(mailboxText(address.value)) : refuse('is no mail address; write it like postmaster@example.org');
  });

/** A mail address with its parts. */
export const address = () =>
  parsed((text): Result<Mailbox, Refusal> => {
    const parsedAddress = parseMailbox(text, true);
    return parsedAddress.ok ? parsedAddress : refuse('is no mail address; write it like user@example.org');
  });

/** A DKIM selector (RFC 6376, section 3.1); unlike a host name it may be all digits. */
export const selector = () =>
  parsed(
    (text): Result<string, Refusal> =>
      /^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?){0,3}$/i.test(text)
        ? ok(text.toLowerCase())
        : refuse('is no selector; write it like tlsrpt-2026'),
  );

/** An IP address, canonical. */
export const ipAddress = () =>
  parsed((text) => {
    const address = parseIpAddress(text);
    return address === null ? refuse('is no IP address; write it like 192.0.2.10 or "2001:db8::10"') : ok(address.address);
  });

/** A day as in `2026-12-31`. */
export const day = () =>
  parsed((text) => {
    const date = /^\d{4}-\d{2}-\d{2}$/.test(text) ? new Date(`${text}T00:00:00Z`) : null;
    const exists = date !== null && !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
    return exists ? ok(text) : refuse('is no date; write it like 2026-12-31');
  });

/** The last moment of a day, UTC. */
export const lastMomentOf = (day: string): Instant => (Date.parse(`${day}T00:00:00Z`) + 86_399_999) as Instant;

/** A name a certificate may carry. */
export const certificateName = () =>
  parsed((text) => {
    const pattern = parseNamePattern(text);
    return pattern === null ? refuse('is no name of a host; write one like mail.example.org or *.example.org') : ok(pattern);
  });

/** An SPKI SHA-256 pin, `sha256:` and 43 base64 characters with padding, or 64 hexadecimal digits. */
export const pin = () =>
  parsed((text) => {
    const hash = parsePin(text);
    return hash === null
      ? refuse('is no pin; write "sha256:" and the SHA-256 of the public key (SPKI) in base64 or hexadecimal')
      : ok(hash);
  });

/** Where the queue lies. */
export type StoreLocation =
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'postgres'; readonly url: string };

/** `sqlite:PATH` or `postgres://…`. */
export const store = () =>
  parsed((text): Result<StoreLocation, Refusal> => {
    if (/^sqlite:[^\x00-\x1f]+$/.test(text)) return ok({ kind: 'sqlite', path: text.slice('sqlite:'.length) });
    if (/^postgres(ql)?:\/\/[^\s]+$/.test(text)) return ok({ kind: 'postgres', url: text });
    return refuse('names no store; write it like "sqlite:data/queue.db"');
  });

/** Relay threads; `auto` stands for the machine's cores. */
export const workers = () =>
  parsedScalar((text): Result<number | 'auto', Refusal> => {
    if (text === 'auto') return ok(text);
    return /^([1-9]|[1-5]\d|6[0-4])$/.test(text)
      ? ok(Number(text))
      : refuse('is no number of threads; write auto or a number from 1 to 64');
  }, 'a number of threads; write auto or a number from 1 to 64');

/** The other grammars, as they are. */
export const domainPattern = () => parsed(parseDomainPattern);
export const addressRange = () => parsed(parseRange);
export const endpoint = () => parsed(parseEndpoint);
export const nextHop = () => parsed(parseNextHop);
export const nameServer = () => parsed(parseServer);
export const scryptHash = () => parsed(parseScrypt);
export const senderPattern = () => parsed(parseSender);
