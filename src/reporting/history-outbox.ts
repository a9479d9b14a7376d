/**
 * Gathers what a thread records and gives it away in batches, one at a time: the next one leaves when the last was taken. Over its
 * bounds events are dropped and counted. Recording costs a line of text; nothing waits.
 */
import type { Clock, Instant, Milliseconds } from '../domain/basics.ts';
import type { AddressPrivacy } from '../platform/log-privacy-format.ts';
import type { HistoryBatch, HistoryEvent, HistoryRecorder } from './history.ts';
import { writeEvent } from './history-line-format.ts';

/** What the outbox works with. */
export type OutboxOptions = {
  readonly clock: Clock;
  privacy(): AddressPrivacy;
  /** Gives a batch away; `taken` is called when it has arrived. */
  post(batch: HistoryBatch): void;
};

/** A recorder with its end. */
export type HistoryOutbox = HistoryRecorder & {
  /** The last batch has arrived, or is lost for good. */
  taken(): void;
  /** Gives away what is gathered, now. */
  flush(): void;
};

const EVERY: Milliseconds = 100;
/** UTF-16 units of lines that may wait. */
const MOST_TEXT = 8 * 1024 * 1024;
/** A batch that is not taken by then went down with whoever had it. */
const TAKEN_WITHIN: Milliseconds = 10_000;

/** An outbox for one thread. */
export function createHistoryOutbox({ clock, privacy, post }: OutboxOptions): HistoryOutbox {
  let lines = '';
  let keys: number[] = [];
  let events = 0;
  let since = 0 as Instant;
  let until = 0 as Instant;
  let counts = { sessionsRefused: 0, messagesRefused: 0, dropped: 0 };
  let timer: NodeJS.Timeout | null = null;
  let postedAt: Milliseconds | null = null;
  const sink = {
    line: (text: string): void => {
      lines += `${text}\n`;
    },
    key: (hash: number): void => void keys.push(hash),
  };
  const flush = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (events === 0 && counts.sessionsRefused + counts.messagesRefused + counts.dropped === 0) return;
    const now = clock.now();
    postedAt = clock.monotonic();
    post({
      ...counts,
      lines,
      keys: Uint32Array.from(keys),
      events,
      since: events === 0 ? now : since,
      until: events === 0 ? now : until,
    });
    lines = '';
    keys = [];
    events = 0;
    counts = { sessionsRefused: 0, messagesRefused: 0, dropped: 0 };
  };
  const tick = (): void => {
    timer = null;
    if (postedAt !== null && clock.monotonic() - postedAt < TAKEN_WITHIN) schedule();
    else flush();
  };
  const schedule = (): void => {
    timer ??= setTimeout(tick, EVERY).unref();
  };
  return {
    record: (event: HistoryEvent) => {
      schedule();
      if (lines.length >= MOST_TEXT) {
        counts.dropped += 1;
        return;
      }
      writeEvent(event, privacy(), sink);
      if (events === 0 || event.at < since) since = event.at;
      if (events === 0 || event.at > until) until = event.at;
      events += 1;
    },
    refused: (what) => {
      schedule();
      if (what === 'session') counts.sessionsRefused += 1;
      else counts.messagesRefused += 1;
    },
    taken: () => {
      postedAt = null;
    },
    flush,
  };
}
