// Requests to `trapeze serve`: whatever comes in, it answers only with files that are public, and goes on answering.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { requestPath, startServer } from '../../dist/cli/serve.js';
import { text } from './mutate.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PUBLIC = ['dist', 'page', 'node_modules/@xterm/xterm', 'node_modules/@xterm/addon-fit'];
const ANSWER_MS = 2000;
const PATIENCE = 20;
const GUEST = {
  kernel: Uint8Array.of(1, 2, 3),
  kernelName: 'vmlinuz',
  modules: [{ data: Uint8Array.of(4), args: 'x', name: 'initrd' }],
  append: 'console=ttyS0',
  hasDefaultInit: false,
  title: 'test',
};
const GUEST_PATHS = ['/guest.json', '/guest/kernel', '/guest/module/0'];
const PATHS = ['/', '/index.html', '/dist/cli/serve.js', '/dist/runtime.wasm', '/vendor/@xterm/xterm/css/xterm.css'];
const PIECES = [
  ...[
    '/',
    '/dist',
    '/dist/',
    '/page',
    '/vendor/',
    '@xterm',
    '/xterm',
    '..',
    '%2e%2e',
    '%2f',
    '\\',
    '%5c',
    '%00',
    '%zz',
  ],
  ...[
    'package.json',
    '.js',
    '/etc/passwd',
    '?',
    '#',
    'http://',
    'localhost',
    '//',
    '.',
    ':',
    'serve',
    '%c0%ae',
    '\u0130',
  ],
];
const METHODS = ['GET', 'GET', 'GET', 'HEAD', 'POST', 'OPTIONS', 'PUT', 'CONNECT', 'TRACE', 'get', 'G\0T', ''];
const HEADERS = [
  ...['Host: x', 'Host:', 'Content-Length: 5', 'Content-Length: -1', 'Content-Length: 99999999999999999999'],
  ...[
    'Transfer-Encoding: chunked',
    'Connection: close',
    'Connection: upgrade',
    'Upgrade: websocket',
    'Expect: 100-continue',
  ],
  ...['Range: bytes=0-1', 'Range: bytes=-', 'X\0: y', `A: ${'b'.repeat(20_000)}`, ': z', 'Host: y\r\n folded'],
];

const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');

let state;
async function server() {
  if (state !== undefined) return state;
  const started = await startServer(GUEST, { host: '127.0.0.1', port: 0, memory: 64 * 2 ** 20 });
  started.unref();
  const bodies = new Set([digest(GUEST.kernel), digest(GUEST.modules[0].data)]);
  for (const folder of PUBLIC) {
    if (!existsSync(join(ROOT, folder))) continue;
    for (const name of readdirSync(join(ROOT, folder), { recursive: true })) {
      const path = join(ROOT, folder, name);
      if (statSync(path).isFile()) bodies.add(digest(readFileSync(path)));
    }
  }
  state = { port: started.address().port, bodies };
  const description = await send(state.port, 'GET /guest.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  bodies.add(digest(bodyOf(description)));
  return state;
}

/** All that is answered until the server has nothing more to say. */
function send(port, request) {
  return new Promise((resolve) => {
    const parts = [];
    const socket = connect(port, '127.0.0.1');
    const timer = setTimeout(() => socket.destroy(), ANSWER_MS);
    socket.on('data', (data) => {
      parts.push(data);
      // Keep-alive: nothing else was asked.
      const all = Buffer.concat(parts);
      if (bodyOf(all)?.length >= lengthOf(all)) socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(Buffer.concat(parts));
    });
    socket.end(request);
  });
}

const headOf = (answer) => answer.toString('latin1').split('\r\n\r\n')[0];
const lengthOf = (answer) => Number(/^content-length: (\d+)/im.exec(headOf(answer))?.[1] ?? Number.NaN);
function bodyOf(answer) {
  const at = answer.indexOf('\r\n\r\n');
  return at < 0 ? undefined : answer.subarray(at + 4);
}

function pathOf(random) {
  if (random(3) === 0) return [...PATHS, ...GUEST_PATHS][random(PATHS.length + GUEST_PATHS.length)];
  return text(random, [...PIECES, ...PATHS, ...GUEST_PATHS]);
}

export const SERVER_PARSERS = [
  {
    name: 'paths of requests',
    isText: true,
    input: pathOf,
    run: (url) => {
      const path = requestPath(url);
      if (path === undefined) return;
      if (!path.startsWith('/') || /\0|\\/.test(path) || path.split('/').includes('..'))
        throw new RangeError(`accepts ${path}`);
    },
  },
  {
    name: 'HTTP requests',
    slow: true,
    input: (random) => {
      const start = `${METHODS[random(METHODS.length)]} ${pathOf(random)} HTTP/${['1.1', '1.1', '1.0', '2.0', '9'][random(5)]}`;
      const headers = Array.from({ length: random(4) }, () => HEADERS[random(HEADERS.length)]);
      const request = Buffer.from([start, ...headers, '', text(random, ['a', '\r\n', '0', '5\r\n'])].join('\r\n'));
      for (let count = random(3) === 0 ? random(8) : 0; count > 0; count--)
        request[random(request.length)] = random(256);
      return request;
    },
    run: async (request) => {
      const { port, bodies } = await server();
      const answer = await send(port, request);
      const body = bodyOf(answer);
      if (/^HTTP\/1\.1 200/.test(headOf(answer)) && body.length > 0 && body.length === lengthOf(answer)) {
        if (!bodies.has(digest(body))) throw new RangeError(`gave away: ${body.subarray(0, 80)}`);
        if (!/cross-origin-embedder-policy/i.test(headOf(answer))) throw new RangeError('an answer without isolation');
      }
      const again = 'GET /guest/kernel HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
      let next = Buffer.alloc(0);
      // This host may be busy, or have stood still: the server gets more than one chance.
      for (let n = 0; n < PATIENCE && next.length === 0; n++) next = await send(port, again);
      if (!/^HTTP\/1\.1 200/.test(headOf(next))) {
        throw new RangeError(`no answer to the next request: ${headOf(next)}`);
      }
    },
  },
];
