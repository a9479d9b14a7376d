/**
 * One question to all servers: in order, those that were silent lately last, again where they stay silent. A refusal or failure of
 * one is no answer as long as another may know better; that data are bogus is one (RFC 4035, section 5.5).
 */
import type { Clock, Milliseconds } from '../domain/basics.ts';
import type { DnsProblem } from '../domain/dns.ts';
import type { Reply } from './answer-policy.ts';
import type { ServerAddress } from './resolv-conf-format.ts';
import { type Asked, askServer, type ExchangeResult } from './stub-exchange.ts';
import type { Question, RecordType } from './stub-wire.ts';
import { type DnssecMode, trustsAuthenticData } from './trust-policy.ts';

/** The servers and how they are asked. */
export type ServerOptions = {
  readonly servers: readonly ServerAddress[];
  readonly dnssec: DnssecMode;
  readonly clock: Clock;
  /** An unpredictable whole number, at least 0 and less than `below`. */
  readonly randomInt: (below: number) => number;
  /** How long one server may think about one question, over UDP and again over TCP. */
  readonly tryTimeout: Milliseconds;
  /** How often each server is asked before it counts as silent. */
  readonly rounds: number;
  /** How long a silent server is asked last. */
  readonly penalty: Milliseconds;
  /** Ends what is under way. */
  readonly signal: AbortSignal;
};

/** What asking came to. */
export type Told<T> =
  | { readonly kind: 'reply'; readonly reply: Reply<T> }
  | { readonly kind: 'bogus' }
  | { readonly kind: 'unknown'; readonly problem: DnsProblem };

/** A name to ask for, and until when, on the monotonic clock. */
export type Wanted<T> = { readonly name: string; readonly type: RecordType<T>; readonly deadline: Milliseconds };

/** Asks for a name at any of the servers. Never rejects. */
export type Servers = { ask<T>(wanted: Wanted<T>): Promise<Told<T>> };

type Variant = Pick<Question, 'checkingDisabled' | 'edns'>;

const PLAIN: Variant = { checkingDisabled: false, edns: true };
/** What servers say that do not know EDNS (RFC 6891, section 7), or not our version of it. */
const EDNS_REFUSALS: readonly string[] = ['FORMERR', 'NOTIMP', 'EXTENDED'];
const ANSWERS: readonly string[] = ['NOERROR', 'NXDOMAIN'];

/** The servers of a resolver; remembers which of them were silent. */
export function createServers(options: ServerOptions): Servers {
  const silentUntil = new Map<ServerAddress, Milliseconds>();
  const inOrder = (): ServerAddress[] => {
    const now = options.clock.monotonic();
    const silent = (server: ServerAddress): number => ((silentUntil.get(server) ?? now) > now ? 1 : 0);
    return options.servers.toSorted((one, other) => silent(one) - silent(other));
  };
  const remember = (server: ServerAddress, told: Told<unknown>): void => {
    if (isSilence(told)) silentUntil.set(server, options.clock.monotonic() + options.penalty);
    else silentUntil.delete(server);
  };
  return {
    async ask(wanted) {
      let last: Told<never> = { kind: 'unknown', problem: 'unreachable' };
      let candidates = inOrder();
      for (let round = 0; round < options.rounds && candidates.length > 0; round++) {
        const again: ServerAddress[] = [];
        for (const server of candidates) {
          if (options.signal.aborted || options.clock.monotonic() >= wanted.deadline) return last;
          const told = await askOne(options, server, wanted);
          remember(server, told);
          if (told.kind !== 'unknown') return told;
          last = told;
          if (isSilence(told)) again.push(server);
        }
        candidates = again;
      }
      return last;
    },
  };
}

/** True where the server may just not have been heard, so that asking it again makes sense. */
const isSilence = (told: Told<unknown>): boolean =>
  told.kind === 'unknown' && (told.problem === 'timeout' || told.problem === 'unreachable' || told.problem === 'malformed');

/** Puts the question to one server, in the simpler form it may need, and finds out why it failed. */
async function askOne<T>(options: ServerOptions, server: ServerAddress, wanted: Wanted<T>): Promise<Told<T>> {
  const first = await send(options, { server, wanted, variant: PLAIN });
  if (first.kind === 'failed') return { kind: 'unknown', problem: first.problem };
  const { rcode } = first.reply;
  if (ANSWERS.includes(rcode)) return first;
  if (EDNS_REFUSALS.includes(rcode)) {
    const simpler = await send(options, { server, wanted, variant: { ...PLAIN, edns: false } });
    return simpler.kind === 'reply' && ANSWERS.includes(simpler.reply.rcode) ? simpler : { kind: 'unknown', problem: 'refused' };
  }
  if (rcode !== 'SERVFAIL') return { kind: 'unknown', problem: 'refused' };
  return (await isBogus(options, server, wanted)) ? { kind: 'bogus' } : { kind: 'unknown', problem: 'servfail' };
}

/** True where a validating server fails, but has data once told not to check them: validation is what failed. */
async function isBogus(options: ServerOptions, server: ServerAddress, wanted: Wanted<unknown>): Promise<boolean> {
  if (!trustsAuthenticData(server.address, options.dnssec)) return false;
  const unchecked = await send(options, { server, wanted, variant: { ...PLAIN, checkingDisabled: true } });
  return unchecked.kind === 'reply' && ANSWERS.includes(unchecked.reply.rcode);
}

type Sending<T> = { readonly server: ServerAddress; readonly wanted: Wanted<T>; readonly variant: Variant };

function send<T>(options: ServerOptions, { server, wanted, variant }: Sending<T>): Promise<ExchangeResult<T>> {
  const trusted = variant.edns && trustsAuthenticData(server.address, options.dnssec);
  const id = options.randomInt(0x10000);
  const question: Question = { id, name: wanted.name, type: wanted.type.name, dnssec: trusted, ...variant };
  const asked: Asked<T> = { question, type: wanted.type, trusted };
  const patience = Math.max(1, Math.min(options.tryTimeout, wanted.deadline - options.clock.monotonic()));
  return askServer(asked, { server, patience, signal: options.signal });
}
