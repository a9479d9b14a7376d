import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import { ageText, displayWidth, facts, sizeText, table } from '../../src/cli/table-format.ts';

test('columns are aligned, without blanks at the end of lines', () => {
  const columns = [{ heading: 'ID' }, { heading: 'N', align: 'right' }, { heading: 'WHY' }] as const;
  const rows = [
    ['a', '1', 'short'],
    ['bcd', '100', ''],
  ];
  assert.equal(table(columns, rows, null), 'ID     N  WHY\na      1  short\nbcd  100\n');
});

test('on a terminal columns are capped and the last one fits the line', () => {
  const columns = [{ heading: 'FROM', most: 8 }, { heading: 'WHY' }] as const;
  const lines = table(columns, [['long@example.org', 'w'.repeat(100)]], 40).split('\n');
  assert.equal(lines[1], `long@ex…  ${'w'.repeat(29)}…`);
  assert.equal(lines[1]?.length, 40);
});

test('foreign text cannot leave its cell', () => {
  const cell = fc.string({ unit: 'binary', maxLength: 300 });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(cell, cell), { maxLength: 5 }),
      fc.option(fc.integer({ min: 20, max: 200 }), { nil: null }),
      (rows, width) => {
        const text = table([{ heading: 'A', most: 20 }, { heading: 'B' }], rows, width);
        assert.equal(text.split('\n').length, rows.length + 2);
        assert.doesNotMatch(text, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
      },
    ),
  );
});

test('widths', () => {
  assert.deepEqual(['abc', 'é', 'e\u0301', '日本', '😀'].map(displayWidth), [3, 1, 1, 4, 2]);
  assert.equal(
    facts([
      ['a', '1'],
      ['long', 'x\x1b'],
    ]),
    'a     1\nlong  x\\x1b\n',
  );
});

test('sizes and ages', () => {
  assert.deepEqual([0, 1023, 1234, 20_480, 52_428_800].map(sizeText), ['0 B', '1023 B', '1.2 KiB', '20 KiB', '50 MiB']);
  assert.deepEqual([-5, 0, 5000, 250_000, 7_200_000, 266_400_000].map(ageText), ['0s', '0s', '5s', '4m 10s', '2h', '3d 2h']);
});
