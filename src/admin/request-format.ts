/**
 * Parses what clients ask of the queue: query strings and action documents. Strict: what is not understood is refused by name.
 */
import { type Domain, parseAddressLiteral, parseDomain } from '../domain/address.ts';
import { err, ok, type Result } from '../domain/basics.ts';
import type { QueueId } from '../domain/envelope.ts';
import { escapeText } from '../domain/escape.ts';
import type { QueueAction, QueueFilter, RecipientState } from '../domain/queue.ts';
import { parseQueueId } from '../domain/queue-id.ts';

/** A page of the queue that was asked for. */
export type ListRequest = { readonly filter: QueueFilter; readonly limit: number };
/** What to do with which recipients. */
export type ActionRequest = { readonly action: QueueAction; readonly filter: QueueFilter };

/** Entries in one answer: by default and at most. */
export const USUAL_PAGE = 100;
export const LARGEST_PAGE = 1000;
const MOST_IDS = 1000;

const STATES: readonly RecipientState[] = ['queued', 'leased', 'held'];
const ACTIONS: readonly QueueAction[] = ['retry', 'hold', 'release', 'remove', 'bounce'];

const shown = (value: unknown): string =>
  escapeText(typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing'), 60);

const parseAnyDomain = (text: string): Domain | null => (text.startsWith('[') ? parseAddressLiteral(text) : parseDomain(text));

type FilterParser = (text: string) => Result<QueueFilter, string>;

const FILTERS: Readonly<Record<string, FilterParser>> = {
  domain: (text) => {
    const domain = parseAnyDomain(text);
    return domain === null ? err(`domain: ${shown(text)} is not a domain`) : ok({ domain });
  },
  connector: (text) => (text === '' || text.length > 200 ? err('connector: a name is wanted') : ok({ connector: text })),
  from: (text) => (text.length > 320 ? err('from: too long') : ok({ from: text })),
  state: (text) => {
    const state = STATES.find((known) => known === text);
    return state === undefined ? err(`state: ${shown(text)} is none of ${STATES.join(', ')}`) : ok({ state });
  },
};

function parseLimit(text: string): Result<number, string> {
  const limit = Number(text);
  if (/^\d{1,6}$/.test(text) && limit >= 1 && limit <= LARGEST_PAGE) return ok(limit);
  return err(`limit: a number from 1 to ${LARGEST_PAGE} is wanted`);
}

/** The filter and limit of `GET /api/v1/queue`. */
export function parseListRequest(query: URLSearchParams): Result<ListRequest, string> {
  let filter: QueueFilter = {};
  let limit = USUAL_PAGE;
  for (const name of new Set(query.keys())) {
    const [text = '', ...more] = query.getAll(name);
    if (more.length > 0) return err(`${shown(name)}: given twice`);
    if (name === 'limit') {
      const parsed = parseLimit(text);
      if (!parsed.ok) return parsed;
      limit = parsed.value;
      continue;
    }
    const parsed = Object.hasOwn(FILTERS, name) ? FILTERS[name]?.(text) : undefined;
    if (parsed === undefined) return err(`${shown(name)}: not known; known are limit, ${Object.keys(FILTERS).join(', ')}`);
    if (!parsed.ok) return parsed;
    filter = { ...filter, ...parsed.value };
  }
  return ok({ filter, limit });
}

function parseIds(value: unknown): Result<QueueFilter, string> {
  if (!Array.isArray(value) || value.length === 0 || value.length > MOST_IDS)
    return err(`ids: a list of 1 to ${MOST_IDS} queue ids is wanted`);
  const queueIds: QueueId[] = [];
  for (const text of value) {
    const id = typeof text === 'string' ? parseQueueId(text) : null;
    if (id === null) return err(`ids: ${shown(text)} is not a queue id`);
    queueIds.push(id);
  }
  return ok({ queueIds });
}

function parseSelection(name: string, value: unknown): Result<QueueFilter, string> {
  if (name === 'ids') return parseIds(value);
  if (name === 'all') return value === true ? ok({}) : err('all: true is wanted');
  const parsed = name === 'domain' || name === 'connector' ? FILTERS[name] : undefined;
  if (parsed === undefined) return err(`${shown(name)}: not known; known are action, ids, domain, connector, all`);
  return typeof value === 'string' ? parsed(value) : err(`${name}: text is wanted`);
}

/** The document of `POST /api/v1/queue/actions`: an action and exactly one of ids, domain, connector, all. */
export function parseActionRequest(document: unknown): Result<ActionRequest, string> {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) return err('an object is wanted');
  const { action: name, ...selections } = document as Readonly<Record<string, unknown>>;
  const action = ACTIONS.find((known) => known === name);
  if (action === undefined) return err(`action: ${shown(name)} is none of ${ACTIONS.join(', ')}`);
  const [selection, ...more] = Object.entries(selections);
  if (selection === undefined || more.length > 0) return err('exactly one of ids, domain, connector and all is wanted');
  const filter = parseSelection(...selection);
  return filter.ok ? ok({ action, filter: filter.value }) : filter;
}
