/**
 * `postern serve`: reads the configuration and runs the relay until it is told to stop.
 */
import { serve } from '../app.ts';
import { formatIssue } from '../config/issue-format.ts';
import { loadConfig, thisMachine } from '../config/load-config.ts';
import { judgeExpectations } from '../delivery/expectation-policy.ts';

/** What the command line said. */
export type ServeCommand = { readonly config: string | undefined; readonly format: 'json' | 'pretty' };

/** 0: stopped as told. 1: could not run. 2: the configuration does not hold; its problems are on standard error. */
export async function runServe({ config, format }: ServeCommand): Promise<0 | 1 | 2> {
  const loaded = loadConfig({ file: config, environment: process.env, machine: thisMachine(), judge: judgeExpectations });
  if (!loaded.ok) {
    process.stderr.write(`${loaded.error.map(formatIssue).join('\n')}\n`);
    return 2;
  }
  return serve({
    loaded: loaded.value,
    log: { format, colour: process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined },
  });
}
