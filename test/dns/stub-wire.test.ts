import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import packet from 'dns-packet';
import fc from 'fast-check';
import { readReply, startTrail } from '../../src/dns/answer-policy.ts';
import { A, AAAA, CNAME, encodeQuery, isQueryName, MX, type Question, readMessage, TLSA, TXT } from '../../src/dns/stub-wire.ts';

const question: Question = { id: 4711, name: 'a.test', type: 'MX', dnssec: true, checkingDisabled: false, edns: true };
const asked = { question, type: MX, trusted: true };

function message(changes: Partial<packet.Packet> = {}): Buffer {
  return packet.encode({
    type: 'response',
    id: 4711,
    flags: packet.RECURSION_DESIRED | packet.AUTHENTIC_DATA,
    questions: [{ name: 'a.test', type: 'MX' }],
    answers: [
      { name: 'a.test', type: 'MX', ttl: 60, data: { preference: 10, exchange: 'MX1.a.test' } },
      { name: 'a.test', type: 'MX', ttl: 60, data: { preference: 20, exchange: 'mx2.a.test' } },
    ],
    authorities: [],
    additionals: [],
    ...changes,
  });
}
const mx = (exchange: string): Buffer =>
  message({ answers: [{ name: 'a.test', type: 'MX', ttl: 60, data: { preference: 0, exchange } }] });
const exchangeOf = (bytes: Buffer): string | undefined => {
  const read = readMessage(bytes, asked);
  const data = read.kind === 'reply' ? read.reply.records[0]?.data : undefined;
  return data?.kind === 'value' ? data.value?.exchange : undefined;
};

test('a query asks for recursion and DNSSEC with EDNS 1232', () => {
  const query = packet.decode(encodeQuery(question));
  assert.deepEqual(query.questions, [{ name: 'a.test', type: 'MX', class: 'IN' }]);
  assert.equal(query.id, 4711);
  assert.equal(query.flag_rd, true);
  assert.equal(query.flag_ad, true);
  assert.equal(query.flag_cd, false);
  assert.partialDeepStrictEqual(query.additionals, [{ type: 'OPT', udpPayloadSize: 1232, flags: packet.DNSSEC_OK }]);
});

test('a query without DNSSEC and EDNS carries neither', () => {
  const query = packet.decode(encodeQuery({ ...question, dnssec: false, edns: false }));
  assert.equal(query.flag_ad, false);
  assert.deepEqual(query.additionals, []);
});

test('a reply is read', () => {
  const read = readMessage(message(), asked);
  assert.equal(read.kind, 'reply');
  if (read.kind !== 'reply') return;
  assert.equal(read.reply.secure, true);
  assert.deepEqual(
    read.reply.records.map((record) => record.data),
    [
      { kind: 'value', value: { preference: 10, exchange: 'mx1.a.test' } },
      { kind: 'value', value: { preference: 20, exchange: 'mx2.a.test' } },
    ],
  );
});

const foreign: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['another id', message({ id: 4712 })],
  ['another name', message({ questions: [{ name: 'b.test', type: 'MX' }] })],
  ['another type', message({ questions: [{ name: 'a.test', type: 'A' }] })],
  ['another class', message({ questions: [{ name: 'a.test', type: 'MX', class: 'CH' }] })],
  ['no question', message({ questions: [] })],
  ['a query', message({ type: 'query' })],
  ['too short for a header', Buffer.from([0x12])],
  ['nothing', Buffer.alloc(0)],
];
for (const [name, bytes] of foreign) {
  test(`not ours: ${name}`, () => assert.deepEqual(readMessage(bytes, asked), { kind: 'foreign' }));
}

test('the case of the question is the server’s to change', () => {
  assert.equal(readMessage(message({ questions: [{ name: 'A.TeST', type: 'MX' }] }), asked).kind, 'reply');
});

test('AD of a server that is not trusted means nothing', () => {
  const read = readMessage(message(), { ...asked, trusted: false });
  assert.equal(read.kind === 'reply' && read.reply.secure, false);
});

test('a truncated reply says no more than that', () => {
  const bytes = message({ flags: packet.TRUNCATED_RESPONSE }).subarray(0, 45);
  assert.partialDeepStrictEqual(readMessage(bytes, asked), { kind: 'reply', truncated: true, reply: { records: [] } });
});

for (const [field, offset] of [
  ['answers', 6],
  ['authorities', 8],
  ['additionals', 10],
] as const) {
  test(`counts beyond the message are malformed: ${field}`, () => {
    const bytes = message();
    bytes.writeUInt16BE(0xffff, offset);
    assert.deepEqual(readMessage(bytes, asked), { kind: 'malformed' });
  });
}

test('records of another class are left out', () => {
  const read = readMessage(
    message({ answers: [{ name: 'a.test', type: 'MX', class: 'CH', data: { exchange: 'x.test' } }] }),
    asked,
  );
  assert.deepEqual(read.kind === 'reply' && read.reply.records, []);
});

test('an extended response code is no success', () => {
  const badVersion = { name: '.', type: 'OPT', extendedRcode: 1, options: [] };
  const read = readMessage(message({ answers: [], additionals: [badVersion] }), asked);
  assert.equal(read.kind === 'reply' && read.reply.rcode, 'EXTENDED');
});

const exchanges: readonly (readonly [exchange: string, read: string])[] = [
  ['.', ''],
  ['MX.Example.ORG.', 'mx.example.org'],
  ['192.0.2.1', '192.0.2.1'],
  ['mx\r\nRCPT.test', 'mx??rcpt.test'],
  ['mx\0.test', 'mx?.test'],
  ['mx evil.test', 'mx?evil.test'],
  ['müller.test', 'm?ller.test'],
  ['mx@test', 'mx?test'],
];
for (const [exchange, read] of exchanges) {
  test(`exchange ${JSON.stringify(exchange)} reads "${read}"`, () => assert.equal(exchangeOf(mx(exchange)), read));
}

test('names that fit a question', () => {
  const label = 'a'.repeat(63);
  for (const name of ['a.test', 'localhost', '_25._tcp.a.test', `${label}.${label}.${label}.${'a'.repeat(61)}`])
    assert.ok(isQueryName(name), name);
  const unfit = ['', '.', 'a..test', '.a', 'a.', `${label}a.test`, `${label}.${label}.${label}.${label}`, 'a b', 'é', 'a\n'];
  for (const name of unfit) assert.ok(!isQueryName(name), name);
});

test('no bytes make it throw, and none that were not ours make an answer', () => {
  const whole = message();
  const mutated = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }).map((changes) => {
    const bytes = Buffer.from(whole);
    for (const [at, byte] of changes) bytes.writeUInt8(byte, at);
    return bytes;
  });
  const cut = fc.nat(whole.length).map((length) => whole.subarray(0, length));
  const headed = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.concat([whole.subarray(0, 24), bytes]));
  const arbitrary = fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.oneof(mutated, cut, headed, arbitrary), fc.constantFrom(MX, A, AAAA), (bytes, type) => {
      const read = readMessage<unknown>(bytes, { question: { ...question, type: type.name }, type, trusted: true });
      if (read.kind !== 'reply') return;
      assert.equal(bytes.readUInt16BE(0), 4711);
      readReply(startTrail('a.test'), read.reply);
    }),
    { numRuns: 2000 },
  );
});

const texts: readonly (readonly [strings: readonly string[], read: string | null])[] = [
  [['v=STSv1; id=1;'], 'v=STSv1; id=1;'],
  [['v=TLSRPTv1; rua=mail', 'to:a@b.test'], 'v=TLSRPTv1; rua=mailto:a@b.test'],
  [[''], ''],
  [['m\u00fc'], 'm\u00c3\u00bc'],
  [Array.from({ length: 17 }, () => 'x'.repeat(250)), null],
];
for (const [strings, read] of texts) {
  test(`a text of ${strings.length} strings reads ${read === null ? 'as nonsense' : JSON.stringify(read)}`, () => {
    const txt: Question = { ...question, type: 'TXT' };
    const bytes = message({
      questions: [{ name: 'a.test', type: 'TXT' }],
      answers: [{ name: 'a.test', type: 'TXT', ttl: 60, data: [...strings] }],
    });
    const reply = readMessage(bytes, { question: txt, type: TXT, trusted: true });
    assert.deepEqual(reply.kind === 'reply' && reply.reply.records[0]?.data, { kind: 'value', value: read });
  });
}

const tlsaRows: readonly (readonly [rdata: string, read: object | null])[] = [
  ['030101aabb', { usage: 3, selector: 1, matchingType: 1, data: 'aabb' }],
  ['ffffff00', { usage: 255, selector: 255, matchingType: 255, data: '00' }],
  ['020000', { usage: 2, selector: 0, matchingType: 0, data: '' }],
];
for (const [rdata, read] of tlsaRows) {
  test(`TLSA ${rdata} reads ${JSON.stringify(read)}`, () => {
    const bytes = Buffer.from(rdata, 'hex');
    const data = { usage: bytes[0], selector: bytes[1], matchingType: bytes[2], certificate: bytes.subarray(3) };
    const reply = readMessage(
      message({
        questions: [{ name: 'a.test', type: 'TLSA' }],
        answers: [{ name: 'a.test', type: 'TLSA', ttl: 60, data }],
      }),
      { question: { ...question, type: 'TLSA' }, type: TLSA, trusted: true },
    );
    assert.deepEqual(reply.kind === 'reply' && reply.reply.records[0]?.data, { kind: 'value', value: read });
  });
}

test('TLSA data shorter than its three numbers is no answer', () => {
  const whole = message({
    questions: [{ name: 'a.test', type: 'TLSA' }],
    answers: [
      {
        name: 'a.test',
        type: 'TLSA',
        ttl: 60,
        data: { usage: 3, selector: 1, matchingType: 1, certificate: Buffer.alloc(0) },
      },
    ],
  });
  const cut = whole.subarray(0, whole.length - 2);
  cut.writeUInt16BE(1, cut.length - 3);
  const read = readMessage(cut, { question: { ...question, type: 'TLSA' }, type: TLSA, trusted: true });
  assert.equal(read.kind, 'malformed');
});

test('a CNAME asked for by itself is a record, not a way to follow', () => {
  const bytes = message({
    questions: [{ name: 'a.test', type: 'CNAME' }],
    answers: [{ name: 'a.test', type: 'CNAME', ttl: 60, data: 'B.Test' }],
  });
  const read = readMessage(bytes, { question: { ...question, type: 'CNAME' }, type: CNAME, trusted: true });
  const step = read.kind === 'reply' ? readReply(startTrail('a.test'), read.reply) : null;
  assert.partialDeepStrictEqual(step, { kind: 'answer', answer: { kind: 'records', records: ['b.test'], secure: true } });
});
