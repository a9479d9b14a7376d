/** The ladder as a table: which rung comes next, when plaintext may follow, what is remembered. */
import { strict as assert } from 'node:assert';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Instant } from '../../src/domain/basics.ts';
import { RUNGS, type Rung, type TlsFailure, type TlsPolicy, type TlsRung } from '../../src/domain/tls.ts';
import { firstRung, mayFallToPlaintext, nextRung, RUNG_MEMORY, rungMemory } from '../../src/security/ladder-policy.ts';

const FULL: readonly TlsRung[] = ['modern', 'compatible', 'legacy'];
const policy = (plaintext: TlsPolicy['plaintext'], ladder: readonly TlsRung[] = FULL): TlsPolicy => ({
  plaintext,
  ladder: plaintext === 'always' ? [] : ladder,
  peer: [],
  because: [{ kind: 'default' }],
});
const FAILURES: Readonly<Record<TlsFailure['kind'], TlsFailure>> = {
  'not-offered': { kind: 'not-offered' },
  refused: { kind: 'refused', code: 454, text: 'not now' },
  handshake: { kind: 'handshake', alert: 'ECONNRESET' },
  'handshake-timeout': { kind: 'handshake-timeout' },
  injected: { kind: 'injected' },
};

describe('the rung after a failure', () => {
  const rows: readonly [failed: TlsRung, failure: TlsFailure['kind'], next: TlsRung | 'exhausted' | 'unavailable'][] = [
    ['modern', 'handshake', 'compatible'],
    ['modern', 'handshake-timeout', 'compatible'],
    ['modern', 'injected', 'compatible'],
    ['modern', 'not-offered', 'unavailable'],
    ['modern', 'refused', 'unavailable'],
    ['compatible', 'handshake', 'legacy'],
    ['compatible', 'handshake-timeout', 'legacy'],
    ['compatible', 'injected', 'legacy'],
    ['compatible', 'not-offered', 'unavailable'],
    ['compatible', 'refused', 'unavailable'],
    ['legacy', 'handshake', 'exhausted'],
    ['legacy', 'handshake-timeout', 'exhausted'],
    ['legacy', 'injected', 'exhausted'],
    ['legacy', 'not-offered', 'unavailable'],
    ['legacy', 'refused', 'unavailable'],
  ];
  for (const [failed, failure, expected] of rows) {
    for (const plaintext of ['allowed', 'never'] as const) {
      test(`plaintext ${plaintext}: ${failed} + ${failure} -> ${expected}`, () => {
        const next = nextRung(policy(plaintext), failed, FAILURES[failure]);
        assert.equal(next.kind === 'tls' ? next.rung : next.kind, expected);
      });
    }
  }
  test('a narrower ladder ends earlier', () => {
    assert.deepEqual(nextRung(policy('never', ['modern']), 'modern', FAILURES.handshake), { kind: 'exhausted' });
    assert.deepEqual(nextRung(policy('allowed', ['modern', 'legacy']), 'modern', FAILURES.handshake), {
      kind: 'tls',
      rung: 'legacy',
    });
  });
});

describe('the first rung', () => {
  const now = 1_000_000_000_000 as Instant;
  const hourAgo = (now - 3_600_000) as Instant;
  const twoDaysAgo = (now - 2 * RUNG_MEMORY) as Instant;
  const rows: readonly [name: string, policy: TlsPolicy, memory: { rung: Rung; since: Instant } | null, start: string][] = [
    ['nothing remembered: the top', policy('allowed'), null, 'modern'],
    ['remembered rung', policy('allowed'), { rung: 'compatible', since: hourAgo }, 'compatible'],
    ['remembered rung, also where TLS is demanded', policy('never'), { rung: 'legacy', since: hourAgo }, 'legacy'],
    ['a memory older than a day: the top', policy('allowed'), { rung: 'legacy', since: twoDaysAgo }, 'modern'],
    ['a rung this connector does not use: the top', policy('never', ['modern']), { rung: 'legacy', since: hourAgo }, 'modern'],
    ['plaintext worked: plaintext', policy('allowed'), { rung: 'plaintext', since: hourAgo }, 'plaintext'],
    ['plaintext worked, but TLS is demanded: the top', policy('never'), { rung: 'plaintext', since: hourAgo }, 'modern'],
    ['plaintext worked two days ago: the top', policy('allowed'), { rung: 'plaintext', since: twoDaysAgo }, 'modern'],
    ['TLS switched off', policy('always'), null, 'plaintext'],
    ['no rung left by the floor', policy('never', []), null, 'none'],
  ];
  for (const [name, chosen, memory, expected] of rows) {
    test(name, () => {
      const start = firstRung(chosen, memory, now);
      assert.equal(start.kind === 'tls' ? start.rung : start.kind, expected);
    });
  }
});

describe('plaintext after failed handshakes', () => {
  const rows: readonly [plaintext: TlsPolicy['plaintext'], exhausted: number, localFault: boolean, may: boolean][] = [
    ['allowed', 1, false, true],
    ['allowed', 0, false, false],
    ['allowed', 1, true, false],
    ['never', 1, false, false],
    ['never', 3, true, false],
    ['always', 1, false, false],
  ];
  for (const [plaintext, exhausted, localFault, may] of rows) {
    test(`${plaintext}, ${exhausted} exhausted, ${localFault ? 'a' : 'no'} fault of our own -> ${may ? 'yes' : 'no'}`, () => {
      assert.equal(mayFallToPlaintext(policy(plaintext), { exhausted, localFault }), may);
    });
  }
});

describe('what is remembered', () => {
  const now = 1_000_000_000_000 as Instant;
  const memory = (rung: Rung, age: number) => ({ rung, since: (now - age) as Instant });
  test('the top worked, nothing known: nothing', () =>
    assert.deepEqual(rungMemory(policy('allowed'), 'modern', { remembered: null, now, stepped: false }), { kind: 'keep' }));
  test('the top works again: forget', () =>
    assert.deepEqual(
      rungMemory(policy('allowed'), 'modern', { remembered: memory('legacy', RUNG_MEMORY + 1), now, stepped: false }),
      { kind: 'forget' },
    ));
  test('a lower rung worked after failures: remember', () =>
    assert.deepEqual(rungMemory(policy('allowed'), 'compatible', { remembered: null, now, stepped: true }), {
      kind: 'remember',
      rung: 'compatible',
    }));
  test('the remembered rung works: the day is not prolonged', () =>
    assert.deepEqual(
      rungMemory(policy('allowed'), 'compatible', { remembered: memory('compatible', 1000), now, stepped: false }),
      { kind: 'keep' },
    ));
  test('STARTTLS not to be had is no rung that worked', () =>
    assert.deepEqual(rungMemory(policy('allowed'), 'plaintext', { remembered: null, now, stepped: false }), { kind: 'keep' }));
});

test('where TLS is demanded no chain of failures and memories leads to plaintext', () => {
  const failure = fc.constantFrom(...Object.values(FAILURES));
  const memory = fc.option(
    fc.record({ rung: fc.constantFrom(...RUNGS), since: fc.integer({ min: 0, max: 2e12 }).map((n) => n as Instant) }),
  );
  const ladder = fc.subarray([...FULL], { minLength: 1 });
  fc.assert(
    fc.property(ladder, memory, fc.array(failure, { minLength: 5, maxLength: 5 }), (rungs, remembered, failures) => {
      const demanded = policy('never', rungs);
      const start = firstRung(demanded, remembered, 1e12 as Instant);
      assert.notEqual(start.kind, 'plaintext');
      let rung: TlsRung | null = start.kind === 'tls' ? start.rung : null;
      const tried = new Set<Rung>();
      for (const each of failures) {
        if (rung === null) break;
        assert.ok(!tried.has(rung), 'each rung once');
        tried.add(rung);
        const next = nextRung(demanded, rung, each);
        rung = next.kind === 'tls' ? next.rung : null;
      }
      assert.ok(!mayFallToPlaintext(demanded, { exhausted: 3, localFault: false }));
    }),
  );
});
