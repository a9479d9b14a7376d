/**
 * Password hashes: made, checked, written and read again.
 */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { parseScrypt, scryptText } from '../../src/config/scrypt-format.ts';
import { hashPassword, openPasswordCheck } from '../../src/platform/passwords.ts';

test('a hash fits its password and no other, also after it was written into a configuration', async () => {
  const hash = await hashPassword('s3cret');
  const read = parseScrypt(scryptText(hash));
  assert.ok(read.ok);
  const check = openPasswordCheck();
  assert.deepEqual(await Promise.all([check('s3cret', read.value), check('s3cret ', read.value), check('', read.value)]), [
    true,
    false,
    false,
  ]);
});

test('two hashes of one password differ', async () => {
  assert.notDeepEqual(await hashPassword('s3cret'), await hashPassword('s3cret'));
});

test('RFC 7914, section 12: the test vectors of scrypt', async () => {
  const hex =
    'fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640';
  const hash = Buffer.from(hex, 'hex').toString('base64');
  const given = { logN: 10, r: 8, p: 16, salt: Buffer.from('NaCl').toString('base64'), hash };
  assert.equal(await openPasswordCheck()('password', given), true);
});

test('few wait; who comes too many is told, and the others get their answers', async () => {
  const cheap = { logN: 10, r: 1, p: 1, salt: '', hash: Buffer.alloc(32).toString('base64') };
  const check = openPasswordCheck();
  const answers = await Promise.all(Array.from({ length: 60 }, () => check('x', cheap)));
  assert.deepEqual([answers.filter((one) => one === null).length, answers.filter((one) => one === false).length], [10, 50]);
  assert.equal(await check('x', cheap), false);
});
