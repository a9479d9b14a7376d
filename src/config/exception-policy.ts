/**
 * Exceptions have an end: past it they go on working, and say so. A config that stops working by itself would lose mail.
 */
import type { Instant } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import type { Path } from './path-format.ts';

/** The exceptions that are over, with the place of their date. */
export function overdueExceptions(
  { outbound }: Pick<Config, 'outbound'>,
  now: Instant,
): readonly { readonly path: Path; readonly text: string }[] {
  return outbound.flatMap(({ tls: { exception } }, index) =>
    exception === null || exception.until >= now
      ? []
      : [
          {
            path: ['outbound', index, 'tls', 'exception', 'until'],
            text: `this exception ended on ${new Date(exception.until).toISOString().slice(0, 10)} ("${exception.reason}"); turn DANE and MTA-STS on again or set a new date`,
          },
        ],
  );
}
