/** The thread that compiles regions, on Node. */
import { getHeapStatistics } from 'node:v8';
import { type MessagePort, workerData } from 'node:worker_threads';
import { collectGarbage } from './base/node/garbage.js';
import { Loading } from './base/node/loading.js';
import { type CompilerMessage, serveRequests } from './engine/dbt/compiler-thread.js';
import { KnownBlocks } from './engine/dbt/known-blocks.js';
import { ArchiveFile } from './engine/dbt/node/archive-file.js';

export interface CompilerWorkerData {
  readonly memory: WebAssembly.Memory;
  readonly signs: Int32Array;
  readonly port: MessagePort;
  readonly choosesTiers: boolean;
  readonly loading: Int32Array<SharedArrayBuffer>;
  /** Where translations are kept, and what the vCPU thread is told of them. */
  readonly archive: { readonly path: string; readonly known: SharedArrayBuffer } | undefined;
}

/**
 * What was made for an answer is garbage when it is sent. V8 would let more of it gather than the thread needs. Most of it dies in
 * the young generation; more than that is collected in steps, and all when nothing is asked for a moment.
 */
const GARBAGE_BYTES = 12 << 20;
const IDLE_MS = 100;

let kept = getHeapStatistics().used_heap_size;
let idle: NodeJS.Timeout | undefined;

function collect(): void {
  collectGarbage();
  kept = getHeapStatistics().used_heap_size;
}

function tidy(): void {
  if (getHeapStatistics().used_heap_size - kept > GARBAGE_BYTES) collect();
  idle ??= setTimeout(collect, IDLE_MS).unref();
  idle.refresh();
}

/** Absent where the file cannot be had: translations are not kept then. */
function openArchive(): ArchiveFile | undefined {
  if (archive === undefined) return undefined;
  try {
    return new ArchiveFile(archive.path, new KnownBlocks(archive.known));
  } catch {
    return undefined;
  }
}

const { memory, signs, port, loading, archive, choosesTiers } = workerData as CompilerWorkerData;
new Loading(loading).end();
const serve = serveRequests(memory, {
  signs,
  send: (answer) => port.postMessage(answer),
  archive: openArchive(),
  choosesTiers,
});
port.on('message', (message: CompilerMessage) => {
  serve(message);
  tidy();
});
