/**
 * What `trace` tells: the events of the history sorted into messages, oldest first, each with what operators did to it while it was
 * in the queue, and what became of it as far as the history knows.
 */
import type { Instant } from '../domain/basics.ts';
import type { GivenUpEvent, HistoryAnswer, HistoryCounts, HistoryEvent, HistoryQuestion, OperatorEvent } from './history.ts';

/** unknown: its acceptance is not in the history. returned: some recipient was given up. */
export type TracedState = 'waiting' | 'delivered' | 'returned' | 'removed' | 'unknown';

/** One message's life. */
export type TracedMessage = {
  readonly queueId: string;
  readonly state: TracedState;
  /** Recipients whose end is not in the history. */
  readonly open: readonly string[];
  readonly events: readonly HistoryEvent[];
};

/** What is known of what was asked for. */
export type Trace = {
  readonly messages: readonly TracedMessage[];
  readonly complete: boolean;
  readonly since: Instant | null;
  readonly counts: HistoryCounts;
};

/** Sorts an answer. Of a message with many recipients only what concerns the address asked for is told. */
export function traceOf({ events, complete, since, counts }: HistoryAnswer, question: HistoryQuestion): Trace {
  const operators = events.filter((event) => event.kind === 'operator');
  const messages = [...grouped(events, question)].map(([queueId, own]) => lifeOf(queueId, own, operators));
  messages.sort((a, b) => (a.events[0]?.at ?? 0) - (b.events[0]?.at ?? 0));
  return { messages, complete, since, counts };
}

function grouped(events: readonly HistoryEvent[], question: HistoryQuestion): ReadonlyMap<string, HistoryEvent[]> {
  const groups = new Map<string, HistoryEvent[]>();
  const about = new Set(events.flatMap((event) => (event.kind === 'operator' ? [] : [event.queueId])));
  const put = (queueId: string, event: HistoryEvent): void => {
    const group = groups.get(queueId);
    if (group === undefined) groups.set(queueId, [event]);
    else group.push(event);
  };
  const asked = (queueId: string): boolean => question.kind === 'address' || queueId === question.queueId;
  for (const event of events) {
    if (event.kind === 'operator') continue;
    if (asked(event.queueId)) put(event.queueId, event);
    // The message of a notice begins with its making.
    if (event.kind === 'notice' && (question.kind === 'message' ? asked(event.noticeId) : about.has(event.noticeId)))
      put(event.noticeId, event);
  }
  if (question.kind === 'message') return groups;
  return new Map([...groups].map(([queueId, own]) => [queueId, concerning(own, question.forms)]));
}

/** For a sender everything is of interest; for a recipient what became of the others is not. */
function concerning(events: readonly HistoryEvent[], forms: readonly string[]): HistoryEvent[] {
  const named = (address: string): boolean => forms.includes(address.toLowerCase());
  if (events.some((event) => event.kind === 'accepted' && named(event.from))) return [...events];
  return events.flatMap((event) => narrowed(event, named) ?? []);
}

/** The event with the addresses that are named; null where there are none. */
function narrowed(event: HistoryEvent, named: (address: string) => boolean): HistoryEvent | null {
  switch (event.kind) {
    case 'accepted':
      return { ...event, to: event.to.filter(named) };
    case 'attempt': {
      const recipients = event.recipients.filter(({ to }) => named(to));
      return recipients.length === 0 ? null : { ...event, recipients };
    }
    case 'given-up': {
      const to = event.to.filter(named);
      return to.length === 0 ? null : { ...event, to };
    }
    case 'notice':
    case 'operator':
      return event;
  }
}

/** Within one millisecond things happen in this order. */
const RANK: Readonly<Record<HistoryEvent['kind'], number>> = { accepted: 0, operator: 1, attempt: 2, 'given-up': 2, notice: 3 };

function lifeOf(queueId: string, own: readonly HistoryEvent[], operators: readonly OperatorEvent[]): TracedMessage {
  const born = (event: HistoryEvent): number => (event.kind === 'notice' && event.noticeId === queueId ? -1 : RANK[event.kind]);
  const sorted = [...own, ...operators].sort((a, b) => a.at - b.at || born(a) - born(b));
  const walk = new Walk(queueId);
  const events = sorted.filter((event) => walk.meets(event));
  return { queueId, state: walk.state(), open: [...walk.open], events };
}

/** Follows a message through its events. */
class Walk {
  readonly open = new Set<string>();
  readonly #queueId: string;
  readonly #domains = new Set<string>();
  readonly #connectors = new Set<string>();
  #known = false;
  #returned = false;
  #removed = false;
  #delivered = false;

  constructor(queueId: string) {
    this.#queueId = queueId;
  }

  /** True where the event belongs to the message. */
  meets(event: HistoryEvent): boolean {
    switch (event.kind) {
      case 'accepted':
        this.#begin(event.to);
        return true;
      case 'notice':
        if (event.noticeId === this.#queueId) this.#begin([event.to]);
        return true;
      case 'attempt':
        this.#domains.add(event.domain);
        this.#connectors.add(event.connector);
        for (const { to, becomes } of event.recipients) {
          if (becomes === 'queued') continue;
          this.open.delete(to);
          if (becomes === 'delivered') this.#delivered = true;
          else this.#returned = true;
        }
        return true;
      case 'given-up':
        this.#giveUp(event);
        return true;
      case 'operator':
        return this.#operated(event);
    }
  }

  #begin(to: readonly string[]): void {
    this.#known = true;
    for (const address of to) {
      this.open.add(address);
      this.#domains.add(address.slice(address.lastIndexOf('@') + 1));
    }
  }

  #giveUp({ to, domain }: GivenUpEvent): void {
    this.#domains.add(domain);
    this.#returned = true;
    for (const address of to) this.open.delete(address);
  }

  #operated({ action, ids, domain, connector }: OperatorEvent): boolean {
    if (!this.#known || this.open.size === 0) return false;
    if (ids !== null && !ids.includes(this.#queueId)) return false;
    if (domain !== null && !this.#domains.has(domain)) return false;
    if (connector !== null && !this.#connectors.has(connector)) return false;
    if (action === 'remove') {
      this.#removed = true;
      for (const to of this.open) if (domain === null || to.endsWith(`@${domain}`)) this.open.delete(to);
    }
    return true;
  }

  state(): TracedState {
    if (this.open.size > 0) return 'waiting';
    if (this.#returned) return 'returned';
    if (this.#removed) return 'removed';
    return this.#known || this.#delivered ? 'delivered' : 'unknown';
  }
}
