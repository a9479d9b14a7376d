/**
 * What a receiver saw, as facts that print as JSON lines, and the messages it got. Tests wait on it instead of sleeping.
 */
import type { ClientHello } from './tls-hello.ts';

/** What the receiver's side knows of a handshake. */
export type TlsSeen = {
  readonly version: string;
  /** IANA name. */
  readonly cipher: string;
  /** Key-exchange group as named in the ServerHello or ServerKeyExchange; null where the exchange was RSA. */
  readonly group: string | null;
  readonly resumed: boolean;
};

/** A message a receiver read to its final dot. */
export type Received = {
  readonly connection: number;
  /** What followed `MAIL FROM:`, such as `<a@b.test> SIZE=100`. */
  readonly from: string;
  /** What followed `RCPT TO:`, of the recipients answered with 250. */
  readonly recipients: readonly string[];
  /** Of the content: dots unstuffed, without the final dot line. Hex. */
  readonly sha256: string;
  readonly size: number;
  /** How many Received header fields it has. */
  readonly receivedHeaders: number;
  /** The content, or its beginning (see ReceiverOptions.keepOctets). */
  readonly content: Buffer;
  readonly tls: TlsSeen | null;
  /** False where the final dot was answered with something else than 250, or not at all. */
  readonly accepted: boolean;
};

/** One thing seen on a connection. */
export type Seen =
  | { readonly event: 'connection'; readonly peer: string }
  | { readonly event: 'ehlo'; readonly verb: 'EHLO' | 'HELO'; readonly name: string; readonly secure: boolean }
  | { readonly event: 'starttls' }
  | ({ readonly event: 'client-hello' } & ClientHello)
  /** Something that is no ClientHello came where one was due: the client went on in the clear. */
  | { readonly event: 'not-tls'; readonly octets: number }
  | ({ readonly event: 'tls' } & TlsSeen)
  /** `subject` as OpenSSL prints it. */
  | { readonly event: 'client-certificate'; readonly subject: string }
  | { readonly event: 'mail'; readonly argument: string; readonly secure: boolean }
  | { readonly event: 'rcpt'; readonly argument: string; readonly secure: boolean }
  | { readonly event: 'data'; readonly secure: boolean }
  | { readonly event: 'rset'; readonly secure: boolean }
  | { readonly event: 'quit'; readonly secure: boolean }
  /** The client sent ahead although PIPELINING was not offered. */
  | { readonly event: 'pipelined'; readonly octets: number }
  | ({ readonly event: 'message'; readonly secure: boolean } & Omit<Received, 'content' | 'tls' | 'connection'>)
  | { readonly event: 'unknown'; readonly line: string }
  | { readonly event: 'error'; readonly problem: string }
  /** `clearOctets`: all the client sent in the clear; `clearMessageOctets`: those of MAIL, RCPT and content among them. */
  | { readonly event: 'close'; readonly clearOctets: number; readonly clearMessageOctets: number };

/** A fact with its place: milliseconds since the epoch, behaviour, connection number (from 1). */
export type Fact = Seen & { readonly at: number; readonly behaviour: string; readonly connection: number };

/** The facts of one kind. */
export type FactOf<Event extends Fact['event']> = Extract<Fact, { readonly event: Event }>;

export type Journal = {
  readonly facts: readonly Fact[];
  readonly messages: readonly Received[];
  record(connection: number, seen: Seen): void;
  deliver(message: Received): void;
  /** Resolves once `enough` holds; rejects after `patience` milliseconds, telling what was seen. */
  until(enough: () => boolean, patience: number): Promise<void>;
  /** Rejects whoever still waits. */
  close(): void;
};

export type JournalOptions = {
  readonly behaviour: string;
  /** How many facts and messages are kept, the newest. */
  readonly remember: number;
  /** Told of every fact. */
  readonly listener: (fact: Fact) => void;
};

type Waiter = { readonly enough: () => boolean; readonly settle: (problem: string | null) => void };

/** An empty journal. */
export function openJournal(options: JournalOptions): Journal {
  const facts: Fact[] = [];
  const messages: Received[] = [];
  const waiters = new Set<Waiter>();
  const keep = <T>(list: T[], item: T): void => {
    list.push(item);
    if (list.length > options.remember) list.shift();
    for (const waiter of waiters) if (waiter.enough()) waiter.settle(null);
  };
  const until = (enough: () => boolean, patience: number): Promise<void> => {
    if (enough()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        enough,
        settle: (problem) => {
          clearTimeout(timer);
          waiters.delete(waiter);
          if (problem === null) resolve();
          else reject(new Error(`${options.behaviour}: ${problem}; seen: ${facts.map((fact) => fact.event).join(' ')}`));
        },
      };
      const timer = setTimeout(() => waiter.settle(`waited ${patience} ms in vain`), patience);
      waiters.add(waiter);
    });
  };
  return {
    facts,
    messages,
    record(connection, seen) {
      const fact = { at: Date.now(), behaviour: options.behaviour, connection, ...seen };
      options.listener(fact);
      keep(facts, fact);
    },
    deliver: (message) => keep(messages, message),
    until,
    close() {
      for (const waiter of waiters) waiter.settle('stopped while waited for');
    },
  };
}
