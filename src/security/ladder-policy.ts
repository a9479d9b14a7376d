/**
 * Which rung of the ladder comes next. What decides is the phase in which a failure came, never the text of an error;
 * a certificate is never a reason to step down. interface.md, section 4.
 */
import type { Instant, Milliseconds } from '../domain/basics.ts';
import { after } from '../domain/basics.ts';
import type { Rung, TlsFailure, TlsPolicy, TlsRung } from '../domain/tls.ts';

/** How long a rung that worked is remembered before the top is tried again. */
export const RUNG_MEMORY: Milliseconds = 24 * 60 * 60 * 1000;

/** What is remembered of a host at an address. */
export type RememberedRung = { readonly rung: Rung; readonly since: Instant };

/** Where to begin at an address. */
export type Start =
  | { readonly kind: 'tls'; readonly rung: TlsRung }
  /** In the clear at once: policy says so, or every TLS rung is known to fail here. */
  | { readonly kind: 'plaintext' }
  /** The policy leaves no rung at all. */
  | { readonly kind: 'none' };

/** The highest rung not known to fail. A memory is a hint: it never lets plaintext in where the policy forbids it. */
export function firstRung(policy: TlsPolicy, remembered: RememberedRung | null, now: Instant): Start {
  if (policy.plaintext === 'always') return { kind: 'plaintext' };
  const top = policy.ladder[0];
  if (top === undefined) return { kind: 'none' };
  if (remembered === null || after(remembered.since, RUNG_MEMORY) <= now) return { kind: 'tls', rung: top };
  if (remembered.rung === 'plaintext') return policy.plaintext === 'allowed' ? { kind: 'plaintext' } : { kind: 'tls', rung: top };
  return { kind: 'tls', rung: policy.ladder.includes(remembered.rung) ? remembered.rung : top };
}

/** What follows a TLS failure at an address. */
export type Next =
  | { readonly kind: 'tls'; readonly rung: TlsRung }
  /** No TLS rung is left here. Plaintext may follow once every other host of the preference has failed, too. */
  | { readonly kind: 'exhausted' }
  /** TLS is not to be had here at all: another ClientHello cannot help. */
  | { readonly kind: 'unavailable' };

/** The next rung after `failed`; the failure's kind alone decides. */
export function nextRung(policy: TlsPolicy, failed: TlsRung, failure: TlsFailure): Next {
  switch (failure.kind) {
    case 'not-offered':
    case 'refused':
      return { kind: 'unavailable' };
    case 'handshake':
    case 'handshake-timeout':
    case 'injected': {
      const next = policy.ladder[policy.ladder.indexOf(failed) + 1];
      return next === undefined ? { kind: 'exhausted' } : { kind: 'tls', rung: next };
    }
  }
}

/**
 * Whether the clear may be tried on new connections after the hosts of one preference gave no session.
 * Never for a fault of our own; `exhausted` counts the addresses where every TLS rung failed.
 */
export const mayFallToPlaintext = (
  policy: TlsPolicy,
  seen: { readonly exhausted: number; readonly localFault: boolean },
): boolean => policy.plaintext === 'allowed' && seen.exhausted > 0 && !seen.localFault;

/** What to do with the memory of a host once a session stands on `reached`. */
export type MemoryChange =
  | { readonly kind: 'keep' }
  | { readonly kind: 'forget' }
  | { readonly kind: 'remember'; readonly rung: Rung };

/**
 * The top rung needs no memory. A rung below it is remembered from the first time, so that the day ends and the top is tried again.
 * `stepped`: rungs failed on the way here; a session in the clear because STARTTLS was not to be had is no rung that worked.
 */
export function rungMemory(
  policy: TlsPolicy,
  reached: Rung,
  seen: { readonly remembered: RememberedRung | null; readonly now: Instant; readonly stepped: boolean },
): MemoryChange {
  const fresh = seen.remembered !== null && after(seen.remembered.since, RUNG_MEMORY) > seen.now;
  if (reached === policy.ladder[0]) return seen.remembered === null ? { kind: 'keep' } : { kind: 'forget' };
  if (fresh && seen.remembered?.rung === reached) return { kind: 'keep' };
  return seen.stepped ? { kind: 'remember', rung: reached } : { kind: 'keep' };
}
