/** The vCPU thread on Node: the engine's code for V8 and V8's flags, before anything is loaded that runs a guest. */
import { readFile } from 'node:fs/promises';
import { setFlagsFromString } from 'node:v8';

// V8 compiles a WebAssembly function at its first call. Regions are made because they run: compiled with their module they
// start at once, which docs/benchmarks.md found worth a quarter of the CPU time of process and file work.
setFlagsFromString('--no-wasm-lazy-compilation');
// Regions say which way their TLB checks go; the optimizing compiler then lays out what is rare out of line, worth a third
// of the time of file work.
setFlagsFromString('--experimental-wasm-branch-hinting');

// Which regions are worth the optimizing compiler is ours to say (src/engine/dbt/optimizer.ts). Where it is not, all are, as soon
// as the baseline code is there: waiting for turns in baseline code saves a sixth of that compiler's time, and the guest loses as much.
setFlagsFromString('--no-wasm-dynamic-tiering');

// From V8 14 on there is another proposal of that name, which says less.
const v8 = Number.parseInt(process.versions.v8, 10);
const choosesTiers = v8 < 14;
if (choosesTiers) setFlagsFromString('--experimental-wasm-compilation-hints');

// The optimizing compiler takes an eighth less time without these, and regions run as fast.
setFlagsFromString('--no-wasm-loop-unrolling');
setFlagsFromString('--no-wasm-loop-peeling');
// Collections of these small heaps take less time than waking other threads for them.
setFlagsFromString('--no-parallel-scavenge');

/** The handlers of the interpreter, as tools/build.mjs has written them; undefined where it has not. */
async function compileHandlers(): Promise<WebAssembly.Module | undefined> {
  const code = await readFile(new URL('./handlers.wasm', import.meta.url)).catch(() => undefined);
  if (code === undefined) return undefined;
  // The optimizing compiler takes a tenth of a second for them, in other threads while this one loads its modules; they then run
  // a guest's first instructions three times as fast. What other threads compile in this moment comes late and fast, too.
  setFlagsFromString('--no-liftoff');
  try {
    // From Node 24 (V8 13) on a thread ends that only waits for V8's compilers; from Node 26 (V8 14) on of eight threads that wait
    // for them at once all may wait for ever.
    return v8 < 13 ? await WebAssembly.compile(code) : new WebAssembly.Module(code);
  } finally {
    setFlagsFromString('--liftoff');
  }
}

const [handlers, { serve }] = await Promise.all([compileHandlers(), import('./node-vcpu-worker.js')]);
serve(handlers, choosesTiers);
