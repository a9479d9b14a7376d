/**
 * MAIL and RCPT arguments: what is read, what is refused with which code.
 */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseMail, parseRecipient } from '../../src/inbound/smtp-parameters-format.ts';

const code = (result: ReturnType<typeof parseMail> | ReturnType<typeof parseRecipient>): string =>
  result.ok ? 'ok' : `${result.error.code} ${result.error.enhanced}`;

const mailRows: readonly (readonly [text: string, want: string])[] = [
  ['FROM:<a@b.test>', 'ok'],
  ['from:<a@b.test>', 'ok'],
  ['FROM: <a@b.test>', 'ok'],
  ['FROM:<>', 'ok'],
  ['FROM:<> SIZE=10 BODY=8BITMIME RET=HDRS ENVID=abc+2B', 'ok'],
  ['FROM:<"a b>c"@b.test> SIZE=1', 'ok'],
  ['FROM:a@b.test', '501 5.5.4'],
  ['FROM <a@b.test>', '501 5.5.4'],
  ['FROM:<a@b.test', '501 5.5.4'],
  ['FROM:<a@b.test>SIZE=1', '501 5.5.4'],
  ['FROM:<<a@b.test>>', '501 5.5.4'],
  ['FROM:<a b@c.test>', '501 5.1.7'],
  ['FROM:<a>', '501 5.1.7'],
  ['FROM:<\u00e9@b.test>', '553 5.6.7'],
  ['FROM:<\u00e9@b.test> SMTPUTF8', 'ok'],
  ['FROM:<a@b.test> SMTPUTF8=1', '501 5.5.4'],
  ['FROM:<a@b.test> FOO=bar', '555 5.5.4'],
  ['FROM:<a@b.test> REQUIRETLS', 'ok'],
  ['FROM:<a@b.test> REQUIRETLS=1', '501 5.5.4'],
  ['FROM:<a@b.test> AUTH=<>', '555 5.5.4'],
  ['FROM:<a@b.test> AUTH=<>', '555 5.5.4'],
  ['FROM:<a@b.test> NOTIFY=NEVER', '555 5.5.4'],
  ['FROM:<a@b.test> SIZE=1 SIZE=2', '501 5.5.4'],
  ['FROM:<a@b.test> SIZE', '501 5.5.4'],
  ['FROM:<a@b.test> SIZE=-1', '501 5.5.4'],
  ['FROM:<a@b.test> SIZE=1e9', '501 5.5.4'],
  ['FROM:<a@b.test> SIZE=123456789012345678901', '501 5.5.4'],
  ['FROM:<a@b.test> BODY=BINARYMIME', '501 5.5.4'],
  ['FROM:<a@b.test> RET=ALL', '501 5.5.4'],
  ['FROM:<a@b.test> RET', '501 5.5.4'],
  ['FROM:<a@b.test> ENVID=a+0D+0Ab', '501 5.5.4'],
  ['FROM:<a@b.test> ENVID=a+7Fb', '501 5.5.4'],
  ['FROM:<a@b.test> ENVID=a=b', '501 5.5.4'],
  ['FROM:<a@b.test> ENVID=a+2b', '501 5.5.4'],
  [`FROM:<a@b.test> ENVID=${'x'.repeat(101)}`, '501 5.5.4'],
];
for (const [text, want] of mailRows)
  test(`MAIL ${text.slice(0, 50)} -> ${want}`, () => assert.equal(code(parseMail(text)), want));

const recipientRows: readonly (readonly [text: string, want: string])[] = [
  ['TO:<a@b.test>', 'ok'],
  ['TO:<Postmaster>', 'ok'],
  ['TO:<a@b.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bb@c.test', 'ok'],
  ['TO:<a@b.test> NOTIFY=never', 'ok'],
  ['TO:<>', '501 5.1.3'],
  ['TO:<a@b.test> NOTIFY=NEVER,FAILURE', '501 5.5.4'],
  ['TO:<a@b.test> NOTIFY=', '501 5.5.4'],
  ['TO:<a@b.test> NOTIFY=SOMETIMES', '501 5.5.4'],
  ['TO:<a@b.test> ORCPT=rfc822', '501 5.5.4'],
  ['TO:<a@b.test> ORCPT=;x', '501 5.5.4'],
  ['TO:<a@b.test> ORCPT=rfc822;a+0A', '501 5.5.4'],
  [`TO:<a@b.test> ORCPT=rfc822;${'x'.repeat(500)}`, '501 5.5.4'],
  ['TO:<a@b.test> ORCPT=utf-8;\u00e9@c', '501 5.5.4'],
  ['TO:<a@b.test> SIZE=1', '555 5.5.4'],
];
for (const [text, want] of recipientRows)
  test(`RCPT ${text.slice(0, 50)} -> ${want}`, () => assert.equal(code(parseRecipient(text, false)), want));

test('values arrive as said, xtext still encoded', () => {
  const mail = parseMail('FROM:<A.b@B.Test> SIZE=77 RET=FULL ENVID=x+2By');
  assert.deepEqual(mail, {
    ok: true,
    value: {
      reversePath: { localPart: 'A.b', domain: 'b.test' },
      declaredSize: 77,
      smtpUtf8: false,
      requireTls: false,
      return: 'full',
      envelopeId: 'x+2By',
    },
  });
  const recipient = parseRecipient('TO:<a@b.test> NOTIFY=DELAY,SUCCESS,DELAY ORCPT=utf-8;\u00e9@c', true);
  assert.deepEqual(recipient.ok && recipient.value.notify, ['delay', 'success']);
  assert.deepEqual(recipient.ok && recipient.value.originalRecipient, 'utf-8;\\x{E9}@c');
});

test('AUTH of MAIL is taken where AUTH is offered, and means nothing', () => {
  for (const [value, want] of [
    ['<>', 'ok'],
    ['a+2Bb@c.test', 'ok'],
    ['a+0Ab', '501 5.5.4'],
    ['', '501 5.5.4'],
  ])
    assert.equal(code(parseMail(`FROM:<a@b.test> AUTH=${value}`, true)), want);
  assert.equal(code(parseMail('FROM:<a@b.test> AUTH', true)), '501 5.5.4');
});

test('no text makes the parsers throw', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 80 }), (text) => {
      for (const start of ['FROM:<', 'FROM:<a@b.test> ', '']) parseMail(start + text);
      for (const start of ['TO:<', 'TO:<a@b.test> ', '']) parseRecipient(start + text, true);
    }),
  );
});
