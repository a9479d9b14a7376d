/**
 * Takes from the spool what is due, a page at a time, as long as there is room: asks again as soon as a destination that had
 * enough runs low.
 */
import type { Domain } from '../domain/address.ts';
import type { Milliseconds } from '../domain/basics.ts';
import type { Claim } from '../domain/queue.ts';
import type { Spool } from '../spool/spool.ts';
import type { Destination } from './destination.ts';
import { aborted, pause } from './pause.ts';

/** What the intake works with. */
export type IntakeContext = {
  readonly spool: Pick<Spool, 'claim'>;
  readonly leaseFor: Milliseconds;
  /** How many claims more may be held. */
  room(): number;
  destinations(): Iterable<Destination>;
  admit(claim: Claim): void;
};

/** Claims taken at once, in all and of one destination. */
const PAGE = 100;
const PAGE_OF_ONE = 20;
/** A destination with this many claims waiting has enough; below the other number it runs low. */
const ENOUGH = 100;
const LOW = 50;
/** A spool that answers an unbroken poll with nothing is closed or broken: it is not asked again at once. */
const PAUSE: Milliseconds = 1000;

export class Intake {
  readonly #context: IntakeContext;
  #park = new AbortController();
  /** What the poll under way waits for beside mail. */
  #without: ReadonlySet<Destination> = new Set();
  #fullHouse = false;

  constructor(context: IntakeContext) {
    this.#context = context;
  }

  /** Takes claims until `stop` aborts. */
  async run(stop: AbortSignal): Promise<void> {
    stop.addEventListener('abort', () => this.#park.abort(), { once: true });
    while (!stop.aborted) {
      const limit = Math.min(PAGE, this.#context.room());
      this.#park = new AbortController();
      this.#without = this.#satisfied();
      this.#fullHouse = limit <= 0;
      if (limit <= 0) await aborted(this.#park.signal);
      else await this.#take(limit, this.#park.signal);
    }
  }

  /** Hears that claims of the destination were let go. */
  loosened(destination: Destination): void {
    if (this.#fullHouse ? this.#context.room() >= PAGE : this.#without.has(destination) && destination.waiting < LOW)
      this.#park.abort();
  }

  async #take(limit: number, signal: AbortSignal): Promise<void> {
    const { spool, leaseFor, admit } = this.#context;
    const except = [...this.#without].flatMap((destination) => [...destination.domains()]);
    const request = { limit, perDestination: Math.min(PAGE_OF_ONE, limit), except: [...new Set<Domain>(except)], leaseFor };
    const claims = await spool.claim(request, signal);
    for (const claim of claims) admit(claim);
    if (claims.length === 0 && !signal.aborted) await pause(PAUSE, signal);
  }

  #satisfied(): ReadonlySet<Destination> {
    const satisfied = new Set<Destination>();
    for (const destination of this.#context.destinations()) if (destination.waiting >= ENOUGH) satisfied.add(destination);
    return satisfied;
  }
}
