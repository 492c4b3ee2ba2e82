/**
 * `trapeze serve`: the page, the built modules it imports, and the guest's files, over HTTP on this machine. The headers
 * make the page cross-origin isolated, without which a browser has no shared memory.
 *
 *   /               page/index.html and its siblings
 *   /dist/...       the built modules and the runtime
 *   /vendor/...     the terminal emulator's files from node_modules
 *   /guest.json     what to boot; /guest/kernel and /guest/module/N are its bytes
 */
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { dirname, extname, join, normalize, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HostFileError } from '../base/errors.js';
import { type Guest, type GuestOptions, openGuest } from './guest.js';
import type { CommandHost } from './product.js';

export interface ServeOptions extends GuestOptions {
  readonly host: string;
  readonly port: number;
  readonly memory: number;
}

/** `/guest.json`. */
export interface GuestDescription {
  readonly title: string;
  readonly kernelName: string;
  readonly append: string;
  readonly memoryBytes: number;
  readonly hasDefaultInit: boolean;
  /** URLs of the bytes. */
  readonly kernel: string;
  readonly modules: readonly { readonly url: string; readonly args: string; readonly name: string }[];
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

const HEADERS: Readonly<Record<string, string>> = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'no-cache',
};

export async function serve(options: ServeOptions, host: CommandHost): Promise<number> {
  const guest = await openGuest(options, host);
  const server = await startServer(guest, options);
  const { address, port, family } = server.address() as AddressInfo;
  host.output.write(`http://${family === 'IPv6' ? `[${address}]` : address}:${port}/\n`);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, resolve);
  });
  server.close();
  server.closeAllConnections();
  return 0;
}

/** Resolves once it listens. */
export async function startServer(guest: Guest, options: Omit<ServeOptions, keyof GuestOptions>): Promise<Server> {
  const routes = guestRoutes(guest, options.memory);
  const server = createServer((request, response) => {
    answer(request, response, routes).catch(() => {
      if (!response.headersSent) response.writeHead(500, HEADERS);
      response.end();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const where = `${options.host}:${options.port}`;
      reject(
        new HostFileError(`cannot listen on ${where} (${cause.message}); choose others with --host and --port`, {
          cause,
        }),
      );
    });
    server.listen(options.port, options.host, resolve);
  });
  return server;
}

type Routes = ReadonlyMap<string, { readonly type: string; readonly body: Uint8Array }>;

function guestRoutes(guest: Guest, memoryBytes: number): Routes {
  const bytes = 'application/octet-stream';
  const description: GuestDescription = {
    title: guest.title,
    kernelName: guest.kernelName,
    append: guest.append,
    memoryBytes,
    hasDefaultInit: guest.hasDefaultInit,
    kernel: '/guest/kernel',
    modules: guest.modules.map((module, index) => ({
      url: `/guest/module/${index}`,
      args: module.args,
      name: module.name ?? '',
    })),
  };
  const routes = new Map([
    ['/guest.json', { type: 'application/json', body: new TextEncoder().encode(JSON.stringify(description)) }],
    ['/guest/kernel', { type: bytes, body: guest.kernel }],
  ]);
  guest.modules.forEach((module, index) => {
    routes.set(`/guest/module/${index}`, { type: bytes, body: module.data });
  });
  return routes;
}

async function answer(request: IncomingMessage, response: ServerResponse, routes: Routes): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(response, 405);
  const path = requestPath(request.url ?? '/');
  if (path === undefined) return refuse(response, 400);
  const route = routes.get(path) ?? (await fileAt(path));
  if (route === undefined) return refuse(response, 404);
  response.writeHead(200, { ...HEADERS, 'Content-Type': route.type, 'Content-Length': route.body.length });
  response.end(request.method === 'HEAD' ? undefined : route.body);
}

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status, { ...HEADERS, 'Content-Type': 'text/plain' });
  response.end(`${status}\n`);
}

/** The decoded path, absolute and without "..": undefined for what no honest client sends. */
export function requestPath(url: string): string | undefined {
  try {
    const path = decodeURIComponent(url.split('?')[0]);
    if (!path.startsWith('/') || path.includes('\0') || path.includes('\\')) return undefined;
    return path.split('/').includes('..') ? undefined : path;
  } catch {
    return undefined;
  }
}

async function fileAt(path: string): Promise<{ type: string; body: Uint8Array } | undefined> {
  const file = path.startsWith('/vendor/') ? vendorFile(path) : publicFile(path);
  const type = file === undefined ? undefined : TYPES[extname(file)];
  if (file === undefined || type === undefined) return undefined;
  const body = await readFile(file).catch(() => undefined);
  return body === undefined ? undefined : { type, body };
}

/** Only these folders of the package are public. */
function publicFile(path: string): string | undefined {
  const [folder, rest] = path.startsWith('/dist/') ? ['dist', path.slice('/dist/'.length)] : ['page', path.slice(1)];
  const base = join(ROOT, folder) + sep;
  const file = normalize(join(base, rest === '' ? 'index.html' : rest));
  return file.startsWith(base) ? file : undefined;
}

/** `/vendor/<package>/<path>` of the few packages the page uses. */
const VENDOR_PACKAGES: ReadonlySet<string> = new Set(['@xterm/xterm', '@xterm/addon-fit']);

function vendorFile(path: string): string | undefined {
  const [scope, name, ...rest] = path.slice('/vendor/'.length).split('/');
  const packageName = `${scope}/${name}`;
  if (!VENDOR_PACKAGES.has(packageName)) return undefined;
  try {
    const base = dirname(createRequire(import.meta.url).resolve(`${packageName}/package.json`)) + sep;
    const file = normalize(join(base, ...rest));
    return file.startsWith(base) ? file : undefined;
  } catch {
    return undefined;
  }
}
