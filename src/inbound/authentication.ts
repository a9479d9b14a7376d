/**
 * One session's AUTH: the exchange with the client, the check of the password, and what failures cost. RFC 4954.
 * An unknown user costs the same check as a known one; the password goes nowhere but there.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { SmtpReply } from '../domain/outcome.ts';
import type { ScryptHash, UserConfig } from '../domain/user.ts';
import type { InboundContext, PeerFields } from './context.ts';
import { REPLIES } from './reply-table.ts';
import { beginSasl, continueSasl, type LoginCredentials, type SaslExchange, type SaslStep } from './sasl-format.ts';

/** What follows a line of the client. */
export type AuthenticationStep =
  | { readonly kind: 'reply'; readonly reply: SmtpReply }
  /** What stands behind 334. */
  | { readonly kind: 'challenge'; readonly text: string }
  | { readonly kind: 'check'; readonly outcome: Promise<LoginOutcome> };

/** The reply to a login; `end`: the session ends with it. */
export type LoginOutcome = { readonly reply: SmtpReply; readonly end: boolean };

/** The session an AUTH belongs to. */
export type AuthenticationContext = Pick<InboundContext, 'checkPassword' | 'peers' | 'log' | 'patience'> & {
  readonly users: readonly UserConfig[];
  peer(): PeerFields;
};

/** Where no user is configured at all. */
const USUAL_COST = { logN: 15, r: 8, p: 1 };

/** A hash no password has, that costs as much to check as the users' do. */
const decoy = (users: readonly UserConfig[]): ScryptHash => {
  const { logN, r, p } = users[0]?.password ?? USUAL_COST;
  return { logN, r, p, salt: Buffer.alloc(16).toString('base64'), hash: Buffer.alloc(32).toString('base64') };
};

/** The authentication of one session. */
export class Authentication {
  readonly #context: AuthenticationContext;
  #user: UserConfig | null = null;
  #exchange: SaslExchange | null = null;
  #mechanism = '';
  #failures = 0;

  constructor(context: AuthenticationContext) {
    this.#context = context;
  }

  /** Who logged in. */
  get user(): UserConfig | null {
    return this.#user;
  }

  /** The next line belongs to the exchange, whatever it looks like. */
  get isWaiting(): boolean {
    return this.#exchange !== null;
  }

  /** AUTH with its arguments. */
  begin(rest: string): AuthenticationStep {
    this.#mechanism = rest.split(' ', 1)[0]?.toUpperCase() ?? '';
    return this.#follow(beginSasl(rest));
  }

  /** The client's next line of the exchange. */
  line(text: string): AuthenticationStep {
    const exchange = this.#exchange;
    this.#exchange = null;
    return exchange === null ? { kind: 'reply', reply: REPLIES.unknownCommand } : this.#follow(continueSasl(exchange, text));
  }

  #follow(step: SaslStep): AuthenticationStep {
    switch (step.kind) {
      case 'ask':
        this.#exchange = step.exchange;
        return { kind: 'challenge', text: step.challenge };
      case 'refuse':
        return { kind: 'reply', reply: step.reply };
      case 'credentials':
        return { kind: 'check', outcome: this.#check(step.credentials) };
    }
  }

  async #check({ name, password }: LoginCredentials): Promise<LoginOutcome> {
    const { users, peers, peer, checkPassword } = this.#context;
    const user = users.find((one) => one.name === name) ?? null;
    if (!peers.mayLogIn(peer().ip)) return this.#failed(user, REPLIES.tooManyLogins);
    const matches = await checkPassword(password, user?.password ?? decoy(users));
    if (matches === null) return { reply: REPLIES.authBusy, end: false };
    if (matches && user !== null) {
      this.#user = user;
      return { reply: REPLIES.authenticated, end: false };
    }
    peers.loginFailed(peer().ip);
    this.#failures += 1;
    const { loginDelay, failedLogins } = this.#context.patience;
    if (loginDelay > 0) await sleep(loginDelay * this.#failures, undefined, { ref: false });
    return this.#failed(user, this.#failures >= failedLogins ? REPLIES.tooManyLogins : REPLIES.badCredentials);
  }

  #failed(user: UserConfig | null, reply: SmtpReply): LoginOutcome {
    const { log, peer } = this.#context;
    log.loginFailed({ ...peer(), mechanism: this.#mechanism, user: user?.name ?? null, reply });
    return { reply, end: reply === REPLIES.tooManyLogins };
  }
}
