/** Writes replies at the pace of a behaviour. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pace } from './behaviour.ts';
import type { Wire } from './wire.ts';

export type Voice = {
  /** Writes the text and a CRLF; false when the peer is gone or the receiver stops. */
  say(wire: Wire, text: string): Promise<boolean>;
  /** Writes the text again and again until the peer is gone. */
  flood(wire: Wire, text: string): Promise<void>;
};

/** Octets written at once while flooding. */
const FLOOD_OCTETS = 16_384;

/** A voice that pauses `milliseconds` where the pace asks for it, until `signal` aborts. */
export function openVoice(pace: Pace, milliseconds: number, signal: AbortSignal): Voice {
  const pause = (): Promise<boolean> => sleep(milliseconds, true, { signal }).catch(() => false);
  return {
    async say(wire, text) {
      const octets = Buffer.from(`${text}\r\n`, 'utf8');
      switch (pace) {
        case 'at-once':
          return wire.write(octets);
        case 'pause-per-reply':
          return (await pause()) && wire.write(octets);
        case 'pause-per-byte':
          for (const octet of octets) {
            if (!(await pause()) || !(await wire.write(Buffer.from([octet])))) return false;
          }
          return true;
      }
    },
    async flood(wire, text) {
      const octets = Buffer.from(text.repeat(Math.ceil(FLOOD_OCTETS / text.length)));
      while (!signal.aborted && (await wire.write(octets)));
    },
  };
}
