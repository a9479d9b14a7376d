/**
 * How the history keeps an event: one line of JSON, and the keys it is found by. What `log.addresses` hides from the log is hidden
 * here, too, before anything is kept.
 */
import { type AddressPrivacy, addressForLog, textForLog } from '../platform/log-privacy-format.ts';
import type { HistoryEvent, RecipientFate } from './history.ts';

/** What all actions of operators are found by. */
export const OPERATOR_KEY = keyOf('operator');

/** Where an event's line and keys go. */
export type EventSink = { line(text: string): void; key(hash: number): void };

/** 32 bits of a name, ASCII case apart (FNV-1a): names may share one, so whoever finds looks again. */
export function keyOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < name.length; at += 1) {
    const code = name.charCodeAt(at);
    hash = Math.imul(hash ^ (code >= 65 && code <= 90 ? code | 32 : code), 0x01000193);
  }
  return hash >>> 0;
}

/** Puts an event into the sink, with its addresses as they may be kept. */
export function writeEvent(event: HistoryEvent, privacy: AddressPrivacy, sink: EventSink): void {
  const kept = privacy === 'full' ? event : hidden(event, privacy);
  sink.line(JSON.stringify(kept));
  if (kept.kind === 'operator') return sink.key(OPERATOR_KEY);
  sink.key(keyOf(kept.queueId));
  switch (kept.kind) {
    case 'accepted':
      if (kept.from !== '') sink.key(keyOf(kept.from));
      for (const to of kept.to) sink.key(keyOf(to));
      break;
    case 'notice':
      sink.key(keyOf(kept.noticeId));
      sink.key(keyOf(kept.to));
      break;
    // Their addresses are found by the acceptance.
    case 'attempt':
    case 'given-up':
      break;
  }
}

function hidden(event: HistoryEvent, privacy: AddressPrivacy): HistoryEvent {
  const hide = (address: string): string => addressForLog(address, privacy);
  switch (event.kind) {
    case 'accepted':
      return { ...event, from: hide(event.from), to: event.to.map(hide) };
    case 'attempt':
      return { ...event, recipients: event.recipients.map((fate) => hiddenFate(fate, privacy)) };
    case 'notice':
      return { ...event, to: hide(event.to) };
    case 'given-up':
      return { ...event, to: event.to.map(hide) };
    case 'operator':
      return event;
  }
}

const hiddenFate = (fate: RecipientFate, privacy: AddressPrivacy): RecipientFate => ({
  ...fate,
  to: addressForLog(fate.to, privacy),
  text: fate.text === null ? null : textForLog(fate.text, privacy),
  reply: fate.reply === null ? null : { ...fate.reply, text: textForLog(fate.reply.text, privacy) },
});

/** The forms an address may have been kept in, whatever the setting was then. */
export const formsOf = (address: string): readonly string[] =>
  (['full', 'domain', 'hashed'] as const).map((privacy) => addressForLog(address, privacy).toLowerCase());

/** The event of a line; null where it is none: the file may be of another version, or damaged. */
export function readEvent(line: string): HistoryEvent | null {
  try {
    const event: unknown = JSON.parse(line);
    if (typeof event !== 'object' || event === null || !('kind' in event) || !('at' in event)) return null;
    return event as HistoryEvent;
  } catch {
    return null;
  }
}

/** The message an event is part of, of a notice the notice itself; null for actions on many. */
export function messageOf(event: HistoryEvent): string | null {
  if (event.kind === 'operator') return null;
  return event.kind === 'notice' ? event.noticeId : event.queueId;
}

/** True where an event names one of the addresses, given in lower case, as sender or recipient of its message. */
export function names(event: HistoryEvent, forms: readonly string[]): boolean {
  const named = (address: string): boolean => forms.includes(address.toLowerCase());
  switch (event.kind) {
    case 'accepted':
      return named(event.from) || event.to.some(named);
    case 'attempt':
      return event.recipients.some(({ to }) => named(to));
    case 'given-up':
      return event.to.some(named);
    case 'notice':
      return named(event.to);
    case 'operator':
      return false;
  }
}
