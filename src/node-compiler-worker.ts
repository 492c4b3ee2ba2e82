/** The thread that compiles regions, on Node. */
import { getHeapStatistics } from 'node:v8';
import { type MessagePort, workerData } from 'node:worker_threads';
import { collectGarbage } from './base/node/garbage.js';
import { serveRequests } from './engine/dbt/compiler-thread.js';
import type { TranslationRequest } from './engine/dbt/translation.js';

export interface CompilerWorkerData {
  readonly memory: WebAssembly.Memory;
  readonly answers: Int32Array;
  readonly port: MessagePort;
}

/** What was made for an answer is garbage when it is sent. V8 would let more of it gather than the thread needs. */
const GARBAGE_BYTES = 2 << 20;

let limit = getHeapStatistics().used_heap_size + GARBAGE_BYTES;

function tidy(): void {
  if (getHeapStatistics().used_heap_size < limit) return;
  collectGarbage();
  limit = getHeapStatistics().used_heap_size + GARBAGE_BYTES;
}

const { memory, answers, port } = workerData as CompilerWorkerData;
const serve = serveRequests(memory, answers, (answer) => port.postMessage(answer));
port.on('message', (request: TranslationRequest) => {
  serve(request);
  tidy();
});
