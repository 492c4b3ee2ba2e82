// CR8 and the local APIC's task priority are one register, and what it holds back comes when it is low enough.
// SDM Vol. 3A, "Task Priority in IA-32e Mode".
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENTRY_64 } from '../guest/small-kernels.mjs';
import { CC, Code, RAX, RCX, RDI, RDX } from './code.mjs';
import { testOnEachIrqchip } from './debug-port.mjs';
import { fault, SmallGuest } from './guest.mjs';

const LOAD = 0x200000;
const IDT = 0x2000000;
const COUNT = 0x2002000;
const STACK = 0x2010000;
const LAPIC = 0xfee00000;
const HPET = 0xfed00000;
const VECTOR = 0x75;

/** Writes bytes to the debug port: what is to be seen. */
const EXPECTED = [
  0x50, // TPR after CR8 = 5
  9, // CR8 after CR8 = 9 and a store to a device
  0x90, // TPR then
  3, // CR8 after TPR = 0x35
  0x35, // TPR, whose low bits CR8 does not have
  0, // interrupts of class 7 taken under CR8 = 9
  0, // and 8
  0, // and 7
  1, // and 6
];

function guestCode() {
  const code = new Code(LOAD + ENTRY_64);
  const write = (at, value) => code.mov(RDI, BigInt(at)).b('c707').number(value, 4);
  const cr8 = (value) => code.mov32(RAX, value).b('440f22c0');
  const tell = () => code.b('e6e9');
  const tellTpr = () => code.mov(RDI, BigInt(LAPIC + 0x80)).b('8b07') && tell();
  const tellCr8 = () => code.b('440f20c0') && tell();
  const tellCount = (name) => {
    code.mov32(RCX, 1000).label(name).b('ffc9').jcc(CC.nz, name).b('8b0425').number(COUNT, 4);
    tell();
  };
  code.mov(4, BigInt(STACK)).b('fa');
  code.mov(RDI, BigInt(IDT + 16 * VECTOR)).mov(RAX, 'handler');
  code.b('668907 66c747021000 66c74704008e 48c1e810 66894706');
  code
    .mov(RDI, BigInt(COUNT - 16))
    .b('66c707ff0f')
    .mov(RAX, BigInt(IDT))
    .b('48894702 0f011f');
  code.b('b0ff e621 e6a1');
  write(LAPIC + 0xf0, 0x1ff);

  cr8(5);
  tellTpr();
  cr8(9);
  write(HPET + 0x20, 0);
  tellCr8();
  tellTpr();
  write(LAPIC + 0x80, 0x35);
  tellCr8();
  tellTpr();

  cr8(9);
  write(LAPIC + 0x300, 0x44000 | VECTOR);
  code.b('fb');
  for (const priority of [9, 8, 7, 6]) {
    cr8(priority);
    tellCount(`spin ${priority}`);
  }
  code.b('fa').mov32(RAX, 1).mov32(RDX, 0xf4).b('ee').label('stop').b('ebfe');
  code.label('handler').b('50 57 ff0425').number(COUNT, 4);
  write(LAPIC + 0xb0, 0);
  code.b('5f 58 48cf');
  return code.finish();
}

testOnEachIrqchip('one task priority, by CR8 and by the local APIC', 60_000, guestCode, (told, result) => {
  assert.deepEqual([told, result.reason, result.exitCode], [EXPECTED, 'debug-exit', 3]);
});

for (const hotThreshold of [0, 1]) {
  test(`dbt: MOV to CR8 leaves only when it lets an interrupt in, threshold ${hotThreshold}`, {
    timeout: 60_000,
  }, () => {
    // again: CR8 = 9, then R8D, then EBX; ECX counts
    const guest = new SmallGuest(
      'dbt',
      'long0',
      (code) => {
        code.mov32(RCX, 300).label('again').mov32(RAX, 9).b('440f22c0 450f22c0 440f22c3');
        code.b('440f20c2 ffc9').jcc(CC.nz, 'again'); // mov rdx, cr8
        fault(code, 'above', '48c7c010000000 440f22c0'); // CR8 = 16
        code.b(0xf4);
      },
      (state) => {
        state.gpr[3] = 5n;
        state.gpr[8] = 7n;
      },
      { hotThreshold },
    );
    const exits = [];
    // Nothing waits below 5: it runs through, but for the compiler's batches.
    for (;;) {
      const { kind } = guest.enter({ tprThreshold: 5, sliceNs: 1e9 });
      if (kind !== 'preempted') exits.push(kind);
      if (kind === 'hlt') break;
      assert.equal(kind, 'preempted');
      assert.ok(guest.vcpu.tpr >= 0x50);
    }
    assert.deepEqual(exits, ['hlt']);
    const { gpr } = guest.vcpu.save();
    assert.equal(gpr[2], 5n);
    assert.deepEqual(
      guest.log().map(({ vector, error, rip }) => [vector, error, rip]),
      [[13, 0, guest.code.address('above') + 7]],
    );
    guest.close();
  });

  test(`dbt: MOV to CR8 below the threshold leaves soon, threshold ${hotThreshold}`, { timeout: 60_000 }, () => {
    const guest = new SmallGuest(
      'dbt',
      'long0',
      // mov eax, 9; mov cr8, rax; xor eax, eax; mov cr8, rax; again: inc rbx; jmp again
      (code) => code.mov32(RAX, 9).b('440f22c0 31c0 440f22c0').label('again').b('48ffc3 ebfb'),
      undefined,
      { hotThreshold },
    );
    assert.equal(guest.enter({ tprThreshold: 3, sliceNs: 1e9 }).kind, 'preempted');
    assert.ok(guest.vcpu.save().gpr[3] <= 2n);
    guest.close();
  });
}
