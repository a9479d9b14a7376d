/**
 * An explanation as one JSON document, and as text to be read at a glance.
 */

import { formatDuration } from '../config/duration-format.ts';
import { nextHopText } from '../config/next-hop-format.ts';
import type { ExplainedHost, Explanation } from '../delivery/explain.ts';
import { mailboxText } from '../domain/address.ts';
import type { OutboundConnector } from '../domain/connector.ts';
import { escapeText } from '../domain/escape.ts';
import { namePatternText, type PeerRequirement } from '../domain/peer.ts';
import type { PolicySource, TlsPolicy } from '../domain/tls.ts';
import type { DaneStatus, NoDaneReason } from '../security/dane-policy.ts';
import type { MtaStsStatus } from '../security/mta-sts-policy.ts';
import { stsProblemText } from '../security/mta-sts-problem-format.ts';
import { facts, table } from './table-format.ts';

const NO_DANE_TEXT: Readonly<Record<NoDaneReason, string>> = {
  off: 'off for this delivery',
  'address-literal': 'none: the host is named by its address',
  'mx-insecure': 'none: the MX records are not secured by DNSSEC, or the resolver does not validate',
  'addresses-insecure': 'none: the addresses of the host are not secured by DNSSEC',
  'no-tlsa': 'none: the host publishes no TLSA record',
  'tlsa-insecure': 'none: the TLSA records are not secured by DNSSEC',
};

/** DANE at a host, in a phrase. */
export function daneText(dane: DaneStatus): string {
  switch (dane.kind) {
    case 'not-applicable':
      return NO_DANE_TEXT[dane.because];
    case 'usable':
      return `${dane.records.length} usable TLSA record${dane.records.length === 1 ? '' : 's'} at ${dane.tlsaBase}`;
    case 'unusable':
      return `TLSA records at ${dane.tlsaBase}, none usable: TLS without authentication`;
    case 'undetermined':
      return `cannot be told: ${dane.text}`;
  }
}

/** MTA-STS for a delivery, in a phrase. */
export function mtaStsText(status: MtaStsStatus): string {
  if (status.kind === 'policy')
    return `policy of ${status.domain}, mode ${status.mode}, id ${status.id}, hosts ${status.mx.map(namePatternText).join(' ')}`;
  return status.problem === null ? 'none' : 'none that could be learned (see the log for why)';
}

/** What a peer must prove, in a phrase. */
export function requirementText(requirement: PeerRequirement): string {
  switch (requirement.kind) {
    case 'trusted':
      return 'a certificate from a trusted authority, any name';
    case 'name':
      return `a certificate from a trusted authority for ${requirement.names.map(namePatternText).join(' or ')}`;
    case 'pin':
      return `the key ${requirement.keys.map((key) => `sha256:${key}`).join(' or ')}`;
    case 'dane':
      return `a certificate that matches one of ${requirement.records.length} TLSA records`;
    case 'offers-requiretls':
      return 'REQUIRETLS among its EHLO keywords';
  }
}

/** Who asked for something, in a phrase. */
export const sourceText = (source: PolicySource): string => {
  switch (source.kind) {
    case 'connector':
      return `connector ${source.name}`;
    case 'dane':
      return `DANE at ${source.tlsaBase}`;
    case 'mta-sts':
      return `MTA-STS of ${source.domain}`;
    case 'message':
      return source.demand === 'requiretls' ? 'the message (REQUIRETLS)' : 'the message (TLS-Required: No)';
    case 'credentials':
      return 'the credentials for the host';
    case 'default':
      return 'nobody in particular';
  }
};

const PLAINTEXT_TEXT = {
  always: 'always: TLS is switched off',
  allowed: 'after the last rung',
  never: 'never',
} as const;

const policyRows = (policy: TlsPolicy): readonly (readonly [string, string])[] => [
  ['ladder', [...policy.ladder, ...(policy.plaintext === 'never' ? [] : ['plaintext'])].join(' → ')],
  ['peer', policy.peer.length === 0 ? 'any certificate will do' : policy.peer.map(requirementText).join('; ')],
  ['plaintext', PLAINTEXT_TEXT[policy.plaintext]],
  ['demanded by', policy.because.map(sourceText).join(', ')],
];

function hostText({ host, security, decision, starts }: ExplainedHost): string {
  const name = host.name ?? `[${host.addresses[0]}]`;
  const verdict: readonly (readonly [string, string])[] =
    decision.kind === 'use'
      ? policyRows(decision.policy)
      : [['not tried', `${decision.problem.enhanced} ${decision.problem.text}`]];
  const memory = starts
    .filter(({ remembered }) => remembered !== null)
    .map(({ address, remembered }) => `${address} begins at ${remembered?.rung}, which worked last`);
  const rows: readonly (readonly [string, string])[] = [
    ['addresses', host.addresses.join(' ')],
    ['DNSSEC', host.mxSecure ? 'the way to this name is secure' : 'not secured'],
    ['DANE', daneText(security.dane)],
    ['MTA-STS', mtaStsText(security.mtaSts)],
    ...verdict,
    ...(memory.length === 0 ? [] : ([['memory', memory.join('; ')]] as const)),
    ...(decision.kind === 'use' && decision.shadow !== null
      ? ([['test mode', 'the connector would demand more; it only counts']] as const)
      : []),
  ];
  return `  ${escapeText(name)}:${host.port} (preference ${host.preference})\n${indent(facts(rows))}`;
}

const indent = (text: string): string => text.replace(/^(?=.)/gm, '    ');

function routeText({ route }: OutboundConnector): string {
  switch (route.kind) {
    case 'mx':
      return 'the MX hosts of the recipient’s domain';
    case 'smarthost':
      return `smarthost ${route.hosts.map(nextHopText).join(', ')}${route.balance ? ' (shuffled)' : ''}, ${route.tls === 'implicit' ? 'TLS from the first byte' : 'STARTTLS'}${route.auth === null ? '' : ', with credentials'}`;
    case 'reject':
      return `reject: ${route.text}`;
  }
}

function nextText({ next }: Explanation): string {
  switch (next.kind) {
    case 'rejected':
      return `  The message would be returned to its sender: ${next.text}\n`;
    case 'not-looked-up':
      return '  DNS was not asked (--no-dns).\n';
    case 'no-host':
      return `  No host: ${next.failure.permanent ? 'the message would be returned' : 'the message would wait'}. ${next.failure.enhanced} ${next.failure.text}\n`;
    case 'hosts':
      return next.hosts.map(hostText).join('\n');
  }
}

/** The explanation for people. `width`: columns of the terminal, null where there is none. */
export function explanationText(explanation: Explanation, width: number | null): string {
  const { request, connector, passedOver } = explanation;
  const { retry } = connector;
  const head = facts([
    ['recipient', mailboxText(request.recipient)],
    ['sender', request.sender === null ? '<>' : mailboxText(request.sender)],
    ['connector', `${connector.name} (${connector.tls.mode}${connector.testMode ? ', test mode' : ''})`],
    ['route', routeText(connector)],
    [
      'retry',
      `${retry.intervals.map(formatDuration).join(' ')}, then the last again; given up after ${formatDuration(retry.expireAfter)}`,
    ],
  ]);
  const over =
    passedOver.length === 0
      ? ''
      : `\nConnectors above it that do not apply\n${indent(
          table(
            [{ heading: 'NAME' }, { heading: 'BECAUSE' }],
            passedOver.map(({ name, because }) => [name, because]),
            width,
          ),
        )}`;
  return `${head}${over}\nNext hops\n${nextText(explanation)}`;
}

/** The explanation for scripts; keys are stable. */
export function explanationDocument(explanation: Explanation): object {
  const { request, connector, passedOver, next } = explanation;
  return {
    recipient: mailboxText(request.recipient),
    sender: request.sender === null ? '' : mailboxText(request.sender),
    demand: request.demand,
    connector: { name: connector.name, mode: connector.tls.mode, testMode: connector.testMode, route: routeText(connector) },
    passedOver,
    retry: { intervalsMs: connector.retry.intervals, expireAfterMs: connector.retry.expireAfter },
    next: next.kind === 'hosts' ? { kind: next.kind, hosts: next.hosts.map(hostDocument) } : next,
  };
}

const hostDocument = ({ host, security, decision, starts }: ExplainedHost): object => ({
  name: host.name,
  port: host.port,
  preference: host.preference,
  addresses: starts.map(({ address, remembered, start }) => ({
    address,
    startsAt: start.kind === 'tls' ? start.rung : start.kind,
    remembered: remembered?.rung ?? null,
  })),
  mxSecure: host.mxSecure,
  dane: { kind: security.dane.kind, text: daneText(security.dane) },
  mtaSts: {
    kind: security.mtaSts.kind,
    text: mtaStsText(security.mtaSts),
    problem: security.mtaSts.problem === null || host.name === null ? null : stsProblemText(host.name, security.mtaSts.problem),
  },
  decision:
    decision.kind === 'use'
      ? {
          kind: decision.kind,
          plaintext: decision.policy.plaintext,
          ladder: decision.policy.ladder,
          peer: decision.policy.peer.map(requirementText),
          because: decision.policy.because.map(sourceText),
        }
      : { kind: decision.kind, ...decision.problem },
});
