/**
 * A kept connection carries only messages for which every fact is equal: each fact changed alone needs a connection of its own, and
 * the first one still serves the first kind. With the materials' real ids, made from real files.
 */
import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Domain } from '../../src/domain/address.ts';
import type { Config } from '../../src/domain/config.ts';
import type { OutboundConnector, OutboundTls, Route } from '../../src/domain/connector.ts';
import { parseNamePattern, type SpkiHash } from '../../src/domain/peer.ts';
import { loadMaterials } from '../../src/platform/tls-materials.ts';
import { createAuthority } from '../support/certificates.ts';
import { outboundConnector, outboundTls } from '../support/connectors.ts';
import { claim, type Materials, NO_SECURITY, type Order, outcomeOf, sentenceOf, world } from '../support/delivery-lab.ts';
import { type Behaviour, say } from '../support/lab/behaviour.ts';
import { labAuthority, startReceiver } from '../support/lab/receiver.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), 'postern-pool-'));
after(() => rmSync(folder, { recursive: true }));
const HOST = 'tls13.lab.test' as Domain;
const shown = labAuthority().issue({ names: [HOST] });
const other = createAuthority('other');
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const CA = file('ca.pem', labAuthority().caPem);
const BOTH_CAS = file('both.pem', labAuthority().caPem + other.caPem);
const one = other.issueTo(folder, 'one', { names: ['one.test'], usages: ['clientAuth'] });
const two = other.issueTo(folder, 'two', { names: ['two.test'], usages: ['clientAuth'] });

/** Everything that may differ; the name of the connector stays, as over a reload. */
type Kind = {
  readonly tls?: Partial<OutboundTls>;
  readonly connector?: Partial<OutboundConnector>;
  readonly trust?: string;
  readonly message?: Parameters<typeof claim>[0];
  readonly order?: Partial<Order>;
};

function materialsOf(connector: OutboundConnector, trust: string): Materials {
  const config = {
    tls: { trust: { system: false, files: [trust] }, clientCertificate: null },
    certificates: [],
    reports: { tlsRpt: null },
    outbound: [connector],
  } as unknown as Config;
  const loaded = loadMaterials(config);
  const found = loaded.ok ? loaded.value[connector.name] : undefined;
  assert.ok(found !== undefined);
  return found;
}

const smarthost = (user: string, password: string): Route => ({
  kind: 'smarthost',
  hosts: [{ kind: 'host', name: HOST, port: 25 }],
  balance: false,
  tls: 'starttls',
  auth: { user, password },
});
const names = (...texts: readonly string[]): Partial<OutboundTls> => ({
  mode: 'verify',
  names: texts.map(parseNamePattern).filter((pattern) => pattern !== null),
});
const VERIFY: Kind = { tls: { mode: 'verify' } };
const SECURE = { proof: { mxSecure: true } };
const dane = (data: string): Partial<Order> => ({
  gather: () => ({
    ...NO_SECURITY,
    dane: { kind: 'usable', tlsaBase: HOST, records: [tlsa(shown.spkiSha256), tlsa(data)], names: [HOST] },
  }),
});
const tlsa = (data: string) => ({ usage: 3, selector: 1, matchingType: 1, data });

const PAIRS: readonly (readonly [fact: string, first: Kind, second: Kind])[] = [
  ['mode: opportunistic, encrypt', {}, { tls: { mode: 'encrypt' } }],
  ['mode: encrypt, verify', { tls: { mode: 'encrypt' } }, VERIFY],
  ['mode: verify, opportunistic', VERIFY, {}],
  ['mode: trusted, verify', { tls: { mode: 'trusted' } }, VERIFY],
  ['plaintext, opportunistic', { tls: { mode: 'plaintext' } }, {}],
  ['plaintext, verify', { tls: { mode: 'plaintext' } }, VERIFY],
  ['names', { tls: names('*.lab.test') }, { tls: names(HOST) }],
  ['pins', VERIFY, { tls: { mode: 'verify', pins: [shown.spkiSha256 as SpkiHash] } }],
  ['ladder', VERIFY, { tls: { mode: 'verify', ladder: ['modern'] } }],
  ['least version', VERIFY, { ...VERIFY, order: { minVersion: 'TLSv1.3' } }],
  ['trust', VERIFY, { ...VERIFY, trust: BOTH_CAS }],
  ['ca of the connector', VERIFY, { tls: { mode: 'verify', ca: BOTH_CAS } }],
  ['client certificate, none', VERIFY, { tls: { mode: 'verify', clientCertificate: one } }],
  [
    'client certificates',
    { tls: { mode: 'verify', clientCertificate: one } },
    { tls: { mode: 'verify', clientCertificate: two } },
  ],
  ['source address', {}, { connector: { source: { address: '127.0.0.2', helo: null } } }],
  [
    'source addresses',
    { connector: { source: { address: '127.0.0.3', helo: null } } },
    { connector: { source: { address: '127.0.0.2', helo: null } } },
  ],
  ['HELO name', {}, { connector: { source: { address: null, helo: 'out.relay.test' as Domain } } }],
  ['account, none', { tls: { mode: 'encrypt' } }, { tls: { mode: 'encrypt' }, connector: { route: smarthost('ann', 'x') } }],
  ['accounts', { connector: { route: smarthost('ann', 'x') } }, { connector: { route: smarthost('ben', 'x') } }],
  ['password', { connector: { route: smarthost('ann', 'x') } }, { connector: { route: smarthost('ann', 'y') } }],
  ['connector', {}, { connector: { name: 'another' } }],
  ['DANE, none', {}, { order: dane('ab'.repeat(32)) }],
  ['TLSA records', { order: dane('ab'.repeat(32)) }, { order: dane('cd'.repeat(32)) }],
  ['REQUIRETLS', { order: SECURE }, { order: SECURE, message: { requireTls: true } }],
  ['TLS-Required: No', { order: dane('ab'.repeat(32)) }, { order: dane('ab'.repeat(32)), message: { tlsRequiredNo: true } }],
  ['name of the host', {}, { order: { hostname: 'mx.lab.test' } }],
  ['test mode', VERIFY, { ...VERIFY, connector: { testMode: true } }],
];

const change = (same: Behaviour): Behaviour => ({
  ...same,
  tls: { ...same.tls, clientCertificate: 'asked' },
  keywords: [...same.keywords, 'REQUIRETLS', 'AUTH PLAIN'],
  answers: { unknown: ({ argument: line }) => (line.startsWith('AUTH PLAIN ') ? say('235 2.7.0 welcome') : null) },
});

for (const [fact, first, second] of PAIRS) {
  test(`not shared: ${fact}`, async (t) => {
    const receiver = await startReceiver('tls13', { change, authority: { ...labAuthority(), issue: () => shown } });
    const { deliver, close } = world();
    t.after(async () => {
      close();
      await receiver.stop();
    });
    const send = async (kind: Kind): Promise<void> => {
      const connector = outboundConnector({ tls: outboundTls(kind.tls), ...kind.connector });
      const materials = materialsOf(connector, kind.trust ?? CA);
      const result = await deliver(claim(kind.message), { connector, receivers: [receiver], materials, ...kind.order });
      assert.equal(outcomeOf(result), 'delivered', sentenceOf(result));
    };
    for (const kind of [first, second, first, second]) await send(kind);
    assert.equal(receiver.messages().length, 4);
    assert.equal(receiver.eventsOf('connection').length, 2, 'one for each kind, and each serves its own kind again');
    assert.deepEqual(
      receiver.messages().map(({ connection }) => connection),
      [1, 2, 1, 2],
    );
  });
}
