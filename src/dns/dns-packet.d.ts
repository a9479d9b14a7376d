/**
 * The part of dns-packet 5.6 that stub-wire.ts and the tests' name server use; the package ships no types of its own.
 * Decoding yields what a stranger sent: everything read from it is `unknown` until looked at.
 */
declare module 'dns-packet' {
  export type Question = { name: string; type: string; class?: string };
  export type Answer = {
    name: string;
    type: string;
    class?: string;
    ttl?: number;
    data?: unknown;
    udpPayloadSize?: number;
    extendedRcode?: number;
    flags?: number;
    options?: readonly unknown[];
  };
  export type Packet = {
    type: 'query' | 'response';
    id: number;
    flags: number;
    questions: Question[];
    answers: Answer[];
    authorities: Answer[];
    additionals: Answer[];
  };
  /** Of a decoded packet: the low four bits of the response code by name. */
  export type DecodedPacket = Packet & {
    opcode: string;
    rcode: string;
    flag_tc: boolean;
    flag_ad: boolean;
    flag_cd: boolean;
    flag_rd: boolean;
  };
  export const AUTHENTIC_DATA: number;
  export const CHECKING_DISABLED: number;
  export const DNSSEC_OK: number;
  export const RECURSION_DESIRED: number;
  export const RECURSION_AVAILABLE: number;
  export const TRUNCATED_RESPONSE: number;
  /** Writes a packet; does not check the length of labels. */
  export function encode(packet: Packet): Buffer;
  /** Reads a packet; throws on what it cannot read. */
  export function decode(packet: Buffer): DecodedPacket;
}
