import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { MAX_CNAME_LINKS, type Reply, type ReplyRecord, readReply, startTrail } from '../../src/dns/answer-policy.ts';

const value = (name: string, text: string | null, ttlSeconds = 300): ReplyRecord<string> => ({
  name,
  ttlSeconds,
  data: { kind: 'value', value: text },
});
const cname = (name: string, target: string, ttlSeconds = 300): ReplyRecord<string> => ({
  name,
  ttlSeconds,
  data: { kind: 'cname', target },
});
const chain = (links: number): ReplyRecord<string>[] =>
  Array.from({ length: links }, (_, n) => cname(n === 0 ? 'a.test' : `c${n}.test`, `c${n + 1}.test`));

const reply = (changes: Partial<Reply<string>>): Reply<string> => ({
  rcode: 'NOERROR',
  secure: true,
  records: [],
  negativeTtlSeconds: 60,
  referral: false,
  ...changes,
});

const rows: readonly (readonly [name: string, changes: Partial<Reply<string>>, expected: object])[] = [
  [
    'records',
    { records: [value('a.test', '1'), value('a.test', '2', 60)] },
    { kind: 'records', records: ['1', '2'], secure: true, ttlSeconds: 60 },
  ],
  ['without AD, insecure', { records: [value('a.test', '1')], secure: false }, { kind: 'records', secure: false }],
  ['records of another name are not ours', { records: [value('b.test', '1')] }, { kind: 'absent', nxdomain: false }],
  ['a TTL above a day is a day', { records: [value('a.test', '1', 900_000)] }, { kind: 'records', ttlSeconds: 86_400 }],
  ['a TTL with its top bit is none', { records: [value('a.test', '1', 0xffffffff)] }, { kind: 'records', ttlSeconds: 0 }],
  ['records that make no sense', { records: [value('a.test', null)] }, { kind: 'unknown', problem: 'malformed' }],
  ['one of two makes no sense', { records: [value('a.test', null), value('a.test', '1')] }, { kind: 'records', records: ['1'] }],
  [
    'a CNAME with its target',
    { records: [cname('a.test', 'b.test', 30), value('b.test', '1')] },
    { kind: 'records', records: ['1'], ttlSeconds: 30, canonicalName: 'b.test' },
  ],
  [
    'a CNAME whose target comes first',
    { records: [value('b.test', '1'), cname('a.test', 'b.test')] },
    { kind: 'records', canonicalName: 'b.test' },
  ],
  ['a CNAME to nowhere', { rcode: 'NXDOMAIN', records: [cname('a.test', 'b.test')] }, { kind: 'absent', nxdomain: true }],
  [
    'a CNAME to a name without such records',
    { records: [cname('a.test', 'b.test')] },
    { kind: 'absent', nxdomain: false, ttlSeconds: 60 },
  ],
  ['a CNAME to itself', { records: [cname('a.test', 'a.test')] }, { kind: 'unknown', problem: 'cname-loop' }],
  ['a circle', { records: [cname('a.test', 'b.test'), cname('b.test', 'a.test')] }, { kind: 'unknown', problem: 'cname-loop' }],
  [
    'as many links as allowed',
    { records: [...chain(MAX_CNAME_LINKS), value(`c${MAX_CNAME_LINKS}.test`, '1')] },
    { kind: 'records' },
  ],
  [
    'one link too many',
    { records: [...chain(MAX_CNAME_LINKS + 1), value(`c${MAX_CNAME_LINKS + 1}.test`, '1')] },
    { kind: 'unknown', problem: 'cname-loop' },
  ],
  ['a CNAME to a name with odd bytes', { records: [cname('a.test', 'b?.test')] }, { kind: 'unknown', problem: 'malformed' }],
  ['a CNAME to the root', { records: [cname('a.test', '')] }, { kind: 'unknown', problem: 'malformed' }],
  ['no such records', {}, { kind: 'absent', nxdomain: false, secure: true, ttlSeconds: 60 }],
  ['no such name', { rcode: 'NXDOMAIN' }, { kind: 'absent', nxdomain: true, secure: true, ttlSeconds: 60 }],
  ['absence without SOA is not remembered', { rcode: 'NXDOMAIN', negativeTtlSeconds: null }, { kind: 'absent', ttlSeconds: 0 }],
  ['absence is remembered for an hour at most', { negativeTtlSeconds: 86_400 }, { kind: 'absent', ttlSeconds: 3_600 }],
  ['a referral is no absence', { negativeTtlSeconds: null, referral: true }, { kind: 'unknown', problem: 'refused' }],
  ['SERVFAIL is no absence', { rcode: 'SERVFAIL' }, { kind: 'unknown', problem: 'servfail' }],
  ['SERVFAIL outdoes records', { rcode: 'SERVFAIL', records: [value('a.test', '1')] }, { kind: 'unknown', problem: 'servfail' }],
  ['REFUSED is no absence', { rcode: 'REFUSED' }, { kind: 'unknown', problem: 'refused' }],
  ['an unheard-of code is no absence', { rcode: 'RCODE_15' }, { kind: 'unknown', problem: 'refused' }],
];
for (const [name, changes, expected] of rows) {
  test(`reply: ${name}`, () => {
    const step = readReply(startTrail('a.test'), reply(changes));
    assert.equal(step.kind, 'answer');
    if (step.kind === 'answer') assert.partialDeepStrictEqual(step.answer, expected);
  });
}

test('a bare CNAME is followed by another question, and its insecurity goes along', () => {
  const step = readReply(
    startTrail('a.test'),
    reply({ records: [cname('a.test', 'b.test', 30)], secure: false, negativeTtlSeconds: null }),
  );
  assert.deepEqual(step, { kind: 'follow', trail: { name: 'b.test', secure: false, ttlSeconds: 30, links: 1 } });
  if (step.kind !== 'follow') return;
  const next = readReply(step.trail, reply({ records: [value('b.test', '1')] }));
  const answer = { kind: 'records', records: ['1'], secure: false, ttlSeconds: 30, canonicalName: 'b.test' };
  assert.deepEqual(next, { kind: 'answer', answer });
});

test('a chain across replies is bounded like one within a reply', () => {
  let trail = startTrail('c0.test');
  for (let n = 0; n < MAX_CNAME_LINKS; n++) {
    const step = readReply(trail, reply({ records: [cname(`c${n}.test`, `c${n + 1}.test`)], negativeTtlSeconds: null }));
    assert.equal(step.kind, 'follow');
    if (step.kind === 'follow') trail = step.trail;
  }
  const last = readReply(trail, reply({ records: [cname(trail.name, 'further.test')], negativeTtlSeconds: null }));
  assert.deepEqual(last, { kind: 'answer', answer: { kind: 'unknown', problem: 'cname-loop' } });
});
