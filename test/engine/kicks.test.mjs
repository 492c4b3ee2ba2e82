// Signals that end KVM_RUN, where they are most easily lost: between the vCPU thread's last look and its way into the kernel.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createLeaseBuffer, Lease } from '../../dist/engine/kvm/lease.js';
import { loadSystem } from '../../dist/engine/kvm/node/libc.js';
import { kvm } from './engines.mjs';
import { initialState } from './guest.mjs';

const skip = kvm.usable ? false : kvm.problem;
const KICKS = 2000;
const SLICES = 2000;
/** Longer than a busy host makes anybody wait. */
const LOST_MS = 20_000;

/** A thread whose guest loops (jmp $), slice by slice; it counts how often KVM_RUN has ended. */
const LOOP = `
  const { workerData, parentPort } = require('node:worker_threads');
  (async () => {
    const { KvmEngine } = await import(workerData.root + 'engine/kvm/engine.js');
    const { loadSystem } = await import(workerData.root + 'engine/kvm/node/libc.js');
    const { lease, ended, state, sliceNs } = workerData;
    const memory = new WebAssembly.Memory({ initial: 8, maximum: 8, shared: true });
    new Uint8Array(memory.buffer).set([0xeb, 0xfe], 0x7c00);
    const options = { system: loadSystem(), now: () => performance.now() * 1e6, lease };
    const vcpu = new KvmEngine(memory, 0, 8 * 65536, options).createVcpu(0);
    vcpu.load(state);
    parentPort.postMessage('runs');
    for (;;) {
      vcpu.run({ answer: 0n, vector: undefined, requestInterruptWindow: false, sliceNs });
      Atomics.add(ended, 0, 1);
      Atomics.notify(ended, 0);
    }
  })();`;

async function looping(sliceNs, use) {
  const state = initialState('real');
  const ended = new Int32Array(new SharedArrayBuffer(4));
  const buffer = createLeaseBuffer();
  const worker = new Worker(LOOP, {
    eval: true,
    workerData: {
      lease: buffer,
      ended,
      sliceNs,
      state: { ...state, rip: 0x7c00n, segments: state.segments.map((s) => ({ ...s, base: 0n, selector: 0 })) },
      root: new URL('../../dist/', import.meta.url).href,
    },
  });
  const lease = new Lease(loadSystem(), buffer);
  try {
    await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    use(ended, lease);
  } finally {
    const gone = worker.terminate();
    // More than one: a test that has failed may fail here too.
    const kicks = setInterval(() => lease.kick(), 10);
    lease.kick();
    await gone;
    clearInterval(kicks);
    lease.release();
  }
}

test('each of many short slices of a guest that loops ends', { skip, timeout: 120_000 }, async () => {
  await looping(1, (ended) => {
    for (let before = 0; before < SLICES; before = Atomics.load(ended, 0)) {
      assert.notEqual(Atomics.wait(ended, 0, before, LOST_MS), 'timed-out', `slice ${before} does not end`);
    }
  });
});

test('no kick is lost, however long the slice', { skip, timeout: 120_000 }, async () => {
  await looping(1e12, (ended, lease) => {
    for (let n = 0; n < KICKS; n++) {
      // Right behind an end the thread is on its way back into KVM_RUN.
      const before = Atomics.load(ended, 0);
      lease.kick();
      assert.notEqual(Atomics.wait(ended, 0, before, LOST_MS), 'timed-out', `kick ${n} is lost`);
    }
  });
});
