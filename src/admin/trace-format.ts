/** The request and the document of `GET /api/v1/trace`: what happened to a message or an address. Keys are stable; times are ISO 8601. */
import { mailboxText, parseMailbox } from '../domain/address.ts';
import { err, type Instant, ok, type Result } from '../domain/basics.ts';
import { escapeText } from '../domain/escape.ts';
import { parseQueueId } from '../domain/queue-id.ts';
import type {
  AcceptedEvent,
  AttemptEvent,
  GivenUpEvent,
  HistoryCounts,
  HistoryEvent,
  HistoryQuestion,
  NoticeEvent,
  OperatorEvent,
  RecipientFate,
} from '../reporting/history.ts';
import { formsOf } from '../reporting/history-line-format.ts';
import type { Trace, TracedState } from '../reporting/trace-policy.ts';

/** Messages in one answer: by default and at most. */
export const USUAL_TRACE = 20;
export const LARGEST_TRACE = 100;

type Timed<Event> = Omit<Event, 'at' | 'recipients'> & { readonly at: string };
/** One recipient's fate; `next` as a time. */
export type FateDocument = Omit<RecipientFate, 'next'> & { readonly next: string | null };
/** An event as the history keeps it, with times as text. */
export type EventDocument =
  | Timed<AcceptedEvent>
  | (Timed<AttemptEvent> & { readonly recipients: readonly FateDocument[] })
  | Timed<NoticeEvent>
  | Timed<GivenUpEvent>
  | (Timed<OperatorEvent> & { readonly recipients: number });

/** `GET /api/v1/trace`. */
export type TraceDocument = {
  readonly messages: readonly {
    readonly queueId: string;
    readonly state: TracedState;
    readonly open: readonly string[];
    readonly events: readonly EventDocument[];
  }[];
  /** False: there is more than is shown. */
  readonly complete: boolean;
  /** When the history begins; null where it is empty. */
  readonly since: string | null;
  readonly counts: HistoryCounts;
};

/** The question of a query: `q` is a queue id or an address. */
export function parseTraceRequest(query: URLSearchParams): Result<HistoryQuestion, string> {
  const strange = [...query.keys()].find((name) => name !== 'q' && name !== 'limit');
  if (strange !== undefined) return err(`${escapeText(strange, 60)}: not known; known are q, limit`);
  const limitText = query.get('limit') ?? String(USUAL_TRACE);
  const limit = Number(limitText);
  if (!/^\d{1,4}$/.test(limitText) || limit < 1 || limit > LARGEST_TRACE)
    return err(`limit: a number from 1 to ${LARGEST_TRACE} is wanted`);
  const text = query.get('q') ?? '';
  const queueId = parseQueueId(text);
  if (queueId !== null) return ok({ kind: 'message', queueId, limit });
  const mailbox = parseMailbox(text.replace(/^<(.*)>$/, '$1'), true);
  if (mailbox.ok) return ok({ kind: 'address', forms: formsOf(mailboxText(mailbox.value)), limit });
  return err(`${escapeText(text, 60)} is neither a queue id nor an address`);
}

const time = (instant: Instant): string => new Date(instant).toISOString();

/** A trace as a document. */
export const traceDocument = ({ messages, complete, since, counts }: Trace): TraceDocument => ({
  messages: messages.map(({ queueId, state, open, events }) => ({ queueId, state, open, events: events.map(eventDocument) })),
  complete,
  since: since === null ? null : time(since),
  counts,
});

function eventDocument(event: HistoryEvent): EventDocument {
  const at = time(event.at);
  if (event.kind !== 'attempt') return { ...event, at };
  const recipients = event.recipients.map((fate) => ({ ...fate, next: fate.next === null ? null : time(fate.next) }));
  return { ...event, at, recipients };
}
