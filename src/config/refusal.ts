/**
 * How the small grammars of the configuration say no: what is wrong with a text, and what would be right.
 * The text itself is never part of either, because it may be a secret; whoever prints the refusal shows it, or hides it.
 */
import { err } from '../domain/basics.ts';

/** Reads after the text it is about: `"5 minutes" is no duration; write …`. */
export type Refusal = {
  /** Always printable: never contains a piece of the refused text. */
  readonly wrong: string;
  /** A correction derived from the refused text, null where there is none; left out where the text came from outside the file. */
  readonly right: string | null;
};

/** A refusal as the error of a Result. */
export const refuse = (wrong: string, right: string | null = null): { readonly ok: false; readonly error: Refusal } =>
  err({ wrong, right });
