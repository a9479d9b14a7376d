/** Every behaviour of the lab by name. */
import { type Behaviour, behaviour } from './behaviour.ts';
import { SMTP_BEHAVIOURS } from './smtp-behaviours.ts';
import { TLS_BEHAVIOURS } from './tls-behaviours.ts';

const ROWS = { ...TLS_BEHAVIOURS, ...SMTP_BEHAVIOURS };

export type BehaviourName = keyof typeof ROWS;

/** All names, TLS first, in the order in which the lab gives out addresses. */
export const BEHAVIOUR_NAMES = Object.keys(ROWS) as readonly BehaviourName[];

/** The behaviour of that name. */
export const behaviourOf = (name: BehaviourName): Behaviour => behaviour(ROWS[name]);

/** True where the text names a behaviour. */
export const isBehaviourName = (text: string): text is BehaviourName => Object.hasOwn(ROWS, text);
