import { strict as assert } from 'node:assert';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { createServerProbes } from '../../src/dns/stub-probes.ts';
import { judgeValidation, type Validation } from '../../src/dns/validation-policy.ts';
import type { DnsAnswer } from '../../src/domain/dns.ts';
import { dnssecTest } from '../../src/platform/dnssec-test.ts';
import { type DnssecFacts, judgeDnssec, type ServerFact } from '../../src/platform/dnssec-test-policy.ts';
import type { SelfTestLine } from '../../src/platform/self-test-policy.ts';
import { startDnsServer } from '../support/dns-server.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { startSignedZone } from '../support/signed-zone.ts';

checkLeaks();

const absent = (secure: boolean): DnsAnswer<never> => ({ kind: 'absent', nxdomain: false, secure, ttlSeconds: 60 });
const silent: DnsAnswer<never> = { kind: 'unknown', problem: 'timeout' };
const validations: readonly (readonly [signed: DnsAnswer<never>, unsigned: DnsAnswer<never>, is: Validation])[] = [
  [absent(true), absent(false), 'validates'],
  [absent(true), silent, 'validates'],
  [absent(true), absent(true), 'vouches-for-anything'],
  [absent(false), absent(true), 'vouches-for-anything'],
  [absent(false), absent(false), 'does-not-validate'],
  [{ kind: 'bogus' }, absent(false), 'fails-at-the-root'],
  [silent, absent(false), 'unknown'],
  [silent, silent, 'unknown'],
];
for (const [signed, unsigned, is] of validations) {
  test(`signed name ${JSON.stringify(signed)}, unsigned name ${JSON.stringify(unsigned)}: ${is}`, () => {
    assert.equal(judgeValidation(signed, unsigned), is);
  });
}

const server = (name: string, believed: boolean, validation: Validation): ServerFact => ({ server: name, believed, validation });
const local = (validation: Validation): ServerFact => server('127.0.0.1', true, validation);
const remote = (validation: Validation): ServerFact => server('10.0.0.1', false, validation);
const text = (lines: readonly SelfTestLine[]): string => lines.map((line) => `${line.verdict}: ${line.text}`).join('\n');

const rows: readonly (readonly [what: string, servers: readonly ServerFact[], line: string])[] = [
  ['a validating server here', [local('validates')], 'ok: DNSSEC is validated by 127.0.0.1: DANE is on.'],
  [
    'one here that does not validate',
    [local('does-not-validate')],
    'warning: 127.0.0.1 does not validate DNSSEC: DANE is off. Install unbound on this machine and set resolver.servers: [127.0.0.1].',
  ],
  [
    'one elsewhere that does not validate',
    [remote('does-not-validate')],
    'warning: 10.0.0.1 does not validate DNSSEC: DANE is off. Install unbound on this machine and set resolver.servers: [127.0.0.1].',
  ],
  [
    'one elsewhere that does',
    [remote('validates')],
    'warning: 10.0.0.1 validates DNSSEC, but anyone on the way from there could claim the same: DANE is off. Install unbound on this machine and set resolver.servers: [127.0.0.1]; or, where nobody can get at the way to it, set resolver.servers: [10.0.0.1] and resolver.dnssec: trust.',
  ],
  [
    'two elsewhere that do not',
    [remote('does-not-validate'), server('10.0.0.2', false, 'unknown')],
    'warning: 10.0.0.1 and 10.0.0.2 do not validate DNSSEC: DANE is off. Install unbound on this machine and set resolver.servers: [127.0.0.1].',
  ],
  [
    'silence elsewhere',
    [remote('unknown')],
    'warning: 10.0.0.1 did not say whether DNSSEC is validated there, and would not be believed: DANE is off. Install unbound on this machine and set resolver.servers: [127.0.0.1].',
  ],
  [
    'silence here',
    [local('unknown')],
    'warning: 127.0.0.1 did not say whether DNSSEC is validated there: where it is not, DANE is off.',
  ],
  [
    'a wrong clock or anchor',
    [local('fails-at-the-root')],
    'warning: 127.0.0.1 finds the DNS root itself forged: a clock or a trust anchor (unbound-anchor) is wrong there, or someone tampers with the traffic. Mail waits until that is mended.',
  ],
  [
    'AD on everything',
    [local('vouches-for-anything')],
    'warning: 127.0.0.1 calls names validated by DNSSEC that cannot be: such a word is worth nothing. Install unbound on this machine and set resolver.servers: [127.0.0.1]. Until then set resolver.dnssec: off.',
  ],
  [
    'one that does beside one that does not',
    [local('validates'), server('::1', true, 'does-not-validate')],
    'warning: ::1 does not validate DNSSEC, 127.0.0.1 may: DANE comes and goes with the server that answers. Take ::1 out of resolver.servers.',
  ],
  [
    'one here, one elsewhere',
    [local('validates'), remote('validates')],
    'warning: DNSSEC is validated by 127.0.0.1: DANE is on. 10.0.0.1 is never asked: beside a server whose word counts, others would switch DANE off.',
  ],
];
for (const [what, servers, line] of rows) {
  test(`${what}: ${line.slice(0, 60)}…`, () => {
    assert.equal(text(judgeDnssec({ mode: 'auto', daneWanted: true, servers })), line);
    assert.deepEqual(judgeDnssec({ mode: 'auto', daneWanted: false, servers }), []);
  });
}

test('switched off is said where DANE is wanted, and nobody is asked', async () => {
  const facts: DnssecFacts = { mode: 'off', daneWanted: true, servers: [] };
  assert.equal(text(judgeDnssec(facts)), 'warning: resolver.dnssec is off: DANE is off. Say tls.dane: off if that is meant.');
  let closed = 0;
  const resolver = { mx: () => assert.fail('asked'), close: () => void closed++ };
  await dnssecTest({ ...facts, probes: [{ server: '127.0.0.1', believed: false, resolver }] });
  assert.equal(closed, 1);
});

const clock = { now: () => 0 as never, monotonic: () => performance.now() };
const ask = async (servers: readonly { address: string; port: number }[]): Promise<string> => {
  const probes = createServerProbes({ servers, dnssec: 'auto', clock, randomInt }, 1_000);
  return text(await dnssecTest({ mode: 'auto', daneWanted: true, probes }));
};

test('a real validating resolver, a real one that does not, one that lies, one that is silent', async () => {
  await using zone = await startSignedZone({ root: [] });
  await using liar = await startDnsServer({ arpa: { secure: true }, 'home.arpa': { secure: true } });
  await using mute = await startDnsServer({ arpa: { does: 'noreply' }, 'home.arpa': { does: 'noreply' } });
  assert.equal(await ask([zone]), `ok: DNSSEC is validated by 127.0.0.1:${zone.port}: DANE is on.`);
  assert.match(
    await ask([zone.authoritative]),
    /^warning: 127\.0\.0\.1:\d+ does not validate DNSSEC: DANE is off\. Install unbound/,
  );
  assert.match(await ask([liar]), /^warning: .* calls names validated by DNSSEC that cannot be/);
  assert.match(await ask([mute]), /^warning: .* did not say/);
});
