// 32-bit code with flat segments follows links between pages: calls, returns and indirect jumps need no look-up each time, and
// go where the page is mapped now.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineMachine } from './engine.mjs';
import { DATA, START, WINDOW_SIZE } from './machine.mjs';

const PAGE = 4096;
const TURNS = 5000;
/** Distances from START: two functions in the next page. */
const [FIRST, SECOND] = [PAGE - 0x100, PAGE - 0x80];
/** Where engine.mjs has the entry of the second page of code, and a page it knows nothing of. */
const CODE_PTE = 0x4008;
const OTHER_GPA = 0x240000;
const USER_WRITABLE = 7;

/** Calls the first function, and the second by way of EDX, ECX times. */
function program() {
  const code = new Uint8Array(SECOND + 16).fill(0xcc);
  code.set([0xe8, ...le32(FIRST - 5), 0xff, 0xd2, 0x49, 0x75, 0xf6, 0xcc], 0); // call; call edx; dec ecx; jnz; int3
  code.set([0x83, 0xc3, 0x01, 0xc3], FIRST); // add ebx, 1; ret
  code.set([0x83, 0xc6, 0x01, 0xc3], SECOND); // add esi, 1; ret
  return code;
}
function le32(n) {
  return [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24];
}

function run(machine) {
  const gpr = Array.from({ length: 16 }, () => 0n);
  gpr[1] = BigInt(TURNS);
  gpr[2] = BigInt(START + SECOND);
  gpr[4] = BigInt(DATA + 512);
  machine.set({ gpr, flags: 0n, window: new Uint8Array(WINDOW_SIZE) }, 32, program());
  const before = machine.vcpu.statistics().dispatch.lookups;
  const { trap, gpr: after } = machine.run();
  assert.equal(trap, 3);
  assert.equal(after[4], BigInt(DATA + 512));
  return { counts: [after[3], after[6]], lookups: machine.vcpu.statistics().dispatch.lookups - before };
}

for (const hotThreshold of [0, 1]) {
  test(`32-bit calls into another page, translated after ${hotThreshold}`, () => {
    const machine = new EngineMachine(hotThreshold);
    run(machine);
    const { counts, lookups } = run(machine);
    assert.deepEqual(counts, [BigInt(TURNS), BigInt(TURNS)]);
    assert.ok(lookups < TURNS / 10, `${lookups} look-ups`);

    // The same page elsewhere, with functions that add more.
    const { bytes, ram } = machine;
    const gpa = Number(ram.getBigUint64(CODE_PTE, true) & ~0xfffn);
    bytes.copyWithin(OTHER_GPA, gpa, gpa + PAGE);
    const place = (offset) => OTHER_GPA + ((START + offset) % PAGE) + 2;
    bytes[place(FIRST)] = 3;
    bytes[place(SECOND)] = 5;
    ram.setBigUint64(CODE_PTE, BigInt(OTHER_GPA | USER_WRITABLE), true);
    for (let n = 0; n < 2; n++) assert.deepEqual(run(machine).counts, [BigInt(3 * TURNS), BigInt(5 * TURNS)]);
  });
}
