import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { Resolver } from '../../src/dns/resolver.ts';
import type { Domain } from '../../src/domain/address.ts';
import type { DnsAnswer, DnsProblem } from '../../src/domain/dns.ts';
import type { TlsaRecord } from '../../src/domain/peer.ts';
import { type DaneHost, type DaneStatus, judgeDane, NOTHING_ASKED, nextQuestion } from '../../src/security/dane-policy.ts';
import { gatherDane } from '../../src/security/gather-dane.ts';

const domain = (text: string): Domain => text as Domain;
const PLAIN: DaneHost = {
  name: domain('mx.test'),
  port: 25,
  mxSecure: true,
  nextHopNames: [domain('a.test')],
  addressesSecure: true,
  canonicalName: domain('mx.test'),
};
const ALIAS: DaneHost = { ...PLAIN, canonicalName: domain('real.test') };
const EE: TlsaRecord = { usage: 3, selector: 1, matchingType: 1, data: 'ab'.repeat(32) };
const PKIX: TlsaRecord = { ...EE, usage: 1 };

const PROBLEMS: readonly DnsProblem[] = ['timeout', 'servfail', 'refused', 'malformed', 'unreachable', 'cname-loop'];
const records = <T>(secure: boolean, ...list: T[]): DnsAnswer<T> => ({
  kind: 'records',
  records: list,
  secure,
  ttlSeconds: 60,
  canonicalName: 'x.test',
});
/** Every status a lookup of TLSA records can have. */
const TLSA: Readonly<Record<string, DnsAnswer<TlsaRecord>>> = {
  usable: records(true, PKIX, EE),
  unusable: records(true, PKIX),
  insecure: records(false, EE),
  absent: { kind: 'absent', nxdomain: true, secure: true, ttlSeconds: 60 },
  nodata: { kind: 'absent', nxdomain: false, secure: true, ttlSeconds: 60 },
  'absent-insecure': { kind: 'absent', nxdomain: true, secure: false, ttlSeconds: 60 },
  bogus: { kind: 'bogus' },
  ...Object.fromEntries(PROBLEMS.map((problem) => [problem, { kind: 'unknown', problem } as const])),
};
/** Every status a lookup of the host's CNAME can have. */
const CNAME: Readonly<Record<string, DnsAnswer<string>>> = {
  secure: records(true, 'real.test'),
  insecure: records(false, 'real.test'),
  absent: { kind: 'absent', nxdomain: false, secure: true, ttlSeconds: 60 },
  bogus: { kind: 'bogus' },
  ...Object.fromEntries(PROBLEMS.map((problem) => [problem, { kind: 'unknown', problem } as const])),
};
const isProblem = (kind: string): boolean => kind === 'bogus' || PROBLEMS.some((problem) => problem === kind);

/** A resolver with these answers that notes what was asked; what is not listed must not be asked. */
function scripted(answers: {
  cname?: DnsAnswer<string> | undefined;
  tlsa?: Readonly<Record<string, DnsAnswer<TlsaRecord> | undefined>>;
}): Pick<Resolver, 'tlsa' | 'cname'> & { readonly asked: string[] } {
  const asked: string[] = [];
  const give = <T>(what: string, answer: DnsAnswer<T> | undefined): Promise<DnsAnswer<T>> => {
    asked.push(what);
    assert.ok(answer, `${what} must not be asked`);
    return Promise.resolve(answer);
  };
  return {
    asked,
    cname: (name) => give(`CNAME ${name}`, answers.cname),
    tlsa: (name) => give(name, answers.tlsa?.[name]),
  };
}
const never = new AbortController().signal;
const statusText = (status: DaneStatus): string => {
  switch (status.kind) {
    case 'not-applicable':
      return `not-applicable ${status.because}`;
    case 'usable':
    case 'unusable':
      return `${status.kind} ${status.tlsaBase}`;
    case 'undetermined':
      return `undetermined ${status.problem}`;
  }
};
/** What one base's answer means where it decides. */
function expected(tlsa: string, base: string): string {
  if (tlsa === 'bogus') return 'undetermined bogus';
  if (isProblem(tlsa)) return 'undetermined lookup-failed';
  if (tlsa === 'usable' || tlsa === 'unusable') return `${tlsa} ${base}`;
  return tlsa.includes('insecure') ? 'not-applicable tlsa-insecure' : 'not-applicable no-tlsa';
}

for (const [tlsa, answer] of Object.entries(TLSA)) {
  for (const mxSecure of [true, false])
    for (const addressesSecure of [true, false]) {
      const asks = mxSecure && addressesSecure;
      const wanted = !mxSecure
        ? 'not-applicable mx-insecure'
        : addressesSecure
          ? expected(tlsa, 'mx.test')
          : 'not-applicable addresses-insecure';
      test(`MX ${mxSecure ? 'secure' : 'insecure'}, addresses ${addressesSecure ? 'secure' : 'insecure'}, TLSA ${tlsa}: ${wanted}`, async () => {
        const resolver = scripted({ tlsa: { '_25._tcp.mx.test': answer } });
        const host = { ...PLAIN, mxSecure, addressesSecure };
        assert.equal(statusText(await gatherDane(host, resolver, never)), wanted);
        assert.deepEqual(
          resolver.asked,
          asks ? ['_25._tcp.mx.test'] : [],
          'TLSA is asked for only where all before it is secure',
        );
      });
    }
}

test('secure CNAME: every pair of TLSA at its end and TLSA at the name itself', async () => {
  for (const [atEnd, endAnswer] of Object.entries(TLSA))
    for (const [atName, nameAnswer] of Object.entries(TLSA)) {
      const resolver = scripted({ tlsa: { '_25._tcp.real.test': endAnswer, '_25._tcp.mx.test': nameAnswer } });
      const status = statusText(await gatherDane(ALIAS, resolver, never));
      const decided = atEnd === 'usable' || atEnd === 'unusable' || isProblem(atEnd);
      const insecure = atEnd.includes('insecure') && expected(atName, '') === 'not-applicable no-tlsa';
      const wanted = decided
        ? expected(atEnd, 'real.test')
        : insecure
          ? 'not-applicable tlsa-insecure'
          : expected(atName, 'mx.test');
      assert.equal(status, wanted, `${atEnd}, then ${atName}`);
      const asked = decided ? ['_25._tcp.real.test'] : ['_25._tcp.real.test', '_25._tcp.mx.test'];
      assert.deepEqual(resolver.asked, asked, `${atEnd}, then ${atName}`);
    }
});

test('CNAME into an unsigned zone: every pair of the CNAME itself and TLSA at the name', async () => {
  for (const [cname, aliasAnswer] of Object.entries(CNAME))
    for (const [tlsa, answer] of Object.entries(TLSA)) {
      const resolver = scripted({ cname: aliasAnswer, tlsa: { '_25._tcp.mx.test': answer } });
      const status = statusText(await gatherDane({ ...ALIAS, addressesSecure: false }, resolver, never));
      const wanted =
        cname === 'secure' || isProblem(cname)
          ? expected(cname === 'secure' ? tlsa : cname, 'mx.test')
          : 'not-applicable addresses-insecure';
      assert.equal(status, wanted, `CNAME ${cname}, TLSA ${tlsa}`);
      assert.deepEqual(resolver.asked, ['CNAME mx.test', ...(cname === 'secure' ? ['_25._tcp.mx.test'] : [])]);
    }
});

test('an insecure MX or an address literal asks nothing, whatever else', () => {
  for (const host of [PLAIN, ALIAS, { ...ALIAS, addressesSecure: false }]) {
    assert.equal(nextQuestion({ ...host, mxSecure: false }, NOTHING_ASKED), null);
    const literal = { ...host, name: null, canonicalName: null };
    assert.equal(nextQuestion(literal, NOTHING_ASKED), null);
    assert.equal(statusText(judgeDane(literal, NOTHING_ASKED)), 'not-applicable address-literal');
  }
});

test('what was not asked is not absence', () => {
  assert.equal(statusText(judgeDane(PLAIN, NOTHING_ASKED)), 'undetermined lookup-failed');
});

const names: readonly (readonly [what: string, host: DaneHost, base: string, names: readonly string[]])[] = [
  ['an MX host: the base, the next hop', PLAIN, 'mx.test', ['mx.test', 'a.test']],
  [
    'an aliased MX host: the end of the chain, the next hop and its own alias',
    { ...ALIAS, nextHopNames: [domain('a.test'), domain('b.test')] },
    'real.test',
    ['real.test', 'a.test', 'b.test'],
  ],
  ['no MX: the domain once', { ...PLAIN, nextHopNames: [domain('mx.test')] }, 'mx.test', ['mx.test']],
  [
    'no MX, an alias: the end of the chain, the name itself',
    { ...ALIAS, nextHopNames: [domain('mx.test')] },
    'real.test',
    ['real.test', 'mx.test'],
  ],
];
for (const [what, host, base, wanted] of names) {
  test(`reference identifiers of ${what}`, async () => {
    const resolver = scripted({ tlsa: { [`_25._tcp.${base}`]: TLSA.usable } });
    const status = await gatherDane(host, resolver, never);
    assert.deepEqual(status.kind === 'usable' && status.names, wanted);
    assert.deepEqual(status.kind === 'usable' && status.records, [EE]);
  });
}

test('the port is part of the name', async () => {
  const resolver = scripted({ tlsa: { '_587._tcp.mx.test': TLSA.usable } });
  assert.equal(statusText(await gatherDane({ ...PLAIN, port: 587 }, resolver, never)), 'usable mx.test');
});

const sentences: readonly (readonly [answer: DnsAnswer<TlsaRecord>, text: string])[] = [
  [{ kind: 'bogus' }, 'the TLSA records at _25._tcp.mx.test fail DNSSEC validation'],
  [
    { kind: 'unknown', problem: 'servfail' },
    'the TLSA records at _25._tcp.mx.test could not be looked up: the name servers of the zone fail',
  ],
];
for (const [answer, text] of sentences) {
  test(`said as: ${text}`, async () => {
    const status = await gatherDane(PLAIN, scripted({ tlsa: { '_25._tcp.mx.test': answer } }), never);
    assert.equal(status.kind === 'undetermined' && status.text, text);
  });
}
