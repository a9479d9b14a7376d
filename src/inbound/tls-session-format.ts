/**
 * Reads the key-exchange group out of a TLS session. Node tells a server nothing about it, but OpenSSL keeps it in the
 * serialised session (SSL_SESSION in ASN.1 DER, element [19] kex_group, a TLS group number).
 */

/** IANA TLS Supported Groups, by the names the ladder uses. */
const GROUPS: Readonly<Record<number, string>> = {
  23: 'P-256',
  24: 'P-384',
  25: 'P-521',
  29: 'X25519',
  30: 'X448',
  256: 'ffdhe2048',
  257: 'ffdhe3072',
  258: 'ffdhe4096',
  259: 'ffdhe6144',
  260: 'ffdhe8192',
  512: 'MLKEM512',
  513: 'MLKEM768',
  514: 'MLKEM1024',
  4587: 'SecP256r1MLKEM768',
  4588: 'X25519MLKEM768',
  4589: 'SecP384r1MLKEM1024',
};

const KEX_GROUP = 0xb3;
const INTEGER = 0x02;

type Element = { readonly tag: number; readonly start: number; readonly end: number };

/** The DER element at `at`, null where it does not fit. */
function elementAt(der: Uint8Array, at: number): Element | null {
  const tag = der[at];
  const first = der[at + 1];
  if (tag === undefined || first === undefined) return null;
  let start = at + 2;
  let length = first;
  if (first > 0x7f) {
    const octets = first & 0x7f;
    if (octets === 0 || octets > 3) return null;
    length = 0;
    for (const octet of der.subarray(start, start + octets)) length = length * 256 + octet;
    start += octets;
  }
  const end = start + length;
  return end <= der.length ? { tag, start, end } : null;
}

/** The group of a serialised session (`tlsSocket.getSession()`), null where there was none (RSA) or it cannot be read. */
export function groupOfSession(session: Uint8Array | undefined): string | null {
  const sequence = session === undefined ? null : elementAt(session, 0);
  if (session === undefined || sequence === null) return null;
  let at = sequence.start;
  while (at < sequence.end) {
    const element = elementAt(session, at);
    if (element === null) return null;
    const inner = element.tag === KEX_GROUP ? elementAt(session, element.start) : null;
    if (inner !== null && inner.tag === INTEGER) return groupName(session.subarray(inner.start, inner.end));
    at = element.end;
  }
  return null;
}

function groupName(integer: Uint8Array): string | null {
  let number = 0;
  for (const octet of integer) number = number * 256 + octet;
  return number === 0 ? null : (GROUPS[number] ?? `group-${number}`);
}
