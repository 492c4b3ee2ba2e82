/** Trapeze in a browser page: `import { Machine } from 'trapeze'`, with the same API as on Node. */
import { TrapezeError } from './base/errors.js';
import type { MachineOptions } from './machine/machine.js';
import { MachineClient, type ThreadHost, type VcpuThread } from './machine/machine-client.js';
import type { StartMessage, WorkerMessage } from './machine/protocol.js';

export * from './base/errors.js';
export type { CpuState } from './engine/engine.js';
export type { BootModule } from './machine/boot/boot.js';
export type {
  EndReason,
  LoadOptions,
  MachineEvents,
  MachineOptions,
  MachineResult,
  Statistics,
} from './machine/machine.js';

/** What a page's server has to send with the page and with every file of this package. */
export const ISOLATION_HEADERS = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
} as const;

/** The smallest module with a tail call, `(func return_call 0)`: the newest WebAssembly feature that is used. */
const TAIL_CALL = Uint8Array.of(
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x04, 0x01, 0x60, 0x00, 0x00],
  ...[0x03, 0x02, 0x01, 0x00],
  ...[0x0a, 0x06, 0x01, 0x04, 0x00, 0x12, 0x00, 0x0b],
);

const RUNTIME_URL = new URL('./runtime.wasm', import.meta.url);

let runtime: Promise<WebAssembly.Module> | undefined;

/** One compilation for all machines of the page; a failed one is tried again by the next machine. */
function loadRuntime(): Promise<WebAssembly.Module> {
  runtime ??= compileRuntime().catch((error: unknown) => {
    runtime = undefined;
    throw error;
  });
  return runtime;
}

async function compileRuntime(): Promise<WebAssembly.Module> {
  const response = await fetch(RUNTIME_URL).catch((cause: unknown) => {
    throw new TrapezeError(
      'host-file',
      `${RUNTIME_URL.pathname} cannot be fetched; is its server running?`,
      undefined,
      {
        cause,
      },
    );
  });
  if (!response.ok) {
    throw new TrapezeError(
      'host-file',
      `the server answers ${response.status} for ${RUNTIME_URL.pathname}; serve it beside the package's modules`,
    );
  }
  try {
    // Not compileStreaming: that needs the server to know the type application/wasm.
    return await WebAssembly.compile(await response.arrayBuffer());
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new TrapezeError(
      'host-unsupported',
      `this browser cannot compile the translator (${reason}); use a newer one`,
      undefined,
      {
        cause,
      },
    );
  }
}

function spawn(): VcpuThread {
  const failures: ((error: Error) => void)[] = [];
  const fail = (message: string): void => {
    for (const listener of failures) listener(new Error(message));
  };
  const worker = new Worker(new URL('./browser-worker.js', import.meta.url), {
    type: 'module',
    name: 'trapeze vCPU 0',
  });
  worker.addEventListener('error', (event) => {
    event.preventDefault();
    fail(failure(event));
  });
  worker.addEventListener('messageerror', () => fail('a message of the vCPU thread was unreadable'));
  return {
    post: (message: StartMessage) => worker.postMessage(message),
    onMessage: (listener: (message: WorkerMessage) => void) =>
      worker.addEventListener('message', (event: MessageEvent<WorkerMessage>) => listener(event.data)),
    onFailure: (listener) => void failures.push(listener),
    // A terminated Worker says nothing, unlike a thread of Node; a run that waits for it has to learn.
    terminate: () => {
      worker.terminate();
      fail('the vCPU thread was terminated');
    },
  };
}

/** A script that could not be loaded comes as a bare event without a message. */
function failure(event: Event | ErrorEvent): string {
  if ('message' in event && event.message !== '') return event.message;
  return "browser-worker.js or a module it imports could not be loaded; serve the package's files with the isolation headers";
}

const host: ThreadHost = { spawn, runtime: loadRuntime };

/** Throws `host-unsupported` when this page cannot run guests, with the remedy. Every Machine asks it first. */
export function checkHost(): void {
  if (!globalThis.isSecureContext) {
    throw new TrapezeError(
      'host-unsupported',
      'this page came over an insecure connection and so gets no shared memory; serve it over https or from localhost',
    );
  }
  if (!globalThis.crossOriginIsolated || typeof SharedArrayBuffer === 'undefined') {
    const headers = Object.entries(ISOLATION_HEADERS).map(([name, value]) => `"${name}: ${value}"`);
    throw new TrapezeError(
      'host-unsupported',
      `this page is not cross-origin isolated and so gets no shared memory; serve it with the headers ${headers.join(' and ')}`,
    );
  }
  if (typeof WebAssembly === 'undefined' || !WebAssembly.validate(TAIL_CALL)) {
    throw new TrapezeError('host-unsupported', 'this browser has no WebAssembly with tail calls; use a newer one');
  }
}

function checkedHost(): ThreadHost {
  checkHost();
  return host;
}

export class Machine extends MachineClient {
  constructor(options: MachineOptions) {
    super(options, checkedHost());
  }
}
