/**
 * Tries what an explanation says: really connects to every address, down the ladder, has the peer judged, and asks for the
 * recipient; stops before DATA unless told to send one test message. Connector validation. Leaves no memory and no kept session.
 */
import type { Clock } from '../domain/basics.ts';
import type { Envelope } from '../domain/envelope.ts';
import type { IdentityFailure } from '../domain/peer.ts';
import type { Body, ClaimedRecipient } from '../domain/queue.ts';
import type { Rung, TlsFailure, TlsPolicy } from '../domain/tls.ts';
import { nextRung } from '../security/ladder-policy.ts';
import { judgePeer } from '../security/peer-policy.ts';
import type { TlsDecision } from '../security/tls-policy.ts';
import type { OpenFailure, Session, SessionFacts, TransactionResult, Transport } from '../transport/session.ts';
import { type Approach, connectPlan, type Target, targetOf } from './approach.ts';
import type { ExplainedHost } from './explain.ts';

/** What probing works with. */
export type ProbeContext = { readonly transport: Transport; readonly clock: Clock; readonly approach: Approach };

/** The message asked about; with `body` it is really sent, once, to the first host that satisfies the policy. */
export type ProbeMessage = {
  readonly envelope: Envelope;
  readonly recipients: readonly ClaimedRecipient[];
  readonly body: Body | null;
};

/** A rung that was left, and why. */
export type LeftRung = { readonly rung: Rung; readonly failure: TlsFailure };

/** One address. `satisfied`: the message could go this way now. */
export type ProbedAddress = {
  readonly address: string;
  readonly left: readonly LeftRung[];
  readonly satisfied: boolean;
  readonly outcome:
    | { readonly kind: 'failed'; readonly failure: OpenFailure }
    | {
        readonly kind: 'connected';
        readonly facts: SessionFacts;
        readonly identity: IdentityFailure | null;
        readonly authentication: OpenFailure | null;
        /** Null where the peer was not to see the addresses. */
        readonly answer: TransactionResult | null;
        readonly sent: boolean;
      };
};

/** One host: what was decided about it, and what its addresses did. */
export type ProbedHost = { readonly explained: ExplainedHost; readonly addresses: readonly ProbedAddress[] };

/** Probes every address of every host that may be tried. Never rejects for what peers do. */
export async function probe(
  hosts: readonly ExplainedHost[],
  message: ProbeMessage,
  context: ProbeContext,
): Promise<readonly ProbedHost[]> {
  const probed: ProbedHost[] = [];
  let unsent = message;
  for (const explained of hosts) {
    const addresses: ProbedAddress[] = [];
    if (explained.decision.kind === 'use') {
      for (const address of explained.host.addresses) {
        const target = targetOf(explained.host, address);
        const result = await probeAddress(target, { decision: explained.decision, message: unsent, context });
        if (result.outcome.kind === 'connected' && result.outcome.sent) unsent = { ...message, body: null };
        addresses.push(result);
      }
    }
    probed.push({ explained, addresses });
  }
  return probed;
}

type Visit = {
  readonly decision: Extract<TlsDecision, { kind: 'use' }>;
  readonly message: ProbeMessage;
  readonly context: ProbeContext;
};

async function probeAddress(target: Target, visit: Visit): Promise<ProbedAddress> {
  const { policy } = visit.decision;
  const left: LeftRung[] = [];
  for (let rung: Rung | null = policy.ladder[0] ?? 'plaintext'; rung !== null; ) {
    const opened = await visit.context.transport.open(connectPlan(visit.context.approach, target, { policy, rung }));
    if (opened.ok) return { address: target.address, left, ...(await question(opened.value, policy, visit)) };
    if (opened.error.kind !== 'tls' || rung === 'plaintext')
      return { address: target.address, left, satisfied: false, outcome: { kind: 'failed', failure: opened.error } };
    left.push({ rung, failure: opened.error.failure });
    const next = nextRung(policy, rung, opened.error.failure);
    rung = next.kind === 'tls' ? next.rung : next.kind === 'exhausted' && policy.plaintext === 'allowed' ? 'plaintext' : null;
    if (rung === null)
      return { address: target.address, left, satisfied: false, outcome: { kind: 'failed', failure: opened.error } };
  }
  return {
    address: target.address,
    left,
    satisfied: false,
    outcome: { kind: 'failed', failure: { kind: 'local', detail: 'no rung is left' } },
  };
}

/** Judges first; a peer that is not who it must be sees neither credentials nor addresses. */
async function question(
  session: Session,
  policy: TlsPolicy,
  { message, context }: Visit,
): Promise<Pick<ProbedAddress, 'satisfied' | 'outcome'>> {
  const { facts } = session;
  const identity = facts.peer === null ? null : judgePeer(policy.peer, facts.peer, context.clock.now());
  const { credentials } = context.approach;
  const authentication = identity === null && credentials !== null ? await session.authenticate(credentials) : null;
  const trusted = identity === null && authentication === null;
  const { body, ...envelope } = message;
  const asked = trusted ? await session.sound(envelope) : null;
  const welcome = asked !== null && isWelcome(asked);
  const answer = welcome && body !== null ? await session.deliver({ ...envelope, body }) : asked;
  await session.quit();
  const sent = welcome && body !== null;
  return { satisfied: trusted, outcome: { kind: 'connected', facts, identity, authentication, answer, sent } };
}

const isWelcome = (result: TransactionResult): boolean =>
  result.kind === 'answered' && [...result.replies.values()].every(({ reply }) => reply.code < 300);
