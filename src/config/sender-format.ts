/**
 * Sender patterns as the configuration writes them: `app@example.org`, `*@example.org`, `*@*.example.org` (any depth below it) or `*@*`.
 */
import { parseMailbox } from '../domain/address.ts';
import { ok, type Result } from '../domain/basics.ts';
import { domainPatternText } from '../domain/connector.ts';
import type { SenderPattern } from '../domain/user.ts';
import { parseDomainPattern } from './pattern-format.ts';
import { type Refusal, refuse } from './refusal.ts';

const WRONG = 'is no sender; write it like app@example.org or "*@example.org"';

/** The pattern with its domain canonical. */
export function parseSender(text: string): Result<SenderPattern, Refusal> {
  if (text === '*') return refuse(WRONG, 'write "*@*" for every sender, the null one included');
  if (!text.includes('@')) {
    const domain = parseDomainPattern(text);
    return refuse(WRONG, domain.ok ? `write "*@${domainPatternText(domain.value)}"` : null);
  }
  if (text.startsWith('*@')) {
    const domain = parseDomainPattern(text.slice(2));
    return domain.ok ? ok({ localPart: null, domain: domain.value }) : refuse(WRONG);
  }
  const mailbox = parseMailbox(text, true);
  // `*` is a character of local parts; whoever writes `app-*@example.org` means something else.
  if (!mailbox.ok || mailbox.value.localPart.includes('*')) return refuse(WRONG);
  const { localPart, domain } = mailbox.value;
  return ok({ localPart, domain: { kind: 'exact', domain } });
}
