/** Failures to learn a policy, in words and as result types of RFC 8460, section 4.3.2.2. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { Domain } from '../../src/domain/address.ts';
import type { StsFetchFailure, StsProblem } from '../../src/domain/mta-sts.ts';
import { type StsResultType, stsProblemText, stsResultType } from '../../src/security/mta-sts-problem-format.ts';

const fetch = (failure: StsFetchFailure): StsProblem => ({ kind: 'fetch', failure });
const ERROR = 'sts-policy-fetch-error';
const INVALID = 'sts-policy-invalid';
const WEBPKI = 'sts-webpki-invalid';

const rows: readonly [problem: StsProblem, result: StsResultType | null, text: string][] = [
  [
    { kind: 'lookup', problem: 'servfail' },
    null,
    'the TXT record at _mta-sts.a.test could not be looked up: the name server failed (SERVFAIL)',
  ],
  [
    { kind: 'lookup', problem: 'bogus' },
    null,
    'the TXT record at _mta-sts.a.test could not be looked up: DNSSEC validation failed',
  ],
  [{ kind: 'record', fault: 'several' }, INVALID, 'there is more than one MTA-STS record at _mta-sts.a.test, so none counts'],
  [{ kind: 'record', fault: 'invalid' }, INVALID, 'the MTA-STS record at _mta-sts.a.test is malformed'],
  [fetch({ kind: 'address', problem: 'absent' }), ERROR, 'the policy host mta-sts.a.test has no address'],
  [
    fetch({ kind: 'address', problem: 'timeout' }),
    ERROR,
    'the address of the policy host mta-sts.a.test could not be looked up: no name server answered in time',
  ],
  [
    fetch({ kind: 'forbidden-address', address: '10.0.0.1' }),
    ERROR,
    'the policy host mta-sts.a.test has the address 10.0.0.1, to which this relay does not connect',
  ],
  [fetch({ kind: 'connect', code: 'ECONNREFUSED' }), ERROR, 'the policy host mta-sts.a.test cannot be reached (ECONNREFUSED)'],
  [fetch({ kind: 'timeout' }), ERROR, 'the policy host mta-sts.a.test did not deliver its policy in time'],
  [fetch({ kind: 'handshake', code: 'EPROTO' }), ERROR, 'the TLS handshake with the policy host mta-sts.a.test failed (EPROTO)'],
  [fetch({ kind: 'untrusted', reason: 'expired' }), WEBPKI, 'the certificate of the policy host mta-sts.a.test has expired'],
  [
    fetch({ kind: 'name-mismatch', presented: ['a.test', 'b.test'] }),
    WEBPKI,
    'the certificate of the policy host mta-sts.a.test is for other names (a.test, b.test)',
  ],
  [
    fetch({ kind: 'name-mismatch', presented: [] }),
    WEBPKI,
    'the certificate of the policy host mta-sts.a.test is for other names',
  ],
  [fetch({ kind: 'status', status: 301 }), ERROR, 'the policy host mta-sts.a.test answered with status 301 instead of 200'],
  [fetch({ kind: 'broken', code: 'closed' }), ERROR, 'the policy host mta-sts.a.test broke off its answer (closed)'],
  [
    fetch({ kind: 'media-type', presented: 'text/html' }),
    INVALID,
    'the policy of mta-sts.a.test is served as "text/html" instead of text/plain',
  ],
  [fetch({ kind: 'too-large' }), INVALID, 'the policy of mta-sts.a.test is larger than 64 KiB'],
  [fetch({ kind: 'invalid', fault: { kind: 'not-utf8' } }), INVALID, 'the policy of mta-sts.a.test is invalid: it is not UTF-8'],
  [
    fetch({ kind: 'invalid', fault: { kind: 'syntax', line: 2, text: 'mx' } }),
    INVALID,
    'the policy of mta-sts.a.test is invalid: line 2, "mx", is no "key: value"',
  ],
  [
    fetch({ kind: 'invalid', fault: { kind: 'missing', key: 'mx' } }),
    INVALID,
    'the policy of mta-sts.a.test is invalid: it has no usable "mx"',
  ],
  [
    fetch({ kind: 'invalid', fault: { kind: 'value', key: 'mode', line: 2, text: 'mode: on' } }),
    INVALID,
    'the policy of mta-sts.a.test is invalid: line 2, "mode: on", has no valid value',
  ],
  [
    fetch({ kind: 'invalid', fault: { kind: 'too-many-mx' } }),
    INVALID,
    'the policy of mta-sts.a.test is invalid: it has more "mx" lines than any domain has hosts',
  ],
];
for (const [problem, result, text] of rows) {
  test(`${text} -> ${result ?? 'not reported'}`, () => {
    assert.equal(stsProblemText('a.test' as Domain, problem), text);
    assert.equal(stsResultType(problem), result);
  });
}
