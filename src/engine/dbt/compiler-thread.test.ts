import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as S from '../../x86/state.js';
import { type CompilerAnswer, CompilerThread, SIGNS, serveRequests } from './compiler-thread.js';
import { createVmMemory } from './engine.js';
import type { OptimizedRegions, TranslationBatch, TranslationRequest } from './translation.js';

const KEY = S.KEY_CODE64 | S.KEY_FLAT | S.KEY_PROTECTED;
/** dec rax; jnz -5 */
const LOOP = [0x48, 0xff, 0xc8, 0x75, 0xfb];
const GPA = 0x1000;

function request(): TranslationRequest {
  return {
    epoch: 0,
    hot: [{ gpa: GPA, key: KEY, isLoop: false, replaces: undefined }],
    threshold: 1,
    warm: 1,
    room: { at: S.BLOCKS, bytes: 65536 },
  };
}

function memoryWithLoop(): WebAssembly.Memory {
  const memory = createVmMemory(1 << 20);
  new Uint8Array(memory.buffer).set(LOOP, S.RAM + GPA);
  return memory;
}

const regionsOf = (taken: TranslationBatch | OptimizedRegions | undefined): number | undefined =>
  taken !== undefined && 'regions' in taken ? taken.regions.length : undefined;

/** Asked as often as a vCPU asks that runs for a moment. */
function askLong(thread: CompilerThread): boolean {
  for (let n = 0; n < 1000; n++) if (thread.isReady) return true;
  return false;
}

test('answers are told by a count and a request to leave', () => {
  const memory = memoryWithLoop();
  const sent: CompilerAnswer[] = [];
  const signs = new Int32Array(new SharedArrayBuffer(4 * SIGNS));
  const serve = serveRequests(memory, { signs, send: (answer) => void sent.push(answer), choosesTiers: false });
  const thread = new CompilerThread(memory, { signs, post: () => {}, receive: () => sent.shift(), end: () => {} });
  thread.submit(request());
  assert.equal(askLong(thread), false);
  serve(request());
  assert.equal(new Int32Array(memory.buffer)[(S.CPU_BASE + S.EXIT_REQUEST) >> 2], S.EXIT_REQUESTED);
  assert.equal(thread.isReady, true);
  assert.equal(regionsOf(thread.take()), 1);
  assert.equal(thread.take(), undefined);
});

test('what the compiler throws is thrown where its answer is taken', () => {
  const memory = memoryWithLoop();
  const signs = new Int32Array(new SharedArrayBuffer(4 * SIGNS));
  const error = new RangeError('no room for the module');
  const thread = new CompilerThread(memory, { signs, post: () => {}, receive: () => ({ error }), end: () => {} });
  thread.submit(request());
  signs[0] = 1;
  assert.throws(() => thread.take(), error);
});

test('a thread that does not answer is given up: the vCPU thread compiles', () => {
  const memory = memoryWithLoop();
  let ms = 0;
  let ended = 0;
  let posted = 0;
  const link = {
    signs: new Int32Array(new SharedArrayBuffer(4 * SIGNS)),
    post: () => void posted++,
    receive: () => undefined,
    end: () => void ended++,
  };
  const thread = new CompilerThread(memory, link, () => ms);
  thread.submit(request());
  ms = 5000;
  assert.equal(askLong(thread), false);
  assert.equal(ended, 0);
  ms = 15_000;
  assert.equal(askLong(thread), true);
  assert.equal(ended, 1);
  assert.equal(regionsOf(thread.take()), 1);
  assert.equal(thread.isReady, false);
  thread.submit(request());
  assert.equal(regionsOf(thread.take()), 1);
  assert.equal(posted, 1);
});
