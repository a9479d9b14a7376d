/**
 * DANE through the real relay, with a real validating resolver in front of really signed and broken zones: who gets a message under
 * which proof, who does not, and that nothing goes in the clear where TLSA records say otherwise.
 */
import { strict as assert } from 'node:assert';
import { createHash, X509Certificate } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { createAuthority, type IssuedCertificate } from '../support/certificates.ts';
import type { BehaviourName } from '../support/lab/behaviour-table.ts';
import { type Receiver, startReceiver } from '../support/lab/receiver.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { type ChildZone, type SignedZone, startSignedZone } from '../support/signed-zone.ts';
import { SECRET, submit } from '../support/submit.ts';
import { freePort, type LogLine, type TempRelay, tempRelay } from '../support/temp-relay.ts';

checkLeaks();

/** Nobody trusts it: only DANE makes its certificates count. */
const authority = createAuthority('Nobody Knows');
const LAST_YEAR = { notBefore: new Date(Date.UTC(2024, 0, 1)), notAfter: new Date(Date.UTC(2025, 0, 1)) };

type Host = { readonly behaviour: BehaviourName; readonly certificate: IssuedCertificate };
const selfSigned = (name: string, period = {}): Host => ({
  behaviour: 'tls13',
  certificate: authority.issue({ names: [name], selfSigned: true, ...period }),
});
const anchored = (name: string, period = {}): Host => ({
  behaviour: 'tls13',
  certificate: authority.issue({ names: [name], intermediate: true, ...period }),
});

/** The receivers, `NAME.host.test` each. */
const HOSTS = {
  ee: selfSigned('unrelated.example'),
  'ee-expired': selfSigned('ee-expired.host.test', LAST_YEAR),
  'ta-host': anchored('ta-host.host.test'),
  'ta-domain': anchored('ta-domain.dane.test'),
  'ta-other': anchored('unrelated.example'),
  'ta-expired': anchored('ta-expired.host.test', LAST_YEAR),
  other: selfSigned('other.host.test'),
  clear: { ...selfSigned('clear.host.test'), behaviour: 'starttls-absent' },
} as const satisfies Readonly<Record<string, Host>>;
type HostName = keyof typeof HOSTS;
const HOST_NAMES = Object.keys(HOSTS) as readonly HostName[];

const WRONG = `3 1 1 ${'00'.repeat(32)}`;
const ee = (host: HostName): string => `3 1 1 ${HOSTS[host].certificate.spkiSha256}`;
/** The intermediate, which the chain contains. */
function ta(host: HostName): string {
  const [, intermediate] = HOSTS[host].certificate.cert.split(/(?<=-----END CERTIFICATE-----)\s*/);
  const { raw } = new X509Certificate(intermediate ?? assert.fail('no chain'));
  return `2 0 1 ${createHash('sha256').update(raw).digest('hex')}`;
}

/**
 * An MX host of a row: which receiver it is, and what its zone says of it. `zone`: that of the TLSA records, or for `out` of the
 * host itself. `alias`: its name is a CNAME of another name with the address.
 */
type Mx = {
  readonly host: HostName;
  readonly tlsa: readonly string[];
  readonly zone?: 'bogus' | 'failing' | 'out';
  readonly alias?: boolean;
};
type Row = {
  readonly mx: readonly Mx[];
  /** The zone of the domain. */
  readonly zone?: 'unsigned' | 'bogus';
  readonly mode?: 'dane';
  readonly ends:
    | { readonly at: number; readonly tls: boolean; readonly source: RegExp }
    | { readonly code: string; readonly text: RegExp };
};
const delivered = (at: number, source = /^dane:/, tls = true): Row['ends'] => ({ at, tls, source });
const deferred = (code: string, text: RegExp): Row['ends'] => ({ code, text });

const ROWS: Readonly<Record<string, Row>> = {
  'ee, self-signed for another name': { mx: [{ host: 'ee', tlsa: [ee('ee')] }], ends: delivered(0) },
  'ee, expired': { mx: [{ host: 'ee-expired', tlsa: [ee('ee-expired')] }], ends: delivered(0) },
  'ee, beside records that do not match': { mx: [{ host: 'ee', tlsa: [WRONG, ee('ee'), ta('ta-host')] }], ends: delivered(0) },
  'ta, name of the host': { mx: [{ host: 'ta-host', tlsa: [ta('ta-host')] }], ends: delivered(0) },
  'ta-domain': { mx: [{ host: 'ta-domain', tlsa: [ta('ta-domain')] }], ends: delivered(0) },
  'ta, another name': { mx: [{ host: 'ta-other', tlsa: [ta('ta-other')] }], ends: deferred('4.7.325', /unrelated\.example/) },
  'ta, expired': { mx: [{ host: 'ta-expired', tlsa: [ta('ta-expired')] }], ends: deferred('4.7.322', /2025/) },
  mismatch: { mx: [{ host: 'ee', tlsa: [WRONG] }], ends: deferred('4.7.323', /TLSA/) },
  'mismatch, the next host matches': {
    mx: [
      { host: 'other', tlsa: [WRONG] },
      { host: 'ee', tlsa: [ee('ee')] },
    ],
    ends: delivered(1),
  },
  'no STARTTLS, the next host matches': {
    mx: [
      { host: 'clear', tlsa: [ee('clear')] },
      { host: 'ee', tlsa: [ee('ee')] },
    ],
    ends: delivered(1),
  },
  'no STARTTLS': { mx: [{ host: 'clear', tlsa: [ee('clear')] }], ends: deferred('4.7.321', /STARTTLS/) },
  'unusable records': { mx: [{ host: 'other', tlsa: [`1 1 1 ${'00'.repeat(32)}`] }], ends: delivered(0) },
  'unusable records, no STARTTLS': {
    mx: [{ host: 'clear', tlsa: [`0 0 1 ${'00'.repeat(32)}`] }],
    ends: deferred('4.7.321', /STARTTLS/),
  },
  'TLSA lookup fails': {
    mx: [{ host: 'clear', tlsa: [], zone: 'failing' }],
    ends: deferred('4.7.324', /could not be looked up/),
  },
  'TLSA bogus': {
    mx: [{ host: 'clear', tlsa: [ee('clear')], zone: 'bogus' }],
    ends: deferred('4.7.324', /fail DNSSEC validation/),
  },
  'TLSA lookup fails, the next host matches': {
    mx: [
      { host: 'other', tlsa: [], zone: 'failing' },
      { host: 'ee', tlsa: [ee('ee')] },
    ],
    ends: delivered(1),
  },
  'domain bogus': {
    mx: [{ host: 'clear', tlsa: [] }],
    zone: 'bogus',
    ends: deferred('4.7.324', /fail DNSSEC validation/),
  },
  'alias of an MX host': { mx: [{ host: 'ee', tlsa: [ee('ee')], alias: true }], ends: delivered(0) },
  'alias of an MX host, mismatch': { mx: [{ host: 'ee', tlsa: [WRONG], alias: true }], ends: deferred('4.7.323', /TLSA/) },
  'domain insecure, records wrong': { mx: [{ host: 'ee', tlsa: [WRONG] }], zone: 'unsigned', ends: delivered(0, /default/) },
  'domain insecure, no STARTTLS': {
    mx: [{ host: 'clear', tlsa: [WRONG] }],
    zone: 'unsigned',
    ends: delivered(0, /default/, false),
  },
  'host in an insecure zone': { mx: [{ host: 'clear', tlsa: [WRONG], zone: 'out' }], ends: delivered(0, /default/, false) },
  'no records': { mx: [{ host: 'clear', tlsa: [] }], ends: delivered(0, /default/, false) },
  'dane only, match': { mode: 'dane', mx: [{ host: 'ee', tlsa: [ee('ee')] }], ends: delivered(0, /^connector:only,dane:/) },
  'dane only, no records': { mode: 'dane', mx: [{ host: 'other', tlsa: [] }], ends: deferred('4.7.324', /demands DANE/) },
  'dane only, insecure': {
    mode: 'dane',
    mx: [{ host: 'other', tlsa: [ee('other')] }],
    zone: 'unsigned',
    ends: deferred('4.7.324', /demands DANE/),
  },
};
const NAMES = Object.keys(ROWS);
const slug = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
const domainOf = (name: string): string => `${slug(name)}.dane.test`;
/** Every row has host names of its own, so that each can say something else of the same receiver. */
const mxName = (name: string, { host, zone }: Mx, at: number): string =>
  host === 'ta-host' || host === 'ta-expired'
    ? `${host}.host.test`
    : `mx${at}.${slug(name)}.${zone === 'out' ? 'out' : 'host'}.test`;

/** What a row adds to the zones. */
function zonesOf(
  name: string,
  { mx, zone }: Row,
  where: { port: number; addressOf(host: HostName): string },
): { readonly root: readonly string[]; readonly out: readonly string[]; readonly children: readonly ChildZone[] } {
  const [root, out, children]: [string[], string[], ChildZone[]] = [[], [], []];
  const mxRecords = mx.map((one, at) => `${domainOf(name)}. MX ${at} ${mxName(name, one, at)}.`);
  if (zone === undefined) root.push(...mxRecords);
  else children.push({ name: domainOf(name), kind: zone, records: mxRecords });
  for (const [at, one] of mx.entries()) {
    const host = mxName(name, one, at);
    const base = one.alias === true ? `real.${host}` : host;
    const here = one.zone === 'out' ? out : root;
    if (base !== host) here.push(`${host}. CNAME ${base}.`);
    here.push(`${base}. A ${where.addressOf(one.host)}`);
    const tlsa = one.tlsa.map((record) => `_${where.port}._tcp.${base}. TLSA ${record}`);
    if (one.zone === undefined || one.zone === 'out') here.push(...tlsa);
    else children.push({ name: `_tcp.${base}`, kind: one.zone, records: tlsa });
  }
  return { root, out, children };
}

describe('DANE', () => {
  let zone: SignedZone;
  let relay: TempRelay;
  let receivers: ReadonlyMap<HostName, Receiver>;

  before(async () => {
    const port = await freePort();
    const started = HOST_NAMES.map(async (name, at) => {
      const { behaviour, certificate } = HOSTS[name];
      return [name, await startReceiver(behaviour, { address: `127.1.10.${at + 1}`, port, certificate })] as const;
    });
    receivers = new Map(await Promise.all(started));
    const addressOf = (host: HostName): string => receivers.get(host)?.address ?? assert.fail();
    const zones = Object.entries(ROWS).map(([name, row]) => zonesOf(name, row, { port, addressOf }));
    zone = await startSignedZone({
      root: [...new Set(zones.flatMap(({ root }) => root))],
      children: [
        { name: 'out.test', kind: 'unsigned', records: zones.flatMap(({ out }) => out) },
        ...zones.flatMap(({ children }) => children),
      ],
    });
    const only = Object.entries(ROWS).flatMap(([name, { mode }]) => (mode === 'dane' ? [`"${domainOf(name)}"`] : []));
    relay = await tempRelay({
      yaml: `acceptedDomains: ["*.dane.test"]
workers: 1
delivery: { port: ${port}, allowPrivateAddresses: true }
resolver: { servers: ["${zone.address}:${zone.port}"] }
tls: { dane: auto, mtaSts: off }
outbound:
  - name: only
    match: { recipientDomains: [${only.join(', ')}] }
    route: { kind: mx }
    tls: { mode: dane }`,
    });
    await relay.start();
    await submit(relay, ...NAMES.map((name) => ({ to: `user@${domainOf(name)}` })));
  });
  after(async () => {
    const code = await relay.kill('SIGTERM');
    const output = relay.output();
    await relay[Symbol.asyncDispose]();
    await Promise.all([zone[Symbol.asyncDispose](), ...[...receivers.values()].map((receiver) => receiver.stop())]);
    assert.equal(code, 0, output);
  });

  const outcome = async (to: string): Promise<LogLine> => {
    const found = (): LogLine | undefined => relay.log.find((line) => line.event.startsWith('delivery.') && line['to'] === to);
    for (let wait = 0; found() === undefined && wait < 300; wait += 1) await new Promise((go) => setTimeout(go, 100));
    return found() ?? assert.fail(`nothing became of the message to ${to}:\n${relay.output()}`);
  };

  test('the relay says at its start that DANE is on', () => {
    const line = relay.log.find(({ topic }) => topic === 'dnssec');
    assert.match(String(line?.['text']), /^DNSSEC is validated by 127\.0\.0\.1:\d+: DANE is on\.$/);
  });

  for (const [name, { mx, ends }] of Object.entries(ROWS)) {
    const what =
      'code' in ends ? `deferred ${ends.code}` : `delivered to host ${ends.at} ${ends.tls ? 'over TLS' : 'in the clear'}`;
    test(`${name}: ${what}`, async () => {
      const line = await outcome(`user@${domainOf(name)}`);
      if ('code' in ends) {
        assert.equal(line.event, 'delivery.deferred', JSON.stringify(line));
        assert.equal(line['status'], ends.code, JSON.stringify(line));
        assert.match(String(line['text']), ends.text);
        return;
      }
      assert.equal(line.event, 'delivery.delivered', JSON.stringify(line));
      const used = mx[ends.at] ?? assert.fail();
      const [host, policy] = [mxName(name, used, ends.at), line['policy'] as { source?: unknown } | null];
      assert.deepEqual([line['mx'], line['tls'] !== null], [host, ends.tls], JSON.stringify(line));
      assert.match(String(policy?.source), ends.source, JSON.stringify(line));
    });
  }

  test('a peer under DANE is asked for by the TLSA base domain', async () => {
    await outcome(`user@${domainOf('alias of an MX host')}`);
    const names = receivers
      .get('ee')
      ?.eventsOf('client-hello')
      .map((hello) => hello.serverName);
    assert.ok(names?.includes('real.mx0.alias-of-an-mx-host.host.test'), String(names));
  });

  test('where records could not be had nobody was even called', () => {
    const called = HOST_NAMES.flatMap(
      (name) =>
        receivers
          .get(name)
          ?.eventsOf('rcpt')
          .map(({ argument }) => argument) ?? [],
    );
    for (const name of ['TLSA lookup fails', 'TLSA bogus', 'domain bogus'])
      assert.ok(!called.some((argument) => argument.includes(domainOf(name))), name);
  });

  test('nothing of a message under DANE was seen in the clear', async () => {
    const lines = await Promise.all(NAMES.map((name) => outcome(`user@${domainOf(name)}`)));
    const clear = [...receivers.values()].map((receiver) => receiver.clearText()).join('');
    const wanted = Object.values(ROWS).filter(({ ends }) => 'at' in ends && !ends.tls);
    assert.equal(lines.length, NAMES.length);
    assert.equal(clear.split(SECRET).length - 1, wanted.length);
  });
});
