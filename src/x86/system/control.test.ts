import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CPUID_FEATURES } from '../../spec/x86/cpuid.js';
import * as S from '../state.js';
import { CPU_BRAND, cpuidEntries, isOffered, WITHHELD_FEATURES } from './cpuid-profile.js';
import { KERNEL_CS, TestMachine, TSS, USER } from './test-machine.js';

const m = new TestMachine();
const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;

function outcome(status: number): string {
  return status === 0 ? 'ok' : m.exception();
}

function writeCr(n: number, value: bigint): string {
  return outcome(m.call('writeCr', n, value));
}

function wrmsr(msr: number, value: bigint): string {
  m.setGpr(RCX, BigInt(msr));
  m.setGpr(RAX, value & 0xffffffffn);
  m.setGpr(RDX, value >> 32n);
  return outcome(m.call('wrmsr'));
}

function rdmsr(msr: number): bigint | string {
  m.setGpr(RCX, BigInt(msr));
  const status = m.call('rdmsr');
  return status === 0 ? (m.gpr(RDX) << 32n) | m.gpr(RAX) : outcome(status);
}

test('the way into long mode: PAE, LME, PG, and only in this order', () => {
  m.flat32(0);
  m.setRam64(0x1000, 0x2007n);
  m.setRam64(0x2000, 0x3007n);
  m.setRam64(0x3000, 0xe3n);
  assert.equal(writeCr(3, 0x1000n), 'ok');
  assert.equal(wrmsr(0xc0000080, 0x901n), 'ok');
  assert.equal(writeCr(0, 0x80000031n), '13(0)');
  assert.equal(writeCr(4, 0x20n), 'ok');
  m.setSegment(S.SEG_CS, KERNEL_CS, 0n, 0xffffffff, 0xa09b);
  assert.equal(writeCr(0, 0x80000031n), '13(0)');
  m.setSegment(S.SEG_CS, KERNEL_CS, 0n, 0xffffffff, 0xc09b);
  assert.equal(writeCr(0, 0x80000031n), 'ok');
  assert.equal(m.get64(S.EFER), 0xd01n);
  assert.equal(m.get32(S.BLOCK_KEY) & (S.KEY_LONG | S.KEY_CODE64 | S.KEY_CODE32), S.KEY_LONG | S.KEY_CODE32);
  assert.equal(wrmsr(0xc0000080, 0x801n), '13(0)');
  assert.equal(writeCr(4, 0n), '13(0)');
  assert.equal(m.call('farJump', KERNEL_CS, 0x1234n, 4, 0n), S.STATUS_MISS);
  assert.equal(m.get32(S.BLOCK_KEY) & S.KEY_CODE64, S.KEY_CODE64);
  // Paging cannot be switched off from 64-bit code, but from compatibility mode.
  assert.equal(writeCr(0, 0x31n), '13(0)');
  m.setSegment(S.SEG_CS, KERNEL_CS, 0n, 0xffffffff, 0xc09b);
  assert.equal(writeCr(0, 0x31n), 'ok');
  assert.equal(m.get64(S.EFER), 0x901n);
});

test('control registers refuse what the manual refuses', () => {
  m.long(0);
  assert.equal(writeCr(0, 0x80000000n), '13(0)');
  assert.equal(writeCr(0, 0xa0050033n), '13(0)');
  assert.equal(writeCr(0, 0x180050033n), '13(0)');
  assert.equal(writeCr(4, 0x6b0n | (1n << 11n)), '13(0)');
  assert.equal(writeCr(4, 0x6b0n | (1n << 13n)), '13(0)');
  assert.equal(writeCr(3, 1n << 39n), '13(0)');
  assert.equal(writeCr(3, (1n << 63n) | 0x1000n), '13(0)');
  assert.equal(writeCr(3, 0x1018n), 'ok');
  assert.equal(writeCr(4, 0x206b0n), '13(0)');
  assert.equal(writeCr(3, 0x1000n), 'ok');
  assert.equal(writeCr(4, 0x3706b0n), 'ok');
  assert.equal(m.get32(S.BLOCK_KEY) & S.KEY_MMU_MASK, S.MMU_SUPERVISOR_SMAP << S.KEY_MMU_SHIFT);
  assert.equal(m.call('stac'), 0);
  assert.equal(m.get32(S.BLOCK_KEY) & S.KEY_MMU_MASK, S.MMU_SUPERVISOR << S.KEY_MMU_SHIFT);
  assert.equal(m.call('clac'), 0);
  assert.equal(writeCr(3, (1n << 63n) | 0x1005n), 'ok');
  assert.equal(m.get64(S.CR3), 0x1005n);
  assert.equal(writeCr(8, 0x10n), '13(0)');
  assert.equal(writeCr(8, 5n), 'ok');
  // An interrupt of class 3 waits: the machine is asked for when it is let in, and only then.
  m.put32(S.EXIT_REQUEST, 0);
  m.put32(S.TPR_THRESHOLD, 3);
  for (const [cr8, wanted] of [
    [4n, 0],
    [3n, 0],
    [6n, 0],
    [2n, S.EXIT_REQUESTED],
  ] as const) {
    assert.equal(writeCr(8, cr8), 'ok');
    assert.equal(m.get32(S.EXIT_REQUEST), wanted, `CR8 = ${cr8}`);
  }
  assert.equal(writeCr(1, 0n), '6');
  m.long(3);
  assert.equal(writeCr(0, 0x80050033n), '13(0)');
  assert.equal(outcome(m.call('stac')), '6');
  m.long(0);
  assert.equal(outcome(m.call('lmsw', 0x8)), 'ok');
  assert.equal(m.get64(S.CR0), 0x80050039n);
  assert.ok(m.get32(S.BLOCK_KEY) & S.KEY_FPU_TRAP);
  m.call('clts');
  assert.equal(m.get64(S.CR0), 0x80050031n);
});

test('PAE paging loads and checks its four pointers', () => {
  m.flat32(0);
  m.setRam64(0x1000, 0x2001n);
  for (const n of [1, 2, 3]) m.setRam64(0x1000 + n * 8, 0n);
  m.setRam64(0x2000, 0xe3n);
  writeCr(3, 0x1000n);
  writeCr(4, 0x20n);
  assert.equal(writeCr(0, 0x80000031n), 'ok');
  assert.equal(m.get64(S.PDPTE), 0x2001n);
  m.setRam64(0x1008, 0x2003n);
  assert.equal(writeCr(3, 0x1000n), '13(0)');
  m.setRam64(0x1008, 0x3001n);
  assert.equal(writeCr(3, 0x1000n), 'ok');
  assert.equal(m.get64(S.PDPTE + 8), 0x3001n);
  // Outside RAM the bus reads as ones: reserved bits.
  assert.equal(writeCr(3, 0x7ffff000n), '13(0)');
});

test('model-specific registers of the processor', () => {
  m.long(0);
  const high = 0xffff800000001000n;
  for (const msr of [0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102, 0x175, 0x176]) {
    assert.equal(wrmsr(msr, high), 'ok');
    assert.equal(rdmsr(msr), high);
    assert.equal(wrmsr(msr, 0x800000000000n), '13(0)');
  }
  assert.equal(m.base(S.SEG_FS), high);
  assert.equal(wrmsr(0xc0000080, 0x1d01n), '13(0)');
  assert.equal(wrmsr(0x277, 0x0007040600070406n), 'ok');
  assert.equal(wrmsr(0x277, 2n), '13(0)');
  assert.equal(rdmsr(0x277), 0x0007040600070406n);
  assert.equal(rdmsr(0xfe), 0x508n);
  assert.equal(wrmsr(0xfe, 0n), '13(0)');
  assert.equal(wrmsr(0x2ff, 0xc06n), 'ok');
  assert.equal(wrmsr(0x2ff, 0xc03n), '13(0)');
  const fixed = [0x250, 0x258, 0x259, 0x268, 0x26f];
  fixed.forEach((msr, n) => {
    assert.equal(wrmsr(msr, 0x0606060606060600n + BigInt(n === 0 ? 6 : 5)), 'ok');
  });
  fixed.forEach((msr, n) => {
    assert.equal(rdmsr(msr), 0x0606060606060600n + BigInt(n === 0 ? 6 : 5));
  });
  assert.equal(wrmsr(0x200, 0xc0000006n), 'ok');
  assert.equal(wrmsr(0x201, 0x7fc0000800n), 'ok');
  assert.equal(wrmsr(0x201, 0x8000000800n), '13(0)');
  assert.equal(rdmsr(0x201), 0x7fc0000800n);
  assert.equal(m.get64(S.MTRR_FIXED), 0x0606060606060606n);
  assert.equal((rdmsr(0x10a) as bigint) & 0x13bn, 0x13bn);
  m.long(3);
  assert.equal(rdmsr(0x10), '13(0)');
});

test('other MSRs are asked of the machine, which may refuse', () => {
  m.long(0);
  m.put32(S.LOG_COUNT, 0);
  m.put32(S.LOG_CURSOR, 0);
  m.setGpr(RCX, 0x1bn);
  assert.equal(m.call('rdmsr'), S.STATUS_EXIT);
  assert.deepEqual([m.get32(S.EXIT_KIND), m.get64(S.EXIT_ADDRESS)], [S.EXIT_RDMSR, 0x1bn]);
  m.put64(S.LOG, 0xfee00900n);
  m.put32(S.LOG_COUNT, 1);
  assert.equal(rdmsr(0x1b), 0xfee00900n);
  m.put32(S.LOG_CURSOR, 0);
  m.put32(S.LOG_REFUSED, 1);
  assert.equal(rdmsr(0x1234), '13(0)');
  m.put32(S.LOG_COUNT, 0);
  m.put32(S.LOG_CURSOR, 0);
  m.setGpr(RCX, 0x6e0n);
  m.setGpr(RAX, 5n);
  m.setGpr(RDX, 1n);
  assert.equal(m.call('wrmsr'), S.STATUS_EXIT);
  assert.deepEqual([m.get32(S.EXIT_KIND), m.get64(S.EXIT_VALUE)], [S.EXIT_WRMSR, 0x100000005n]);
});

test('the TSC never repeats, and TSC_ADJUST follows writes', () => {
  m.long(0);
  m.ticks = 1000;
  const first = rdmsr(0x10) as bigint;
  const second = rdmsr(0x10) as bigint;
  assert.ok(second > first);
  m.ticks = 5000;
  assert.equal(rdmsr(0x10), 5000n);
  m.ticks = 6000;
  assert.equal(wrmsr(0x10, 0x1_0000_0000n), 'ok');
  assert.equal(rdmsr(0x3b), 0x1_0000_0000n - 6000n);
  m.ticks = 7000;
  assert.equal(rdmsr(0x10), 0x1_0000_0000n + 1000n);
  wrmsr(0x3b, 0n);
  m.ticks = 8000;
  m.put32(S.CLOCK_BUDGET, S.CLOCK_UNREAD);
  m.put64(S.TSC_AUX, 7n);
  assert.equal(m.call('rdtscp'), 0);
  assert.deepEqual([m.gpr(RAX), m.gpr(RDX), m.gpr(RCX)], [8000n, 0n, 7n]);
  // Soon after a reading the instructions since are counted, later the clock is read again.
  m.ticks = 9000;
  m.put32(S.BUDGET, m.get32(S.BUDGET) - 100);
  m.call('rdtsc');
  assert.equal(m.gpr(RAX), 8100n);
  m.put32(S.BUDGET, m.get32(S.BUDGET) - 1000);
  m.call('rdtsc');
  assert.equal(m.gpr(RAX), 9000n);
  m.long(3);
  m.put64(S.CR4, m.get64(S.CR4) | 4n);
  assert.equal(outcome(m.call('rdtsc')), '13(0)');
});

function cpuid(leaf: number, subleaf = 0): number[] {
  m.setGpr(RAX, BigInt(leaf));
  m.setGpr(RCX, BigInt(subleaf));
  m.routine('cpuid')();
  return [RAX, RBX, RCX, RDX].map((n) => Number(m.gpr(n)));
}

function letters(registers: number[]): string {
  const bytes = registers.flatMap((r) => [0, 8, 16, 24].map((shift) => (r >>> shift) & 255));
  return String.fromCharCode(...bytes.filter((b) => b !== 0));
}

test('CPUID: vendor, brand, dynamic bits, leaves out of range', () => {
  m.long(0);
  const [max = 0, b = 0, c = 0, d = 0] = cpuid(0);
  assert.equal(max, 0x16);
  assert.equal(letters([b, d, c]), 'GenuineIntel');
  const brand = [0x80000002, 0x80000003, 0x80000004].flatMap((leaf) => cpuid(leaf));
  assert.equal(letters(brand), CPU_BRAND);
  assert.equal((cpuid(1)[2] ?? 0) & 0x8000000, 0);
  m.put64(S.CR4, m.get64(S.CR4) | 0x40000n);
  assert.notEqual((cpuid(1)[2] ?? 0) & 0x8000000, 0);
  assert.deepEqual(cpuid(0x15), [1, 40, 25_000_000, 0]);
  // Above the basic range: the highest basic leaf, also for hypervisor leaves.
  assert.deepEqual(cpuid(0x40000000), cpuid(0x16));
  assert.deepEqual(cpuid(0x80000009), cpuid(0x16));
  assert.deepEqual(cpuid(3), [0, 0, 0, 0]);
  assert.deepEqual(cpuid(0xb, 2), [0, 0, 2, 0]);
  assert.deepEqual(cpuid(0xd, 2), [0, 0, 0, 0]);
  assert.equal((cpuid(0x80000001)[3] ?? 0) & 0x800, 0x800);
  m.compatibility();
  assert.equal((cpuid(0x80000001)[3] ?? 0) & 0x800, 0);
});

test('every feature of the manual is offered or has a reason', () => {
  const names = new Set(CPUID_FEATURES.map((f) => f.name));
  assert.equal(names.size, CPUID_FEATURES.length);
  for (const name of Object.keys(WITHHELD_FEATURES)) assert.ok(names.has(name), name);
  const offered = CPUID_FEATURES.filter(isOffered).map((f) => f.name);
  for (const name of ['cx16', 'popcnt', 'sse4_2', 'lahf_lm', 'smap', 'pcid', 'xsavec', 'pdpe1gb', 'lm']) {
    assert.ok(offered.includes(name), name);
  }
  assert.equal(cpuidEntries({ apicId: 3, cpuCount: 4, physicalBits: 39 })[1]?.ebx, 0x03040800);
});

test('port permission: IOPL, then the bitmap of the TSS', () => {
  const check = (port: number, size: number): string => outcome(m.call('checkIoPermission', port, size));
  m.long(3);
  m.setRam16(TSS + 102, 104);
  m.setSegment(S.SEG_TR, 0x40, BigInt(TSS), 104 + 16, 0x8b);
  for (let n = 0; n < 17; n++) m.setRam8(TSS + 104 + n, 0);
  m.setRam8(TSS + 104 + 8, 0b0001_0000); // port 0x44
  assert.equal(check(0x40, 4), 'ok');
  assert.equal(check(0x41, 4), '13(0)');
  assert.equal(check(0x44, 1), '13(0)');
  assert.equal(check(0x45, 1), 'ok');
  assert.equal(check(0x7f, 1), 'ok');
  assert.equal(check(0x80, 1), '13(0)');
  assert.equal(check(0xffff, 1), '13(0)');
  m.put64(S.RFLAGS, 0x3202n);
  assert.equal(check(0x44, 1), 'ok');
  m.long(3);
  m.setSegment(S.SEG_TR, 0x40, BigInt(TSS), 102, 0x8b);
  assert.equal(check(0, 1), '13(0)');
});

test('port accesses go to the machine', () => {
  m.long(0);
  m.put32(S.LOG_COUNT, 0);
  m.put32(S.LOG_CURSOR, 0);
  assert.equal(m.call('portIn', 0x3f8, 1), S.STATUS_EXIT);
  assert.deepEqual([m.get32(S.EXIT_KIND), m.get64(S.EXIT_ADDRESS), m.get32(S.EXIT_SIZE)], [S.EXIT_PIO_IN, 0x3f8n, 1]);
  m.put64(S.LOG, 0x1ffn);
  m.put32(S.LOG_COUNT, 1);
  assert.equal(m.call('portIn', 0x3f8, 1), 0);
  assert.equal(m.get32(S.LAST_IN), 0xff);
  m.put32(S.LOG_COUNT, 0);
  m.put32(S.LOG_CURSOR, 0);
  assert.equal(m.call('portOut', 0x3f8, 2, 0x12345), S.STATUS_EXIT);
  assert.deepEqual([m.get32(S.EXIT_KIND), m.get64(S.EXIT_VALUE)], [S.EXIT_PIO_OUT, 0x2345n]);
});

test('a TSC read after an answer of a device is not from before it', () => {
  m.flat32(0);
  m.put32(S.DIRECT, 1);
  for (const ask of [() => m.call('portIn', 0x608, 4), () => m.wide('loadSlow')(0xfed0_00f0n, 4)]) {
    m.put32(S.CLOCK_BUDGET, S.CLOCK_UNREAD);
    m.ticks += 1000;
    m.call('rdtsc');
    m.ticks += 1000;
    m.answer = 77;
    ask();
    m.call('rdtsc');
    assert.equal(m.gpr(RAX), BigInt(m.ticks));
  }
  m.put32(S.DIRECT, 0);
});

test('CLI, STI, PUSHF, POPF by privilege', () => {
  m.long(3);
  assert.equal(outcome(m.call('cli')), '13(0)');
  assert.equal(m.call('popf', 0x3cffd5n, 8), 0);
  assert.equal(m.rflags, 0x244fd7n | 0x200n);
  m.long(0);
  m.call('cli');
  m.put32(S.INTERRUPT_SHADOW, 0);
  m.call('sti');
  assert.equal(m.get32(S.INTERRUPT_SHADOW), 1);
  m.put32(S.INTERRUPT_SHADOW, 0);
  m.call('sti');
  assert.equal(m.get32(S.INTERRUPT_SHADOW), 0);
  m.call('popf', 0x3fffd5n, 8);
  assert.equal(BigInt.asUintN(64, m.wide('pushfValue')()), 0x247fd7n);
  assert.ok(m.get32(S.BLOCK_KEY) & S.KEY_TRAP);
  m.call('popf', 2n, 2);
  assert.equal(m.rflags, 0x240002n);
});

test('HLT, INVLPG, INVPCID, FSGSBASE, XSETBV', () => {
  m.long(3);
  assert.equal(outcome(m.call('hlt', 0n)), '13(0)');
  m.long(0);
  assert.equal(m.call('hlt', 0x30001n), S.STATUS_HALT);
  assert.deepEqual([m.rip, m.get32(S.HALTED)], [0x30001n, 1]);
  m.put32(S.HALTED, 0);
  assert.equal(m.call('invlpg', 0x1234n), 0);
  m.setRam64(0x17000, 0x1000n);
  m.setRam64(0x17008, 0n);
  assert.equal(outcome(m.call('invpcid', 0n, 0x17000n)), '13(0)');
  assert.equal(outcome(m.call('invpcid', 4n, 0x17000n)), '13(0)');
  assert.equal(outcome(m.call('invpcid', 2n, 0x17000n)), 'ok');
  assert.equal(outcome(m.call('writeSegmentBase', S.SEG_FS, 1n)), '6');
  m.put64(S.CR4, m.get64(S.CR4) | 0x50000n);
  assert.equal(outcome(m.call('writeSegmentBase', S.SEG_FS, 0x800000000000n)), '13(0)');
  assert.equal(outcome(m.call('writeSegmentBase', S.SEG_FS, 0x1234n)), 'ok');
  assert.equal(m.base(S.SEG_FS), 0x1234n);
  m.setGpr(RCX, 0n);
  m.setGpr(RDX, 0n);
  for (const [value, expected] of [
    [0n, '13(0)'],
    [2n, '13(0)'],
    [7n, '13(0)'],
    [3n, 'ok'],
  ] as const) {
    m.setGpr(RAX, value);
    assert.equal(outcome(m.call('xsetbv')), expected);
  }
  assert.equal(m.get64(S.XCR0), 3n);
});

test('XSAVE, XSAVEC and XRSTOR round trip, across a page boundary too', () => {
  for (const at of [0x17000, 0x17000 + 0xfc0]) {
    for (const routine of ['xsave', 'xsavec']) {
      m.long(0);
      m.put64(S.CR4, m.get64(S.CR4) | 0x40600n);
      m.put64(S.XCR0, 3n);
      m.setGpr(RAX, 3n);
      m.setGpr(RDX, 0n);
      for (let n = 0; n < 576; n += 8) m.setRam64(at + n, 0n);
      for (let n = 0; n < 16; n++) m.put64(S.XMM + n * 16, BigInt(n + 1) * 0x1111n);
      for (let n = 0; n < 8; n++) m.put64(S.FPR + n * 16, 0x8000000000000000n + BigInt(n));
      m.put32(S.FPU_CONTROL, 0x37f);
      m.view.setUint8(S.CPU_BASE + S.FPU_TOP, 5);
      m.view.setUint8(S.CPU_BASE + S.FPU_EMPTY, 0x1f);
      m.put32(S.MXCSR, 0x1fa0);
      assert.equal(m.call(routine, BigInt(at), 1), 0);
      assert.equal(m.ram64(at + 512), 3n);
      assert.equal(m.ram64(at + 520), routine === 'xsavec' ? 0x8000000000000003n : 0n);
      assert.deepEqual([m.ram16(at), m.ram16(at + 2), m.ram8(at + 4)], [0x37f, 0x2800, 0xe0]);
      assert.equal(m.ram64(at + 32), 0x8000000000000005n);
      assert.equal(m.ram32(at + 24), 0x1fa0);
      assert.equal(m.ram64(at + 160 + 15 * 16), 0x11110n);
      for (let n = 0; n < 16; n++) m.put64(S.XMM + n * 16, 0n);
      m.put32(S.MXCSR, 0x1f80);
      m.view.setUint8(S.CPU_BASE + S.FPU_TOP, 0);
      assert.equal(m.call('xrstor', BigInt(at), 1), 0);
      assert.equal(m.get64(S.XMM + 240), 0x11110n);
      assert.equal(m.get32(S.MXCSR), 0x1fa0);
      assert.equal(m.view.getUint8(S.CPU_BASE + S.FPU_TOP), 5);
      assert.equal(m.get64(S.FPR + 5 * 16), 0x8000000000000005n);
      // A component that is absent from the image returns to its initial state.
      m.setRam64(at + 512, 1n);
      assert.equal(m.call('xrstor', BigInt(at), 1), 0);
      assert.equal(m.get64(S.XMM + 240), 0n);
      m.setRam64(at + 512, 4n);
      assert.equal(outcome(m.call('xrstor', BigInt(at), 1)), '13(0)');
    }
  }
  assert.equal(outcome(m.call('xsave', 0x17020n, 1)), '13(0)');
  m.put64(S.CR0, m.get64(S.CR0) | 8n);
  assert.equal(outcome(m.call('xsave', 0x17000n, 1)), '7');
  assert.equal(outcome(m.call('fxsave', 0x17000n, 1)), '7');
  m.put64(S.CR4, m.get64(S.CR4) & ~0x40000n);
  assert.equal(outcome(m.call('xsave', 0x17000n, 1)), '6');
  m.long(0);
  assert.equal(m.call('fxsave', 0x17000n, 0), 0);
  m.setRam32(0x17018, 0x10000);
  assert.equal(outcome(m.call('fxrstor', 0x17000n, 0)), '13(0)');
});

test('debug registers and breakpoints', () => {
  m.long(0);
  assert.equal(m.call('writeDr', 0, 0x41000n), 0);
  assert.equal(m.call('writeDr', 7, 0x401n), 0);
  assert.ok(m.get32(S.BLOCK_KEY) & S.KEY_CODE_BREAKPOINT);
  m.put64(S.RIP, 0x41000n);
  assert.equal(m.call('checkCodeBreakpoint'), S.STATUS_FAULT);
  assert.equal(m.get32(S.EXCEPTION_ERROR), 1);
  m.routine('setRflags')(0x10002n);
  assert.equal(m.call('checkCodeBreakpoint'), 0);
  assert.equal(m.call('debugTrap', 0), 0);
  assert.equal(m.rflags, 2n);
  // DR7: breakpoint 1 on writes of 4 bytes.
  m.call('writeDr', 1, 0x200100n);
  m.call('writeDr', 7, 0x00d00404n);
  assert.ok(m.get32(S.BLOCK_KEY) & S.KEY_DATA_BREAKPOINT);
  m.routine('matchDataBreakpoint')(0x200103n, 1, 0);
  assert.equal(m.call('debugTrap', 0), 0);
  m.routine('matchDataBreakpoint')(0x2000fdn, 4, 1);
  assert.equal(m.call('debugTrap', 1), S.STATUS_FAULT);
  assert.equal(m.get32(S.EXCEPTION_ERROR), 0x4002);
  assert.equal(outcome(m.call('writeDr', 6, 1n << 32n)), '13(0)');
  m.call('writeDr', 7, 0x2400n);
  m.put32(S.STATUS, 0);
  m.wide('readDr')(0);
  assert.deepEqual([m.get32(S.STATUS), m.get32(S.EXCEPTION_ERROR)], [S.STATUS_FAULT, 0x2000]);
  m.put64(S.DR + 56, 0x400n);
  m.put64(S.CR4, m.get64(S.CR4) | 8n);
  assert.equal(outcome(m.call('writeDr', 4, 0n)), '6');
  m.long(3);
  assert.equal(outcome(m.call('writeDr', 0, 0n)), '13(0)');
});

test('ENTER makes nested frames', () => {
  m.long(3);
  m.setGpr(5, BigInt(USER + 0x9000));
  m.setRam64(USER + 0x8ff8, 0xaaan);
  const { rsp } = m;
  assert.equal(m.call('enter', 8, 0x20, 2), 0);
  assert.equal(m.gpr(5), rsp - 8n);
  assert.equal(m.rsp, rsp - 24n - 0x20n);
  const frame = [8, 16, 24].map((n) => m.ram64(Number(rsp) - n));
  assert.deepEqual(frame, [BigInt(USER + 0x9000), 0xaaan, rsp - 8n]);
  m.setGpr(4, 0x100000n);
  assert.equal(outcome(m.call('enter', 8, 0, 0)), '14(7)');
  assert.equal(m.rsp, 0x100000n);
});
