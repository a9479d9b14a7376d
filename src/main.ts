#!/usr/bin/env node
/**
 * Entry of the process: parses the command line, runs a command, turns its outcome into an exit code.
 */
import { Command, InvalidArgumentError } from 'commander';
import packageFile from '../package.json' with { type: 'json' };
import { registerCert } from './cli/cert.ts';
import { check } from './cli/check.ts';
import { registerExplain } from './cli/explain.ts';
import { registerHashPassword } from './cli/hash-password.ts';
import { registerProbe } from './cli/probe.ts';
import { registerQueue } from './cli/queue.ts';
import { runServe } from './cli/serve.ts';
import { registerStatus } from './cli/status.ts';
import { type ExitCode, processTerminal } from './cli/terminal.ts';
import { registerTrace } from './cli/trace.ts';

const USAGE = 2;

const program = new Command('postern')
  .description(
    'An SMTP relay that always delivers over the best TLS both sides can speak, and in plaintext only where policy allows.',
  )
  .version(packageFile.version)
  .option('--config <file>', 'configuration file (default: config/postern.yaml, else /etc/postern/postern.yaml)')
  .showHelpAfterError('(try --help)')
  .configureHelp({ showGlobalOptions: true })
  .exitOverride((outcome) => process.exit(outcome.exitCode === 0 ? 0 : USAGE))
  .addHelpText(
    'after',
    `
Examples:
  postern check                          is the configuration right? every problem with its line
  postern serve                          run the relay in the foreground; SIGTERM stops it gently
  postern status                         how is the running relay?
  postern queue list --domain example.org

Exit codes: 0 fine, 1 the answer is no or something failed, 2 wrong usage or configuration.`,
  );

/** The process ends by itself once the command is over, with this code. */
const exit = (code: ExitCode): void => {
  process.exitCode = code;
};

program
  .command('serve')
  .description('run the relay in the foreground; SIGTERM or SIGINT stop it: no new sessions, those under way finish')
  .option('--log <format>', 'json (for machines) or pretty (for people)', logFormat, 'json')
  .action(async (_options: unknown, command: Command) => {
    const { config, log } = command.optsWithGlobals<{ config?: string; log: 'json' | 'pretty' }>();
    exit(await runServe({ config, format: log }));
  });

program
  .command('check')
  .description('read the configuration without starting: every problem at once, each with its line and what would be right')
  .option('--json', 'print one JSON document', false)
  .action(async (_options: unknown, command: Command) => {
    const { config, json } = command.optsWithGlobals<{ config?: string; json: boolean }>();
    exit(await check({ config, json }, process.stdout));
  });

const context = { terminal: processTerminal(), exit };
registerStatus(program, context);
registerQueue(program, context);
registerExplain(program, context);
registerProbe(program, context);
registerTrace(program, context);
registerCert(program, context);
registerHashPassword(program, context);

function logFormat(text: string): 'json' | 'pretty' {
  if (text !== 'json' && text !== 'pretty') throw new InvalidArgumentError('It is json or pretty.');
  return text;
}

await program.parseAsync();
