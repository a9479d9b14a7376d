/**
 * What we override in smtp-server 3.21.6 is not its public interface. These pins fail when it changes; read the new sources then.
 */
import { strict as assert } from 'node:assert';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { SMTPServer } from 'smtp-server';
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';
import { SMTPStream } from 'smtp-server/lib/smtp-stream.js';

const PINNED: Readonly<Record<string, string>> = {
  'smtp-connection.js': 'b7ee51b8774cabf09ce667a89743efd027eca234d23bee5e5296c2c00de0fd3a',
  'smtp-server.js': '7d526449a98692430a28bf927c49cfa1e7ea0d35e06d8c7442deb9c36dc6e2f8',
  'smtp-stream.js': '4e48daabf1b43c951e6f561940a9d141ed3f2d953f8783889586c67122c2aa18',
};

test('smtp-server is the version that was read, octet for octet', () => {
  const folder = new URL('.', import.meta.resolve('smtp-server'));
  const { version } = createRequire(import.meta.url)('smtp-server/package.json') as { version: string };
  assert.equal(version, '3.21.6');
  for (const [file, digest] of Object.entries(PINNED)) {
    const text = readFileSync(new URL(file, folder));
    assert.equal(createHash('sha256').update(text).digest('hex'), digest, file);
  }
});

test('everything we override is there', () => {
  for (const name of [
    'init',
    'send',
    'close',
    'upgrade',
    '_createParser',
    '_setListeners',
    '_onClose',
    '_onError',
    '_armTimeout',
  ]) {
    assert.equal(typeof Reflect.get(SMTPConnection.prototype, name), 'function', name);
  }
  for (const name of ['connect', 'updateSecureContext', '_acceptSocket', '_resolveSNI', '_upgrade', '_onError']) {
    assert.equal(typeof Reflect.get(SMTPServer.prototype, name), 'function', name);
  }
  for (const name of ['continue', '_write']) assert.equal(typeof Reflect.get(SMTPStream.prototype, name), 'function', name);
});
