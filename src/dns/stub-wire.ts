/**
 * DNS messages on the wire, by dns-packet: makes queries, reads replies that answer them, and checks everything dns-packet does not:
 * counts, question, class, label lengths, bytes of names. A new record type is one more entry like `MX`.
 * RFC 1035, section 4; RFC 6891 (EDNS); RFC 6840, section 5.7 (AD).
 */
import { isIP, SocketAddress } from 'node:net';
import packet from 'dns-packet';
import type { MxRecord } from '../domain/dns.ts';
import type { TlsaRecord } from '../domain/peer.ts';
import type { Reply, ReplyRecord } from './answer-policy.ts';

/** A type of record: its name on the wire, and how its data is read (null where it makes no sense). */
export type RecordType<T> = { readonly name: string; read(data: unknown): T | null };

/** One question as sent to one server. */
export type Question = {
  readonly id: number;
  readonly name: string;
  readonly type: string;
  /** Asks for DNSSEC's verdict: DO and AD. */
  readonly dnssec: boolean;
  /** Asks for data whatever DNSSEC says of them: to tell bogus from broken. */
  readonly checkingDisabled: boolean;
  /** False towards servers that cannot stand an OPT record. */
  readonly edns: boolean;
};

/** What a message from the server turned out to be. */
export type ReadReply<T> =
  | { readonly kind: 'reply'; readonly reply: Reply<T>; readonly truncated: boolean }
  /** Answers something else: a stray or forged message. */
  | { readonly kind: 'foreign' }
  /** Answers our question, but cannot be read. */
  | { readonly kind: 'malformed' };

const UDP_PAYLOAD = 1232;
const HEADER_BYTES = 12;
const RESPONSE = 0x8000;
const OPCODE = 0x7800;
/** A root name, type, class, TTL and length: no record is shorter. */
const MIN_RECORD_BYTES = 11;
const MAX_RECORDS = 512;

/** IPv4 addresses in text form. */
export const A: RecordType<string> = {
  name: 'A',
  read: (data) => (typeof data === 'string' && isIP(data) === 4 ? data : null),
};

/** IPv6 addresses in text form, canonical as node:net prints them. */
export const AAAA: RecordType<string> = {
  name: 'AAAA',
  read: (data) =>
    typeof data === 'string' && isIP(data) === 6 ? new SocketAddress({ address: data, family: 'ipv6' }).address : null,
};

/** Mail exchangers; the exchange of a null MX is empty. */
export const MX: RecordType<MxRecord> = {
  name: 'MX',
  read(data) {
    if (typeof data !== 'object' || data === null || !('exchange' in data) || !('preference' in data)) return null;
    const { exchange, preference } = data;
    return typeof exchange === 'string' && typeof preference === 'number' ? { preference, exchange: plainName(exchange) } : null;
  },
};

/** Octets of one TXT record: far more than any text that a mail relay reads. */
const MAX_TEXT = 4_096;

/** Texts, the strings of one record joined (RFC 7208, section 3.3; RFC 8461, section 3.1); one octet is one character. */
export const TXT: RecordType<string> = {
  name: 'TXT',
  read(data) {
    if (!Array.isArray(data) || !data.every((part) => Buffer.isBuffer(part))) return null;
    const text = Buffer.concat(data).toString('latin1');
    return text.length <= MAX_TEXT ? text : null;
  },
};

/** TLSA records as they lie in the zone, usable or not: that is dane-policy.ts's business (RFC 7671, section 4). */
export const TLSA: RecordType<TlsaRecord> = {
  name: 'TLSA',
  read(data) {
    if (typeof data !== 'object' || data === null) return null;
    if (!('usage' in data && 'selector' in data && 'matchingType' in data && 'certificate' in data)) return null;
    const { usage, selector, matchingType, certificate } = data;
    if (typeof usage !== 'number' || typeof selector !== 'number' || typeof matchingType !== 'number') return null;
    return Buffer.isBuffer(certificate) ? { usage, selector, matchingType, data: certificate.toString('hex') } : null;
  },
};

/** The CNAME record of a name itself, not followed. */
export const CNAME: RecordType<string> = {
  name: 'CNAME',
  read: (data) => (typeof data === 'string' ? plainName(data) : null),
};

/**
 * A decoded name in lower case without trailing dot, the root empty. Whatever belongs in no host name becomes `?`, which no parser of
 * ours takes: such a name can be shown, never used.
 */
function plainName(name: string): string {
  return name
    .replace(/\.$/, '')
    .toLowerCase()
    .replace(/[^a-z0-9._-]/g, '?');
}

/** True for names that fit a question: ASCII labels of 1 to 63 octets, at most 253 in all. */
export const isQueryName = (name: string): boolean =>
  name.length <= 253 && name.split('.').every((label) => /^[\x21-\x7e]{1,63}$/.test(label));

/** The query's bytes. The name must satisfy `isQueryName`. */
export function encodeQuery(question: Question): Buffer {
  const dnssecFlags = (question.dnssec ? packet.AUTHENTIC_DATA : 0) | (question.checkingDisabled ? packet.CHECKING_DISABLED : 0);
  const option = {
    name: '.',
    type: 'OPT',
    udpPayloadSize: UDP_PAYLOAD,
    flags: question.dnssec ? packet.DNSSEC_OK : 0,
    options: [],
  };
  return packet.encode({
    type: 'query',
    id: question.id,
    flags: packet.RECURSION_DESIRED | dnssecFlags,
    questions: [{ name: question.name, type: question.type, class: 'IN' }],
    answers: [],
    authorities: [],
    additionals: question.edns ? [option] : [],
  });
}

/** What the header alone says. Comes first: dns-packet allocates by the counts a header claims. */
function readHeader(bytes: Buffer, question: Question): 'whole' | 'truncated' | 'foreign' | 'malformed' {
  if (bytes.length < HEADER_BYTES || bytes.readUInt16BE(0) !== question.id) return 'foreign';
  const flags = bytes.readUInt16BE(2);
  const isResponse = (flags & RESPONSE) !== 0 && (flags & OPCODE) === 0;
  if (!isResponse) return 'foreign';
  if (bytes.readUInt16BE(4) > 1) return 'malformed';
  // A truncated message may end in the middle of a record: it says only that the rest is to be had over TCP.
  if ((flags & packet.TRUNCATED_RESPONSE) !== 0) return 'truncated';
  const records = bytes.readUInt16BE(6) + bytes.readUInt16BE(8) + bytes.readUInt16BE(10);
  return records > MAX_RECORDS || records * MIN_RECORD_BYTES > bytes.length ? 'malformed' : 'whole';
}

function decode(bytes: Buffer): packet.DecodedPacket | null {
  try {
    return packet.decode(bytes);
  } catch {
    return null;
  }
}

/** A server may leave the question out only where it could not read it (FORMERR). */
function answersQuestion(decoded: packet.DecodedPacket, question: Question): boolean {
  const asked = decoded.questions[0];
  if (asked === undefined) return decoded.rcode === 'FORMERR' || decoded.rcode === 'NOTIMP';
  return asked.type === question.type && asked.class === 'IN' && plainName(asked.name) === question.name.toLowerCase();
}

/** The response code by name; one that needs the bits of the OPT record (RFC 6891, section 6.1.3) is none that we know. */
function responseCode(decoded: packet.DecodedPacket): string {
  const option = decoded.additionals.find((record) => record.type === 'OPT');
  return option?.extendedRcode ? 'EXTENDED' : decoded.rcode;
}

function readRecords<T>(answers: readonly packet.Answer[], type: RecordType<T>): readonly ReplyRecord<T>[] {
  const records: ReplyRecord<T>[] = [];
  for (const { name, class: recordClass, type: recordType, ttl, data } of answers) {
    if (recordClass !== 'IN') continue;
    const base = { name: plainName(name), ttlSeconds: ttl ?? 0 };
    if (recordType === type.name) records.push({ ...base, data: { kind: 'value', value: type.read(data) } });
    else if (recordType === 'CNAME' && typeof data === 'string') {
      records.push({ ...base, data: { kind: 'cname', target: plainName(data) } });
    }
  }
  return records;
}

/** RFC 2308, section 5: the lesser of the SOA's own TTL and its MINIMUM field. */
function negativeTtl(authorities: readonly packet.Answer[]): number | null {
  const soa = authorities.find((record) => record.type === 'SOA');
  const data = soa?.data;
  if (soa === undefined || typeof data !== 'object' || data === null || !('minimum' in data)) return null;
  return typeof data.minimum === 'number' ? Math.min(soa.ttl ?? 0, data.minimum) : null;
}

/** What a message says about our question. Never throws, whatever the bytes. `trusted`: this server's AD bit counts. */
export function readMessage<T>(
  bytes: Buffer,
  asked: { question: Question; type: RecordType<T>; trusted: boolean },
): ReadReply<T> {
  const header = readHeader(bytes, asked.question);
  if (header === 'foreign' || header === 'malformed') return { kind: header };
  const decoded = decode(header === 'truncated' ? withoutRecords(bytes) : bytes);
  if (decoded === null) return { kind: 'malformed' };
  if (!answersQuestion(decoded, asked.question)) return { kind: 'foreign' };
  const negativeTtlSeconds = negativeTtl(decoded.authorities);
  const reply: Reply<T> = {
    rcode: responseCode(decoded),
    secure: asked.trusted && decoded.flag_ad,
    records: readRecords(decoded.answers, asked.type),
    negativeTtlSeconds,
    referral: negativeTtlSeconds === null && decoded.authorities.some((record) => record.type === 'NS'),
  };
  return { kind: 'reply', reply, truncated: header === 'truncated' };
}

/** The message's header and question only. */
function withoutRecords(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy.fill(0, 6, HEADER_BYTES);
  return copy;
}
