/**
 * What a document becomes: defaults, everything at once, and that nothing written by anyone makes the compiler throw.
 */
import { strict as assert } from 'node:assert';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { compile } from '../../src/config/compile.ts';
import { buildConfig } from '../../src/config/compile-build.ts';
import { formatIssue } from '../../src/config/issue-format.ts';
import { NOT_SUPPORTED_YET } from '../../src/config/not-supported-table.ts';
import { configSchema } from '../../src/config/schema.ts';
import { descriptionAt, everyKey } from '../../src/config/schema-keys.ts';
import type { Config } from '../../src/domain/config.ts';
import type { TlsRung } from '../../src/domain/tls.ts';
import { SECRET, SURROUNDINGS } from '../support/config-surroundings.ts';
import { outboundTls } from '../support/connectors.ts';

const MINIMAL = 'listeners: [{ name: mx, address: "127.0.0.1:2525" }]\nacceptedDomains: [example.org]\n';

function compiled(text: string): Config {
  const result = compile({ text, file: 'test.yaml' }, SURROUNDINGS);
  assert.ok(result.ok, result.ok ? '' : result.error.map(formatIssue).join('\n'));
  return result.value.config;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const RETRY = {
  intervals: [MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR],
  delayNoticeAfter: 4 * HOUR,
  expireAfter: 5 * DAY,
};
const LIMITS = { connections: 20, messagesPerConnection: 100, messagesPerMinute: null, recipientsPerMessage: 100 };
const LADDER: readonly TlsRung[] = ['modern', 'compatible', 'legacy'];
const DEFAULT_CONNECTOR = {
  name: 'default',
  match: { recipientDomains: [{ kind: 'any' }], senderDomains: [], inboundConnectors: [] },
  route: { kind: 'mx' },
  tls: outboundTls({ ladder: LADDER }),
  testMode: false,
  limits: LIMITS,
  source: { address: null, helo: null },
  retry: RETRY,
  enabled: true,
};

test('a minimal document has every default', () => {
  assert.deepEqual(compiled(MINIMAL), {
    hostname: 'vm',
    listeners: [{ name: 'mx', host: '127.0.0.1', port: 2525, tls: 'starttls', requireTls: false, auth: 'off' }],
    certificates: [],
    selfSigned: { cert: '/srv/relay/certs/self-signed.pem', key: '/srv/relay/certs/self-signed.key' },
    acceptedDomains: [{ kind: 'exact', domain: 'example.org' }],
    tls: {
      minVersion: 'TLSv1.2',
      ladder: LADDER,
      trust: { system: true, files: [] },
      clientCertificate: null,
      dane: 'auto',
      mtaSts: 'auto',
      downgradeMemory: null,
      onDowngrade: 'defer',
    },
    inbound: [],
    users: [],
    outbound: [DEFAULT_CONNECTOR],
    queue: { path: '/srv/relay/data/queue.db', ephemeral: false, retry: RETRY },
    limits: {
      messageSizeBytes: 52_428_800,
      recipientsPerMessage: 1000,
      connections: 2000,
      connectionsPerAddress: 50,
      messagesPerMinutePerAddress: null,
      hops: 50,
      diskFreeBytes: 536_870_912,
    },
    resolver: { servers: [], dnssec: 'auto' },
    delivery: {
      port: 25,
      ipv6: true,
      allowPrivateAddresses: false,
      timeouts: { connect: 30_000, greeting: 5 * MINUTE, tls: 30_000, command: 5 * MINUTE, data: 10 * MINUTE },
    },
    bounces: { from: 'MAILER-DAEMON@vm', return: 'headers' },
    reports: { tlsRpt: null },
    admin: { host: '127.0.0.1', port: 8025, token: null, stuckAfter: 2 * HOUR },
    log: { level: 'info', addresses: 'full' },
    workers: 2,
    expect: [],
  });
});

test('every key of a connector arrives', () => {
  const [first, last, ...rest] = compiled(`${MINIMAL}
tls: { ladder: [modern, legacy] }
queue: { retry: [2m], delayNoticeAfter: 0, expireAfter: 3d }
inbound:
  - { name: in, type: organization, match: { addresses: [10.0.0.0/8], senderDomains: ["*.A.example"] }, require: { tls: true, addresses: [10.1.0.0/16] } }
outbound:
  - name: out
    match: { recipientDomains: [B.example, "*.b.example"], senderDomains: ["*"], inboundConnector: [in] }
    route: { kind: smarthost, hosts: ["relay.example:587", "mx:c.example"], balance: true }
    tls: { mode: encrypt, ladder: [modern] }
    limits: { connections: 1, messagesPerConnection: 2, messagesPerMinute: 3, recipientsPerMessage: 4 }
    source: { address: 192.0.2.10, helo: Out.example }
    retry: { intervals: [1m, 1h], expireAfter: 1d }
    enabled: false
`).outbound;
  assert.deepEqual(first, {
    name: 'out',
    match: {
      recipientDomains: [
        { kind: 'exact', domain: 'b.example' },
        { kind: 'below', domain: 'b.example' },
      ],
      senderDomains: [{ kind: 'any' }],
      inboundConnectors: ['in'],
    },
    route: {
      kind: 'smarthost',
      hosts: [
        { kind: 'host', name: 'relay.example', port: 587 },
        { kind: 'mx', domain: 'c.example', port: 25 },
      ],
      balance: true,
      tls: 'starttls',
      auth: null,
    },
    tls: outboundTls({ mode: 'encrypt', ladder: ['modern'] }),
    testMode: false,
    limits: { connections: 1, messagesPerConnection: 2, messagesPerMinute: 3, recipientsPerMessage: 4 },
    source: { address: '192.0.2.10', helo: 'out.example' },
    retry: { intervals: [MINUTE, HOUR], delayNoticeAfter: null, expireAfter: DAY },
    enabled: false,
  });
  assert.equal(last?.name, 'default');
  assert.deepEqual(last?.tls.ladder, ['modern', 'legacy']);
  assert.deepEqual(rest, []);
});

test('what a connector demands of TLS arrives', () => {
  const { tls, outbound } = compiled(`${MINIMAL}
tls: { trust: [system, certs/ours.pem], clientCertificate: { cert: certs/c.pem, key: certs/c.key }, dane: off }
outbound:
  - name: out
    match: { recipientDomains: [b.example] }
    route: { kind: smarthost, hosts: [relay.example], tls: implicit, auth: { user: u, password: p } }
    tls:
      mode: verify
      names: [Mail.B.example, "*.b.example"]
      pins: ["sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]
      ca: certs/b.pem
      clientCertificate: { cert: /etc/c.pem, key: /etc/c.key }
      mtaSts: off
      exception: { reason: their policy host is down, until: 2026-12-31 }
    testMode: true
`);
  assert.deepEqual(tls.trust, { system: true, files: ['/srv/relay/certs/ours.pem'] });
  assert.deepEqual(tls.clientCertificate, { cert: '/srv/relay/certs/c.pem', key: '/srv/relay/certs/c.key' });
  assert.equal(tls.dane, 'off');
  const [out] = outbound;
  assert.equal(out.testMode, true);
  assert.ok(out.route.kind === 'smarthost');
  assert.deepEqual([out.route.tls, out.route.auth], ['implicit', { user: 'u', password: 'p' }]);
  assert.deepEqual(out.tls.names, [
    { kind: 'exact', domain: 'mail.b.example' },
    { kind: 'one-below', domain: 'b.example' },
  ]);
  assert.deepEqual(out.tls.pins, ['e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855']);
  assert.equal(out.tls.ca, '/srv/relay/certs/b.pem');
  assert.deepEqual(out.tls.clientCertificate, { cert: '/etc/c.pem', key: '/etc/c.key' });
  assert.deepEqual([out.tls.dane, out.tls.mtaSts], ['auto', 'off']);
  assert.deepEqual(out.tls.exception, { reason: 'their policy host is down', until: Date.UTC(2027, 0, 1) - 1 });
});

test('a connector in mode plaintext has no ladder, one that rejects has a text', () => {
  const connectors = compiled(`${MINIMAL}
outbound:
  - { name: clear, match: { recipientDomains: [a.example] }, tls: { mode: plaintext } }
  - { name: gone, match: { recipientDomains: [b.example] }, route: { kind: reject, text: "moved away" } }
  - { name: no, match: { recipientDomains: [c.example] }, route: { kind: reject } }
`).outbound;
  assert.deepEqual(connectors[0].tls, outboundTls({ mode: 'plaintext' }));
  assert.deepEqual(connectors[1]?.route, { kind: 'reject', text: 'moved away' });
  assert.ok(connectors[2]?.route.kind === 'reject' && connectors[2].route.text.length > 0);
});

test('environment and files are put in, also where a number or a boolean is wanted', () => {
  const config = compiled(`${MINIMAL}
hostname: \${HOST}
delivery: { port: "\${PORT}", ipv6: "\${TRUE}" }
queue: { store: "sqlite:/var/\${HOST}/queue.db" }
admin: { address: "0.0.0.0:\${PORT}", token: "\${file:secrets/token}" }
`);
  assert.equal(config.hostname, 'relay.example.org');
  assert.equal(config.delivery.port, 2587);
  assert.equal(config.queue.path, '/var/relay.example.org/queue.db');
  assert.equal(config.admin.token, `${SECRET}-from-file`);
});

test('the configuration is plain data that can be posted to a thread', () => {
  const config = compiled(MINIMAL);
  assert.deepEqual(structuredClone(config), config);
});

/** What a document means once nothing of it is refused as a later version's. */
const built = (document: object): Config =>
  buildConfig(configSchema.parse({ listeners: [{ name: 'mx', address: '127.0.0.1:25' }], ...document }), SURROUNDINGS);

test('every key of an inbound connector, a user, an expectation and a report arrives', () => {
  const [salt, hash] = ['c2FsdHNhbHRzYWx0c2FsdA==', 'aGFzaGhhc2hoYXNoaGFzaA=='];
  const config = built({
    hostname: 'relay.example',
    listeners: [{ name: 'mx', address: '127.0.0.1:25', auth: 'required' }],
    inbound: [
      {
        name: 'in',
        type: 'partner',
        match: { certificates: ['Mail.a.example'] },
        require: { certificates: ['*.a.example'] },
        testMode: true,
        acceptServerAuthOnly: false,
      },
    ],
    users: [{ name: 'app', password: `$scrypt$ln=15,r=8,p=1$${salt}$${hash}`, senders: ['*@a.example'] }],
    reports: { tlsRpt: { enabled: true } },
    expect: [
      { recipient: 'a@B.example', from: 'x@c.example', connector: 'default', tls: 'encrypt', plaintext: 'never' },
      { recipient: 'a@b.example', tls: 'encrypt' },
    ],
  });
  assert.equal(config.listeners[0].auth, 'required');
  assert.deepEqual(config.inbound, [
    {
      name: 'in',
      type: 'partner',
      match: { senderDomains: [], addresses: [], certificates: [{ kind: 'exact', domain: 'mail.a.example' }] },
      require: { tls: true, addresses: [], certificates: [{ kind: 'one-below', domain: 'a.example' }] },
      enabled: true,
      testMode: true,
      acceptServerAuthOnly: false,
    },
  ]);
  const senders = [{ localPart: null, domain: { kind: 'exact', domain: 'a.example' } }];
  assert.deepEqual(config.users, [{ name: 'app', password: { logN: 15, r: 8, p: 1, salt, hash }, senders }]);
  assert.equal(config.reports.tlsRpt?.organization, 'relay.example');
  const recipient = { localPart: 'a', domain: 'b.example' };
  assert.deepEqual(config.expect, [
    { recipient, from: { localPart: 'x', domain: 'c.example' }, connector: 'default', tls: 'encrypt', plaintext: 'never' },
    { recipient, from: null, connector: null, tls: 'encrypt', plaintext: null },
  ]);
  assert.deepEqual(structuredClone(config), config);
});

test('what an inbound connector does not say', () => {
  const [connector] = built({ inbound: [{ name: 'in', type: 'partner', match: { senderDomains: ['a.example'] } }] }).inbound;
  assert.deepEqual(connector?.require, { tls: false, addresses: [], certificates: [] });
  assert.equal(connector?.testMode, false);
  assert.equal(connector?.acceptServerAuthOnly, true);
});

test('reports are sent as the operator says, or not at all', () => {
  const tlsRpt = { enabled: true, from: 'tls@b.example', organization: 'B' };
  assert.equal(built({ reports: { tlsRpt } }).reports.tlsRpt?.organization, 'B');
  assert.equal(built({ reports: { tlsRpt: { ...tlsRpt, enabled: false } } }).reports.tlsRpt, null);
});

test('a machine whose name is no domain needs a hostname', () => {
  const result = compile({ text: MINIMAL, file: 'x' }, { ...SURROUNDINGS, machine: { hostname: '12345', cores: 1 } });
  assert.ok(!result.ok);
  assert.equal(result.error[0].path, 'hostname');
});

test('a problem found later is pointed at where the value stands', () => {
  const text = `${MINIMAL}certificates:\n  - { cert: a.pem, key: a.key }\n`;
  const result = compile({ text, file: 'x.yaml' }, SURROUNDINGS);
  assert.ok(result.ok);
  assert.deepEqual(result.value.config.certificates, [{ cert: '/srv/relay/a.pem', key: '/srv/relay/a.key' }]);
  assert.equal(
    formatIssue(result.value.issueAt(['certificates', 0, 'key'], 'is gone')),
    'x.yaml:4:25: certificates[0].key: is gone',
  );
});

test('every key of the schema has a description', () => {
  const keys = everyKey();
  assert.ok(keys.length > 100);
  const path = (key: string): (string | number)[] =>
    key.split('.').flatMap((step) => (step.endsWith('[]') ? [step.slice(0, -2), 0] : [step]));
  assert.deepEqual(
    keys.filter((key) => (descriptionAt(path(key)) ?? '') === ''),
    [],
  );
});

test('every row of what is not supported names a key of the schema', () => {
  const keys = new Set(everyKey());
  assert.deepEqual(
    NOT_SUPPORTED_YET.filter(({ path }) => !keys.has(path.replaceAll('.*', '[]'))),
    [],
  );
});

const project = new URL('../../', import.meta.url);
const examples = readdirSync(new URL('config/examples/', project)).map((file) => `config/examples/${file}`);
for (const file of ['config/postern.yaml', ...examples]) {
  test(`${file} compiles without a warning`, () => {
    const text = readFileSync(new URL(file, project), 'utf8');
    const hash = `$scrypt$ln=15,r=8,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`;
    const environment = { ADMIN_TOKEN: 'a-token-of-the-test', PRINTER_HASH: hash };
    const result = compile({ text, file }, { ...SURROUNDINGS, environment });
    assert.deepEqual(result.ok ? result.value.warnings.map(formatIssue) : result.error.map(formatIssue), []);
  });
}

const golden = new URL('golden/', import.meta.url);
const corpus = readdirSync(golden).flatMap((file) =>
  file.endsWith('.yaml') ? [readFileSync(new URL(file, golden), 'utf8')] : [],
);

/** Refused with places inside the document, or compiled; never thrown, never a secret shown. */
function survives(text: string): void {
  const result = compile({ text, file: 'x' }, SURROUNDINGS);
  const issues = result.ok ? result.value.warnings : result.error;
  const lines = text.split('\n').length;
  for (const issue of issues) {
    assert.ok(issue.line >= 1 && issue.line <= lines && issue.column >= 1, formatIssue(issue));
    assert.ok(!formatIssue(issue).includes(SECRET) && !formatIssue(issue).includes('\n'), formatIssue(issue));
  }
}

/** A secret written in the clear, where the document says that it is one. Not in golden/: a mutation could make a key of it. */
const secrets: readonly (readonly [what: string, text: string])[] = [
  ['a password of a user', `users: [{ name: a, password: ${SECRET}, senders: ["*@a.example"] }]`],
  [
    'a hash that is none',
    `users: [{ name: a, password: "$scrypt$ln=15,r=8,p=1$${SECRET}$${SECRET}", senders: ["*@a.example"] }]`,
  ],
  ['a token with a line end', `admin: { token: "${SECRET}\\n" }`],
  [
    'a password with a tab',
    `outbound: [{ name: a, route: { kind: smarthost, hosts: [b.example], auth: { user: a, password: "${SECRET}\\t" } } }]`,
  ],
  [
    'a password that is too long',
    `outbound: [{ name: a, route: { kind: smarthost, hosts: [b.example], auth: { user: a, password: "${SECRET.repeat(999)}" } } }]`,
  ],
  ['a colon forgotten', `admin:\n  token ${SECRET}: "${SECRET}" "${SECRET}"`.replace(` ${SECRET}:`, ':')],
  ['a quote too many', `admin: { token: "x" ${SECRET} }`],
  ['a bracket too many', `admin: { token: a } ${SECRET} }`],
  ['no quotes around an exclamation mark', `admin: { token: !${SECRET} }`],
  ['no quotes around a verbatim tag', `admin: { token: !<${SECRET}> }`],
  ['no quotes around a star', `admin: { token: *${SECRET} }`],
  ['no quotes around a bar', `admin:\n  token: |${SECRET}\n`],
  ['no quotes around a percent sign', `admin: { token: %${SECRET} }`],
  ['a backslash in quotes', `admin: { token: "\\U${SECRET}x" }`],
];
for (const [what, text] of secrets) {
  test(`a secret in the clear is not shown: ${what}`, () => {
    const result = compile({ text: `${MINIMAL}${text}\n`, file: 'x' }, SURROUNDINGS);
    assert.ok(!result.ok);
    assert.deepEqual(
      result.error.map(formatIssue).filter((line) => line.includes(SECRET)),
      [],
    );
  });
}

test('no text makes the compiler throw', () => {
  const yamlish = fc.string({ unit: fc.constantFrom(...'abc:-[]{}*&!|>"\'#%@`,? \n\t$~0.\\') });
  fc.assert(fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), yamlish), survives), { numRuns: 1000 });
});

test('no mutation of a configuration makes the compiler throw or show a secret', () => {
  const piece = fc.constantFrom(
    '',
    '\n',
    ': ',
    '- ',
    '[',
    '}',
    '"',
    '*',
    '&a ',
    '0',
    `\${SECRET}`,
    `\${`,
    'null',
    '\u0000',
    '  ',
    '<<: ',
    '!!set ',
    'é',
  );
  const mutation = fc.record({ document: fc.constantFrom(...corpus), at: fc.nat(), cut: fc.nat(12), piece });
  fc.assert(
    fc.property(mutation, ({ document, at, cut, piece: inserted }) => {
      const start = document.length === 0 ? 0 : at % document.length;
      survives(document.slice(0, start) + inserted + document.slice(start + cut));
    }),
    { numRuns: 500 },
  );
});

test('no value at any key makes the compiler throw', () => {
  const paths = everyKey().map((key) => key.split('.'));
  const value = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom(`\${SECRET}`, `\${file:secrets/token}`, '*', '0', [], {}, null, Number.MAX_VALUE),
  );
  fc.assert(
    fc.property(fc.constantFrom(...paths), value, (path, leaf) => {
      const document = path.reduceRight<unknown>((inner, step) => {
        return step.endsWith('[]') ? { [step.slice(0, -2)]: [inner] } : { [step]: inner };
      }, leaf);
      survives(JSON.stringify(document));
    }),
    { numRuns: 500 },
  );
});

test('a document that is too large or too deep is refused', () => {
  for (const text of ['a'.repeat(1_048_577), '['.repeat(5_000), `${'- '.repeat(5_000)}x`]) {
    const result = compile({ text, file: 'x' }, SURROUNDINGS);
    assert.ok(!result.ok);
  }
});

test('a problem that comes a hundred thousand times does not stop the compiler', () => {
  const placeholders = Array.from({ length: 100_000 }, (_, index) => `\${V${index}}`).join('');
  const result = compile({ text: `${MINIMAL}hostname: "${placeholders}"\n`, file: 'x' }, SURROUNDINGS);
  assert.ok(!result.ok);
  assert.equal(result.error.length, 100_000);
});
