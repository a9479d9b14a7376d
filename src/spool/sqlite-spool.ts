/**
 * The spool as a thread sees it: a client of the spool thread over a MessagePort. The caller keeps its own copy of a body and
 * delivers from that; what it is told is durable when it is told.
 */
import { join } from 'node:path';
import type { MessagePort } from 'node:worker_threads';
import { reversePathText } from '../domain/address.ts';
import { after, type Clock, err, isNonEmpty, ok, type Result } from '../domain/basics.ts';
import type { Envelope } from '../domain/envelope.ts';
import type { Body, Claim, NewMessage, RecipientSettlement, Settlement } from '../domain/queue.ts';
import { bodyName, createBodyWriter } from './body-files.ts';
import { bornClaims } from './born-claims.ts';
import type { Spool, SpoolAdmin, SpoolProblem } from './spool.ts';
import type { Answer, ClaimKey, PostedBody, PostedClaim, PostedMessage, StoredBody } from './spool-protocol.ts';
import { type Connection, openConnection } from './sqlite-connection.ts';
import { problemOf } from './sqlite-errors.ts';

/** What a client needs beside its port. */
export type SpoolClientOptions = {
  /** The folder of body files, `SpoolThread.bodies`. */
  readonly bodies: string;
  readonly clock: Clock;
};

type Client = SpoolClientOptions & { readonly connection: Connection };

/** A spool and its administration over a port from `SpoolThread.connect`. The port is the client's from now on. */
export function connectSpool(port: MessagePort, options: SpoolClientOptions): Spool & SpoolAdmin {
  const client: Client = { ...options, connection: openConnection(port) };
  return { ...spoolOf(client), ...adminOf(client) };
}

function spoolOf(client: Client): Spool {
  const { connection } = client;
  const forgetful = async (answer: Promise<Answer>): Promise<void> => void (await answer);
  const nextId = connection.nextId;
  return {
    accept: (message, claim) => accept(client, message, claim),
    createBody: () => createBodyWriter(client.bodies, problemOf),
    claim: (request, signal) => poll(client, request, signal),
    settle: (settlement) => settle(client, settlement),
    release: (claims) => forgetful(connection.ask({ op: 'release', id: nextId(), keys: claims.map(keyOf) })),
    renew: (claims, leaseFor) => forgetful(connection.ask({ op: 'renew', id: nextId(), keys: claims.map(keyOf), leaseFor })),
    markDestination: (down) => forgetful(connection.ask({ op: 'mark-destination', id: nextId(), down })),
    async recallHosts() {
      const answer = await connection.ask({ op: 'recall-hosts', id: nextId() });
      return answer.kind === 'hosts' ? answer.hosts : unanswered(answer);
    },
    rememberHost: (memory) =>
      forgetful(connection.ask({ op: 'host-memory', id: nextId(), change: { kind: 'remember', memory } })),
    forgetHost: (host, address) =>
      forgetful(connection.ask({ op: 'host-memory', id: nextId(), change: { kind: 'forget', host, address } })),
    onHostMemory: (listener) => connection.onHostMemory(listener),
    async recallPolicies() {
      const answer = await connection.ask({ op: 'recall-policies', id: nextId() });
      return answer.kind === 'policies' ? answer.policies : unanswered(answer);
    },
    keepPolicy: (policy) => forgetful(connection.ask({ op: 'keep-policy', id: nextId(), policy })),
    onPolicy: (listener) => connection.onPolicy(listener),
    health: () => connection.health(),
    close: () => connection.close(),
  };
}

const keyOf = (claim: Claim): ClaimKey => ({ queueId: claim.queueId, domain: claim.domain, fence: claim.fence });

/** A question that could not be answered: the port promises an answer, so this is an exception. */
function unanswered(answer: Answer): never {
  throw new Error(`spool: ${answer.kind === 'problem' ? answer.problem.detail : `unexpected answer ${answer.kind}`}`);
}

const outcome = <T>(answer: Answer, value: T): Result<T, SpoolProblem> =>
  answer.kind === 'problem' ? err(answer.problem) : ok(value);

function posted(client: Client, message: NewMessage): PostedMessage {
  const { envelope, recipients } = message;
  const { queueId, receivedAt, sizeBytes } = envelope;
  const reversePath = reversePathText(envelope.reversePath);
  const body = postedBody(client, message.body);
  return { queueId, reversePath, receivedAt, sizeBytes, envelope: JSON.stringify(envelope), recipients, body };
}

function postedBody(client: Client, body: Body): PostedBody {
  if (body.kind === 'memory') return client.connection.enclose(body.wire);
  const name = bodyName(client.bodies, body.path);
  if (name === null) throw new Error(`not a body file of this spool: ${body.path}`);
  return { kind: 'file', name, wireBytes: body.wireBytes };
}

function accept(
  client: Client,
  message: NewMessage,
  claim: Parameters<Spool['accept']>[1],
): Promise<Result<readonly Claim[], SpoolProblem>> {
  const { connection, clock } = client;
  const leaseFor = claim?.leaseFor ?? null;
  // Taken before the thread takes it: the owner's idea of the end is never later than the spool's.
  const leaseUntil = leaseFor === null ? null : after(clock.now(), leaseFor);
  const op = { op: 'accept', id: connection.nextId(), message: posted(client, message), leaseFor } as const;
  return new Promise((resolve) => {
    connection.send(op, (answer) => {
      if (answer.kind === 'problem') return resolve(err(answer.problem));
      const domains = answer.kind === 'leased' ? answer.domains : null;
      resolve(ok(leaseUntil === null ? [] : bornClaims(message, leaseUntil, domains)));
    });
  });
}

async function settle(client: Client, settlement: Settlement): ReturnType<Spool['settle']> {
  const { connection } = client;
  const { queueId, domain, fence, connector } = settlement;
  const delivered: number[] = [];
  const others: Exclude<RecipientSettlement, { becomes: 'delivered' }>[] = [];
  for (const fate of settlement.recipients) {
    if (fate.becomes === 'delivered') delivered.push(fate.number);
    else others.push(fate);
  }
  const notices = settlement.notices.map((notice) => posted(client, notice));
  const key = { queueId, domain, fence };
  const fates = { delivered, others, untried: settlement.untried === true };
  const answer = await connection.ask({ op: 'settle', id: connection.nextId(), key, connector, ...fates, notices });
  return outcome(answer, answer.kind === 'stale' ? 'stale' : 'settled');
}

/** The long poll. What is handed out after the caller stopped waiting goes back untried. */
function poll(client: Client, request: Parameters<Spool['claim']>[0], signal: AbortSignal): Promise<readonly Claim[]> {
  const { connection } = client;
  if (signal.aborted) return Promise.resolve([]);
  const id = connection.nextId();
  return new Promise((resolve) => {
    const abort = (): void => {
      connection.send({ op: 'cancel', id: connection.nextId(), poll: id }, () => undefined);
      resolve([]);
    };
    signal.addEventListener('abort', abort, { once: true });
    connection.send({ op: 'claim', id, request }, (answer) => {
      signal.removeEventListener('abort', abort);
      const claims = answer.kind === 'claims' ? answer.claims.flatMap((claim) => claimOf(client, claim)) : [];
      if (signal.aborted && claims.length > 0) {
        connection.send({ op: 'release', id: connection.nextId(), keys: claims.map(keyOf) }, () => undefined);
      }
      resolve(claims);
    });
  });
}

function claimOf(client: Client, claim: PostedClaim): readonly Claim[] {
  const { recipients, leaseUntil, key, attention } = claim;
  if (!isNonEmpty(recipients)) return [];
  const envelope = JSON.parse(claim.envelope) as Envelope;
  return [{ ...key, leaseUntil, envelope, recipients, body: bodyOf(client, claim.body), attention }];
}

function bodyOf(client: Client, body: StoredBody): Body {
  if (body.kind === 'bytes') return { kind: 'memory', wire: body.wire };
  return { kind: 'file', path: join(client.bodies, body.name), wireBytes: body.wireBytes };
}

function adminOf(client: Client): SpoolAdmin {
  const { ask, nextId } = client.connection;
  return {
    async list(filter, limit) {
      const answer = await ask({ op: 'list', id: nextId(), filter, limit });
      return answer.kind === 'page' ? { entries: answer.entries, total: answer.total } : unanswered(answer);
    },
    async show(queueId) {
      const answer = await ask({ op: 'show', id: nextId(), queueId });
      if (answer.kind !== 'shown') return unanswered(answer);
      if (answer.message === null || !isNonEmpty(answer.message.entries)) return null;
      const { envelope, recipients, entries } = answer.message;
      return { message: { envelope: JSON.parse(envelope) as Envelope, recipients }, entries };
    },
    async body(queueId) {
      const answer = await ask({ op: 'body', id: nextId(), queueId });
      if (answer.kind !== 'body') return unanswered(answer);
      return answer.body === null ? null : bodyOf(client, answer.body);
    },
    async stats() {
      const answer = await ask({ op: 'stats', id: nextId() });
      return answer.kind === 'stats' ? answer.stats : unanswered(answer);
    },
    async act(action, filter) {
      const answer = await ask({ op: 'act', id: nextId(), action, filter });
      return outcome(answer, answer.kind === 'changed' ? answer.count : 0);
    },
    async claimMatching(filter, limit, leaseFor) {
      const answer = await ask({ op: 'claim-matching', id: nextId(), filter, limit, leaseFor });
      return answer.kind === 'claims' ? answer.claims.flatMap((claim) => claimOf(client, claim)) : unanswered(answer);
    },
  };
}
