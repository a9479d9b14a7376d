/**
 * How safely one delivery must travel: the connector's mode and every other demand combined. A stricter demand raises, none lowers.
 * Decides only; whoever executes the policy adds nothing to it. interface.md, section 4.
 */
import type { OutboundConnector } from '../domain/connector.ts';
import type { Plaintext, PolicySource, TlsPolicy, TlsRung } from '../domain/tls.ts';
import { rungOffer } from './rung-table.ts';

/** What the decision looks at. */
export type SecurityFacts = {
  readonly connector: Pick<OutboundConnector, 'name' | 'tls'>;
  /** `tls.minVersion`: rungs below it are not tried. */
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
};

/** The implicit last connector: its demands count as the default, not as anyone's wish. */
const DEFAULT_CONNECTOR = 'default';

/** What one host must offer before it may see the message. */
export function decideTlsPolicy(facts: SecurityFacts): TlsPolicy {
  const { connector, minVersion } = facts;
  const source: PolicySource =
    connector.name === DEFAULT_CONNECTOR ? { kind: 'default' } : { kind: 'connector', name: connector.name };
  const plaintext = plaintextUnder(connector.tls.mode);
  const ladder: readonly TlsRung[] =
    plaintext === 'always' ? [] : connector.tls.ladder.filter((rung) => rungOffer(rung, minVersion) !== null);
  return { plaintext, ladder, because: [source] };
}

/** The table of modes, last column (interface.md, section 4). */
function plaintextUnder(mode: OutboundConnector['tls']['mode']): Plaintext {
  switch (mode) {
    case 'plaintext':
      return 'always';
    case 'opportunistic':
      return 'allowed';
    case 'encrypt':
    case 'trusted':
    case 'verify':
    case 'dane':
      return 'never';
  }
}
