/**
 * `postern queue …`: looks into the queue of the running relay and changes it, through its admin API.
 */
import { type Command, InvalidArgumentError } from 'commander';
import type { ActionDocument, MessageDocument, PageDocument, StatsDocument } from '../admin/documents-format.ts';
import { err, ok, type Result } from '../domain/basics.ts';
import { escapeLines } from '../domain/escape.ts';
import type { QueueAction } from '../domain/queue.ts';
import type { AdminClient } from './admin-client.ts';
import { messageText, pageText, statsText, type View } from './queue-format.ts';
import { type CommandContext, jsonText, withRelay } from './status.ts';
import type { ExitCode, Terminal } from './terminal.ts';

/** Filters of `queue list`. */
export type ListOptions = {
  readonly domain?: string;
  readonly connector?: string;
  readonly state?: string;
  readonly from?: string;
  readonly limit: string;
  readonly json: boolean;
};

/** What an action is to change: ids, or exactly one of the others. */
export type Selection = {
  readonly ids: readonly string[];
  readonly domain?: string;
  readonly connector?: string;
  readonly all: boolean;
};

const view = (terminal: Terminal): View => ({ now: terminal.now(), columns: terminal.columns });
const idPath = (id: string): string => `/api/v1/queue/${encodeURIComponent(id)}`;

/** Fetches a document and prints it: as JSON, or as `text` puts it. */
async function print<T extends object>(
  ask: Promise<Result<T, { readonly text: string; readonly exit: ExitCode }>>,
  terminal: Terminal,
  text: ((document: T) => string) | 'json',
): Promise<ExitCode> {
  const answer = await ask;
  if (!answer.ok) {
    terminal.complain(answer.error.text);
    return answer.error.exit;
  }
  await terminal.write(text === 'json' ? jsonText(answer.value) : text(answer.value));
  return 0;
}

/** `queue list`: the recipients that match, oldest first. */
export function queueList(options: ListOptions, client: AdminClient, terminal: Terminal): Promise<ExitCode> {
  const { json, ...query } = options;
  const ask = client.get<PageDocument>('/api/v1/queue', query);
  return print(ask, terminal, json ? 'json' : (page) => pageText(page, view(terminal)));
}

/** `queue show ID`: the envelope and each recipient's fate so far. */
export function queueShow(
  options: { readonly id: string; readonly json: boolean },
  client: AdminClient,
  terminal: Terminal,
): Promise<ExitCode> {
  const ask = client.get<MessageDocument>(idPath(options.id));
  return print(ask, terminal, options.json ? 'json' : (message) => messageText(message, view(terminal)));
}

/** `queue stats`: how much waits, and for whom. */
export function queueStats(options: { readonly json: boolean }, client: AdminClient, terminal: Terminal): Promise<ExitCode> {
  const ask = client.get<StatsDocument>('/api/v1/queue/stats');
  return print(ask, terminal, options.json ? 'json' : (stats) => statsText(stats, view(terminal)));
}

/** `queue body ID`: the message, octet by octet; on a terminal with its control characters escaped. */
export async function queueBody(options: { readonly id: string }, client: AdminClient, terminal: Terminal): Promise<ExitCode> {
  const decoder = new TextDecoder();
  const shown = (piece: Uint8Array): string => escapeLines(decoder.decode(piece, { stream: true }).replaceAll('\r', ''));
  const raw = terminal.columns === null;
  const done = await client.read(`${idPath(options.id)}/body`, (piece) => terminal.write(raw ? piece : shown(piece)));
  if (done.ok) return 0;
  terminal.complain(done.error.text);
  return done.error.exit;
}

/** The selection as the API wants it. */
function selectionDocument({ ids, domain, connector, all }: Selection): Result<object, string> {
  const given = [
    ...(ids.length > 0 ? [{ ids }] : []),
    ...(domain === undefined ? [] : [{ domain }]),
    ...(connector === undefined ? [] : [{ connector }]),
    ...(all ? [{ all }] : []),
  ];
  const [only, ...more] = given;
  if (only === undefined) return err('say which: queue ids, --domain D, --connector C or --all');
  return more.length === 0 ? ok(only) : err('give either queue ids, --domain, --connector or --all, not several of them');
}

const DONE: Readonly<Record<QueueAction, string>> = {
  retry: 'will be tried at once',
  hold: 'held',
  release: 'released',
  remove: 'removed; their senders are not told',
  bounce: 'given up; their senders are told',
};

/** `queue retry|hold|release|remove|bounce`. 1: nothing matched. */
export async function queueAct(
  options: { readonly action: QueueAction; readonly selection: Selection; readonly json: boolean },
  client: AdminClient,
  terminal: Terminal,
): Promise<ExitCode> {
  const { action } = options;
  const selection = selectionDocument(options.selection);
  if (!selection.ok) {
    terminal.complain(`queue ${action}: ${selection.error}`);
    return 2;
  }
  const answer = await client.post<ActionDocument>('/api/v1/queue/actions', { action, ...selection.value });
  if (!answer.ok) {
    terminal.complain(answer.error.text);
    return answer.error.exit;
  }
  const { recipients } = answer.value;
  if (options.json) await terminal.write(jsonText(answer.value));
  else if (recipients === 0) terminal.complain('nothing in the queue matches; what is being delivered right now is left alone');
  else await terminal.write(`${recipients} ${recipients === 1 ? 'recipient' : 'recipients'} ${DONE[action]}.\n`);
  return recipients === 0 ? 1 : 0;
}

function parseLimit(text: string): string {
  if (!/^\d+$/.test(text) || Number(text) < 1 || Number(text) > 1000)
    throw new InvalidArgumentError('a number from 1 to 1000 is wanted.');
  return text;
}

type Shared = { readonly json: boolean; readonly config?: string };

function registerList(queue: Command, context: CommandContext): void {
  const { terminal } = context;
  queue
    .command('list')
    .description('the recipients that wait, oldest first')
    .option('--domain <domain>', 'only those in this recipient domain')
    .option('--connector <name>', 'only those last tried through this connector')
    .option('--state <state>', 'only those in this state: queued, leased or held')
    .option('--from <address>', 'only those from this sender')
    .option('--limit <n>', 'at most so many, up to 1000', parseLimit, '100')
    .option('--json', 'print one JSON document', false)
    .addHelpText('after', '\nExamples:\n  postern queue list --domain example.net\n  postern queue list --state held --json')
    .action(async (_options: unknown, command: Command) => {
      const { config, json, domain, connector, state, from, limit } = command.optsWithGlobals<ListOptions & Shared>();
      const filters = { domain, connector, state, from };
      const given = Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== undefined));
      await withRelay(config, context, (client) => queueList({ ...given, limit, json }, client, terminal));
    });
}

function registerReaders(queue: Command, context: CommandContext): void {
  const { terminal } = context;
  queue
    .command('show')
    .description('one message: its envelope and how each recipient fared so far')
    .argument('<id>', 'queue id')
    .option('--json', 'print one JSON document', false)
    .action(async (id: string, _options: unknown, command: Command) => {
      const { config, json } = command.optsWithGlobals<Shared>();
      await withRelay(config, context, (client) => queueShow({ id, json }, client, terminal));
    });
  queue
    .command('body')
    .description('the message itself, to standard output')
    .argument('<id>', 'queue id')
    .addHelpText('after', '\nExample:\n  postern queue body 01KDXJ5V2M7Q8R9S0T1V2W3X4Y > message.eml')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { config } = command.optsWithGlobals<Shared>();
      await withRelay(config, context, (client) => queueBody({ id }, client, terminal));
    });
  queue
    .command('stats')
    .description('how much waits, and for which domains')
    .option('--json', 'print one JSON document', false)
    .action(async (_options: unknown, command: Command) => {
      const { config, json } = command.optsWithGlobals<Shared>();
      await withRelay(config, context, (client) => queueStats({ json }, client, terminal));
    });
}

const ACTIONS: readonly (readonly [action: QueueAction, description: string])[] = [
  ['retry', 'try again at once'],
  ['hold', 'keep, but do not try until released'],
  ['release', 'let held ones be tried again'],
  ['remove', 'throw away; their senders are not told'],
  ['bounce', 'give up and send their senders a notice'],
];

function registerAction(queue: Command, [action, description]: (typeof ACTIONS)[number], context: CommandContext): void {
  queue
    .command(action)
    .description(description)
    .argument('[ids...]', 'queue ids')
    .option('--domain <domain>', 'everything for this recipient domain')
    .option('--connector <name>', 'everything last tried through this connector')
    .option('--all', 'the whole queue', false)
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      `\nWhat is being delivered right now is left alone.\n\nExamples:\n  postern queue ${action} --domain example.net\n  postern queue ${action} 01KDXJ5V2M7Q8R9S0T1V2W3X4Y`,
    )
    .action(async (ids: string[], _options: unknown, command: Command) => {
      const { config, json, domain, connector, all } = command.optsWithGlobals<Omit<Selection, 'ids'> & Shared>();
      const selection = {
        ids,
        all,
        ...(domain === undefined ? {} : { domain }),
        ...(connector === undefined ? {} : { connector }),
      };
      await withRelay(config, context, (client) => queueAct({ action, selection, json }, client, context.terminal));
    });
}

/** Adds `queue` and its subcommands to the program. `--config` is the program's own option. */
export function registerQueue(program: Command, context: CommandContext): void {
  const queue = program
    .command('queue')
    .description('look into the queue of the running relay and change it')
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 nothing matched or the relay does not answer, 2 usage or configuration error.',
    );
  registerList(queue, context);
  registerReaders(queue, context);
  for (const action of ACTIONS) registerAction(queue, action, context);
}
