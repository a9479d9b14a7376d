/**
 * The house rules on imports hold for src/, and every one of them can fail.
 */
import { strict as assert } from 'node:assert';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { judge, kindOf, RULES, type Rule, type Tree } from './support/import-rules.ts';
import { outline } from './support/source-outline.ts';

const SRC = join(import.meta.dirname, '..', 'src');

function readTree(): Tree {
  const names = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  return new Map(names.sort().map((name) => [name.replaceAll('\\', '/'), readFileSync(join(SRC, name), 'utf8')]));
}

test('src/ keeps the house rules', () => {
  const tree = readTree();
  assert.ok(tree.size > 10, 'the tree was read');
  const found = judge(tree).map(({ rule, file, detail }) => `${file}: [${rule}] ${detail}`);
  assert.deepEqual(found, []);
});

const SOUND: Readonly<Record<string, string>> = {
  'domain/basics.ts': `export type Clock = { now(): number };`,
  'domain/tls.ts': `import { isIP } from 'node:net';\nimport type { Clock } from './basics.ts';\nexport const f = (c: Clock) => isIP(String(c));`,
  'spool/spool.ts': `import type { Clock } from '../domain/basics.ts';\nexport type Spool = { clock: Clock };`,
  'spool/sqlite-spool.ts': `import { DatabaseSync } from 'node:sqlite';\nimport type { Spool } from './spool.ts';\nexport const open = (): Spool | null => DatabaseSync && null;`,
  'inbound/acceptance-policy.ts': `export const accept = (): boolean => true;`,
  'inbound/receive.ts': `import type { Spool } from '../spool/spool.ts';\nimport { accept } from './acceptance-policy.ts';\nexport const receive = (s: Spool) => accept() && s;`,
  'inbound/smtp-server-listener.ts': `import { SMTPServer } from 'smtp-server';\nimport { parse } from './smtp-server-parser.ts';\nexport const l = [SMTPServer, parse];`,
  'inbound/smtp-server-parser.ts': `export const parse = 1;`,
  'delivery/attempt.ts': `import { f } from '../domain/tls.ts';\nexport const attempt = f;`,
  'app.ts': `import { open } from './spool/sqlite-spool.ts';\nexport const run = () => [open(), Date.now(), Math.random()];`,
  'main.ts': `#!/usr/bin/env node\nimport manifest from '../package.json' with { type: 'json' };\nimport { run } from './app.ts';\nrun(manifest);`,
};

test('a sound tree breaks no rule', () => assert.deepEqual(judge(new Map(Object.entries(SOUND))), []));

/** One file put into the sound tree, and the rule it must break. */
const rows: readonly (readonly [rule: Rule, path: string, source: string])[] = [
  ['readable', 'delivery/attempt.ts', `export const load = (name: string) => import(name);`],
  ['readable', 'delivery/attempt.ts', `import { createRequire } from 'node:module';\nexport const x = createRequire;`],
  ['missing', 'delivery/attempt.ts', `import { x } from './gone.ts';\nexport const y = x;`],
  [
    'missing',
    'delivery/attempt.ts',
    `import manifest from '../../package.json' with { type: 'json' };\nexport const y = manifest;`,
  ],
  ['pure-imports', 'inbound/acceptance-policy.ts', `import { receive } from './receive.ts';\nexport const accept = receive;`],
  [
    'pure-imports',
    'inbound/acceptance-policy.ts',
    `import type { l } from './smtp-server-listener.ts';\nexport type L = typeof l;`,
  ],
  ['pure-imports', 'config/compile.ts', `import { program } from 'commander';\nexport const p = program;`],
  ['pure-node', 'domain/tls.ts', `import { connect } from 'node:net';\nexport const f = connect;`],
  ['pure-node', 'domain/tls.ts', `import * as net from 'node:net';\nexport const f = net;`],
  ['pure-node', 'domain/tls.ts', `import 'node:fs';`],
  ['pure-globals', 'domain/tls.ts', `export const f = () => Date.now();`],
  ['pure-globals', 'domain/tls.ts', `export const f = () => \`at \${new Date().toISOString()}\`;`],
  ['pure-globals', 'domain/tls.ts', `export const f = () => Math.random();`],
  ['pure-globals', 'domain/tls.ts', `export const f = () => console.log(1);`],
  ['pure-globals', 'reporting/dsn-format.ts', `export const f = () => process.pid;`],
  ['pure-globals', 'config/schema.ts', `export const f = () => setTimeout(f, 1);`],
  ['port-types-only', 'spool/spool.ts', `export const limit = 5;`],
  ['port-types-only', 'spool/spool.ts', `import { f } from '../domain/tls.ts';\nexport type F = typeof f;`],
  [
    'technology',
    'delivery/attempt.ts',
    `import type { SMTPServer } from 'smtp-server/lib/smtp-server.js';\nexport type S = SMTPServer;`,
  ],
  ['technology', 'delivery/attempt.ts', `export const db = await import('node:sqlite');`],
  ['technology', 'delivery/attempt.ts', `export type Db = import('node:sqlite').DatabaseSync;`],
  ['technology', 'app.ts', `import x from 'left-pad';\nexport const run = x;`],
  ['stage', 'inbound/receive.ts', `import { attempt } from '../delivery/attempt.ts';\nexport const r = attempt;`],
  ['stage', 'domain/tls.ts', `import type { Spool } from '../spool/spool.ts';\nexport type F = Spool;`],
  ['stage', 'routing/route.ts', `import type { Spool } from '../spool/spool.ts';\nexport type F = Spool;`],
  ['stage', 'cli/queue.ts', `import type { Spool } from '../spool/spool.ts';\nexport type F = Spool;`],
  ['stage', 'elsewhere/new.ts', `import type { Clock } from '../domain/basics.ts';\nexport type F = Clock;`],
  ['port-only', 'delivery/attempt.ts', `import { open } from '../spool/sqlite-spool.ts';\nexport const a = open;`],
  ['adapter', 'inbound/receive.ts', `import { l } from './smtp-server-listener.ts';\nexport const r = l;`],
  ['adapter', 'spool/recovery.ts', `export { open } from './sqlite-spool.ts';`],
  ['root', 'delivery/attempt.ts', `import { run } from '../app.ts';\nexport const a = run;`],
  ['roots-only', 'delivery/attempt.ts', `export const at = Date.now();`],
  ['default-import', 'delivery/attempt.ts', `export default 1;`],
  ['default-import', 'delivery/attempt.ts', `import tls from '../domain/tls.ts';\nexport const a = tls;`],
  ['cycle', 'domain/basics.ts', `import type { f } from './tls.ts';\nexport type Clock = typeof f;`],
];

for (const [rule, path, source] of rows) {
  test(`caught [${rule}]: ${path}: ${source.split('\n')[0]}`, () => {
    const found = judge(new Map([...Object.entries(SOUND), [path, source]]));
    assert.ok(
      found.some((violation) => violation.rule === rule),
      JSON.stringify(found),
    );
  });
}

test('every rule is proven to fail', () => assert.deepEqual([...new Set(rows.map(([rule]) => rule))].sort(), [...RULES].sort()));

test('words in comments, strings, templates and regular expressions are not code', () => {
  const source = [
    '/* import x from "a"; */ // import y from "b"',
    'const s = \'import z from "c"\'; const r = /import "d"[\'"`]/; const h = 4 / 2; const i = h / 2;',
    `const t = \`import "e" \${\`\${s} Date.now()\`} \${{ a: 1 }.a} process\`;`,
    "import type { A } from './a.ts';",
    "import { type B, c as d } from './b.ts';",
    "import e, * as f from './c.ts';",
    "export * from './d.ts'; export type { G } from './e.ts';",
  ].join('\n');
  const { imports, code } = outline(source);
  assert.deepEqual(imports, [
    { specifier: './a.ts', typeOnly: true, names: [] },
    { specifier: './b.ts', typeOnly: false, names: ['c'] },
    { specifier: './c.ts', typeOnly: false, names: ['default', '*'] },
    { specifier: './d.ts', typeOnly: false, names: ['*'] },
    { specifier: './e.ts', typeOnly: true, names: [] },
  ]);
  assert.doesNotMatch(code, /Date|process/);
});

test('kinds are told by name', () => {
  assert.equal(kindOf('security/tls-policy.ts'), 'pure');
  assert.equal(kindOf('config/compile-connectors.ts'), 'pure');
  assert.equal(kindOf('spool/spool.ts'), 'port');
  assert.equal(kindOf('transport/nodemailer-session.ts'), 'adapter');
  assert.equal(kindOf('delivery/attempt.ts'), 'flow');
});
