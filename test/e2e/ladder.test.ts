/**
 * The TLS ladder through the real relay, against every receiver of the lab that differs in TLS: what is delivered on which rung,
 * what the log says of it, and that under `encrypt` nothing of a message goes in the clear.
 */
import { strict as assert } from 'node:assert';
import { after, before, describe, test } from 'node:test';
import type { BehaviourName } from '../support/lab/behaviour-table.ts';
import { connectorTo, linesAbout, type Receivers, startReceivers } from '../support/lab-relay.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { SECRET, submit } from '../support/submit.ts';
import { type LogLine, type TempRelay, tempRelay, tlsOf } from '../support/temp-relay.ts';

checkLeaks();

type Tls = { readonly version: string; readonly cipher: RegExp; readonly group: string | null };
/** `rung`: where an opportunistic delivery ends. `why`: the kind of failure that each step down names. */
type Row = { readonly rung: string; readonly left: readonly string[]; readonly why: string | null; readonly tls: Tls | null };

const SHAKEN = ['modern', 'compatible', 'legacy'];
const tls12 = (cipher: RegExp, group: string | null): Tls => ({ version: 'TLSv1.2', cipher, group });
const over = (rung: string, tls: Tls): Row => ({
  rung,
  left: SHAKEN.slice(0, SHAKEN.indexOf(rung)),
  why: rung === 'modern' ? null : 'handshake',
  tls,
});
/** A new connection in the clear after the last rung. */
const newConnection = (why: string): Row => ({ rung: 'plaintext', left: SHAKEN, why, tls: null });
/** The same connection goes on in the clear. */
const sameConnection = (why: string): Row => ({ rung: 'plaintext', left: ['modern'], why, tls: null });

/** What the lab's OpenSSL prefers and the relay offers second: the server asks for it with a HelloRetryRequest. */
const HYBRID = 'X25519MLKEM768';

const ROWS = {
  tls13: over('modern', { version: 'TLSv1.3', cipher: /^TLS_AES_256_GCM_SHA384$/, group: HYBRID }),
  'tls12-only': over('modern', tls12(/^TLS_ECDHE_ECDSA_WITH_(AES|CHACHA)/, 'X25519')),
  'self-signed': over('modern', { version: 'TLSv1.3', cipher: /^TLS_/, group: HYBRID }),
  'expired-certificate': over('modern', { version: 'TLSv1.3', cipher: /^TLS_/, group: HYBRID }),
  'wrong-name': over('modern', { version: 'TLSv1.3', cipher: /^TLS_/, group: HYBRID }),
  'ecdhe-cbc-only': over('compatible', tls12(/^TLS_ECDHE_RSA_WITH_AES_\d+_CBC_SHA\d{3}$/, 'X25519')),
  'large-hello-intolerant': over('compatible', tls12(/^TLS_ECDHE_/, 'X25519')),
  'rsa-kx-only': over('legacy', tls12(/^TLS_RSA_WITH_AES_/, null)),
  'sha1-mac-only': over('legacy', tls12(/^TLS_RSA_WITH_AES_128_CBC_SHA$/, null)),
  'tls10-only': newConnection('handshake'),
  'garbage-after-220': newConnection('handshake'),
  'close-after-220': newConnection('handshake'),
  'reset-after-220': newConnection('handshake'),
  'handshake-alert': newConnection('handshake'),
  'handshake-stall': newConnection('handshake-timeout'),
  'tls-ehlo-drop': newConnection('handshake'),
  'starttls-injection': newConnection('injected'),
  'starttls-absent': sameConnection('not-offered'),
  'starttls-454': sameConnection('refused'),
  'starttls-502': sameConnection('refused'),
} as const satisfies Partial<Record<BehaviourName, Row>>;
type Name = keyof typeof ROWS;
const NAMES = Object.keys(ROWS) as readonly Name[];

const kindOf = (line: LogLine): unknown => (line['failure'] as { kind?: unknown } | undefined)?.kind;

describe('the ladder', { concurrency: true }, () => {
  for (const mode of ['opportunistic', 'encrypt'] as const) {
    describe(mode, { concurrency: true }, () => {
      let receivers: Receivers<Name>;
      let relay: TempRelay;
      before(async () => {
        // Between the sizes of the two ClientHellos; without a name to ask for the first has 254 octets, the second 165.
        receivers = await startReceivers(NAMES, mode === 'encrypt' ? 2 : 1, { largeHelloOctets: 210 });
        relay = await tempRelay({
          yaml: `acceptedDomains: ["*.lab.test"]
workers: 1
delivery: { timeouts: { tls: 2s } }
outbound:
${receivers.all.map((receiver) => connectorTo(receiver, { mode })).join('\n')}`,
        });
        await relay.start();
        await submit(relay, ...NAMES.map((name) => ({ to: `user@${name}.lab.test` })));
      });
      after(async () => {
        const code = await relay.kill('SIGTERM');
        await relay[Symbol.asyncDispose]();
        await receivers.stop();
        assert.equal(code, 0, relay.output());
      });

      const outcome = async (name: Name): Promise<LogLine> => {
        const found = (): LogLine | undefined =>
          relay.log.find((line) => line.event.startsWith('delivery.') && line['to'] === `user@${name}.lab.test`);
        for (let wait = 0; found() === undefined && wait < 300; wait += 1) await new Promise((go) => setTimeout(go, 100));
        const line = found();
        assert.ok(line !== undefined, `${name}: no outcome\n${relay.output()}`);
        return line;
      };

      for (const name of NAMES) {
        const row: Row = ROWS[name];
        const delivered = mode === 'opportunistic' || row.tls !== null;
        test(`${name}: ${delivered ? `delivered, ${row.rung}` : 'deferred 4.4.317'}`, async () => {
          const line = await outcome(name);
          const receiver = receivers.of(name);
          assert.equal(line.event, delivered ? 'delivery.delivered' : 'delivery.deferred', JSON.stringify(line));
          assert.deepEqual(line['policy'], { level: mode, source: `connector:${name}-lab-test` });
          assert.deepEqual([line['ip'], line['connector']], [receiver.address, `${name}-lab-test`]);
          const steps = linesAbout(relay, 'tls.fallback', receiver.address);
          assert.deepEqual(
            steps.map((step) => step['leftRung']),
            row.left,
          );
          const reached = [...row.left.slice(1), delivered ? row.rung : null];
          assert.deepEqual(
            steps.map((step) => step['rung']),
            row.left.length === 0 ? [] : reached,
          );
          for (const step of steps) assert.equal(kindOf(step), row.why, JSON.stringify(step));
          if (!delivered) {
            assert.equal(line['status'], '4.4.317');
            assert.match(String(line['text']), new RegExp(`connector ${name}-lab-test demands TLS`));
            assert.equal(receiver.seenMessages().length, 0);
          } else {
            assert.equal(line['rung'], row.rung);
            assertTls(line, row.tls);
            const [message] = await receiver.waitForMessages(1);
            assert.equal(message?.tls === null, row.tls === null);
            assert.match(message?.content.toString() ?? '', new RegExp(`${SECRET}\r\n\\.dot\r\n`));
          }
          if (row.tls !== null || mode === 'encrypt')
            assert.doesNotMatch(receiver.clearText(), /MAIL|RCPT|DATA|SECRET|sender\.test/);
        });
      }
    });
  }
});

function assertTls(line: LogLine, expected: Tls | null): void {
  if (expected === null) return assert.equal(line['tls'], null);
  const { version, cipher, group } = tlsOf(line);
  assert.deepEqual([version, group], [expected.version, expected.group]);
  assert.match(cipher, expected.cipher);
}
