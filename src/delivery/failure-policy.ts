/**
 * What a failure means: permanent or not, which enhanced code, in which words, and whether another host may be tried.
 * The only place that judges failures. RFC 5321, section 4.2.1; RFC 3463; codes of interface.md, section 4.
 */
import type { DeliveryFailure, DeliveryOutcome, EnhancedStatusCode, SmtpReply } from '../domain/outcome.ts';
import type { IdentityFailure, UntrustedReason } from '../domain/peer.ts';
import type { PolicySource, TlsFailure, TlsPolicy } from '../domain/tls.ts';
import type { SkipProblem } from '../security/tls-policy.ts';
import type { OpenFailure, TransactionResult } from '../transport/session.ts';

/** Where the failure met us. */
export type Where = { readonly mx: string; readonly ip: string };

/** Names the host as people would: `mx.example.org [192.0.2.1]`. */
const hostText = ({ mx, ip }: Where): string => (mx === ip ? `[${ip}]` : `${mx} [${ip}]`);

const temporary = (
  where: Where,
  enhanced: EnhancedStatusCode,
  said: { readonly text: string; readonly reply?: SmtpReply },
): DeliveryFailure => ({
  permanent: false,
  enhanced,
  text: said.text,
  reply: said.reply ?? null,
  mx: where.mx,
  ip: where.ip,
});

const CONNECT_TEXT = {
  refused: 'refused the connection',
  timeout: 'did not answer in time',
  unreachable: 'cannot be reached from here',
  reset: 'broke off the connection',
} as const;
const BROKEN_TEXT = {
  closed: 'closed the connection',
  timeout: 'stopped answering',
  malformed: 'sent something that is not an SMTP reply',
} as const;
const COMMAND_TEXT = {
  connect: 'before its greeting',
  ehlo: 'after EHLO',
  starttls: 'after STARTTLS',
  auth: 'during authentication',
  mail: 'after MAIL',
  rcpt: 'after RCPT',
  data: 'while taking the message',
  dot: 'after the end of the message, before its answer',
} as const;

/** No session came about. Always temporary: another host, another time. */
function judgeOpenFailure(failure: OpenFailure, where: Where, policy: TlsPolicy | null): DeliveryFailure {
  const host = hostText(where);
  switch (failure.kind) {
    case 'connect':
      return temporary(where, '4.4.1', { text: `${host} ${CONNECT_TEXT[failure.problem]}` });
    case 'reply':
      if (failure.command === 'auth') return judgeRefusedCredentials(failure.reply, where);
      return temporary(where, temporaryCode(failure.reply, '4.3.2'), {
        text: `${host} does not take mail now: ${replyText(failure.reply)}`,
        reply: failure.reply,
      });
    case 'broken':
      return temporary(where, '4.4.2', { text: `${host} ${BROKEN_TEXT[failure.problem]} ${COMMAND_TEXT[failure.command]}` });
    case 'tls':
      return temporary(where, demander(policy) === 'dane' ? '4.7.321' : codeFor(policy, '4.4.317'), {
        text: `${host} ${tlsFailureText(failure.failure)}${demandText(policy, 'TLS')}`,
      });
    case 'peer':
      return judgeIdentity(failure.failure, where, policy);
    case 'local':
      return temporary(where, '4.3.0', { text: `this relay could not open a connection to ${host}: ${failure.detail}` });
  }
}

/** RFC 4954, section 6: 535 5.7.8. Temporary, for a password can be mended; the user's name is not told. */
const judgeRefusedCredentials = (reply: SmtpReply, where: Where): DeliveryFailure =>
  temporary(where, temporaryCode(reply, '4.7.8'), {
    text: `${hostText(where)} does not accept the user name and password this relay shows: ${replyText(reply)}`,
    reply,
  });

/** A host that gave no session: it failed, or policy forbade to try (then `policy` is null). */
export type ClosedDoor = {
  readonly where: Where;
  readonly failure: OpenFailure | { readonly kind: 'skipped'; readonly problem: SkipProblem };
  readonly policy: TlsPolicy | null;
};

/** What no open door means: temporary while any host is, for the last such reason; else the last reason there is. */
export function judgeClosedDoors(doors: readonly ClosedDoor[]): DeliveryFailure {
  const judged = doors.map(judgeClosedDoor);
  return judged.findLast(({ permanent }) => !permanent) ?? judged.at(-1) ?? NO_HOST;
}

const NO_HOST: DeliveryFailure = {
  permanent: false,
  enhanced: '4.4.1',
  text: 'no host could be tried',
  reply: null,
  mx: null,
  ip: null,
};

function judgeClosedDoor({ where, failure, policy }: ClosedDoor): DeliveryFailure {
  if (failure.kind !== 'skipped') return judgeOpenFailure(failure, where, policy);
  const { enhanced, text } = failure.problem;
  return {
    permanent: enhanced.startsWith('5'),
    enhanced,
    text: `${hostText(where)} was not tried: ${text}`,
    reply: null,
    mx: where.mx,
    ip: where.ip,
  };
}

/** Whose demand a peer fell short of: the one that asked for identity; of several the strictest kind. */
function demander(policy: TlsPolicy | null): PolicySource['kind'] {
  const kinds = (policy?.because ?? []).filter(isDemand).map(({ kind }) => kind);
  return (['dane', 'mta-sts', 'connector', 'message'] as const).find((kind) => kinds.includes(kind)) ?? 'default';
}

/** A message can waive, too, and whoever waives demands nothing. */
const isDemand = (source: PolicySource): boolean => source.kind !== 'message' || source.demand === 'requiretls';

/** The code where the connection or the certificate falls short of what only the message demands, or of `otherwise`. */
const codeFor = (policy: TlsPolicy | null, otherwise: EnhancedStatusCode): EnhancedStatusCode =>
  demander(policy) === 'message' ? '4.7.30' : otherwise;

/** Codes of interface.md, section 4. Certificates can be mended, so they are worth waiting for; a host without REQUIRETLS is not. */
function judgeIdentity(failure: IdentityFailure, where: Where, policy: TlsPolicy | null): DeliveryFailure {
  const text = `${hostText(where)} ${peerFailureText(failure)}${demandText(policy, 'it')}`;
  switch (failure.kind) {
    case 'dane-mismatch':
      return temporary(where, '4.7.323', { text });
    case 'dane-expired':
      return temporary(where, '4.7.322', { text });
    case 'dane-name-mismatch':
      return temporary(where, '4.7.325', { text });
    case 'no-requiretls':
      return { permanent: true, enhanced: '5.7.30', text, reply: null, mx: where.mx, ip: where.ip };
    case 'untrusted':
    case 'name-mismatch':
    case 'pin-mismatch':
      return temporary(where, demander(policy) === 'mta-sts' ? '4.7.5' : codeFor(policy, '4.7.320'), { text });
  }
}

/** What is wrong with a chain, to follow 'a certificate that'. */
export const UNTRUSTED_TEXT: Readonly<Record<UntrustedReason, string>> = {
  'self-signed': 'is self-signed',
  'unknown-issuer': 'does not lead to an authority this relay trusts',
  expired: 'has expired',
  'not-yet-valid': 'is not valid yet',
  revoked: 'was revoked',
  'wrong-purpose': 'is not meant for servers',
  'no-certificate': 'was not shown',
  other: 'could not be verified',
};

/** What a peer did not prove, in plain words, to follow the name of the host. */
export function peerFailureText(failure: IdentityFailure): string {
  switch (failure.kind) {
    case 'untrusted':
      return `showed a certificate that ${UNTRUSTED_TEXT[failure.reason]}`;
    case 'name-mismatch':
      return `showed a certificate for ${namesText(failure.presented)}, not for ${failure.wanted.join(' or ')}`;
    case 'pin-mismatch':
      return 'showed a certificate with another key than the pinned ones';
    case 'dane-mismatch':
      return 'showed a certificate that matches none of its TLSA records';
    case 'dane-expired':
      return `showed a certificate that expired on ${new Date(failure.notAfter).toISOString().slice(0, 10)}`;
    case 'dane-name-mismatch':
      return `showed a certificate for ${namesText(failure.presented)}, which is not the name its TLSA record is for`;
    case 'no-requiretls':
      return 'does not offer REQUIRETLS, which the sender demands';
  }
}

const namesText = (names: readonly string[]): string => (names.length === 0 ? 'no name at all' : names.slice(0, 5).join(', '));

/** A TLS failure in plain words, to follow the name of the host. */
export function tlsFailureText(failure: TlsFailure): string {
  switch (failure.kind) {
    case 'not-offered':
      return 'does not offer STARTTLS';
    case 'refused':
      return `refused STARTTLS (${failure.code}${failure.text === '' ? '' : ` ${failure.text}`})`;
    case 'handshake':
      return `broke off the TLS handshake${failure.alert === null ? '' : ` (${failure.alert})`}`;
    case 'handshake-timeout':
      return 'did not finish the TLS handshake in time';
    case 'injected':
      return 'sent plaintext behind its answer to STARTTLS, as an attacker on the path would';
  }
}

/** Who demands TLS, or what was missing from it, where someone does. */
function demandText(policy: TlsPolicy | null, what: 'TLS' | 'it'): string {
  if (policy?.plaintext !== 'never') return '';
  const demands = policy.because
    .filter(isDemand)
    .map((source) => demandOf(source, what))
    .filter((text) => text !== null);
  return demands.length === 0 ? '' : `, and ${demands.join(' and ')}`;
}

function demandOf(source: PolicySource, what: 'TLS' | 'it'): string | null {
  switch (source.kind) {
    case 'connector':
      return `connector ${source.name} demands ${what}`;
    case 'dane':
      return `DANE (the TLSA records of ${source.tlsaBase}) demands ${what}`;
    case 'mta-sts':
      return `the MTA-STS policy of ${source.domain} demands ${what}`;
    case 'message':
      return `the sender demands ${what}`;
    case 'credentials':
      return 'credentials are never sent without TLS';
    case 'default':
      return null;
  }
}

/** What one reply means for its recipient. 2xx to the final dot is delivery; 5xx ends it; anything else is to be tried again. */
export function judgeReply(reply: SmtpReply, where: Where, relayedDsn: boolean): DeliveryOutcome {
  if (reply.code >= 200 && reply.code < 300) return { kind: 'delivered', reply, relayedDsn };
  const said = `${hostText(where)} said: ${replyText(reply)}`;
  // 552 for too many recipients is 452 (RFC 5321, section 4.5.3.1.10); 521 and 556 are about the host, 5xx all the same.
  if (reply.code >= 500) {
    return {
      kind: 'failed',
      failure: { permanent: true, enhanced: codeOf(reply, 5), text: said, reply, mx: where.mx, ip: where.ip },
    };
  }
  return { kind: 'deferred', failure: temporary(where, temporaryCode(reply, '4.0.0'), { text: said, reply }) };
}

/** A transaction that ended without an answer for some recipients. Temporary: nobody refused anything. */
export function judgeBroken(result: Exclude<TransactionResult, { kind: 'answered' }>, where: Where): DeliveryOutcome {
  const failure =
    result.kind === 'local'
      ? temporary(where, '4.3.0', { text: `this relay could not send the message: ${result.detail}` })
      : temporary(where, '4.4.2', { text: `${hostText(where)} ${BROKEN_TEXT[result.problem]} ${COMMAND_TEXT[result.command]}` });
  return { kind: 'deferred', failure };
}

/** The same failure once no further attempt will be made: same number, class 5 (interface.md, section 4). */
export const asExpired = (failure: DeliveryFailure): DeliveryFailure => ({
  ...failure,
  permanent: true,
  enhanced: `5${failure.enhanced.slice(1)}` as EnhancedStatusCode,
});

const replyText = (reply: SmtpReply): string =>
  [reply.code, reply.enhanced, reply.text].filter((part) => part !== null && part !== '').join(' ');

const codeOf = (reply: SmtpReply, kind: 4 | 5): EnhancedStatusCode => reply.enhanced ?? `${kind}.0.0`;

/** A temporary failure carries a code of class 4, whatever the peer wrote. */
const temporaryCode = (reply: SmtpReply, otherwise: EnhancedStatusCode): EnhancedStatusCode =>
  reply.enhanced?.startsWith('4') === true ? reply.enhanced : otherwise;
