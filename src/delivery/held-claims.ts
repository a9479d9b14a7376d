/** The claims one thread holds, and the memory they take. */
import type { Claim } from '../domain/queue.ts';

/** Memory of a claim apart from its body, in octets. */
const OVERHEAD = 1024;

export class HeldClaims {
  readonly #claims = new Set<Claim>();
  #bytes = 0;

  /** How many. */
  get size(): number {
    return this.#claims.size;
  }

  /** Octets of memory they take. */
  get bytes(): number {
    return this.#bytes;
  }

  add(claim: Claim): void {
    this.#claims.add(claim);
    this.#bytes += memoryOf(claim);
  }

  /** Forgets a claim; does nothing where it is not held. */
  remove(claim: Claim): void {
    if (this.#claims.delete(claim)) this.#bytes -= memoryOf(claim);
  }

  /** All of them, as they are now. */
  list(): readonly Claim[] {
    return [...this.#claims];
  }
}

const memoryOf = ({ body }: Claim): number => (body.kind === 'memory' ? body.wire.byteLength : 0) + OVERHEAD;
