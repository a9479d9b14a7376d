/**
 * The outcome of a probe as one JSON document, and as text that tells alone why mail to a partner is stuck.
 */
import type { X509Certificate } from 'node:crypto';
import { peerFailureText, tlsFailureText, UNTRUSTED_TEXT } from '../delivery/failure-policy.ts';
import type { ProbedAddress, ProbedHost } from '../delivery/probe.ts';
import { escapeText } from '../domain/escape.ts';
import { namePatternText } from '../domain/peer.ts';
import { dnsNames } from '../security/certificate-names-format.ts';
import { spkiHash } from '../security/spki-format.ts';
import type { OpenFailure, SessionFacts, TransactionResult } from '../transport/session.ts';
import { facts } from './table-format.ts';

const MOST_NAMES = 10;

const CONNECT_TEXT = {
  refused: 'refused the connection',
  timeout: 'did not answer',
  unreachable: 'cannot be reached',
  reset: 'broke off the connection',
} as const;

/** Why no session came about, in words to follow the address. */
function openFailureText(failure: OpenFailure): string {
  switch (failure.kind) {
    case 'connect':
      return CONNECT_TEXT[failure.problem];
    case 'reply':
      return `answered ${failure.command.toUpperCase()} with ${failure.reply.code} ${failure.reply.enhanced ?? ''} ${failure.reply.text}`.replaceAll(
        '  ',
        ' ',
      );
    case 'broken':
      return `${failure.problem === 'timeout' ? 'went silent' : failure.problem === 'closed' ? 'closed the connection' : 'said something that is not SMTP'} at ${failure.command.toUpperCase()}`;
    case 'tls':
      return tlsFailureText(failure.failure);
    case 'peer':
      return peerFailureText(failure.failure);
    case 'local':
      return `could not be tried: ${failure.detail}`;
  }
}

/** The answer to MAIL and RCPT, or to the message. */
function answerText(result: TransactionResult): string {
  if (result.kind !== 'answered')
    return result.kind === 'local' ? result.detail : `the connection broke at ${result.command.toUpperCase()}`;
  return [...result.replies.values()]
    .map(({ command, reply }) =>
      `${command === 'dot' ? 'message' : command.toUpperCase()}: ${reply.code} ${reply.enhanced ?? ''} ${reply.text}`.replaceAll(
        '  ',
        ' ',
      ),
    )
    .join('; ');
}

const subjectText = (certificate: X509Certificate): string => certificate.subject.replaceAll('\n', ', ');
const day = (text: string): string => new Date(text).toISOString().slice(0, 10);

function certificateRows({ peer }: SessionFacts): readonly (readonly [string, string])[] {
  if (peer === null) return [];
  const leaf = peer.chain[0];
  const verdict = peer.verdict.kind === 'trusted' ? 'leads to a trusted authority' : UNTRUSTED_TEXT[peer.verdict.reason];
  if (leaf === undefined) return [['certificate', 'none was shown']];
  const names = dnsNames(leaf).map(namePatternText);
  return [
    [
      'certificate',
      `${subjectText(leaf) || '(no subject)'}; names ${names.slice(0, MOST_NAMES).join(' ') || 'none'}${names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : ''}`,
    ],
    ['valid', `${day(leaf.validFrom)} to ${day(leaf.validTo)}`],
    ['issued by', peer.chain.slice(1).map(subjectText).join(' ← ') || leaf.issuer.replaceAll('\n', ', ')],
    ['key', `sha256:${spkiHash(leaf)}`],
    ['chain', verdict],
  ];
}

function addressRows({ left, outcome, satisfied }: ProbedAddress): readonly (readonly [string, string])[] {
  const rungs = left.map(({ rung, failure }): readonly [string, string] => [rung, `the host ${tlsFailureText(failure)}`]);
  if (outcome.kind === 'failed') return [...rungs, ['result', `NO: the host ${openFailureText(outcome.failure)}`]];
  const { facts: session, identity, authentication, answer, sent } = outcome;
  const tls =
    session.tls === null
      ? `none${session.tlsFailure === null ? '' : `: the host ${tlsFailureText(session.tlsFailure)}`}`
      : `${session.tls.version}, ${session.tls.cipher}, ${session.tls.group ?? 'no key-exchange group'}`;
  const problem =
    identity !== null
      ? `the host ${peerFailureText(identity)}`
      : authentication !== null
        ? `the host ${openFailureText(authentication)}`
        : null;
  return [
    ...rungs,
    [session.rung, 'works'],
    ['TLS', tls],
    ...certificateRows(session),
    ['offers', [...session.extensions.keys()].join(' ') || 'nothing (no EHLO)'],
    ...(answer === null ? [] : ([['answer', answerText(answer)]] as const)),
    ['result', satisfied ? resultText(answer, sent) : `NO: ${problem ?? 'the policy is not met'}`],
  ];
}

/** The policy is met; whether the peer wants the recipient is another matter. */
function resultText(answer: TransactionResult | null, sent: boolean): string {
  const refused =
    answer === null || answer.kind !== 'answered' || [...answer.replies.values()].some(({ reply }) => reply.code >= 300);
  if (refused) return 'the policy is met, but the host did not take the recipient';
  return sent ? 'yes: the test message was taken' : 'yes: the policy is met and the recipient would be taken';
}

function hostText({ explained, addresses }: ProbedHost): string {
  const { host, decision } = explained;
  const name = escapeText(host.name ?? `[${host.addresses[0]}]`);
  if (decision.kind === 'skip-host')
    return `${name}: not tried: ${decision.problem.enhanced} ${escapeText(decision.problem.text)}\n`;
  return addresses
    .map(
      (address) =>
        `${host.name === null ? '' : `${name} `}[${address.address}]:${host.port}\n${facts(addressRows(address)).replace(/^(?=.)/gm, '  ')}`,
    )
    .join('\n');
}

/** For people. */
export const probeText = (hosts: readonly ProbedHost[]): string => hosts.map(hostText).join('\n');

/** For scripts; keys are stable. */
export const probeDocument = (hosts: readonly ProbedHost[]): object => ({
  satisfied: hosts.some(({ addresses }) => addresses.some(({ satisfied }) => satisfied)),
  hosts: hosts.map(({ explained: { host, decision }, addresses }) => ({
    name: host.name,
    port: host.port,
    skipped: decision.kind === 'skip-host' ? decision.problem : null,
    addresses: addresses.map(addressDocument),
  })),
});

function addressDocument({ address, left, satisfied, outcome }: ProbedAddress): object {
  const base = {
    address,
    satisfied,
    left: left.map(({ rung, failure }) => ({ rung, failure: failure.kind, text: tlsFailureText(failure) })),
  };
  if (outcome.kind === 'failed')
    return { ...base, rung: null, tls: null, problem: openFailureText(outcome.failure), answer: null, extensions: [], chain: [] };
  const { facts: session, identity, authentication, answer } = outcome;
  return {
    ...base,
    rung: session.rung,
    tls: session.tls,
    problem: identity !== null ? peerFailureText(identity) : authentication !== null ? openFailureText(authentication) : null,
    answer: answer === null ? null : answerText(answer),
    extensions: [...session.extensions].map(([keyword, value]) => (value === '' ? keyword : `${keyword} ${value}`)),
    chain: (session.peer?.chain ?? []).map((certificate) => ({
      subject: subjectText(certificate),
      names: dnsNames(certificate).map(namePatternText),
      validFrom: new Date(certificate.validFrom).toISOString(),
      validTo: new Date(certificate.validTo).toISOString(),
      spki: `sha256:${spkiHash(certificate)}`,
    })),
    trusted: session.peer?.verdict.kind === 'trusted',
  };
}
