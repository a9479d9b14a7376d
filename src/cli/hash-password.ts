/**
 * `postern hash-password`: turns a password into what `users` wants. The password comes from the terminal, unseen and typed twice, or
 * as the first line of standard input; never from the command line, where others could read it.
 */
import { once } from 'node:events';
import type { Command } from 'commander';
import { scryptText } from '../config/scrypt-format.ts';
import { hashPassword } from '../platform/passwords.ts';
import { type CommandContext, jsonText } from './status.ts';
import type { ExitCode } from './terminal.ts';

/** RFC 4616 has no longer ones. */
const LONGEST = 255;

/** Where a password comes from. */
export type PasswordSource = {
  /** A person types: asks twice. */
  readonly interactive: boolean;
  /** One line without its end, at most a little more than a password may have; null where there is none. */
  read(prompt: string): Promise<string | null>;
};

/** 0: the hash is printed. 1: there was no password, or two. 2: it cannot be one. */
export async function runHashPassword(
  options: { readonly json: boolean },
  source: PasswordSource,
  { terminal }: Pick<CommandContext, 'terminal'>,
): Promise<ExitCode> {
  const password = await source.read('Password: ');
  if (password === null || password === '') {
    terminal.complain('no password was given');
    return 1;
  }
  if (Buffer.byteLength(password) > LONGEST || password.includes('\0')) {
    terminal.complain(`a password has at most ${LONGEST} octets, and no NUL`);
    return 2;
  }
  if (source.interactive && (await source.read('Again: ')) !== password) {
    terminal.complain('these are two different passwords');
    return 1;
  }
  const hash = scryptText(await hashPassword(password));
  await terminal.write(options.json ? jsonText({ hash }) : `${hash}\n`);
  return 0;
}

/** Standard input of this process. */
export function processPasswordSource(): PasswordSource {
  const input = process.stdin;
  return input.isTTY
    ? { interactive: true, read: (prompt) => readUnseen(input, prompt) }
    : { interactive: false, read: () => readLine(input) };
}

async function readLine(input: NodeJS.ReadStream): Promise<string | null> {
  let text = '';
  for await (const chunk of input.setEncoding('utf8')) {
    text += String(chunk);
    if (text.includes('\n') || text.length > LONGEST + 2) break;
  }
  return text === '' ? null : (text.split(/\r?\n/, 1)[0] ?? null);
}

/** Reads what is typed without showing it; Ctrl-C and Ctrl-D give up. */
async function readUnseen(input: NodeJS.ReadStream, prompt: string): Promise<string | null> {
  process.stderr.write(prompt);
  input.setRawMode(true).setEncoding('utf8').resume();
  let typed = '';
  try {
    for (;;) {
      const [keys] = (await once(input, 'data')) as [string];
      for (const key of keys) {
        if (key === '\r' || key === '\n') return typed;
        if (key === '\x03' || key === '\x04') return null;
        if (key === '\x7f' || key === '\b') typed = [...typed].slice(0, -1).join('');
        else if (key >= ' ' && typed.length <= LONGEST) typed += key;
      }
    }
  } finally {
    input.setRawMode(false).pause();
    process.stderr.write('\n');
  }
}

/** Adds `hash-password` to the program. */
export function registerHashPassword(program: Command, context: CommandContext): void {
  program
    .command('hash-password')
    .description('make the hash of a password for users: in the configuration; asks for it, or reads one line of standard input')
    .option('--json', 'print one JSON document', false)
    .addHelpText('after', '\nExit status: 0 printed, 1 no password or two different ones, 2 it cannot be a password.')
    .action(async (_options: unknown, command: Command) => {
      const { json } = command.optsWithGlobals<{ json: boolean }>();
      context.exit(await runHashPassword({ json }, processPasswordSource(), context));
    });
}
