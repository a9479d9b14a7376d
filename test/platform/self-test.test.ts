import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Domain } from '../../src/domain/address.ts';
import type { Instant } from '../../src/domain/basics.ts';
import type { Config } from '../../src/domain/config.ts';
import type { DnsAnswer, MxRecord } from '../../src/domain/dns.ts';
import { selfTest } from '../../src/platform/self-test.ts';
import { forbidsStart, judgeSelfTest, type SelfTestFacts, type SelfTestLine } from '../../src/platform/self-test-policy.ts';
import { testClock } from '../support/clock.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();

const NOW = Date.UTC(2027, 0, 1) as Instant;
const GIB = 1024 ** 3;
const CERTIFICATE = {
  file: '/certs/relay.pem',
  subject: 'CN=relay.example.org',
  issuer: 'CN=Some Root',
  names: ['DNS:relay.example.org'],
  keyType: 'ec',
  notBefore: NOW,
  notAfter: NOW,
  fingerprint: 'AA',
  selfSigned: false,
};
const FINE: SelfTestFacts = {
  now: NOW,
  spool: { folder: '/data', fileSystemType: 0xef53, writable: true, freeBytes: 9 * GIB, neededBytes: GIB, ephemeral: false },
  certificates: { facts: [CERTIFICATE], problems: [], selfSigned: null },
  ports: [{ name: 'listener mx', host: '::', port: 25, opened: { ok: true, value: undefined } }],
  resolver: { servers: ['127.0.0.1'], problem: null },
  descriptors: { limit: 20_000, connections: 2000 },
};
const texts = (lines: readonly SelfTestLine[]): string => lines.map(({ verdict, text }) => `${verdict}: ${text}`).join('\n');

test('a machine in order is told so', () => {
  const lines = judgeSelfTest(FINE);
  assert.ok(
    lines.every((line) => line.verdict === 'ok'),
    texts(lines),
  );
  assert.deepEqual([...new Set(lines.map((line) => line.topic))].sort(), ['certificate', 'clock', 'port', 'resolver', 'spool']);
});

const spool = (changed: Partial<SelfTestFacts['spool']>): Partial<SelfTestFacts> => ({ spool: { ...FINE.spool, ...changed } });
const port = (code: string): Partial<SelfTestFacts> => ({
  ports: [{ name: 'listener mx', host: '::', port: 25, opened: { ok: false, error: code } }],
});
const rows: readonly (readonly [what: string, changed: Partial<SelfTestFacts>, line: RegExp])[] = [
  ['overlay', spool({ fileSystemType: 0x794c7630 }), /^error: The spool folder \/data is on overlay, which does not survive/],
  ['tmpfs', spool({ fileSystemType: 0x01021994 }), /^error: .* is on tmpfs/],
  [
    'tmpfs, allowed',
    spool({ fileSystemType: 0x01021994, ephemeral: true }),
    /^warning: The spool is on tmpfs, as queue.ephemeral allows/,
  ],
  ['NFS', spool({ fileSystemType: 0x6969 }), /^warning: .* is on NFS/],
  ['not writable', spool({ writable: false }), /^error: The spool folder \/data cannot be written/],
  ['nearly full', spool({ freeBytes: 10 * 1024 ** 2 }), /^warning: The spool has 10 MiB left, limits.diskFree wants 1024 MiB/],
  ['clock in the past', { now: 0 as Instant }, /^warning: The clock says 1970-01-01.* before this software was made/],
  ['clock in the future', { now: Date.UTC(2100, 0, 1) as Instant }, /^warning: The clock says 2100-01-01.* far in the future/],
  [
    'port below 1024',
    port('EACCES'),
    /^error: \[::\]:25 \(listener mx\) cannot be opened: .*setcap.*ip_unprivileged_port_start.*docker/,
  ],
  ['port taken', port('EADDRINUSE'), /^error: .* another program listens there already/],
  ['address of another machine', port('EADDRNOTAVAIL'), /^error: .* this machine does not have that address/],
  ['an error without words', port('EOTHER'), /^error: .* cannot be opened: EOTHER\.$/],
  [
    'DNS silent',
    { resolver: { servers: [], problem: 'timeout' } },
    /^warning: DNS does not answer \(the servers of \/etc\/resolv.conf: timeout\)/,
  ],
  [
    'few descriptors',
    { descriptors: { limit: 1024, connections: 2000 } },
    /^warning: The system allows 1024 open files.* wants 2512/,
  ],
  [
    'a key of another',
    {
      certificates: {
        facts: [],
        problems: [{ severity: 'error', file: '/k', wrong: 'it is not the key', right: 'its key' }],
        selfSigned: null,
      },
    },
    /^error: \/k: it is not the key\. Right would be: its key\.$/m,
  ],
  [
    'self-signed',
    { certificates: { facts: [CERTIFICATE], problems: [], selfSigned: 'made' } },
    /^warning: No certificate is configured: a self-signed one was made now/,
  ],
];
for (const [what, changed, line] of rows) {
  test(`${what}: ${line.source.slice(1, 40)}`, () => {
    const lines = judgeSelfTest({ ...FINE, ...changed });
    assert.match(texts(lines.slice(0, 1)), line, 'what is wrong comes first');
    assert.equal(forbidsStart(lines), line.source.startsWith('^error'));
  });
}

const folder = mkdtempSync(join(tmpdir(), 'postern-self-test-'));
after(() => rmSync(folder, { recursive: true }));

function config(listenPort: number): Config {
  const part = {
    hostname: 'relay.example.org' as Domain,
    listeners: [{ name: 'mx', host: '127.0.0.1', port: listenPort, tls: 'starttls', requireTls: false }],
    queue: { path: join(folder, 'not/yet/queue.db'), ephemeral: true },
    limits: { diskFreeBytes: 1, connections: 10 },
    resolver: { servers: ['127.0.0.1'] },
    admin: { host: '127.0.0.1', port: 0 },
  };
  // The self-test looks at nothing else of the configuration.
  return part as unknown as Config;
}

const answer: DnsAnswer<MxRecord> = { kind: 'absent', nxdomain: true, secure: false, ttlSeconds: 60 };
const run = (listenPort: number, mx: () => Promise<DnsAnswer<MxRecord>>): Promise<readonly SelfTestLine[]> =>
  selfTest({
    config: config(listenPort),
    certificates: { pairs: [], facts: [], problems: [], selfSigned: null },
    resolver: { mx },
    clock: testClock(NOW),
    patience: 50,
  });

test('gathered on this machine: the nearest folder that exists, free ports, an answer from DNS', async () => {
  const lines = await run(0, async () => answer);
  assert.equal(forbidsStart(lines), false, texts(lines));
  assert.match(texts(lines), /ok: DNS answers/);
  assert.match(texts(lines), /127\.0\.0\.1:0 \(listener mx\) can be opened/);
});

test('a port that is taken is found', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const lines = await run((other.address() as AddressInfo).port, async () => answer);
  other.close();
  assert.match(texts(lines), /error: .*another program listens there/);
});

test('a resolver that never answers does not hold up the start', async () => {
  const lines = await run(0, () => new Promise(() => {}));
  assert.match(texts(lines), /warning: DNS does not answer \(127\.0\.0\.1: timeout\)/);
});
