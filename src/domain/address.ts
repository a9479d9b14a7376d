/**
 * Domains and mailboxes, parsed once at the border. Inside, a `Domain` is lower case and A-label; no one checks twice.
 * RFC 5321, sections 4.1.2 and 4.1.3; RFC 6531, section 3.3.
 */
import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { type Branded, err, ok, type Result } from './basics.ts';

/** A domain name in A-labels, lower case, without trailing dot; or an address literal in its brackets, `[192.0.2.1]`. */
export type Domain = Branded<string, 'Domain'>;

/** An address an SMTP client gave, with its domain made canonical. */
export type Mailbox = {
  /** As the client wrote it, quotes included: opaque to us, case kept (RFC 5321, section 2.4). */
  readonly localPart: string;
  readonly domain: Domain;
};

/** Where bounces go; null is the null reverse-path `<>`. */
export type ReversePath = Mailbox | null;

/** `local@domain` as it goes into SMTP commands and logs. */
export const mailboxText = (mailbox: Mailbox): string => `${mailbox.localPart}@${mailbox.domain}`;

/** The reverse-path as SMTP writes it without brackets: empty for the null path. */
export const reversePathText = (path: ReversePath): string => (path === null ? '' : mailboxText(path));

const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;
/** domainToASCII reads digits-and-dots as an IPv4 address (`1.2.3` becomes `1.2.0.3`): such a name is no domain at all. */
const NUMERIC_TAIL = /(^|\.)(\d+|0x[0-9a-f]*)$/i;
/**
 * Characters domainToASCII would map, drop or treat as a URL's end; none belongs in a domain an SMTP client sends. Invisible ones
 * above all: two names that look and print alike must not become one.
 */
const FORBIDDEN = /[\x00-\x20\x7f"#%/:<>?@[\\\]^`{|}\u3002\uff0e\uff61\p{Default_Ignorable_Code_Point}\p{C}\p{Z}]/u;

/**
 * The canonical domain of a name in A- or U-labels, at most 253 octets; one trailing dot is taken off.
 * Null where the text is no domain name: empty labels, numeric top label, forbidden characters.
 */
export function parseDomain(text: string): Domain | null {
  const name = text.endsWith('.') ? text.slice(0, -1) : text;
  if (name.length === 0 || name.length > 255 || FORBIDDEN.test(name) || NUMERIC_TAIL.test(name)) return null;
  const ascii = /^[\x21-\x7e]+$/.test(name) && !/xn--/i.test(name) ? name.toLowerCase() : domainToASCII(name).toLowerCase();
  if (ascii.length === 0 || ascii.length > 253 || NUMERIC_TAIL.test(ascii)) return null;
  return ascii.split('.').every((label) => LABEL.test(label)) ? (ascii as Domain) : null;
}

/** The canonical form of an address literal with its brackets (RFC 5321, section 4.1.3), or null. */
export function parseAddressLiteral(text: string): Domain | null {
  const match = /^\[(?:(ipv6):)?([0-9a-f.:]+)\]$/i.exec(text);
  const address = match?.[2];
  if (address === undefined) return null;
  const family = match?.[1] === undefined ? 4 : 6;
  if (isIP(address) !== family) return null;
  return (family === 4 ? `[${address}]` : `[ipv6:${address.toLowerCase()}]`) as Domain;
}

/** True for `[192.0.2.1]` and `[ipv6:…]`. */
export const isAddressLiteral = (domain: Domain): boolean => domain.startsWith('[');

/** What is wrong with a path. */
export type PathProblem = 'syntax' | 'too-long' | 'bad-domain' | 'needs-smtputf8';

const ATOM_TEXT = /^[\w!#$%&'*+\-/=?^`{|}~\u0080-\u{10ffff}]+(\.[\w!#$%&'*+\-/=?^`{|}~\u0080-\u{10ffff}]+)*$/u;
const QUOTED = /^"(?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\u{10ffff}]|\\[\x20-\x7e])*"$/u;
const NOT_ASCII = /[^\x00-\x7f]/;

/**
 * The mailbox inside `<…>` (given without the brackets). A source route (`@a,@b:user@c`) is refused rather than
 * stripped: RFC 5321, appendix C, lets a server do either, and refusing leaves no second reading of the address.
 * The domain is what follows the last unquoted `@`.
 */
export function parseMailbox(text: string, smtpUtf8: boolean): Result<Mailbox, PathProblem> {
  if (Buffer.byteLength(text) > 254) return err('too-long');
  if (!smtpUtf8 && NOT_ASCII.test(text)) return err('needs-smtputf8');
  const at = text.lastIndexOf('@');
  if (at <= 0) return err('syntax');
  const localPart = text.slice(0, at);
  const domainText = text.slice(at + 1);
  if (Buffer.byteLength(localPart) > 64) return err('too-long');
  if (!ATOM_TEXT.test(localPart) && !QUOTED.test(localPart)) return err('syntax');
  const domain = domainText.startsWith('[') ? parseAddressLiteral(domainText) : parseDomain(domainText);
  return domain === null ? err('bad-domain') : ok({ localPart, domain });
}
