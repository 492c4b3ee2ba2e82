// An instruction that begins in one page and ends in another that lies elsewhere in physical memory: a change of either part
// takes effect.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineMachine } from './engine.mjs';
import { CODE, START, WINDOW_SIZE } from './machine.mjs';

const PAGE = 4096;
const CODE_GPA = 0x200000;
const SECOND_GPA = 0x280000;
/** Where engine.mjs has the second page's entry. */
const SECOND_PTE = 0x4008;
/** mov eax, imm32, of which two bytes lie in the second page, and the INT3 that ends the run. */
const MOVE = [0xb8, 0x11, 0x22, 0x33, 0x44, 0xcc];
const IN_FIRST = 3;

function jumpTo(address) {
  const code = new DataView(new ArrayBuffer(5));
  code.setUint8(0, 0xe9);
  code.setInt32(1, address - (START + 5), true);
  return new Uint8Array(code.buffer);
}

/** What the instruction leaves in EAX, before and after the byte at `gpa` becomes `value`. */
function change(gpa, value) {
  const machine = new EngineMachine(0);
  const { vcpu } = machine;
  let start;
  const load = vcpu.load.bind(vcpu);
  vcpu.load = (state) => {
    start = state;
  };
  const state = { gpr: new Array(16).fill(0n), flags: 0n, window: new Uint8Array(WINDOW_SIZE) };
  machine.set(state, 64, jumpTo(CODE + PAGE - IN_FIRST));
  machine.ram.setBigUint64(SECOND_PTE, BigInt(SECOND_GPA | 7), true);
  machine.bytes.set(MOVE.slice(0, IN_FIRST), CODE_GPA + PAGE - IN_FIRST);
  machine.bytes.set(MOVE.slice(IN_FIRST), SECOND_GPA);
  const run = () => {
    load(start);
    return Number(machine.run().gpr[0]);
  };
  const before = run();
  machine.bytes[gpa] = value;
  vcpu.written(gpa, 1);
  return [before, run()];
}

test('a change of the first page of an instruction', () => {
  assert.deepEqual(change(CODE_GPA + PAGE - 1, 0x99), [0x44332211, 0x44339911]);
});

test('a change of the second page of an instruction', () => {
  assert.deepEqual(change(SECOND_GPA, 0x99), [0x44332211, 0x44992211]);
});
