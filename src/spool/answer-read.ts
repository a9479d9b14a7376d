/** Answers one question about the queue, outside any transaction. */
import type { QueueState } from './queue-state.ts';
import type { Answer, ReadOp, StoredBody } from './spool-protocol.ts';
import type { BodyRow } from './spool-store.ts';

const storedBody = (body: BodyRow): StoredBody => (body.kind === 'file' ? body : { kind: 'bytes', wire: body.wire });

/** The answer; a store that cannot be read is a problem, not an end. */
export function answerRead(state: QueueState, op: ReadOp): Answer {
  try {
    return look(state, op);
  } catch (error) {
    return { kind: 'problem', problem: state.store.faultOf(error).problem };
  }
}

function look({ store }: QueueState, op: ReadOp): Answer {
  switch (op.op) {
    case 'list':
      return { kind: 'page', ...store.list(op.filter, op.limit) };
    case 'show':
      return { kind: 'shown', message: store.show(op.queueId) };
    case 'body': {
      const body = store.body(op.queueId);
      return { kind: 'body', body: body === null ? null : storedBody(body) };
    }
    case 'stats':
      return { kind: 'stats', stats: store.stats() };
    case 'recall-hosts':
      return { kind: 'hosts', hosts: store.hosts() };
    case 'recall-policies':
      return { kind: 'policies', policies: store.policies() };
  }
}
