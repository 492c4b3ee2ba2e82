// Calls by way of a procedure linkage table: the stub follows its word of the global offset table, whatever the guest writes there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineMachine } from './engine.mjs';
import { DATA, START, WINDOW, WINDOW_SIZE } from './machine.mjs';

const PAGE = 4096;
/** Distances from START: the stub in the next page, the functions it leads to in both. */
const STUB = PAGE - 0x100;
const [FIRST, SECOND] = [0x80, PAGE - 0x80];
const ENDBR = [0xf3, 0x0f, 0x1e, 0xfa];
const TURNS = 12;
/** Where engine.mjs has the entries of the two pages of data. */
const DATA_PTE = 0x5000;
const [PF, GP, BP] = [14, 13, 3];

const le32 = (n) => [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24];

/** Calls the stub ECX times; RDI leads to the word, which gets R8 and R9 by turns. */
function program(begin, prefix) {
  const code = new Uint8Array(SECOND + 8).fill(0xcc);
  const loop = [
    ...[0xe8, ...le32(STUB - 5)], // call STUB
    ...[0x4d, 0x87, 0xc1], // xchg r9, r8
    ...[0x4c, 0x89, 0x07], // mov [rdi], r8
    ...[0xff, 0xc9], // dec ecx
  ];
  code.set([...loop, 0x75, 256 - loop.length - 2, 0xcc]); // jnz START; int3
  const jump = STUB + begin.length;
  const next = START + jump + prefix.length + 6;
  code.set([...begin, ...prefix, 0xff, 0x25, ...le32(WINDOW - next)], STUB);
  code.set([0x48, 0xff, 0xc0, 0xc3], FIRST); // inc rax; ret
  code.set([0x48, 0xff, 0xc3, 0xc3], SECOND); // inc rbx; ret
  return code;
}

function machineFor(hotThreshold, { begin = ENDBR, prefix = [], targets = [FIRST, SECOND] }) {
  const machine = new EngineMachine(hotThreshold);
  const gpr = new Array(16).fill(0n);
  gpr[1] = BigInt(TURNS);
  gpr[4] = BigInt(DATA + 512);
  gpr[7] = BigInt(WINDOW);
  const [first, second] = targets.map((t) => (typeof t === 'bigint' ? t : BigInt(START + t)));
  gpr[8] = first;
  gpr[9] = second;
  const window = new Uint8Array(WINDOW_SIZE);
  new DataView(window.buffer).setBigUint64(0, first, true);
  machine.set({ gpr, flags: 0n, window }, 64, program(begin, prefix));
  return machine;
}

for (const [name, form] of Object.entries({
  'a jump': { begin: [] },
  'ENDBR64 and a jump': {},
  'ENDBR64 and a jump with a prefix': { prefix: [0xf2] },
})) {
  test(`${name} whose word changes, or not`, () => {
    for (const hotThreshold of [0, 1, 4]) {
      const changing = machineFor(hotThreshold, form).run();
      assert.deepEqual([changing.trap, changing.gpr[0], changing.gpr[3]], [BP, BigInt(TURNS / 2), BigInt(TURNS / 2)]);
      const steady = machineFor(hotThreshold, { ...form, targets: [SECOND, SECOND] }).run();
      assert.deepEqual([steady.trap, steady.gpr[0], steady.gpr[3]], [BP, 0n, BigInt(TURNS)]);
      assert.equal(steady.gpr[4], BigInt(DATA + 512));
    }
  });
}

test('a stub whose word leads nowhere faults there', () => {
  for (const hotThreshold of [0, 1]) {
    const { trap, rip, error, gpr } = machineFor(hotThreshold, { targets: [FIRST, 1n << 60n] }).run();
    assert.deepEqual([trap, rip, error, gpr[0]], [GP, 1n << 60n, 0, 1n]);
  }
});

test('a stub whose word is not mapped faults at its jump', () => {
  for (const hotThreshold of [0, 1]) {
    const machine = machineFor(hotThreshold, {});
    machine.ram.setBigUint64(DATA_PTE, 0n, true);
    const { trap, rip, error } = machine.run();
    // The stack lies in the page as well.
    assert.deepEqual([trap, rip, error], [PF, BigInt(START), 6]);
    const other = machineFor(hotThreshold, {});
    other.ram.setBigUint64(DATA_PTE, 0n, true);
    const state = other.vcpu.save();
    state.gpr[4] = BigInt(DATA + PAGE + 512);
    other.vcpu.load(state);
    const there = other.run();
    assert.deepEqual([there.trap, there.rip, there.error], [PF, BigInt(START + STUB + ENDBR.length), 4]);
  }
});

test('steps through a stub whose link has been made', () => {
  const entry = { answer: 0n, vector: undefined, requestInterruptWindow: false, sliceNs: 1e6 };
  for (const hotThreshold of [0, 1]) {
    const machine = machineFor(hotThreshold, { targets: [FIRST, FIRST] });
    const { vcpu } = machine;
    const begin = vcpu.save();
    machine.run();
    vcpu.load(begin);
    const places = [];
    for (let n = 0; n < 6; n++) {
      assert.equal(vcpu.stepOne(entry).kind, 'preempted');
      places.push(Number(vcpu.save().rip) - START);
    }
    assert.deepEqual(places, [STUB, STUB + ENDBR.length, FIRST, FIRST + 3, 5, 8]);
  }
});

test('calls by way of a stub look nothing up while its word stays', () => {
  const entry = { answer: 0n, vector: undefined, requestInterruptWindow: false, sliceNs: 1e6 };
  const machine = machineFor(0, { targets: [SECOND, SECOND] });
  const { vcpu } = machine;
  const state = vcpu.save();
  state.gpr[1] = 0xffffffffn;
  vcpu.load(state);
  vcpu.run(entry);
  const before = vcpu.statistics();
  assert.equal(vcpu.run(entry).kind, 'preempted');
  const after = vcpu.statistics();
  assert.ok(Number(vcpu.save().gpr[3]) > 1000);
  assert.ok(after.dispatch.lookups - before.dispatch.lookups < 20);
});
