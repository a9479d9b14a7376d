/** Answers gathered while a transaction runs, one post a client, sent only when what they say is true. */
import type { Answer, SpoolReply } from './spool-protocol.ts';

/** A client of the spool thread, by its port. */
export type SpoolClient = {
  readonly id: number;
  post(reply: SpoolReply, transfer: readonly ArrayBuffer[]): void;
};

/** Unsent answers. */
export type Outbox = {
  add(client: SpoolClient, id: number, answer: Answer): void;
  send(): void;
};

type Letter = { readonly done: number[]; readonly others: (readonly [number, Answer])[]; readonly transfer: ArrayBuffer[] };

/** Buffers that go over with an answer instead of being copied. */
function transferOf(answer: Answer): readonly ArrayBuffer[] {
  if (answer.kind === 'claims') {
    return answer.claims.flatMap(({ body }) => (body.kind === 'bytes' && body.wire.length > 0 ? [body.wire.buffer] : []));
  }
  return answer.kind === 'body' && answer.body?.kind === 'bytes' && answer.body.wire.length > 0 ? [answer.body.wire.buffer] : [];
}

/** An empty outbox. */
export function createOutbox(): Outbox {
  const letters = new Map<SpoolClient, Letter>();
  return {
    add(client, id, answer) {
      let letter = letters.get(client);
      if (letter === undefined) {
        letter = { done: [], others: [], transfer: [] };
        letters.set(client, letter);
      }
      if (answer.kind === 'done') letter.done.push(id);
      else {
        letter.others.push([id, answer]);
        letter.transfer.push(...transferOf(answer));
      }
    },
    send() {
      for (const [client, { done, others, transfer }] of letters) client.post({ kind: 'answers', done, others }, transfer);
      letters.clear();
    },
  };
}
