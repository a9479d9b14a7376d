/** Checks on TLS reports: what receivers will not take. Pure. */
import { parseMailbox } from '../domain/address.ts';
import { type Draft, errorAt, field, type Tree, warningAt } from './tree.ts';

const TLS_RPT = ['reports', 'tlsRpt'];

/** RFC 8460, section 3: a report carries a DKIM signature by the reporting domain, or is ignored. */
export function checkReports({ root }: Tree): readonly Draft[] {
  const tlsRpt = field(root, 'reports', 'tlsRpt');
  if (field(tlsRpt, 'enabled') !== true) return [];
  const signer = field(tlsRpt, 'dkim', 'domain');
  if (field(tlsRpt, 'dkim') === undefined)
    return [warningAt(TLS_RPT, 'has no dkim: reports go unsigned, and receivers are told to ignore such (RFC 8460, section 3)')];
  const from = submitter(field(tlsRpt, 'from') ?? `tls-reports@${String(field(root, 'hostname') ?? '')}`);
  const above = typeof signer === 'string' && from !== null && `.${from}`.endsWith(`.${signer.toLowerCase()}`);
  return above || from === null || typeof signer !== 'string'
    ? []
    : [errorAt([...TLS_RPT, 'dkim', 'domain'], `does not sign for ${from}, the domain of from; it must be that or one above it`)];
}

/** The domain of a sender; null where there is none to read yet, which is said elsewhere. */
function submitter(from: unknown): string | null {
  const mailbox = typeof from === 'string' ? parseMailbox(from, true) : null;
  return mailbox?.ok === true ? mailbox.value.domain : null;
}
