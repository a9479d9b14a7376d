/**
 * Asks each name server how it deals with DNSSEC; dnssec-test-policy.ts says what that means. Run at start and by `check`.
 */
import type { Resolver } from '../dns/resolver.ts';
import type { DnssecMode } from '../dns/trust-policy.ts';
import { judgeValidation, SIGNED_NAME, UNSIGNED_NAME, type Validation } from '../dns/validation-policy.ts';
import { judgeDnssec } from './dnssec-test-policy.ts';
import type { SelfTestLine } from './self-test-policy.ts';

/** What is tested. */
export type DnssecTestInput = {
  readonly mode: DnssecMode;
  /** `tls.dane` is auto. */
  readonly daneWanted: boolean;
  /** Each by itself, believed for this test; they bound their own patience. Closed at the end. */
  readonly probes: readonly {
    readonly server: string;
    readonly believed: boolean;
    readonly resolver: Pick<Resolver, 'mx' | 'close'>;
  }[];
};

/** The line to print; none where DANE is not wanted. Asks nothing where the answer would change nothing. Never rejects. */
export async function dnssecTest({ mode, daneWanted, probes }: DnssecTestInput): Promise<readonly SelfTestLine[]> {
  const asks = daneWanted && mode !== 'off';
  const servers = await Promise.all(
    (asks ? probes : []).map(async ({ server, believed, resolver }) => ({
      server,
      believed,
      validation: await validationOf(resolver),
    })),
  );
  for (const { resolver } of probes) resolver.close();
  return judgeDnssec({ mode, daneWanted, servers });
}

async function validationOf(resolver: Pick<Resolver, 'mx'>): Promise<Validation> {
  const { signal } = new AbortController();
  const [signed, unsigned] = await Promise.all([resolver.mx(SIGNED_NAME, signal), resolver.mx(UNSIGNED_NAME, signal)]);
  return judgeValidation(signed, unsigned);
}
