import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { parseTraceRequest, traceDocument } from '../../src/admin/trace-format.ts';
import { type AdminClient, createAdminClient } from '../../src/cli/admin-client.ts';
import { trace } from '../../src/cli/trace.ts';
import { traceText } from '../../src/cli/trace-format.ts';
import type { HistoryAnswer, HistoryEvent, HistoryQuestion } from '../../src/reporting/history.ts';
import { traceOf } from '../../src/reporting/trace-policy.ts';
import { startFixture } from '../admin/fakes.ts';
import { NOW } from '../reporting/facts.ts';
import { accepted, at, attempt, fate, ID, notice, operator } from '../reporting/history-events.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();

const counts = { sessionsRefused: 0, messagesRefused: 0, dropped: 0 };
const answer = (...events: readonly HistoryEvent[]): HistoryAnswer => ({ events, complete: true, since: at(0), counts });
const shown = (events: readonly HistoryEvent[], width: number | null = null): string =>
  traceText(traceDocument(traceOf(answer(...events), { kind: 'message', queueId: ID, limit: 20 })), width);

const STRIPPED = attempt({
  connector: 'contoso-out',
  policy: { plaintext: 'never', ladder: ['modern'], peer: [], because: [{ kind: 'connector', name: 'contoso-out' }] },
  rung: null,
  tls: null,
  recipients: [
    fate({
      becomes: 'queued',
      status: '4.4.317',
      text: 'mx.example.net [192.0.2.1] does not offer STARTTLS, and connector contoso-out demands TLS',
      reply: null,
      next: at(61),
    }),
  ],
});

test('a message that waits: a line an event, and one sentence that says why', () => {
  assert.equal(
    shown([accepted(), STRIPPED, attempt({ at: at(61), recipients: [fate({ attempt: 2 })] })]),
    `${ID}  delivered  from alice@example.org to bob@example.net, 1.2 KiB
  2026-01-02 03:04:05Z  accepted   from client.example [192.0.2.9], listener mx  plaintext
  2026-01-02 03:04:06Z  deferred   mx.example.net [192.0.2.1]                    no session
                        policy: TLS or nothing, by connector contoso-out
                        mx.example.net [192.0.2.1] does not offer STARTTLS, and connector contoso-out demands TLS; the message waits and is tried again at 2026-01-02 03:05:06Z. [4.4.317]
  2026-01-02 03:05:06Z  delivered  mx.example.net [192.0.2.1]                    TLSv1.3 X25519, rung modern
                        policy: TLS where it can be had
                        250 2.0.0 ok
`,
  );
});

test('on a terminal sentences are broken at its width, lines are aligned, controls are escaped', () => {
  const nasty = fate({
    becomes: 'bounced',
    status: '5.1.1',
    text: 'said: \x1b[31mno such user, and a good many words more to say',
  });
  const text = shown([accepted({ helo: 'evil\x1b[2J' }), attempt({ recipients: [nasty] }), notice(), operator()], 80);
  assert.doesNotMatch(text, /\x1b/);
  const sentences = text.split('\n').filter((line) => line.startsWith(' '.repeat(10)));
  assert.ok(sentences.length > 2 && sentences.every((line) => line.length <= 80), text);
  assert.match(text, /notice +failure notice \S+ to alice@example\.org/);
});

test('recipients that fared alike share a line', () => {
  const to = ['a@example.net', 'b@example.net', 'c@example.net'];
  const recipients = to.map((each) => fate(each.startsWith('c') ? { to: each, becomes: 'bounced', text: 'no' } : { to: each }));
  const text = shown([accepted({ to }), attempt({ recipients })]);
  assert.match(text, /delivered .*\n.*for a@example\.net, b@example\.net\n/);
  assert.match(text, /failed .*\n.*for c@example\.net\n/);
});

const questions: readonly (readonly [query: string, question: HistoryQuestion | null])[] = [
  [`q=${ID.toLowerCase()}`, { kind: 'message', queueId: ID, limit: 20 }],
  ['q=nobody', null],
  ['q=', null],
  ['q=a@b.example&limit=0', null],
  ['q=a@b.example&limit=101', null],
  ['q=a@b.example&since=1', null],
];
for (const [query, question] of questions) {
  test(`GET /api/v1/trace?${query}: ${question === null ? 'refused' : question.kind}`, () => {
    const parsed = parseTraceRequest(new URLSearchParams(query));
    assert.deepEqual(parsed.ok ? parsed.value : null, question);
  });
}

test('an address is looked for in every form it may be kept in, its domain canonical', () => {
  const parsed = parseTraceRequest(new URLSearchParams('q=<Bob@EXAMPLE.net>&limit=3'));
  assert.ok(parsed.ok && parsed.value.kind === 'address');
  assert.deepEqual(parsed.value.forms.slice(0, 2), ['bob@example.net', '…@example.net']);
  assert.match(parsed.value.forms[2] ?? '', /^#[0-9a-f]{16}$/);
});

type Shown = { readonly code: number; readonly out: string; readonly err: string };
async function run(client: AdminClient, options: { about: string; json?: boolean }): Promise<Shown> {
  const out: string[] = [];
  const err: string[] = [];
  const terminal = {
    columns: null,
    now: () => NOW,
    write: async (text: string | Uint8Array) => void out.push(text.toString()),
    complain: (text: string) => void err.push(text),
  };
  const code = await trace({ json: false, ...options }, client, terminal);
  return { code, out: out.join(''), err: err.join('') };
}

test('the command: 0 something is known, 1 nothing is or the history is out of reach, 2 no such question', async () => {
  let known: HistoryAnswer | null = answer(accepted());
  const history = { record: () => undefined, find: async () => known };
  await using relay = await startFixture({ context: { history } });
  const client = createAdminClient({ host: '127.0.0.1', port: relay.port, token: null });
  assert.equal((await run(client, { about: ID })).code, 0);
  assert.equal(
    JSON.parse((await run(client, { about: ID, json: true })).out).messages[0].events[0].at,
    '2026-01-02T03:04:05.000Z',
  );
  known = { ...answer(), counts: { ...counts, messagesRefused: 2 } };
  const nothing = await run(client, { about: 'bob@example.net' });
  assert.deepEqual([nothing.code, nothing.err], [1, '']);
  assert.match(nothing.out, /^Nothing is known of it\. The history begins at .* 2 messages were refused since/);
  known = null;
  const gone = await run(client, { about: ID });
  assert.deepEqual([gone.code, gone.out], [1, '']);
  assert.match(gone.err, /cannot be read now/);
  assert.equal((await run(client, { about: 'bob' })).code, 2);
});
