/**
 * The transport: opens TCP connections and brings them up to a session. The adapter behind session.ts.
 */
import { connect, type Socket } from 'node:net';
import { type Clock, err, ok, type Result } from '../domain/basics.ts';
import { Deadlines } from './deadlines.ts';
import { createHandshaker } from './nodemailer-handshake.ts';
import type { ConnectPlan, OpenFailure, Session, Transport } from './session.ts';
import { openSmtpSession } from './smtp-session.ts';

const CLOSED: OpenFailure = { kind: 'local', detail: 'the relay is stopping' };

/** A transport over real sockets. */
export function createTransport(clock: Clock): Transport {
  const deadlines = new Deadlines(clock);
  const handshake = createHandshaker();
  const opening = new Set<Socket>();
  const sessions = new Set<Session>();
  let closed = false;

  const open = async (plan: ConnectPlan): Promise<Result<Session, OpenFailure>> => {
    if (closed) return err(CLOSED);
    const connected = await dial(plan, opening);
    if (!connected.ok) return connected;
    const result = await handshake(connected.value, plan);
    opening.delete(connected.value);
    if (!result.ok) return closed ? err(CLOSED) : result;
    const session = openSmtpSession(result.socket, result.facts, { plan, deadlines });
    sessions.add(session);
    session.onClose(() => sessions.delete(session));
    if (closed) session.destroy();
    return ok(session);
  };
  const close = (): void => {
    closed = true;
    for (const socket of opening) socket.destroy();
    for (const session of sessions) session.destroy();
  };
  return { open, close };
}

/** Opens the TCP connection to the very address that was checked, never to a name. */
function dial(plan: ConnectPlan, opening: Set<Socket>): Promise<Result<Socket, OpenFailure>> {
  return new Promise((resolve) => {
    let socket: Socket;
    try {
      socket = connect({
        host: plan.address,
        port: plan.port,
        noDelay: true,
        ...(plan.sourceAddress === null ? {} : { localAddress: plan.sourceAddress }),
      });
    } catch (error) {
      return resolve(err({ kind: 'local', detail: (error as Error).message }));
    }
    opening.add(socket);
    const settle = (result: Result<Socket, OpenFailure>): void => {
      clearTimeout(timer);
      socket.removeAllListeners('connect');
      if (!result.ok) {
        opening.delete(socket);
        socket.destroy();
      }
      resolve(result);
    };
    const timer = setTimeout(() => settle(err({ kind: 'connect', problem: 'timeout' })), plan.timeouts.connect);
    socket.on('error', (error: NodeJS.ErrnoException) => settle(err(connectFailure(error))));
    socket.on('close', () => settle(err({ kind: 'connect', problem: 'reset' })));
    socket.once('connect', () => settle(ok(socket)));
  });
}

/** The kinds of failure the rest of the house knows. What is not the peer's or the network's is our own. */
function connectFailure(error: NodeJS.ErrnoException): OpenFailure {
  switch (error.code) {
    case 'ECONNREFUSED':
      return { kind: 'connect', problem: 'refused' };
    case 'ECONNRESET':
    case 'EPIPE':
      return { kind: 'connect', problem: 'reset' };
    case 'ETIMEDOUT':
      return { kind: 'connect', problem: 'timeout' };
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EHOSTDOWN':
    case 'ENETDOWN':
      return { kind: 'connect', problem: 'unreachable' };
    default:
      return { kind: 'local', detail: `${error.code ?? 'error'}: ${error.message}` };
  }
}
