import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as S from '../state.js';
import {
  INTERRUPT_STACK,
  KERNEL_CS,
  KERNEL_CS32,
  KERNEL_DS,
  KERNEL_STACK,
  TestMachine,
  TSS,
  USER,
  USER_CS32,
  USER_CS64,
  USER_DS,
} from './test-machine.js';

const m = new TestMachine();
const HANDLER = 0x41000n;
const INTERRUPT_GATE = 14;
const TRAP_GATE = 15;

function stack64(count: number, from = m.rsp): bigint[] {
  return Array.from({ length: count }, (_, n) => m.ram64(Number(from) + n * 8));
}

function stack32(count: number): number[] {
  return Array.from({ length: count }, (_, n) => m.ram32(Number(m.rsp) + n * 4));
}

function fault(vector: number, error?: number): void {
  if (error === undefined) m.call('raise', vector);
  else m.call('raiseError', vector, error);
}

test('a fault in user code goes to the kernel stack with its error code, and IRETQ comes back', () => {
  m.long(3);
  m.setGate64(13, { type: INTERRUPT_GATE, selector: KERNEL_CS, offset: HANDLER, dpl: 0 });
  m.put64(S.CC_SRC, 0x45n);
  const { rip, rsp } = m;
  fault(13, 0x28);
  assert.equal(m.routine('deliverException')(), S.STATUS_MISS);
  assert.equal(m.rip, HANDLER);
  assert.equal(m.cpl, 0);
  assert.equal(m.selector(S.SEG_CS), KERNEL_CS);
  assert.equal(m.selector(S.SEG_SS), 0);
  assert.equal(m.rsp, BigInt(KERNEL_STACK - 48));
  // Error code, RIP, CS, RFLAGS with RF set, RSP, SS.
  assert.deepEqual(stack64(6), [0x28n, rip, BigInt(USER_CS64), 0x10247n, rsp, BigInt(USER_DS)]);
  assert.equal(m.rflags, 0x47n);
  assert.equal(m.get32(S.STATUS), 0);
  assert.equal(m.get64(S.COUNT_EXCEPTION + 13 * 8), 1n);
  // The handler drops the error code and returns.
  m.setGpr(4, m.rsp + 8n);
  assert.equal(m.call('iret', 8), S.STATUS_MISS);
  assert.deepEqual([m.rip, m.rsp, m.cpl, m.rflags], [rip, rsp, 3, 0x247n]);
  assert.equal(m.selector(S.SEG_CS), USER_CS64);
  assert.equal(m.selector(S.SEG_SS), USER_DS);
  assert.equal(m.get32(S.BLOCK_KEY) & S.KEY_CPL_MASK, 0x30);
});

test('kernel interrupts stay on their stack, aligned to 16; trap gates leave IF alone', () => {
  m.long(0);
  m.setGate64(0x30, { type: INTERRUPT_GATE, selector: KERNEL_CS, offset: HANDLER, dpl: 0 });
  m.setGate64(0x31, { type: TRAP_GATE, selector: KERNEL_CS, offset: HANDLER, dpl: 0 });
  m.setGpr(4, 0x18008n);
  const { rip } = m;
  assert.equal(m.call('deliverInterrupt', 0x30), S.STATUS_MISS);
  assert.equal(m.rsp, 0x18000n - 40n);
  assert.deepEqual(stack64(5), [rip, BigInt(KERNEL_CS), 0x202n, 0x18008n, BigInt(KERNEL_DS)]);
  assert.equal(m.rflags, 2n);
  assert.equal(m.selector(S.SEG_SS), KERNEL_DS);
  m.call('iret', 8);
  assert.deepEqual([m.rip, m.rsp, m.rflags], [rip, 0x18008n, 0x202n]);
  m.call('deliverInterrupt', 0x31);
  assert.equal(m.rflags, 0x202n);
});

test('an interrupt stack table entry is used even without a change of privilege', () => {
  m.long(0);
  m.setGate64(8, { type: INTERRUPT_GATE, selector: KERNEL_CS, offset: HANDLER, dpl: 0, ist: 1 });
  fault(8, 0);
  m.routine('deliverException')();
  assert.equal(m.rsp, BigInt(INTERRUPT_STACK - 48));
  assert.equal(m.selector(S.SEG_SS), KERNEL_DS);
  assert.equal(stack64(6)[0], 0n);
});

test('software interrupts respect the gate: DPL, presence, limit, type', () => {
  m.long(3);
  m.setGate64(0x80, { type: TRAP_GATE, selector: KERNEL_CS, offset: HANDLER, dpl: 3 });
  m.setGate64(0x81, { type: TRAP_GATE, selector: KERNEL_CS, offset: HANDLER, dpl: 0 });
  m.setGate64(0x82, { type: TRAP_GATE, selector: KERNEL_CS, offset: HANDLER, dpl: 3, absent: true });
  m.setGate64(0x83, { type: 12, selector: KERNEL_CS, offset: HANDLER, dpl: 3 });
  m.setGate64(0x84, { type: TRAP_GATE, selector: KERNEL_CS32, offset: HANDLER, dpl: 3 });
  m.setGate64(0x85, { type: TRAP_GATE, selector: 0, offset: HANDLER, dpl: 3 });
  m.setGate64(0x86, { type: TRAP_GATE, selector: 0x1f0, offset: HANDLER, dpl: 3 });
  const { rip } = m;
  const expected: [number, string][] = [
    [0x81, '13(40a)'],
    [0x82, '11(412)'],
    [0x83, '13(41a)'],
    [0x84, '13(50)'],
    [0x85, '13(0)'],
    [0x86, '13(1f0)'],
  ];
  for (const [vector, exception] of expected) {
    assert.equal(m.call('softwareInterrupt', vector, rip + 2n), S.STATUS_FAULT);
    assert.equal(m.exception(), exception);
    assert.equal(m.rip, rip);
    assert.equal(m.cpl, 3);
  }
  m.put32(S.IDTR_LIMIT, 0x80f - 1);
  m.call('softwareInterrupt', 0x80, rip + 2n);
  assert.equal(m.exception(), '13(402)');
  m.put32(S.IDTR_LIMIT, 0x80f);
  assert.equal(m.call('softwareInterrupt', 0x80, rip + 2n), S.STATUS_MISS);
  assert.equal(stack64(1)[0], rip + 2n);
});

test('double faults by class, and the triple fault', () => {
  const prepare = (): void => {
    m.long(0);
    for (let v = 0; v < 32; v++)
      m.setGate64(v, { type: INTERRUPT_GATE, selector: KERNEL_CS, offset: HANDLER + BigInt(v * 16), dpl: 0 });
  };
  const deliver = (vector: number, broken: number[]): string => {
    prepare();
    for (const v of broken)
      m.setGate64(v, { type: INTERRUPT_GATE, selector: KERNEL_CS, offset: HANDLER, dpl: 0, absent: true });
    fault(vector, 0);
    const status = m.routine('deliverException')();
    return status === S.STATUS_SHUTDOWN ? 'shutdown' : String(Number(m.rip - HANDLER) / 16);
  };
  assert.equal(deliver(13, [13]), '8'); // #GP then #NP
  assert.equal(deliver(14, [14]), '8'); // #PF then #NP
  assert.equal(deliver(6, [6]), '11'); // benign then #NP
  assert.equal(deliver(0, [0]), '8');
  assert.equal(deliver(6, [6, 11]), '8'); // #UD, #NP, #NP
  assert.equal(deliver(13, [13, 8]), 'shutdown');
  assert.equal(m.get32(S.STATUS), S.STATUS_SHUTDOWN);
  // The error code of the nested #NP carries EXT and IDT.
  deliver(6, [6]);
  assert.equal(stack64(1)[0], BigInt((6 << 3) | 3));
  // The stack cannot be written: #PF while delivering #GP is delivered as #PF; with #PF first it is a double fault.
  prepare();
  m.setGpr(4, 0x800000n);
  m.setGate64(14, { type: INTERRUPT_GATE, selector: KERNEL_CS, offset: HANDLER + 14n * 16n, dpl: 0, ist: 1 });
  fault(13, 0);
  m.routine('deliverException')();
  assert.equal(m.rip, HANDLER + 14n * 16n);
  assert.equal(m.get64(S.CR2), 0x7ffff8n);
  assert.equal(stack64(1)[0], 2n);
});

test('a stack that is not canonical is #SS', () => {
  m.long(3);
  m.setGate64(0x80, { type: INTERRUPT_GATE, selector: KERNEL_CS, offset: HANDLER, dpl: 3 });
  m.setRam64(TSS + 4, 0x8000000000000000n);
  assert.equal(m.call('softwareInterrupt', 0x80, 0n), S.STATUS_FAULT);
  assert.equal(m.exception(), '12(0)');
});

test('#DB merges its conditions into DR6, clears GD and shows RF only for faults', () => {
  m.long(0);
  m.setGate64(1, { type: INTERRUPT_GATE, selector: KERNEL_CS, offset: HANDLER, dpl: 0 });
  m.put64(S.DR + 56, 0x2400n);
  m.call('raiseDebug', 0x4000);
  m.routine('deliverException')();
  assert.equal(m.get64(S.DR + 48), 0xffff4ff0n);
  assert.equal(m.get64(S.DR + 56), 0x400n);
  assert.equal(stack64(3)[2], 0x202n);
  m.call('raiseDebug', 0x2000);
  m.routine('deliverException')();
  assert.equal(stack64(3)[2], 0x10002n);
});

test('32-bit protected mode: through the TSS to the inner stack and back', () => {
  m.flat32(3);
  m.setGate32(0x80, { type: 14, selector: KERNEL_CS32, offset: HANDLER, dpl: 3 });
  const { rip, rsp } = m;
  assert.equal(m.call('softwareInterrupt', 0x80, rip + 2n), S.STATUS_MISS);
  assert.equal(m.rsp, BigInt(KERNEL_STACK - 20));
  assert.deepEqual(stack32(5), [Number(rip) + 2, USER_CS32, 0x202, Number(rsp), USER_DS]);
  assert.equal(m.selector(S.SEG_SS), KERNEL_DS);
  assert.equal(m.cpl, 0);
  m.setSegment(S.SEG_DS, KERNEL_DS, 0n, 0xffffffff, 0xc093);
  assert.equal(m.call('iret', 4), S.STATUS_MISS);
  assert.deepEqual([m.rip, m.rsp, m.cpl], [rip + 2n, rsp, 3]);
  // DS of the kernel is not for user code.
  assert.equal(m.selector(S.SEG_DS), 0);
  assert.equal(m.attributes(S.SEG_DS), 0x10000);
  assert.equal(m.selector(S.SEG_ES), USER_DS);
});

test('virtual-8086 mode: entered by IRETD, left by an interrupt with all segments in the frame', () => {
  m.flat32(0);
  m.setGate32(0x80, { type: 14, selector: KERNEL_CS32, offset: HANDLER, dpl: 3 });
  const frame = [0x123, 0x2000, 0x23202, 0xfff0, 0x3000, 0x1111, 0x2222, 0x3333, 0x4444];
  m.setGpr(4, 0x17000n);
  frame.forEach((value, n) => {
    m.setRam32(0x17000 + n * 4, value);
  });
  assert.equal(m.call('iret', 4), S.STATUS_MISS);
  assert.deepEqual([m.rip, m.rsp, m.cpl], [0x123n, 0xfff0n, 3]);
  assert.equal(m.base(S.SEG_CS), 0x20000n);
  assert.equal(m.base(S.SEG_GS), 0x44440n);
  assert.equal(m.limit(S.SEG_DS), 0xffff);
  assert.ok(m.get32(S.BLOCK_KEY) & S.KEY_VM86);
  // IOPL is 3: INT n goes through the IDT.
  assert.equal(m.call('softwareInterrupt', 0x80, 0x125n), S.STATUS_MISS);
  assert.deepEqual(stack32(9), [0x125, 0x2000, 0x23202, 0xfff0, 0x3000, 0x1111, 0x2222, 0x3333, 0x4444]);
  assert.equal(m.cpl, 0);
  assert.equal(m.selector(S.SEG_DS), 0);
  assert.equal(m.get32(S.BLOCK_KEY) & S.KEY_VM86, 0);
  // Back again, now with IOPL 0: INT n is #GP(0).
  m.setRam32(Number(m.rsp) + 8, 0x20202);
  m.call('iret', 4);
  assert.equal(m.call('softwareInterrupt', 0x80, 0x125n), S.STATUS_FAULT);
  assert.equal(m.exception(), '13(0)');
});

test('real mode: the vector table, 16-bit frames', () => {
  m.reset();
  m.setRam32(0x21 * 4, 0x12345678);
  m.put64(S.RFLAGS, 0x302n);
  m.setSegment(S.SEG_CS, 0x100, 0x1000n, 0xffff, 0x9b);
  assert.equal(m.call('softwareInterrupt', 0x21, 0x1002n), S.STATUS_MISS);
  assert.deepEqual([m.rip, m.base(S.SEG_CS), m.rsp], [0x5678n, 0x12340n, 0x7ffan]);
  assert.deepEqual([m.ram16(0x7ffa), m.ram16(0x7ffc), m.ram16(0x7ffe)], [0x1002, 0x100, 0x302]);
  assert.equal(m.rflags, 2n);
  m.call('iret', 2);
  assert.deepEqual([m.rip, m.base(S.SEG_CS), m.rsp, m.rflags], [0x1002n, 0x1000n, 0x8000n, 0x302n]);
});

test('IRETQ refuses what the manual refuses', () => {
  const attempt = (cs: number, ss: number, rip = 0x200000n): string => {
    m.long(0);
    m.setGpr(4, 0x17000n);
    [rip, BigInt(cs), 0x202n, 0x208000n, BigInt(ss)].forEach((value, n) => {
      m.setRam64(0x17000 + n * 8, value);
    });
    const status = m.call('iret', 8);
    if (status === S.STATUS_MISS) return `cpl ${m.cpl}`;
    assert.equal(m.rsp, 0x17000n);
    return m.exception();
  };
  assert.equal(attempt(USER_CS64, USER_DS), 'cpl 3');
  assert.equal(attempt(USER_CS32, USER_DS), 'cpl 3');
  // DS and ES were the kernel's and became null: not flat.
  assert.equal(m.get32(S.BLOCK_KEY) & (S.KEY_CODE64 | S.KEY_CODE32 | S.KEY_FLAT), S.KEY_CODE32);
  assert.equal(attempt(KERNEL_CS, 0), 'cpl 0');
  assert.equal(attempt(KERNEL_CS, KERNEL_DS), 'cpl 0');
  assert.equal(attempt(0, USER_DS), '13(0)');
  assert.equal(attempt(USER_CS64, 0), '13(0)');
  assert.equal(attempt(USER_CS64, KERNEL_DS), '13(18)');
  assert.equal(attempt(KERNEL_DS, KERNEL_DS), '13(18)');
  assert.equal(attempt(KERNEL_CS | 3, USER_DS), '13(10)');
  assert.equal(attempt(0x1f3, USER_DS), '13(1f0)');
  assert.equal(attempt(USER_CS64, USER_DS, 0x800000000000n), '13(0)');
  assert.equal(attempt(USER_CS32, USER_DS, 0x100000000n), '13(0)');
  m.long(0);
  m.put64(S.RFLAGS, 0x4202n);
  m.call('iret', 8);
  assert.equal(m.exception(), '13(0)');
});

test('user IRETQ cannot change IOPL or IF', () => {
  m.long(3);
  m.setGpr(4, BigInt(USER));
  [BigInt(USER), BigInt(USER_CS64), 0x3cd7n, BigInt(USER + 0x800), BigInt(USER_DS)].forEach((value, n) => {
    m.setRam64(USER + n * 8, value);
  });
  m.call('iret', 8);
  assert.equal(m.rflags, 0xed7n);
});

test('the vCPU state survives an interrupted delivery', () => {
  m.long(3);
  m.setGate64(13, { type: INTERRUPT_GATE, selector: KERNEL_CS, offset: HANDLER, dpl: 0 });
  // The kernel stack lies beyond RAM but is mapped: the machine is asked, nothing has changed.
  m.setRam64(0x3010, 0xfee000e3n);
  m.setRam64(TSS + 4, 0x401000n);
  fault(13, 0x55);
  assert.equal(m.routine('deliverException')(), S.STATUS_EXIT);
  assert.equal(m.exception(), '13(55)');
  assert.equal(m.cpl, 3);
  assert.equal(m.get32(S.EXIT_KIND), S.EXIT_MMIO_WRITE);
  for (let n = 0; n < 6; n++) {
    m.put32(S.LOG_COUNT, n + 1);
    m.put32(S.LOG_CURSOR, 0);
    const status = m.routine('deliverException')();
    assert.equal(status, n < 5 ? S.STATUS_EXIT : S.STATUS_MISS);
  }
  assert.equal(m.rip, HANDLER);
});
