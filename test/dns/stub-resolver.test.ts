import { strict as assert } from 'node:assert';
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Resolver } from '../../src/dns/resolver.ts';
import { createStubResolver, type StubResolverOptions } from '../../src/dns/stub-resolver.ts';
import { testClock } from '../support/clock.ts';
import { startDnsServer } from '../support/dns-server.ts';
import type { Zone } from '../support/dns-zone.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();

const never = new AbortController().signal;
const steady = { now: () => 0 as never, monotonic: () => performance.now() };

const zone: Zone = {
  'plain.test': { mx: [[10, 'mx.plain.test']], a: ['192.0.2.1'], aaaa: ['2001:db8::1'], ttl: 120 },
  'secure.test': { mx: [[10, 'mx.secure.test']], secure: true },
  'null.test': { mx: [[0, '.']] },
  '_mta-sts.text.test': { txt: [['v=STSv1; ', 'id=1;'], ['other']] },
  '_25._tcp.mx.secure.test': { tlsa: [[3, 1, 1, 'ab'.repeat(32)]], secure: true },
  'nodata.test': { a: ['192.0.2.1'], secure: true },
  'alias.test': { cname: 'plain.test', secure: true, ttl: 30 },
  'secure-alias.test': { cname: 'secure.test', secure: true },
  'partial.test': { cname: 'plain.test', does: 'partial' },
  'partial-secure.test': { cname: 'secure.test', does: 'partial', secure: true },
  'loop.test': { cname: 'loop2.test' },
  'loop2.test': { cname: 'loop.test' },
  'partial-loop.test': { cname: 'partial-loop.test', does: 'partial' },
  'dangling.test': { cname: 'gone.test' },
  'servfail.test': { does: 'servfail' },
  'refused.test': { does: 'refused' },
  'noreply.test': { does: 'noreply' },
  'truncated.test': { mx: [[10, 'mx.truncated.test']], secure: true, does: 'truncated' },
  'truncated-silent.test': { mx: [[10, 'mx.truncated.test']], does: 'truncated-silent' },
  'wrong-id.test': { mx: [[10, 'forged.test']], does: 'wrong-id' },
  'wrong-question.test': { mx: [[10, 'forged.test']], does: 'wrong-question' },
  'flood.test': { mx: [[10, 'forged.test']], does: 'flood' },
  'forged-first.test': { mx: [[10, 'true.test']], does: 'forged-first' },
  'other-port.test': { mx: [[10, 'forged.test']], does: 'other-port' },
  'nxdomain.test': { mx: [[10, 'mx.test']], does: 'nxdomain' },
  'garbage.test': { does: 'garbage' },
  'broken.test': { mx: [[10, 'mx.broken.test']], does: 'broken-records' },
  'absurd.test': { mx: [[10, 'mx.absurd.test']], does: 'absurd-counts' },
  'bogus.test': { mx: [[10, 'mx.bogus.test']], does: 'bogus' },
  'no-edns.test': { mx: [[10, 'mx.no-edns.test']], secure: true, does: 'no-edns' },
  'badvers.test': { mx: [[10, 'mx.badvers.test']], does: 'badvers' },
  'referral.test': { does: 'referral' },
  'slow.test': { mx: [[10, 'mx.slow.test']], does: 'slow' },
  'odd.test': { mx: [[10, 'mx\r\nevil.test']] },
  'many.test': { mx: Array.from({ length: 60 }, (_, n) => [n, `mx${n}.many.test`] as const), does: 'truncated' },
};

type Setting = {
  resolver: Resolver;
  seen: { name: string; type: string; transport: string; id: number; sourcePort: number; dnssecOk: boolean }[];
};

async function withResolver(changes: Partial<StubResolverOptions>, run: (setting: Setting) => Promise<void>): Promise<void> {
  await using server = await startDnsServer(zone);
  const limits = { tryTimeout: 400, rounds: 2, ...changes.limits };
  const resolver = createStubResolver({ servers: [server], dnssec: 'auto', clock: steady, randomInt, ...changes, limits });
  try {
    await run({ resolver, seen: server.seen });
  } finally {
    resolver.close();
  }
}

const mxRows: readonly (readonly [name: string, expected: object])[] = [
  ['plain.test', { kind: 'records', records: [{ preference: 10, exchange: 'mx.plain.test' }], secure: false, ttlSeconds: 120 }],
  ['secure.test', { kind: 'records', secure: true, canonicalName: 'secure.test' }],
  ['null.test', { kind: 'records', records: [{ preference: 0, exchange: '' }] }],
  ['nodata.test', { kind: 'absent', nxdomain: false, secure: true, ttlSeconds: 60 }],
  ['missing.test', { kind: 'absent', nxdomain: true, secure: false }],
  ['alias.test', { kind: 'records', canonicalName: 'plain.test', secure: false, ttlSeconds: 30 }],
  ['secure-alias.test', { kind: 'records', canonicalName: 'secure.test', secure: true }],
  ['partial.test', { kind: 'records', canonicalName: 'plain.test', records: [{ preference: 10, exchange: 'mx.plain.test' }] }],
  ['partial-secure.test', { kind: 'records', canonicalName: 'secure.test', secure: true }],
  ['loop.test', { kind: 'unknown', problem: 'cname-loop' }],
  ['partial-loop.test', { kind: 'unknown', problem: 'cname-loop' }],
  ['dangling.test', { kind: 'absent', nxdomain: true }],
  ['servfail.test', { kind: 'unknown', problem: 'servfail' }],
  ['refused.test', { kind: 'unknown', problem: 'refused' }],
  ['noreply.test', { kind: 'unknown', problem: 'timeout' }],
  ['truncated.test', { kind: 'records', secure: true, records: [{ preference: 10, exchange: 'mx.truncated.test' }] }],
  ['truncated-silent.test', { kind: 'unknown', problem: 'timeout' }],
  ['wrong-id.test', { kind: 'unknown', problem: 'timeout' }],
  ['wrong-question.test', { kind: 'unknown', problem: 'timeout' }],
  ['flood.test', { kind: 'unknown', problem: 'malformed' }],
  ['forged-first.test', { kind: 'records', records: [{ preference: 10, exchange: 'true.test' }] }],
  ['other-port.test', { kind: 'unknown', problem: 'timeout' }],
  ['nxdomain.test', { kind: 'absent', nxdomain: true }],
  ['garbage.test', { kind: 'unknown', problem: 'timeout' }],
  ['broken.test', { kind: 'unknown', problem: 'malformed' }],
  ['absurd.test', { kind: 'unknown', problem: 'malformed' }],
  ['bogus.test', { kind: 'bogus' }],
  ['no-edns.test', { kind: 'records', secure: false }],
  ['badvers.test', { kind: 'records', secure: false }],
  ['referral.test', { kind: 'unknown', problem: 'refused' }],
  ['slow.test', { kind: 'unknown', problem: 'timeout' }],
  ['odd.test', { kind: 'records', records: [{ preference: 10, exchange: 'mx??evil.test' }] }],
  ['localhost', { kind: 'absent', nxdomain: false }],
  ['not a name', { kind: 'unknown', problem: 'malformed' }],
  [`${'a'.repeat(64)}.test`, { kind: 'unknown', problem: 'malformed' }],
];
test('MX lookups, each as the zone has it', async (context) => {
  await withResolver({}, async ({ resolver }) => {
    const asked = mxRows.map(([name, expected]) => ({ name, expected, answer: resolver.mx(name, never) }));
    for (const { name, expected, answer } of asked) {
      await context.test(`${name} -> ${JSON.stringify(expected)}`, async () => {
        assert.partialDeepStrictEqual(await answer, expected);
      });
    }
  });
});

test('sixty MX records come whole over TCP', async () => {
  await withResolver({}, async ({ resolver, seen }) => {
    const answer = await resolver.mx('many.test', never);
    assert.equal(answer.kind === 'records' && answer.records.length, 60);
    assert.deepEqual(
      seen.map((query) => query.transport),
      ['udp', 'tcp'],
    );
  });
});

test('addresses of both families', async () => {
  await withResolver({}, async ({ resolver }) => {
    assert.partialDeepStrictEqual(await resolver.a('plain.test', never), { kind: 'records', records: ['192.0.2.1'] });
    assert.partialDeepStrictEqual(await resolver.aaaa('plain.test', never), { kind: 'records', records: ['2001:db8::1'] });
  });
});

test('texts, the strings of each joined', async () => {
  await withResolver({}, async ({ resolver }) => {
    const records = ['v=STSv1; id=1;', 'other'];
    assert.partialDeepStrictEqual(await resolver.txt('_mta-sts.text.test', never), { kind: 'records', records });
    assert.partialDeepStrictEqual(await resolver.txt('plain.test', never), { kind: 'absent', nxdomain: false });
  });
});

test('TLSA records and the CNAME of a name itself', async () => {
  await withResolver({}, async ({ resolver }) => {
    const record = { usage: 3, selector: 1, matchingType: 1, data: 'ab'.repeat(32) };
    const found = { kind: 'records', secure: true, records: [record] };
    assert.partialDeepStrictEqual(await resolver.tlsa('_25._tcp.mx.secure.test', never), found);
    assert.partialDeepStrictEqual(await resolver.tlsa('secure.test', never), { kind: 'absent', secure: true });
    assert.partialDeepStrictEqual(await resolver.cname('alias.test', never), { records: ['plain.test'], secure: true });
    assert.partialDeepStrictEqual(await resolver.cname('plain.test', never), { kind: 'absent', nxdomain: false });
  });
});

test('a server that is not believed is not asked beside one that is', async (context) => {
  await using failing = await startDnsServer({ 'a.test': { does: 'servfail' } });
  await using other = await startDnsServer({ 'a.test': { a: ['192.0.2.1'] } }, '127.0.0.11').catch(() => null);
  if (other === null) return context.skip('127.0.0.11 is taken here');
  await withResolver({ servers: [failing, other] }, async ({ resolver }) => {
    assert.deepEqual(await resolver.a('a.test', never), { kind: 'unknown', problem: 'servfail' });
  });
  await withResolver({ servers: [failing, other], dnssec: 'off' }, async ({ resolver }) => {
    assert.partialDeepStrictEqual(await resolver.a('a.test', never), { records: ['192.0.2.1'], secure: false });
  });
});

test('localhost is this machine, without a question', async () => {
  await withResolver({}, async ({ resolver, seen }) => {
    assert.partialDeepStrictEqual(await resolver.a('localhost', never), {
      kind: 'records',
      records: ['127.0.0.1'],
      secure: false,
    });
    assert.partialDeepStrictEqual(await resolver.aaaa('relay.localhost', never), { kind: 'records', records: ['::1'] });
    assert.deepEqual(seen, []);
  });
});

test('AD means nothing where DNSSEC is off, and is not asked for', async () => {
  await withResolver({ dnssec: 'off' }, async ({ resolver, seen }) => {
    assert.partialDeepStrictEqual(await resolver.mx('secure.test', never), { kind: 'records', secure: false });
    assert.partialDeepStrictEqual(await resolver.mx('bogus.test', never), { kind: 'unknown', problem: 'servfail' });
    assert.ok(seen.every((query) => !query.dnssecOk));
  });
});

test('every question has its own id and source port', async () => {
  await withResolver({}, async ({ resolver, seen }) => {
    await Promise.all(Array.from({ length: 40 }, (_, n) => resolver.mx(`n${n}.test`, never)));
    assert.equal(seen.length, 40);
    assert.ok(new Set(seen.map((query) => query.id)).size > 35);
    assert.ok(new Set(seen.map((query) => query.sourcePort)).size > 20);
  });
});

test('answers live as long as their TTL says, absence as long as the SOA does', async () => {
  const clock = testClock();
  await withResolver({ clock }, async ({ resolver, seen }) => {
    const ask = async (): Promise<void> =>
      void (await Promise.all([resolver.mx('plain.test', never), resolver.mx('missing.test', never)]));
    await ask();
    clock.advance(59_000);
    await ask();
    assert.equal(seen.length, 2);
    assert.partialDeepStrictEqual(await resolver.mx('plain.test', never), { ttlSeconds: 61 });
    clock.advance(1_000);
    await ask();
    assert.deepEqual(
      seen.map((query) => query.name),
      ['plain.test', 'missing.test', 'missing.test'],
    );
    clock.advance(60_000);
    await resolver.mx('plain.test', never);
    assert.equal(seen.filter((query) => query.name === 'plain.test').length, 2);
  });
});

test('a failure is remembered for five seconds', async () => {
  const clock = testClock();
  await withResolver({ clock, dnssec: 'off' }, async ({ resolver, seen }) => {
    await resolver.mx('servfail.test', never);
    clock.advance(4_999);
    await resolver.mx('servfail.test', never);
    assert.equal(seen.length, 1);
    clock.advance(1);
    await resolver.mx('servfail.test', never);
    assert.equal(seen.length, 2);
  });
});

test('many who want the same ask once', async () => {
  await withResolver({}, async ({ resolver, seen }) => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => resolver.mx('plain.test', never)));
    assert.ok(answers.every((answer) => answer.kind === 'records'));
    assert.equal(seen.length, 1);
  });
});

test('more lookups than there is room for wait in line', async () => {
  await withResolver({ limits: { lookups: 2, tryTimeout: 20_000 } }, async ({ resolver }) => {
    const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => resolver.mx(`n${n}.test`, never)));
    assert.ok(answers.every((answer) => answer.kind === 'absent'));
  });
});

test('who gives up is answered at once; the others and the cache get the answer', async () => {
  await withResolver({ limits: { tryTimeout: 20_000 } }, async ({ resolver, seen }) => {
    const impatient = new AbortController();
    const first = resolver.mx('slow.test', impatient.signal);
    const second = resolver.mx('slow.test', never);
    impatient.abort();
    assert.deepEqual(await first, { kind: 'unknown', problem: 'timeout' });
    assert.partialDeepStrictEqual(await second, { kind: 'records' });
    assert.partialDeepStrictEqual(await resolver.mx('slow.test', never), { kind: 'records' });
    assert.equal(seen.length, 1);
  });
});

test('an aborted signal asks nothing new of the caller', async () => {
  await withResolver({}, async ({ resolver }) => {
    assert.deepEqual(await resolver.mx('plain.test', AbortSignal.abort()), { kind: 'unknown', problem: 'timeout' });
  });
});

test('close at once leaves nothing behind either', async () => {
  await withResolver({ limits: { tryTimeout: 60_000 } }, async ({ resolver }) => {
    const lookups = Array.from({ length: 20 }, (_, n) => resolver.mx(`n${n}.test`, never));
    resolver.close();
    for (const lookup of lookups) assert.deepEqual(await lookup, { kind: 'unknown', problem: 'unreachable' });
  });
});

test('close ends what is under way', async () => {
  await withResolver({ limits: { tryTimeout: 60_000 } }, async ({ resolver }) => {
    const lookups = ['noreply.test', 'truncated-silent.test'].map((name) => resolver.mx(name, never));
    await sleep(30);
    resolver.close();
    for (const lookup of lookups) assert.deepEqual(await lookup, { kind: 'unknown', problem: 'unreachable' });
    assert.deepEqual(await resolver.mx('plain.test', never), { kind: 'unknown', problem: 'unreachable' });
  });
});

/** A loopback port at which nothing listens. */
async function deadPort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((bound) => void socket.bind(0, '127.0.0.1', bound));
  const { port } = socket.address();
  await new Promise<void>((closed) => void socket.close(closed));
  return port;
}

test('no server: unreachable', async () => {
  await withResolver({ servers: [] }, async ({ resolver }) => {
    assert.deepEqual(await resolver.mx('plain.test', never), { kind: 'unknown', problem: 'unreachable' });
  });
  await withResolver({ servers: [{ address: '127.0.0.1', port: await deadPort() }] }, async ({ resolver }) => {
    assert.deepEqual(await resolver.mx('plain.test', never), { kind: 'unknown', problem: 'unreachable' });
  });
});

test('where the first server is silent the second answers, and is asked first from then on', async () => {
  await using silent = await startDnsServer({ 'a.test': { does: 'noreply' }, 'b.test': { a: ['192.0.2.9'] } });
  await using good = await startDnsServer({ 'a.test': { a: ['192.0.2.1'] }, 'b.test': { a: ['192.0.2.2'] } });
  const clock = testClock();
  await withResolver({ servers: [silent, good], clock }, async ({ resolver }) => {
    assert.partialDeepStrictEqual(await resolver.a('a.test', never), { records: ['192.0.2.1'] });
    assert.partialDeepStrictEqual(await resolver.a('b.test', never), { records: ['192.0.2.2'] });
    clock.advance(400_000);
    assert.partialDeepStrictEqual(await resolver.a('b.test', never), { records: ['192.0.2.9'] });
  });
});

test('where the first server refuses or fails the second answers', async () => {
  await using failing = await startDnsServer({ 'a.test': { does: 'servfail' }, 'b.test': { does: 'refused' } });
  await using good = await startDnsServer({ 'a.test': { a: ['192.0.2.1'] }, 'b.test': { a: ['192.0.2.2'] } });
  await withResolver({ servers: [failing, good] }, async ({ resolver }) => {
    assert.partialDeepStrictEqual(await resolver.a('a.test', never), { records: ['192.0.2.1'] });
    assert.partialDeepStrictEqual(await resolver.a('b.test', never), { records: ['192.0.2.2'] });
  });
});

test('that data are bogus is not asked away at a server that does not check', async () => {
  await using validating = await startDnsServer({ 'a.test': { a: ['192.0.2.1'], does: 'bogus' } });
  await using gullible = await startDnsServer({ 'a.test': { a: ['192.0.2.1'] } });
  await withResolver({ servers: [validating, gullible] }, async ({ resolver }) => {
    assert.deepEqual(await resolver.a('a.test', never), { kind: 'bogus' });
    assert.deepEqual(gullible.seen, []);
  });
});

test('a server over IPv6', async (context) => {
  const server = await startDnsServer(zone, '::1').catch(() => null);
  if (server === null) return context.skip('no IPv6 here');
  await using _ = server;
  await withResolver({ servers: [server] }, async ({ resolver }) => {
    assert.partialDeepStrictEqual(await resolver.mx('truncated.test', never), { kind: 'records', secure: true });
  });
});
