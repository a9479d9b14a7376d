/**
 * The zone of the tests' name server (dns-server.ts): what names have, how they misbehave, and the messages that come of it.
 */
import packet from 'dns-packet';

/** What goes wrong when this name is asked for. */
export type Misbehaviour =
  | 'servfail'
  | 'refused'
  | 'noreply'
  /** Cut short over UDP, whole over TCP. */
  | 'truncated'
  /** Cut short over UDP, silence over TCP. */
  | 'truncated-silent'
  | 'wrong-id'
  | 'wrong-question'
  /** Twenty forged datagrams with other ids before the true one. */
  | 'flood'
  /** Forged datagram with a wrong id first, then the true one. */
  | 'forged-first'
  /** The true answer, from another port. */
  | 'other-port'
  | 'nxdomain'
  | 'garbage'
  /** A header and question that fit, then nonsense. */
  | 'broken-records'
  | 'absurd-counts'
  /** SERVFAIL, unless checking is disabled. */
  | 'bogus'
  /** FORMERR to queries with EDNS. */
  | 'no-edns'
  /** BADVERS to queries with EDNS: a code whose low bits say NOERROR. */
  | 'badvers'
  /** NS records of other servers instead of an answer. */
  | 'referral'
  /** CNAMEs are given one by one. */
  | 'partial'
  /** Absence without an SOA. */
  | 'no-soa'
  /** Answers after a second. */
  | 'slow';

/** What a name has. */
export type ZoneName = {
  readonly mx?: readonly (readonly [preference: number, exchange: string])[];
  readonly a?: readonly string[];
  readonly aaaa?: readonly string[];
  /** Each record's strings. */
  readonly txt?: readonly (readonly string[])[];
  /** Usage, selector, matching type and the data in hex. */
  readonly tlsa?: readonly (readonly [usage: number, selector: number, matchingType: number, data: string])[];
  readonly cname?: string;
  /** Of all its records; default 300. */
  readonly ttl?: number;
  /** The MINIMUM of the SOA that comes with absence; default 60. */
  readonly minimum?: number;
  readonly secure?: boolean;
  readonly does?: Misbehaviour;
  /** Limits the misbehaviour to one type. */
  readonly for?: 'MX' | 'A' | 'AAAA' | 'TXT' | 'TLSA';
};

/** Names in lower case; what is not listed does not exist. */
export type Zone = Record<string, ZoneName>;

/** One question as it came. */
export type SeenQuery = {
  readonly name: string;
  readonly type: string;
  readonly transport: 'udp' | 'tcp';
  readonly id: number;
  readonly sourcePort: number;
  readonly dnssecOk: boolean;
  readonly checkingDisabled: boolean;
  readonly edns: boolean;
};

function recordsOf(
  zone: Zone,
  asked: { name: string; type: string; partial: boolean },
): { answers: packet.Answer[]; end: string; secure: boolean } {
  const answers: packet.Answer[] = [];
  let name = asked.name;
  let secure = zone[name]?.secure ?? false;
  for (let links = 0; links < 20; links++) {
    const here = zone[name];
    if (here?.cname === undefined) break;
    answers.push({ name, type: 'CNAME', class: 'IN', ttl: here.ttl ?? 300, data: here.cname });
    if (asked.partial || asked.type === 'CNAME') return { answers, end: name, secure };
    name = here.cname;
    secure = secure && (zone[name]?.secure ?? false);
  }
  const here = zone[name];
  const base = { name, type: asked.type, class: 'IN', ttl: here?.ttl ?? 300 };
  if (asked.type === 'MX')
    answers.push(...(here?.mx ?? []).map(([preference, exchange]) => ({ ...base, data: { preference, exchange } })));
  if (asked.type === 'A') answers.push(...(here?.a ?? []).map((data) => ({ ...base, data })));
  if (asked.type === 'AAAA') answers.push(...(here?.aaaa ?? []).map((data) => ({ ...base, data })));
  if (asked.type === 'TXT') answers.push(...(here?.txt ?? []).map((data) => ({ ...base, data: [...data] })));
  if (asked.type === 'TLSA') answers.push(...(here?.tlsa ?? []).map((record) => ({ ...base, data: tlsaData(record) })));
  return { answers, end: name, secure };
}

const tlsaData = ([usage, selector, matchingType, data]: NonNullable<ZoneName['tlsa']>[number]): object => ({
  usage,
  selector,
  matchingType,
  certificate: Buffer.from(data, 'hex'),
});

const RCODES: Partial<Record<Misbehaviour, number>> = { servfail: 2, refused: 5, nxdomain: 3 };

function soa(minimum: number): packet.Answer {
  const data = { mname: 'ns.test', rname: 'host.test', serial: 1, refresh: 1, retry: 1, expire: 1, minimum };
  return { name: 'test', type: 'SOA', class: 'IN', ttl: 3600, data };
}

/** What goes wrong with this query, if anything. */
export function misbehaviourOf(zone: Zone, query: SeenQuery): Misbehaviour | null {
  const here = zone[query.name];
  if (here?.does === undefined || (here.for !== undefined && here.for !== query.type)) return null;
  if (here.does === 'bogus' && query.checkingDisabled) return null;
  if ((here.does === 'no-edns' || here.does === 'badvers') && !query.edns) return null;
  return here.does;
}

function errorCode(does: Misbehaviour | null, exists: boolean): number {
  if (does === 'bogus') return 2;
  if (does === 'no-edns') return 1;
  return (does === null ? undefined : RCODES[does]) ?? (exists ? 0 : 3);
}

/** The honest answer, or the one a misbehaviour makes of it. */
function answer(zone: Zone, query: SeenQuery, does: Misbehaviour | null): packet.Packet {
  const { answers, end, secure } = recordsOf(zone, { ...query, partial: does === 'partial' });
  const rcode = errorCode(does, zone[end] !== undefined);
  const failed = rcode !== 0 && rcode !== 3;
  const silentAbsence = does === 'partial' || does === 'no-soa' || failed || answers.some((record) => record.type === query.type);
  const referral = { name: 'test', type: 'NS', class: 'IN', ttl: 300, data: 'ns.other.test' };
  const option = {
    name: '.',
    type: 'OPT',
    udpPayloadSize: 1232,
    extendedRcode: does === 'badvers' ? 1 : 0,
    flags: 0,
    options: [],
  };
  return {
    type: 'response',
    id: query.id,
    flags: packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE | rcode | (secure && !failed ? packet.AUTHENTIC_DATA : 0),
    questions: [{ name: query.name, type: query.type, class: 'IN' }],
    answers: failed || does === 'nxdomain' || does === 'referral' || does === 'badvers' ? [] : answers,
    authorities: does === 'referral' ? [referral] : silentAbsence ? [] : [soa(zone[end]?.minimum ?? 60)],
    additionals: query.edns ? [option] : [],
  };
}

/** The datagrams or stream messages that go back, in order. */
export function replies(zone: Zone, query: SeenQuery): Buffer[] {
  const does = misbehaviourOf(zone, query);
  const honest = answer(zone, query, does);
  const bytes = packet.encode(honest);
  const forged = (id: number): Buffer => packet.encode({ ...honest, id: id & 0xffff, answers: [] });
  const udp = query.transport === 'udp';
  switch (does) {
    case 'noreply':
      return [];
    case 'truncated':
    case 'truncated-silent':
      if (udp) return [packet.encode({ ...honest, flags: honest.flags | packet.TRUNCATED_RESPONSE }).subarray(0, 40)];
      return does === 'truncated' ? [bytes] : [];
    case 'wrong-id':
      return [forged(query.id + 1)];
    case 'wrong-question':
      return [packet.encode({ ...honest, questions: [{ name: 'other.test', type: query.type, class: 'IN' }] })];
    case 'flood':
      return [...Array.from({ length: 20 }, (_, index) => forged(query.id + 1 + index)), bytes];
    case 'forged-first':
      return [forged(query.id + 1), bytes];
    case 'garbage':
      return [Buffer.from('this is no DNS message at all')];
    case 'broken-records':
      return [bytes.subarray(0, bytes.length - 12)];
    case 'absurd-counts': {
      bytes.writeUInt16BE(0xffff, 6);
      return [bytes];
    }
    default:
      return [bytes];
  }
}
