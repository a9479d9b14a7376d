import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { systemServers } from '../../src/dns/system-servers.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-dns-'));
after(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'resolv.conf');
writeFileSync(path, 'nameserver 192.0.2.53\n');

test('the configuration’s servers come first', () => {
  const { servers, dnssec } = systemServers({ servers: ['127.0.0.1:5353', '[::1]:53'], dnssec: 'trust' }, path);
  assert.deepEqual(servers, [
    { address: '127.0.0.1', port: 5353 },
    { address: '::1', port: 53 },
  ]);
  assert.equal(dnssec, 'trust');
});

test('without them, those of resolv.conf', () => {
  assert.deepEqual(systemServers({ servers: [], dnssec: 'auto' }, path).servers, [{ address: '192.0.2.53', port: 53 }]);
});

test('without either, this machine', () => {
  assert.deepEqual(systemServers({ servers: [], dnssec: 'auto' }, join(folder, 'none')).servers, [
    { address: '127.0.0.1', port: 53 },
  ]);
});
