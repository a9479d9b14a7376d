/**
 * Reads the two messages of a TLS handshake that are never encrypted: what a ClientHello offers, and which group the server chose.
 * RFC 8446, section 4; RFC 8422, section 5.4. Broken input gives null, never an exception.
 */

/** What a client offered. Numbers without a name here are printed in hex. */
export type ClientHello = {
  /** Octets of the handshake message with its record header, as sent in the first flight. */
  readonly octets: number;
  readonly serverName: string | null;
  /** Of supported_versions, else the legacy version. */
  readonly versions: readonly string[];
  /** IANA numbers of the suites in hex, in the client's order. */
  readonly ciphers: readonly string[];
  readonly groups: readonly string[];
  /** Groups for which a key share came along. */
  readonly keyShares: readonly string[];
  /** A session to go on with came along: a pre-shared key (TLS 1.3) or a ticket (RFC 5077). */
  readonly offersSession: boolean;
};

const RECORD_HEADER = 5;
const HANDSHAKE_RECORD = 0x16;
const CLIENT_HELLO = 1;
const SERVER_HELLO = 2;
const SERVER_KEY_EXCHANGE = 12;
const NAMED_CURVE = 3;
const EXTENSION = {
  serverName: 0,
  supportedGroups: 10,
  sessionTicket: 35,
  preSharedKey: 41,
  supportedVersions: 43,
  keyShare: 51,
} as const;

const VERSIONS: Readonly<Record<string, string>> = { '0301': 'TLSv1', '0302': 'TLSv1.1', '0303': 'TLSv1.2', '0304': 'TLSv1.3' };
/** https://www.iana.org/assignments/tls-parameters (supported groups), under the names of interface.md. */
const GROUPS: Readonly<Record<string, string>> = {
  '0017': 'P-256',
  '0018': 'P-384',
  '0019': 'P-521',
  '001d': 'X25519',
  '001e': 'X448',
  '0100': 'ffdhe2048',
  '0101': 'ffdhe3072',
  '0102': 'ffdhe4096',
  '11eb': 'SecP256r1MLKEM768',
  '11ec': 'X25519MLKEM768',
  '11ed': 'SecP384r1MLKEM1024',
};

/** True where the octets can only be the beginning of a TLS record. */
export const looksLikeTls = (octets: Buffer): boolean =>
  octets.length > 1 && (octets[0] ?? 0) >= 0x14 && (octets[0] ?? 0) <= 0x18 && octets[1] === 3;

/** Octets the first record says it has, header included; null while that has not come. */
export const recordLength = (octets: Buffer): number | null =>
  octets.length < RECORD_HEADER ? null : RECORD_HEADER + octets.readUInt16BE(3);

/** The ClientHello in a first flight that holds it whole in one record, null where it is none. */
export function parseClientHello(flight: Buffer): ClientHello | null {
  try {
    const body = messages(flight).find((message) => message.type === CLIENT_HELLO)?.body;
    return body === undefined ? null : readClientHello(body, recordLength(flight) ?? 0);
  } catch (problem) {
    if (problem instanceof RangeError) return null;
    throw problem;
  }
}

/** The group a server's first flight settles on; null where there is none (RSA key exchange, resumption) or it cannot be read. */
export function negotiatedGroup(flight: Buffer): string | null {
  try {
    const all = messages(flight);
    const hello = all.findLast((message) => message.type === SERVER_HELLO)?.body;
    const share = hello === undefined ? undefined : readServerHello(hello).get(EXTENSION.keyShare);
    if (share !== undefined) return groupName(cursor(share).hex(2));
    const exchange = all.find((message) => message.type === SERVER_KEY_EXCHANGE)?.body;
    return exchange !== undefined && exchange[0] === NAMED_CURVE ? groupName(exchange.toString('hex', 1, 3)) : null;
  } catch (problem) {
    if (problem instanceof RangeError) return null;
    throw problem;
  }
}

const groupName = (number: string): string => GROUPS[number] ?? number;

type HandshakeMessage = { readonly type: number; readonly body: Buffer };

/** The handshake messages of the cleartext records, until something does not fit (which is where encryption begins). */
function messages(flight: Buffer): readonly HandshakeMessage[] {
  const parts: Buffer[] = [];
  for (let at = 0; at + RECORD_HEADER <= flight.length; at += RECORD_HEADER + flight.readUInt16BE(at + 3)) {
    const record = flight.subarray(at + RECORD_HEADER, at + RECORD_HEADER + flight.readUInt16BE(at + 3));
    if (flight[at] === HANDSHAKE_RECORD) parts.push(record);
  }
  const payload = Buffer.concat(parts);
  const found: HandshakeMessage[] = [];
  for (let at = 0; at + 4 <= payload.length; at += 4 + payload.readUIntBE(at + 1, 3)) {
    const end = at + 4 + payload.readUIntBE(at + 1, 3);
    if (end > payload.length) break;
    found.push({ type: payload[at] ?? 0, body: payload.subarray(at + 4, end) });
  }
  return found;
}

function readClientHello(body: Buffer, octets: number): ClientHello {
  const read = cursor(body);
  const legacyVersion = read.hex(2);
  read.bytes(32);
  read.vector(1);
  const ciphers = pairs(read.vector(2));
  read.vector(1);
  const extensions = readExtensions(read);
  const versions = extensions.get(EXTENSION.supportedVersions);
  const groups = extensions.get(EXTENSION.supportedGroups);
  const name = extensions.get(EXTENSION.serverName);
  return {
    octets,
    serverName: name === undefined ? null : name.toString('latin1', 5),
    versions: (versions === undefined ? [legacyVersion] : pairs(versions.subarray(1))).map(
      (version) => VERSIONS[version] ?? version,
    ),
    ciphers,
    groups: groups === undefined ? [] : pairs(groups.subarray(2)).map(groupName),
    keyShares: keyShareGroups(extensions.get(EXTENSION.keyShare)),
    offersSession: extensions.has(EXTENSION.preSharedKey) || (extensions.get(EXTENSION.sessionTicket)?.length ?? 0) > 0,
  };
}

function readServerHello(body: Buffer): ReadonlyMap<number, Buffer> {
  const read = cursor(body);
  read.bytes(34);
  read.vector(1);
  read.bytes(3);
  return readExtensions(read);
}

function keyShareGroups(extension: Buffer | undefined): readonly string[] {
  if (extension === undefined) return [];
  const read = cursor(cursor(extension).vector(2));
  const groups: string[] = [];
  while (read.left() > 0) {
    groups.push(groupName(read.hex(2)));
    read.vector(2);
  }
  return groups;
}

function readExtensions(read: Cursor): ReadonlyMap<number, Buffer> {
  const extensions = new Map<number, Buffer>();
  if (read.left() === 0) return extensions;
  const inner = cursor(read.vector(2));
  while (inner.left() > 0) extensions.set(Number.parseInt(inner.hex(2), 16), inner.vector(2));
  return extensions;
}

const pairs = (octets: Buffer): readonly string[] => octets.toString('hex').match(/.{4}/g) ?? [];

type Cursor = {
  bytes(count: number): Buffer;
  hex(count: number): string;
  /** A vector with its length in so many octets before it. */
  vector(lengthOctets: number): Buffer;
  left(): number;
};

/** Reads on from the start; RangeError past the end. */
function cursor(octets: Buffer): Cursor {
  let at = 0;
  const bytes = (count: number): Buffer => {
    if (at + count > octets.length) throw new RangeError('message too short');
    at += count;
    return octets.subarray(at - count, at);
  };
  return {
    bytes,
    hex: (count) => bytes(count).toString('hex'),
    vector: (lengthOctets) => bytes(bytes(lengthOctets).readUIntBE(0, lengthOctets)),
    left: () => octets.length - at,
  };
}
