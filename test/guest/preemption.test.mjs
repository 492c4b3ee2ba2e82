// Loops of a guest that never leave translated code by themselves must still end when the host says so: every way from one
// piece of translated code to the next looks at requests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Machine } from '../../dist/node.js';
import { bzImage, ENTRY_64 } from './small-kernels.mjs';

const SET_STACK = '488d25f90f0000'; // lea rsp, [rip + 0xff9]: 0x1000 behind the entry
const PROGRAMS = {
  'a jump to itself': { [ENTRY_64]: 'ebfe' },
  'a call of a register, and its return': {
    // lea rbx, [rip + 4]; call rbx; jmp -4; ret
    [ENTRY_64]: `${SET_STACK}488d1d04000000ffd3ebfcc3`,
  },
  'a call into another page, and its return': {
    // call +0x1000; jmp -7
    [ENTRY_64]: `${SET_STACK}e8fb0f0000ebf9`,
    [ENTRY_64 + 7 + 0x1000]: 'c3',
  },
  'jumps between two pages': { [ENTRY_64]: 'e9fb0f0000', [ENTRY_64 + 0x1000]: 'e9fbefffff' },
  'an indirect jump to itself': {
    // lea rbx, [rip]; jmp rbx
    [ENTRY_64]: '488d1d00000000ffe3',
  },
  'returns to themselves': {
    // lea rbx, [rip + 0]; push rbx; ret
    [ENTRY_64]: `${SET_STACK}488d1d0000000053c3`,
  },
  'a loop of one page': {
    // xor eax, eax; dec rax; jnz -5
    [ENTRY_64]: '31c048ffc875fb',
  },
};

for (const [name, pieces] of Object.entries(PROGRAMS)) {
  test(`the host ends ${name}`, { timeout: 60_000 }, async () => {
    const payload = new Uint8Array(0x4000);
    for (const [at, code] of Object.entries(pieces)) payload.set(Buffer.from(code, 'hex'), Number(at));
    const kernel = bzImage(payload);
    const machine = new Machine({ engine: 'dbt', kernel, memoryBytes: 64 << 20, noReboot: true, timeoutMs: 1500 });
    const began = performance.now();
    const result = await machine.run();
    assert.equal(result.reason, 'timeout');
    // A vCPU that had to be terminated has no state to show.
    assert.notEqual(result.cpu?.rip, undefined);
    assert.ok(performance.now() - began < 20_000);
  });
}
