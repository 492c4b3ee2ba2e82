import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import test from 'node:test';
import { type GuestDescription, requestPath, startServer } from './serve.js';

const guest = {
  kernel: Uint8Array.of(1, 2, 3),
  kernelName: 'vmlinuz',
  modules: [{ data: Uint8Array.of(4), args: 'x', name: 'initrd' }],
  append: 'console=ttyS0',
  hasDefaultInit: false,
  title: 'test',
};

test('the server gives the guest, isolated, and nothing outside of its folders', async () => {
  const server = await startServer(guest, { host: '127.0.0.1', port: 0, memory: 64 * 2 ** 20 });
  try {
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const response = await fetch(`${base}/guest.json`);
    assert.equal(response.headers.get('cross-origin-opener-policy'), 'same-origin');
    assert.equal(response.headers.get('cross-origin-embedder-policy'), 'require-corp');
    const description = (await response.json()) as GuestDescription;
    assert.equal(description.memoryBytes, 64 * 2 ** 20);
    assert.deepEqual([...new Uint8Array(await (await fetch(base + description.kernel)).arrayBuffer())], [1, 2, 3]);
    assert.deepEqual([...new Uint8Array(await (await fetch(base + description.modules[0].url)).arrayBuffer())], [4]);
    const module = await fetch(`${base}/dist/cli/serve.js`);
    assert.equal(module.headers.get('content-type'), 'text/javascript; charset=utf-8');
    for (const path of [
      '/dist/%2e%2e/package.json',
      '/dist/..%2fpackage.json',
      '/package.json',
      '/vendor/commander/index.js',
      '/guest/module/1',
      '/dist',
    ]) {
      const refused = await fetch(base + path);
      assert.ok(refused.status === 404 || refused.status === 400, `${path} ${refused.status}`);
    }
    assert.equal((await fetch(`${base}/`, { method: 'POST' })).status, 405);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

test('paths that leave the folder are no paths', () => {
  assert.equal(requestPath('/a/b?x=/../'), '/a/b');
  for (const url of ['/../a', '/a/%2e%2e/b', '/a\\b', '/%00', '/%zz', 'a', '*'])
    assert.equal(requestPath(url), undefined, url);
});
