import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as S from '../state.js';
import {
  GDT,
  KERNEL_CS,
  KERNEL_CS32,
  KERNEL_DS,
  KERNEL_STACK,
  TestMachine,
  TSS,
  TSS_SELECTOR,
  USER_CS32,
  USER_CS64,
  USER_DS,
} from './test-machine.js';

const m = new TestMachine();
const RCX = 1;
const RDX = 2;
const R11 = 11;
/** STAR as Linux sets it: SYSCALL 0x10 and 0x18, SYSRET 0x23 (+8 SS, +16 64-bit CS). */
const STAR = (0x23n << 48n) | (0x10n << 32n);
const CALL_GATE = 0x60;

function setCallGate(
  selector: number,
  type: number,
  dpl: number,
  target: number,
  offset: bigint,
  parameters = 0,
): void {
  const at = GDT + (selector & 0xfff8);
  const word = BigInt(parameters | ((0x80 | type | (dpl << 5)) << 8));
  m.setRam64(at, (offset & 0xffffn) | (BigInt(target) << 16n) | (word << 32n) | (((offset >> 16n) & 0xffffn) << 48n));
  if (type === 12 && m.get64(S.EFER) & 0x400n) m.setRam64(at + 8, offset >> 32n);
}

test('SYSCALL and SYSRET', () => {
  m.long(3);
  m.put64(S.STAR, STAR);
  m.put64(S.LSTAR, 0x12345000n);
  m.put64(S.FMASK, 0x47700n);
  m.routine('setRflags')(0x10a47n);
  assert.equal(m.call('syscall', 0x201002n), S.STATUS_MISS);
  assert.deepEqual([m.rip, m.gpr(RCX), m.gpr(R11), m.rflags, m.cpl], [0x12345000n, 0x201002n, 0xa47n, 0x847n, 0]);
  assert.equal(m.selector(S.SEG_CS), 0x10);
  assert.equal(m.selector(S.SEG_SS), 0x18);
  assert.equal(m.get32(S.BLOCK_KEY) & (S.KEY_CODE64 | S.KEY_CPL_MASK), S.KEY_CODE64);

  assert.equal(m.call('sysret', 8), S.STATUS_MISS);
  assert.deepEqual([m.rip, m.rflags, m.cpl], [0x201002n, 0xa47n, 3]);
  assert.equal(m.selector(S.SEG_CS), 0x33);
  assert.equal(m.selector(S.SEG_SS), 0x2b);

  m.long(0);
  m.put64(S.STAR, STAR);
  m.setGpr(RCX, 0x1_0020_1002n);
  m.setGpr(R11, 0xffffffffffffffffn);
  m.call('sysret', 4);
  assert.deepEqual([m.rip, m.rflags], [0x201002n, 0x3c7fd7n]);
  assert.equal(m.selector(S.SEG_CS), USER_CS32);
  assert.equal(m.get32(S.BLOCK_KEY) & (S.KEY_CODE64 | S.KEY_CODE32 | S.KEY_CPL_MASK), S.KEY_CODE32 | 0x30);

  m.long(0);
  m.setGpr(RCX, 0x800000000000n);
  m.call('sysret', 8);
  assert.equal(m.exception(), '13(0)');
  assert.equal(m.cpl, 0);
  m.long(3);
  m.call('sysret', 8);
  assert.equal(m.exception(), '13(0)');
  m.put64(S.EFER, m.get64(S.EFER) & ~1n);
  m.call('syscall', 0n);
  assert.equal(m.exception(), '6');
  m.compatibility();
  m.call('syscall', 0n);
  assert.equal(m.exception(), '6');
});

test('SYSENTER and SYSEXIT', () => {
  m.compatibility();
  m.put64(S.SYSENTER_CS, 0x10n);
  m.put64(S.SYSENTER_EIP, 0xffffffff81000000n);
  m.put64(S.SYSENTER_ESP, 0xffffc90000000000n);
  assert.equal(m.call('sysenter'), S.STATUS_MISS);
  assert.deepEqual([m.rip, m.rsp, m.cpl], [0xffffffff81000000n, 0xffffc90000000000n, 0]);
  assert.equal(m.rflags & 0x200n, 0n);
  assert.deepEqual([m.selector(S.SEG_CS), m.selector(S.SEG_SS)], [0x10, 0x18]);
  m.setGpr(RCX, 0x2000n);
  m.setGpr(RDX, 0x3000n);
  m.call('sysexit', 4);
  assert.deepEqual([m.rip, m.rsp, m.cpl], [0x3000n, 0x2000n, 3]);
  assert.deepEqual([m.selector(S.SEG_CS), m.selector(S.SEG_SS)], [0x23, 0x2b]);
  m.put64(S.SYSENTER_CS, 3n);
  m.call('sysenter');
  assert.equal(m.exception(), '13(0)');
});

test('SWAPGS', () => {
  m.long(0);
  m.put64(S.KERNEL_GS_BASE, 0x1111n);
  m.setSegment(S.SEG_GS, 0, 0x2222n, 0, 0x10000);
  assert.equal(m.call('swapgs'), 0);
  assert.deepEqual([m.base(S.SEG_GS), m.get64(S.KERNEL_GS_BASE)], [0x1111n, 0x2222n]);
  m.long(3);
  m.call('swapgs');
  assert.equal(m.exception(), '13(0)');
});

test('far jumps and calls to code segments, 64-bit to compatibility mode and back', () => {
  m.long(0);
  m.setGpr(4, 0x18000n);
  assert.equal(m.call('farCall', KERNEL_CS32, 0x1_0000_1234n, 8, 0x30005n), S.STATUS_FAULT);
  assert.equal(m.exception(), '13(0)');
  assert.equal(m.call('farCall', KERNEL_CS32, 0x1234n, 8, 0x30005n), S.STATUS_MISS);
  assert.deepEqual([m.rip, m.rsp, m.selector(S.SEG_CS)], [0x1234n, 0x17ff0n, KERNEL_CS32]);
  assert.deepEqual([m.ram64(0x17ff0), m.ram64(0x17ff8)], [0x30005n, BigInt(KERNEL_CS)]);
  assert.equal(m.get32(S.BLOCK_KEY) & S.KEY_CODE64, 0);
  assert.equal(m.call('farReturn', 8, 0), S.STATUS_MISS);
  assert.deepEqual([m.rip, m.rsp, m.selector(S.SEG_CS)], [0x30005n, 0x18000n, KERNEL_CS]);
  assert.equal(m.call('farJump', KERNEL_CS32, 0x9999n, 4, 0n), S.STATUS_MISS);
  assert.equal(m.rip, 0x9999n);
  for (const [selector, exception] of [
    [0, '13(0)'],
    [KERNEL_DS, '13(18)'],
    [USER_CS64, '13(30)'],
    [0x1f8, '13(1f8)'],

    [0x40, '13(40)'],
  ] as const) {
    assert.equal(m.call('farJump', selector, 0n, 4, 0n), S.STATUS_FAULT);
    assert.equal(m.exception(), exception);
  }
});

test('a 64-bit call gate switches to the kernel stack; RETF comes back', () => {
  m.long(3);
  setCallGate(CALL_GATE, 12, 3, KERNEL_CS, 0x41000n);
  const { rsp } = m;
  assert.equal(m.call('farCall', CALL_GATE | 3, 0n, 4, 0x201007n), S.STATUS_MISS);
  assert.deepEqual([m.rip, m.cpl, m.rsp], [0x41000n, 0, BigInt(KERNEL_STACK - 32)]);
  const frame = [0, 8, 16, 24].map((n) => m.ram64(KERNEL_STACK - 32 + n));
  assert.deepEqual(frame, [0x201007n, BigInt(USER_CS64), rsp, BigInt(USER_DS)]);
  assert.equal(m.selector(S.SEG_SS), 0);
  assert.equal(m.call('farReturn', 8, 16), S.STATUS_FAULT);
  m.call('farReturn', 8, 0);
  assert.deepEqual([m.rip, m.cpl, m.rsp], [0x201007n, 3, rsp]);
  setCallGate(CALL_GATE, 12, 0, KERNEL_CS, 0x41000n);
  m.call('farCall', CALL_GATE | 3, 0n, 4, 0n);
  assert.equal(m.exception(), '13(60)');
});

test('a 32-bit call gate copies parameters', () => {
  m.flat32(3);
  setCallGate(CALL_GATE, 12, 3, KERNEL_CS32, 0x41000n, 2);
  const rsp = Number(m.rsp);
  m.setRam32(rsp, 0x11);
  m.setRam32(rsp + 4, 0x22);
  assert.equal(m.call('farCall', CALL_GATE | 3, 0n, 4, 0x201007n), S.STATUS_MISS);
  const frame = [0, 4, 8, 12, 16, 20].map((n) => m.ram32(KERNEL_STACK - 24 + n));
  assert.deepEqual(frame, [0x201007, USER_CS32, 0x11, 0x22, rsp, USER_DS]);
  m.call('farReturn', 4, 8);
  assert.deepEqual([m.rip, m.rsp, m.cpl], [0x201007n, BigInt(rsp + 8), 3]);
  // A jump may not go inward.
  m.call('farJump', CALL_GATE | 3, 0n, 4, 0n);
  assert.equal(m.exception(), `13(${KERNEL_CS32.toString(16)})`);
});

test('real-mode far transfers', () => {
  m.reset();
  assert.equal(m.call('farCall', 0x1000, 0x234n, 2, 0x1005n), S.STATUS_MISS);
  assert.deepEqual([m.rip, m.base(S.SEG_CS), m.rsp], [0x234n, 0x10000n, 0x7ffcn]);
  m.call('farReturn', 2, 2);
  assert.deepEqual([m.rip, m.base(S.SEG_CS), m.rsp], [0x1005n, 0n, 0x8002n]);
});

test('loading segment registers', () => {
  const attempt = (seg: number, selector: number): string => {
    const status = m.call('loadSegmentRegister', seg, selector);
    return status === 0 ? 'ok' : m.exception();
  };
  m.flat32(3);
  m.setDescriptor(0x60, 0x123456, 0xfff, 0x40f2);
  assert.equal(attempt(S.SEG_DS, 0x63), 'ok');
  assert.deepEqual([m.base(S.SEG_DS), m.limit(S.SEG_DS), m.attributes(S.SEG_DS)], [0x123456n, 0xfff, 0x40f3]);
  assert.equal(m.ram8(GDT + 0x65), 0xf3);
  assert.equal(m.get32(S.BLOCK_KEY) & S.KEY_FLAT, 0);
  assert.equal(attempt(S.SEG_DS, 0), 'ok');
  assert.equal(m.attributes(S.SEG_DS), 0x10000);
  assert.equal(attempt(S.SEG_DS, KERNEL_DS), '13(18)');
  assert.equal(attempt(S.SEG_SS, 0), '13(0)');
  assert.equal(attempt(S.SEG_SS, USER_DS & ~3), '13(28)');
  assert.equal(attempt(S.SEG_SS, USER_CS32), '13(20)');
  m.setDescriptor(0x60, 0, 0xfff, 0x4072);
  assert.equal(attempt(S.SEG_ES, 0x63), '11(60)');
  assert.equal(attempt(S.SEG_SS, 0x63), '12(60)');
  m.setDescriptor(0x60, 0, 0xfff, 0x40f8);
  assert.equal(attempt(S.SEG_FS, 0x63), '13(60)');
  assert.equal(attempt(S.SEG_FS, 0x67), '13(64)');
  m.long(0);
  assert.equal(attempt(S.SEG_SS, 0), 'ok');
  assert.equal(attempt(S.SEG_SS, 3), '13(0)');
  m.reset();
  assert.equal(attempt(S.SEG_ES, 0xb800), 'ok');
  assert.equal(m.base(S.SEG_ES), 0xb8000n);
});

test('LTR, LLDT, LAR, LSL, VERR, VERW, ARPL', () => {
  m.long(0);
  m.setDescriptor(0x40, TSS, 0x67, 0x89);
  assert.equal(m.call('ltr', 0x40), 0);
  assert.equal(m.ram8(GDT + 0x45), 0x8b);
  assert.deepEqual([m.base(S.SEG_TR), m.limit(S.SEG_TR)], [BigInt(TSS), 0x67]);
  m.call('ltr', 0x40);
  assert.equal(m.exception(), '13(40)');
  m.setDescriptor(0x60, 0x7800, 0xff, 0x82);
  m.setRam64(GDT + 0x68, 0xffff8000n);
  assert.equal(m.call('lldt', 0x60), 0);
  assert.equal(m.base(S.SEG_LDTR), 0xffff800000007800n);
  assert.equal(m.call('lldt', 0), 0);

  const zero = (): boolean => (m.rflags & 0x40n) !== 0n;
  m.flat32(3);
  m.call('lar', USER_DS);
  assert.ok(zero());
  assert.equal(m.routine('queriedValue')(), 0xc0f300);
  m.call('lsl', USER_DS);
  assert.equal(m.routine('queriedValue')() >>> 0, 0xffffffff);
  m.call('lsl', KERNEL_DS);
  assert.ok(!zero());
  m.call('lar', 0x1f8);
  assert.ok(!zero());
  m.call('verw', USER_DS);
  assert.ok(zero());
  m.call('verw', USER_CS32);
  assert.ok(!zero());
  m.call('verr', USER_CS32);
  assert.ok(zero());
  assert.equal(m.call('arpl', 0x10, 3), 0x13);
  assert.ok(zero());
  assert.equal(m.call('arpl', 0x13, 1), 0x13);
  assert.ok(!zero());
  m.reset();
  m.call('lar', 0);
  assert.equal(m.exception(), '6');
});

test('task switches: CALL links and nests, IRET returns, JMP does not link', () => {
  const OTHER = 0x7800;
  const OTHER_SELECTOR = 0x58;
  m.flat32(0);
  m.setDescriptor(OTHER_SELECTOR, OTHER, 0x67, 0x89);
  for (let at = OTHER; at < OTHER + 0x68; at += 4) m.setRam32(at, 0);
  m.setRam32(OTHER + 0x20, 0x44000);
  m.setRam32(OTHER + 0x24, 0x202);
  m.setRam32(OTHER + 0x28, 0x1234);
  m.setRam32(OTHER + 0x38, 0x16000);
  for (const [offset, selector] of [
    [0x4c, KERNEL_CS32],
    [0x50, KERNEL_DS],
    [0x54, KERNEL_DS],
  ] as const) {
    m.setRam32(OTHER + offset, selector);
  }
  const { rsp } = m;
  assert.equal(m.call('farCall', OTHER_SELECTOR, 0n, 4, 0x30007n), S.STATUS_MISS);
  assert.deepEqual([m.rip, m.gpr(0), m.rsp, m.rflags], [0x44000n, 0x1234n, 0x16000n, 0x4202n]);
  assert.equal(m.selector(S.SEG_TR), OTHER_SELECTOR);
  assert.equal(m.ram16(OTHER), TSS_SELECTOR);
  assert.deepEqual([m.ram8(GDT + TSS_SELECTOR + 5), m.ram8(GDT + OTHER_SELECTOR + 5)], [0x8b, 0x8b]);
  assert.deepEqual(
    [m.ram32(TSS + 0x20), m.ram32(TSS + 0x38), m.ram32(TSS + 0x4c)],
    [0x30007, Number(rsp), KERNEL_CS32],
  );
  assert.ok((m.get64(S.CR0) & 8n) !== 0n);
  // IRET with NT: back, and the called task is free again. The instruction has a prefix.
  m.setRam8(0x44000, 0x66);
  m.setRam8(0x44001, 0xcf);
  assert.equal(m.call('iret', 4), S.STATUS_MISS);
  assert.deepEqual([m.rip, m.rsp, m.rflags], [0x30007n, rsp, 0x202n]);
  assert.equal(m.ram8(GDT + OTHER_SELECTOR + 5), 0x89);
  assert.deepEqual([m.ram32(OTHER + 0x20), m.ram32(OTHER + 0x24)], [0x44002, 0x202]);
  assert.equal(m.call('farJump', OTHER_SELECTOR, 0n, 4, 0x30009n), S.STATUS_MISS);
  assert.deepEqual([m.rip, m.rflags & 0x4000n], [0x44002n, 0n]);
  assert.equal(m.ram8(GDT + TSS_SELECTOR + 5), 0x89);
  // A busy task cannot be called.
  assert.equal(m.call('farCall', OTHER_SELECTOR, 0n, 4, 0n), S.STATUS_FAULT);
  assert.equal(m.exception(), '13(58)');
});
