/** Repeated string instructions against a model that goes element by element, with overlaps, page faults and limits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as S from '../state.js';
import { TestMachine, USER } from '../system/test-machine.js';

const [RAX, RCX, RDX, RSI, RDI] = [0, 1, 2, 6, 7];
const END = 0x400000;
const DF = 0x400n;

/** xorshift32. */
function randomSource(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}

const guestBytes = (m: TestMachine): Uint8Array => new Uint8Array(m.memory.buffer, S.RAM, END);

/** Calls until the instruction is done or faults; every other answer must be STATUS_BUDGET with RIP unmoved. */
function run(m: TestMachine, name: string, ...args: number[]): number {
  for (let calls = 0; calls < 10000; calls++) {
    const rip = m.rip;
    const status = m.call(name, ...args);
    assert.equal(m.rip, rip);
    if (status !== S.STATUS_BUDGET) return status;
  }
  throw new Error('no progress');
}

interface Case {
  readonly size: number;
  readonly down: boolean;
  readonly count: number;
  source: number;
  target: number;
}

function randomCase(below: (n: number) => number): Case {
  const size = 1 << below(4);
  const near = below(2) === 0;
  const place = (): number => (below(4) === 0 ? END - below(3 * 4096) : USER + 0x10000 + below(4 * 4096));
  const target = place();
  return {
    size,
    down: below(3) === 0,
    count: below(3) === 0 ? below(2000) : below(40),
    source: near ? target + below(64) - 32 : place(),
    target,
  };
}

/** Whether `size` bytes at `at` are there for CPL 3. */
const isThere = (at: number, size: number): boolean => at >= USER && at + size <= END;

/** Elements done before one faults. */
function completedOf(c: Case, places: readonly number[]): number {
  const step = c.down ? -c.size : c.size;
  for (let n = 0; n < c.count; n++) if (!places.every((p) => isThere(p + n * step, c.size))) return n;
  return c.count;
}

function prepare(m: TestMachine, c: Case): void {
  m.put64(S.RFLAGS, c.down ? 2n | DF : 2n);
  m.setGpr(RCX, BigInt(c.count));
  m.setGpr(RSI, BigInt(c.source));
  m.setGpr(RDI, BigInt(c.target));
}

function checkRegisters(m: TestMachine, c: Case, done: number, usesSource: boolean): void {
  const moved = done * (c.down ? -c.size : c.size);
  assert.equal(m.gpr(RCX), BigInt(c.count - done), 'rCX');
  assert.equal(m.gpr(RSI), BigInt(usesSource ? c.source + moved : c.source), 'rSI');
  assert.equal(m.gpr(RDI), BigInt(c.target + moved), 'rDI');
}

test('REP MOVS moves element by element, whatever overlaps, and restarts where it faulted', () => {
  const m = new TestMachine().long(3);
  const bytes = guestBytes(m);
  const below = randomSource(12345);
  for (let round = 0; round < 250; round++) {
    const c = randomCase(below);
    for (let n = 0; n < 64; n++) bytes[c.source + n - 32] = below(256);
    const model = bytes.slice(0);
    const done = completedOf(c, [c.source, c.target]);
    for (let n = 0; n < done; n++) {
      const step = n * (c.down ? -c.size : c.size);
      model.copyWithin(c.target + step, c.source + step, c.source + step + c.size);
    }
    prepare(m, c);
    const status = run(m, 'repMovs', c.size, 8, S.SEG_DS);
    assert.equal(status, done === c.count ? S.STATUS_OK : S.STATUS_FAULT);
    checkRegisters(m, c, done, true);
    assert.ok(Buffer.compare(bytes.subarray(USER), model.subarray(USER)) === 0, `memory in round ${round}`);
  }
});

test('REP STOS fills element by element', () => {
  const m = new TestMachine().long(3);
  const bytes = guestBytes(m);
  const below = randomSource(777);
  for (let round = 0; round < 250; round++) {
    const c = randomCase(below);
    const value = below(2) === 0 ? 0n : (BigInt(below(2 ** 32)) << 32n) | BigInt(below(2 ** 32));
    m.setGpr(RAX, value);
    const model = bytes.slice(0);
    const done = completedOf(c, [c.target]);
    for (let n = 0; n < done; n++) {
      for (let k = 0; k < c.size; k++) {
        model[c.target + n * (c.down ? -c.size : c.size) + k] = Number((value >> BigInt(8 * k)) & 255n);
      }
    }
    prepare(m, c);
    assert.equal(run(m, 'repStos', c.size, 8), done === c.count ? S.STATUS_OK : S.STATUS_FAULT);
    checkRegisters(m, c, done, false);
    assert.ok(Buffer.compare(bytes.subarray(USER), model.subarray(USER)) === 0, `memory in round ${round}`);
  }
});

test('REPE CMPS and REPNE SCAS stop at the first difference and set the flags of that comparison', () => {
  const m = new TestMachine().long(3);
  const bytes = guestBytes(m);
  const below = randomSource(4242);
  for (let round = 0; round < 250; round++) {
    const c = randomCase(below);
    const whileEqual = below(2) === 1;
    for (const at of [c.source, c.target])
      for (let n = -600; n < 600; n++) bytes[at + n] = whileEqual || below(8) === 0 ? 7 : 9;
    bytes[c.target + (c.down ? -1 : 1) * c.size * below(30)] = 5;
    const value = (at: number): bigint => {
      let v = 0n;
      for (let k = c.size - 1; k >= 0; k--) v = (v << 8n) | BigInt(bytes[at + k] ?? 0);
      return v;
    };
    const scans = below(2) === 1;
    m.setGpr(RAX, 0x0707070707070707n);
    const there = completedOf(c, scans ? [c.target] : [c.source, c.target]);
    const step = c.down ? -c.size : c.size;
    let done = 0;
    let ended = c.count === 0;
    let last: readonly [bigint, bigint] | undefined;
    while (done < there && !ended) {
      const x = scans ? BigInt.asUintN(c.size * 8, m.gpr(RAX)) : value(c.source + done * step);
      last = [x, value(c.target + done * step)];
      done++;
      ended = done === c.count || (last[0] === last[1]) !== whileEqual;
    }
    prepare(m, c);
    m.put32(S.CC_OP, S.CC_FLAGS);
    m.put64(S.CC_SRC, 0x8d5n);
    const flag = whileEqual ? 1 : 0;
    const status = scans ? run(m, 'repScas', c.size, 8, flag) : run(m, 'repCmps', c.size, 8, S.SEG_DS, flag);
    assert.equal(status, ended ? S.STATUS_OK : S.STATUS_FAULT);
    checkRegisters(m, c, done, !scans);
    const flags = m.routine('computeFlags')();
    if (!ended || last === undefined) assert.equal(flags, 0x8d5, 'flags stay');
    else {
      assert.equal((flags & 0x40) !== 0, last[0] === last[1], 'ZF');
      assert.equal((flags & 1) !== 0, last[0] < last[1], 'CF');
    }
  }
});

test('a long REP MOVS gives way to the run loop, at once when it is asked to', () => {
  const m = new TestMachine().long(3);
  prepare(m, { size: 8, down: false, count: 0x20000 / 8, source: USER, target: USER + 0x100000 });
  assert.equal(m.call('repMovs', 8, 8, S.SEG_DS), S.STATUS_BUDGET);
  assert.equal(m.gpr(RCX), 0x10000n / 8n);
  m.put32(S.EXIT_REQUEST, S.EXIT_REQUESTED);
  assert.equal(m.call('repMovs', 8, 8, S.SEG_DS), S.STATUS_BUDGET);
  assert.equal(m.gpr(RCX), (0x10000n - 4096n) / 8n);
});

test('under single step each iteration traps, the last one not by itself', () => {
  const m = new TestMachine().long(3);
  prepare(m, { size: 1, down: false, count: 2, source: USER, target: USER + 16 });
  m.put64(S.RFLAGS, 0x102n);
  assert.equal(m.call('repMovs', 1, 8, S.SEG_DS), S.STATUS_FAULT);
  assert.equal(m.get32(S.EXCEPTION_VECTOR), 1);
  assert.equal(m.gpr(RCX), 1n);
  assert.equal(m.call('repMovs', 1, 8, S.SEG_DS), S.STATUS_OK);
});

test('address size 2 and 4 wrap the registers', () => {
  const m = new TestMachine().long(3);
  m.put64(S.RFLAGS, 2n);
  m.setGpr(RCX, 0xffffffff00000002n);
  m.setGpr(RSI, 0xabcd000000200000n);
  m.setGpr(RDI, 0xabcd000000200100n);
  assert.equal(m.call('repMovs', 1, 4, S.SEG_DS), S.STATUS_OK);
  assert.deepEqual([m.gpr(RCX), m.gpr(RSI), m.gpr(RDI)], [0n, 0x200002n, 0x200102n]);
  m.flat32(0);
  m.setGpr(RAX, 0x41n);
  m.setGpr(RCX, 0x77770004n);
  m.setGpr(RDI, 0x6666fffen);
  assert.equal(m.call('repStos', 1, 2), S.STATUS_OK);
  assert.deepEqual([m.gpr(RCX), m.gpr(RDI)], [0x77770000n, 0x66660002n]);
  assert.deepEqual(
    [0xfffe, 0xffff, 0, 1].map((at) => m.ram8(at)),
    [0x41, 0x41, 0x41, 0x41],
  );
});

test('segment limits stop a string where an element leaves the segment', () => {
  const m = new TestMachine().flat32(0);
  m.setSegment(S.SEG_ES, 0x18, 0x30000n, 0x1f, 0x4093);
  m.put64(S.RFLAGS, 2n);
  m.setGpr(RCX, 10n);
  m.setGpr(RDI, 0n);
  m.setGpr(RAX, 0x1122334455667788n);
  m.routine('updateKey')();
  assert.equal(m.call('repStos', 4, 4), S.STATUS_FAULT);
  assert.equal(m.exception(), '13(0)');
  assert.deepEqual([m.gpr(RCX), m.gpr(RDI)], [2n, 32n]);
});

test('REP INS asks once per element, and memory must take it first', () => {
  const m = new TestMachine().long(0);
  m.put64(S.RFLAGS, 2n);
  m.setGpr(RCX, 2n);
  m.setGpr(RDX, 0x3f8n);
  m.setGpr(RDI, BigInt(USER));
  for (const value of [0x12n, 0x34n]) {
    assert.equal(m.call('stringIn', 1, 8, 1), S.STATUS_EXIT);
    assert.deepEqual([m.get32(S.EXIT_KIND), m.get64(S.EXIT_ADDRESS)], [S.EXIT_PIO_IN, 0x3f8n]);
    m.put64(S.LOG, value);
    m.put32(S.LOG_COUNT, 1);
    m.put32(S.LOG_CURSOR, 0);
  }
  assert.equal(m.call('stringIn', 1, 8, 1), S.STATUS_OK);
  assert.deepEqual([m.ram8(USER), m.ram8(USER + 1), m.gpr(RCX), m.get32(S.LOG_COUNT)], [0x12, 0x34, 0n, 0]);
  m.setGpr(RCX, 1n);
  m.setGpr(RDI, BigInt(END));
  assert.equal(m.call('stringIn', 1, 8, 1), S.STATUS_FAULT);
  assert.equal(m.get32(S.EXCEPTION_VECTOR), 14);
});
