/**
 * Domain patterns as the configuration writes them: `example.org`, `*.example.org` (any depth below it, not itself) or `*`.
 */
import { parseAddressLiteral, parseDomain } from '../domain/address.ts';
import { ok, type Result } from '../domain/basics.ts';
import { type DomainPattern, domainPatternText } from '../domain/connector.ts';
import { type Refusal, refuse } from './refusal.ts';

const FORMS = 'write it like example.org, "*.example.org" (everything below it) or "*"';

/** What may be wrong with a pattern that has a domain in it, and which one was probably meant. */
function refusePattern(text: string): { readonly ok: false; readonly error: Refusal } {
  const domain = parseDomain(text.replace(/^.*@/, '').replace(/^\*?\.?/, ''));
  if (domain === null) return refuse(`is no domain; ${FORMS}`);
  if (text.includes('@')) return refuse('is an address, a domain is wanted', `write ${domain}`);
  if (text.startsWith('.')) return refuse('starts with a dot', `write "*.${domain}"`);
  return refuse(`is no domain; ${FORMS}`);
}

/** The pattern with its domain canonical (A-labels, lower case). An address literal, `[192.0.2.1]`, is a domain, too. */
export function parseDomainPattern(text: string): Result<DomainPattern, Refusal> {
  if (text === '*') return ok({ kind: 'any' });
  if (text.startsWith('*.')) {
    const domain = parseDomain(text.slice(2));
    return domain === null ? refusePattern(text) : ok({ kind: 'below', domain });
  }
  const domain = text.startsWith('[') ? parseAddressLiteral(text) : parseDomain(text);
  return domain === null ? refusePattern(text) : ok({ kind: 'exact', domain });
}

/** True where every domain that `narrow` matches is matched by `wide`. */
export function covers(wide: DomainPattern, narrow: DomainPattern): boolean {
  switch (wide.kind) {
    case 'any':
      return true;
    case 'exact':
      return narrow.kind === 'exact' && narrow.domain === wide.domain;
    case 'below':
      if (narrow.kind === 'any') return false;
      return narrow.domain.endsWith(`.${wide.domain}`) || (narrow.kind === 'below' && narrow.domain === wide.domain);
  }
}

/** The same question for a whole list, asked often: whether one of `patterns` covers a pattern. */
export function coverOf(patterns: readonly DomainPattern[]): (narrow: DomainPattern) => boolean {
  if (patterns.some(({ kind }) => kind === 'any')) return () => true;
  const known = new Set(patterns.map(domainPatternText));
  return (narrow) =>
    narrow.kind !== 'any' &&
    (known.has(domainPatternText(narrow)) || parents(narrow.domain).some((parent) => known.has(`*.${parent}`)));
}

/** The domains that the domain lies below, the longest first. */
function parents(domain: string): readonly string[] {
  const dot = domain.indexOf('.');
  return dot === -1 || domain.startsWith('[') ? [] : [domain.slice(dot + 1), ...parents(domain.slice(dot + 1))];
}
