/**
 * What a connector in test mode would have done: judged on the same facts by the same policies, for log and count only.
 */
import type { Instant } from '../domain/basics.ts';
import { judgePeer } from '../security/peer-policy.ts';
import type { TlsDecision } from '../security/tls-policy.ts';
import type { SessionFacts } from '../transport/session.ts';
import { peerFailureText } from './failure-policy.ts';

/** Why the message would not have gone over this session, in words to follow the host's name; null where it would have. */
export function wouldBlock(shadow: TlsDecision | null, facts: SessionFacts, now: Instant): string | null {
  if (shadow === null) return null;
  if (shadow.kind === 'skip-host') return shadow.problem.text;
  if (facts.peer === null) return shadow.policy.plaintext === 'never' ? 'gave no TLS' : null;
  const failure = judgePeer(shadow.policy.peer, facts.peer, now);
  return failure === null ? null : peerFailureText(failure);
}
