/** The narrow bridge to node:sqlite's untyped rows: each statement says once what its rows look like. */
import type { DatabaseSync, SQLInputValue, SQLOutputValue } from 'node:sqlite';

/** Parameters by position. */
export type Parameters = readonly SQLInputValue[];
export type Row = Record<string, SQLOutputValue>;

/** A statement that changes rows; returns how many. */
export function changing<P extends Parameters>(database: DatabaseSync, sql: string): (...parameters: P) => number {
  const statement = database.prepare(sql);
  return (...parameters) => Number(statement.run(...parameters).changes);
}

/** A statement that finds at most one row. */
export function finding<P extends Parameters, R extends Row>(
  database: DatabaseSync,
  sql: string,
): (...parameters: P) => R | null {
  const statement = database.prepare(sql);
  return (...parameters) => (statement.get(...parameters) as R | undefined) ?? null;
}

/** A statement that finds all rows. */
export function listing<P extends Parameters, R extends Row>(database: DatabaseSync, sql: string): (...parameters: P) => R[] {
  const statement = database.prepare(sql);
  return (...parameters) => statement.all(...parameters) as R[];
}

/** A statement whose rows are read one by one. */
export function walking<P extends Parameters, R extends Row>(
  database: DatabaseSync,
  sql: string,
): (...parameters: P) => Iterable<R> {
  const statement = database.prepare(sql);
  return (...parameters) => statement.iterate(...parameters) as Iterable<R>;
}
