/**
 * What must hold of the container image, read from its recipe: no engine is needed to notice that somebody dropped the user.
 */
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '..', '..');
const read = (name: string): string => readFileSync(join(ROOT, name), 'utf8');

/** Instructions with their continuation lines joined, comments gone. */
const instructions = read('Dockerfile')
  .replace(/^#.*\n/gm, '')
  .replace(/\\\n\s*/g, '')
  .split('\n')
  .filter((line) => line.trim() !== '')
  .map((line) => /^([A-Z]+)\s+(.*)$/.exec(line))
  .map((match) => ({ word: match?.[1] ?? '', rest: match?.[2] ?? '' }));
const from = instructions.map(({ word }) => word).lastIndexOf('FROM');
const final = instructions.slice(from);
const rest = (word: string, of = final): string[] => of.filter((one) => one.word === word).map((one) => one.rest);
const place = (word: string): number => final.findLastIndex((one) => one.word === word);

test('every line is an instruction', () =>
  assert.ok(
    instructions.every(({ word }) => word !== ''),
    JSON.stringify(instructions),
  ));

test('every stage starts from the Node version that package.json asks for', () => {
  const engine = /\d+/.exec(JSON.parse(read('package.json')).engines.node)?.[0];
  for (const base of rest('FROM', instructions)) assert.match(base, new RegExp(`^node:${engine}-slim\\b`));
});

test('it runs as somebody who is not root, to the end', () => {
  assert.deepEqual(rest('USER'), ['10025:10025']);
  assert.ok(place('USER') > Math.max(place('RUN'), place('COPY')), 'nothing is done as root afterwards');
  assert.match(rest('RUN').join(), /--uid 10025 /);
});

test('port 25 comes by capability', () => {
  assert.match(rest('RUN', instructions).join('\n'), /setcap cap_net_bind_service=\+ep \/usr\/local\/bin\/node/);
  assert.ok(rest('COPY').includes('--from=binary /usr/local/bin/node /usr/local/bin/node'));
  assert.deepEqual(rest('EXPOSE'), ['25']);
});

test('queue and certificates are volumes, made for the user before they are declared', () => {
  assert.deepEqual(JSON.parse(rest('VOLUME')[0] ?? '[]'), ['/data', '/certs']);
  assert.match(rest('RUN').join(), /install -d -o postern -g postern -m 0700 \/data \/certs/);
  assert.ok(place('VOLUME') > place('RUN'), 'what RUN changes in a volume afterwards is lost');
});

test('the health check needs no tool but node, and it is a program', async () => {
  const command: unknown = JSON.parse(/CMD (\[.*\])$/.exec(rest('HEALTHCHECK')[0] ?? '')?.[1] ?? 'null');
  assert.ok(Array.isArray(command) && command[0] === 'node' && command[1] === '-e');
  assert.match(command[2], /\/healthz/);
  assert.doesNotThrow(() => new Function(command[2]));
});

test('signals reach node: exec form, no shell in between', () => {
  assert.deepEqual(JSON.parse(rest('ENTRYPOINT')[0] ?? 'null'), ['node', '/app/src/main.ts']);
  assert.ok(Array.isArray(JSON.parse(rest('CMD')[0] ?? 'null')));
});

test('packages are production ones, without install scripts, in a layer before the sources', () => {
  assert.match(rest('RUN', instructions).join('\n'), /npm ci --omit=dev --ignore-scripts/);
  const copies = rest('COPY');
  assert.ok(copies.findIndex((one) => one.includes('node_modules')) < copies.indexOf('src ./src'));
});

test('no secret gets in: neither named in the recipe nor let through to the build', () => {
  assert.doesNotMatch(instructions.map(({ rest: text }) => text).join('\n'), /password|token|secret|\.key\b|\.pem\b/i);
  assert.deepEqual(rest('ARG', instructions), []);
  const rules = read('.dockerignore')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  assert.equal(rules[0], '*', 'what is not named stays out');
  const letIn = rules.filter((rule) => rule.startsWith('!'));
  assert.deepEqual(letIn, ['!package.json', '!package-lock.json', '!LICENSE', '!src']);
  for (const rule of ['**/*.key', '**/*.pem', '**/.env*']) assert.ok(rules.indexOf(rule) > rules.lastIndexOf('!src'), rule);
});

test('everything copied from the folder is let through', () => {
  const sources = instructions
    .filter((one) => one.word === 'COPY' && !one.rest.startsWith('--from'))
    .flatMap((one) => one.rest.split(/\s+/).slice(0, -1));
  for (const source of sources) assert.ok(read('.dockerignore').includes(`!${source}\n`), source);
});
