/**
 * How long a client may take: a deadline for each command, handshake, message and session, and a least rate for message data,
 * so that neither silence nor a drip keeps a connection (RFC 5321, section 4.5.3.2).
 */
import type { Milliseconds } from '../domain/basics.ts';
import type { SmtpReply } from '../domain/outcome.ts';
import type { SessionPatience } from './context.ts';
import { REPLIES } from './reply-table.ts';

/** How a session stands. */
export type SessionPace = {
  readonly phase: 'command' | 'handshake' | 'message' | 'busy';
  /** Since the connection. */
  readonly session: Milliseconds;
  /** Since the phase began. */
  readonly elapsed: Milliseconds;
  /** Octets of the message under way. */
  readonly bytes: number;
  /** The client waits for our disk. */
  readonly ourTurn: boolean;
};

/** Go on, say why and close, or close without a word (there is no saying anything during a handshake). */
export type Patience =
  | { readonly kind: 'patient' }
  | { readonly kind: 'end'; readonly reply: SmtpReply }
  | { readonly kind: 'cut' };

const PATIENT: Patience = { kind: 'patient' };
const end = (reply: SmtpReply): Patience => ({ kind: 'end', reply });

/** Whether the client has used up its time. What waits for us costs the client nothing. */
export function judgePatience(patience: SessionPatience, pace: SessionPace): Patience {
  switch (pace.phase) {
    case 'busy':
      return PATIENT;
    case 'handshake':
      return pace.elapsed > patience.handshake ? { kind: 'cut' } : PATIENT;
    case 'command':
      if (pace.elapsed > patience.command) return end(REPLIES.idle);
      return pace.session > patience.session ? end(REPLIES.sessionTooLong) : PATIENT;
    case 'message':
      if (pace.elapsed > patience.data) return end(REPLIES.dataTooSlow);
      if (pace.elapsed <= patience.rateGrace || pace.ourTurn) return PATIENT;
      return pace.bytes < (patience.minimumRate * pace.elapsed) / 1000 ? end(REPLIES.dataTooSlow) : PATIENT;
  }
}
