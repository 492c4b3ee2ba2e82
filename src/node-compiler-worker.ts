/** The thread that compiles regions, on Node. */
import { type MessagePort, workerData } from 'node:worker_threads';
import { serveRequests } from './engine/dbt/compiler-thread.js';
import type { TranslationRequest } from './engine/dbt/translation.js';

export interface CompilerWorkerData {
  readonly memory: WebAssembly.Memory;
  readonly answers: Int32Array;
  readonly port: MessagePort;
}

const { memory, answers, port } = workerData as CompilerWorkerData;
const serve = serveRequests(memory, answers, (answer) => port.postMessage(answer));
port.on('message', (request: TranslationRequest) => serve(request));
