// Interpreted calls and returns follow links between pages once they are made; a single step goes no further than its instruction.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineMachine } from './engine.mjs';
import { DATA, START, WINDOW_SIZE } from './machine.mjs';

const PAGE = 4096;
const FAR = PAGE - 0x100;
/** Of different lengths: the loop, which never ends, is left at each of its blocks. */
const TURNS = 40;
const entry = (turn) => ({ answer: 0n, vector: undefined, requestInterruptWindow: false, sliceNs: 1e6 + 131 * turn });

/** A loop that calls a function in the next page: instructions by their distance from START. */
function program() {
  const code = new Uint8Array(FAR + 16).fill(0xcc);
  code.set([0xe8, ...le32(FAR - 5)], 0); // call FAR
  code.set([0xff, 0xc1, 0x75, 0xf7, 0xeb, 0xf5], 5); // inc ecx; jnz START; jmp START
  code.set([0x39, 0xd1, 0xc3], FAR); // cmp ecx, edx; ret
  return code;
}
function le32(n) {
  return [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24];
}
const NEXT = new Map([
  [0, [FAR]],
  [FAR, [FAR + 2]],
  [FAR + 2, [5]],
  [5, [7]],
  [7, [0, 9]],
  [9, [0]],
]);

test('steps in code whose links have been made', () => {
  const machine = new EngineMachine(0);
  const gpr = Array.from({ length: 16 }, () => 0n);
  gpr[4] = BigInt(DATA + 512);
  machine.set({ gpr, flags: 0n, window: new Uint8Array(WINDOW_SIZE) }, 64, program());
  const { vcpu } = machine;
  const place = () => Number(vcpu.save().rip) - START;
  const lookups = () => vcpu.statistics().dispatch.lookups;
  const left = new Set();
  for (let turn = 0; turn < TURNS; turn++) {
    const before = lookups();
    assert.equal(vcpu.run(entry(turn)).kind, 'preempted');
    if (turn > 0) assert.ok(lookups() - before < 20, `${lookups() - before} look-ups`);
    left.add(place());
    for (let n = 0; n < 30; n++) {
      const from = place();
      const turns = vcpu.save().gpr[1];
      assert.equal(vcpu.stepOne(entry(turn)).kind, 'preempted');
      assert.ok(NEXT.get(from)?.includes(place()), `from ${from} to ${place()}`);
      assert.equal(vcpu.save().gpr[1] - turns, from === 5 ? 1n : 0n);
      assert.equal(vcpu.save().gpr[4], BigInt(DATA + 512 - (place() >= FAR ? 8 : 0)));
    }
  }
  assert.ok(left.has(FAR) && left.has(5), 'the loop is left within the function and behind it');
});
