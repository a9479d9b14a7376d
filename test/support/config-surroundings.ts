/**
 * What configurations under test may take from outside: nothing of the real machine.
 */
import type { Surroundings } from '../../src/config/compile.ts';
import { err, ok } from '../../src/domain/basics.ts';

/** Must never appear in an issue. */
export const SECRET = 'hunter2';

const FILES: Readonly<Record<string, string>> = { '/srv/relay/secrets/token': `${SECRET}-from-file\n` };

/** A machine called vm with two cores, a project in /srv/relay, one secret in a file and one in the environment. */
export const SURROUNDINGS: Surroundings = {
  environment: {
    HOST: 'relay.example.org',
    PORT: '2587',
    TRUE: 'true',
    SECRET: `${SECRET}!`,
    HOST_BITS: '10.11.12.13/8',
    TWO_LINES: `${SECRET}\n${SECRET}`,
  },
  readFile: (path) => {
    const text = FILES[path];
    return text === undefined ? err('no such file') : ok(text);
  },
  root: '/srv/relay',
  machine: { hostname: 'vm', cores: 2 },
};
