import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as S from '../state.js';
import { TestMachine } from './test-machine.js';

const CF = 1;
const PF = 4;
const AF = 0x10;
const ZF = 0x40;
const SF = 0x80;
const OF = 0x800;

interface Record {
  readonly dst: bigint;
  readonly src: bigint;
  readonly src2: bigint;
  readonly flags: number;
}

function parity(value: bigint): number {
  let ones = 0;
  for (let n = 0n; n < 8n; n++) ones += Number((value >> n) & 1n);
  return ones % 2 === 0 ? PF : 0;
}

/** Flags of the full-width sum or difference, straight from the definitions. */
function result(kind: number, bits: bigint, x: bigint, y: bigint, c: bigint): Record {
  const mod = 1n << bits;
  const signed = (v: bigint): bigint => BigInt.asIntN(Number(bits), v);
  const subtracts = kind === S.CC_SUB || kind === S.CC_SBB;
  const exact = subtracts ? x - y - c : x + y + c;
  const exactSigned = subtracts ? signed(x) - signed(y) - c : signed(x) + signed(y) + c;
  const low = subtracts ? (x & 15n) - (y & 15n) - c : (x & 15n) + (y & 15n) + c;
  const dst = BigInt.asUintN(Number(bits), exact);
  let flags = parity(dst);
  if (exact < 0n || exact >= mod) flags |= CF;
  if (low < 0n || low > 15n) flags |= AF;
  if (dst === 0n) flags |= ZF;
  if (signed(dst) < 0n) flags |= SF;
  if (signed(dst) !== exactSigned) flags |= OF;
  return { dst, src: y, src2: c, flags };
}

function holds(cc: number, f: number): number {
  const less = ((f & SF) !== 0) !== ((f & OF) !== 0);
  const all = [
    (f & OF) !== 0,
    (f & CF) !== 0,
    (f & ZF) !== 0,
    (f & (CF | ZF)) !== 0,
    (f & SF) !== 0,
    (f & PF) !== 0,
    less,
    less || (f & ZF) !== 0,
  ];
  return Number(all[cc >> 1]) ^ (cc & 1);
}

test('lazy flags of sums and differences are those of the definitions, for all 8-bit operands', () => {
  const m = new TestMachine();
  const evaluate = m.routine('evaluateFlags');
  for (const kind of [S.CC_ADD, S.CC_ADC, S.CC_SUB, S.CC_SBB]) {
    const carries = kind === S.CC_ADC || kind === S.CC_SBB ? [0n, 1n] : [0n];
    for (const c of carries) {
      for (let x = 0n; x < 256n; x++) {
        for (let y = 0n; y < 256n; y++) {
          const r = result(kind, 8n, x, y, c);
          const got = evaluate(kind * 4, r.dst, r.src, r.src2);
          if (got !== r.flags) assert.fail(`kind ${kind}: ${x} ${y} ${c}: ${got.toString(16)} ${r.flags.toString(16)}`);
        }
      }
    }
  }
});

test('conditions agree with the flags for every kind and size', () => {
  const m = new TestMachine();
  const condition = m.routine('condition');
  const corners = (bits: bigint): bigint[] => {
    const top = 1n << (bits - 1n);
    return [0n, 1n, 2n, 15n, 16n, top - 1n, top, top + 1n, (top << 1n) - 1n, 0x5an];
  };
  let checked = 0;
  for (let size = 0; size < 4; size++) {
    const bits = BigInt(8 << size);
    for (const kind of [S.CC_ADD, S.CC_ADC, S.CC_SUB, S.CC_SBB]) {
      for (const x of corners(bits)) {
        for (const y of corners(bits)) {
          const c = kind === S.CC_ADC || kind === S.CC_SBB ? 1n : 0n;
          const r = result(kind, bits, x, y, c);
          m.put32(S.CC_OP, kind * 4 + size);
          m.put64(S.CC_DST, r.dst);
          m.put64(S.CC_SRC, r.src);
          m.put64(S.CC_SRC2, r.src2);
          assert.equal(m.routine('computeFlags')(), r.flags);
          for (let cc = 0; cc < 16; cc++) {
            assert.equal(condition(cc), holds(cc, r.flags), `kind ${kind} size ${size} x ${x} y ${y} cc ${cc}`);
            checked++;
          }
        }
      }
    }
  }
  assert.ok(checked > 20000);
});

test('INC, DEC, logic, shifts and products', () => {
  const m = new TestMachine();
  const evaluate = m.routine('evaluateFlags');
  const rows: [kind: number, size: number, dst: bigint, src: bigint, flags: number][] = [
    [S.CC_INC, 0, 0x80n, 1n, OF | SF | AF | CF],
    [S.CC_INC, 0, 0n, 0n, ZF | PF | AF],
    [S.CC_INC, 3, 0x10n, 0n, AF],
    [S.CC_DEC, 0, 0x7fn, 0n, OF | AF],
    [S.CC_DEC, 2, 0xffffffffn, 1n, SF | PF | AF | CF],
    [S.CC_DEC, 1, 0x0en, 0n, 0],
    [S.CC_LOGIC, 2, 0n, 5n, ZF | PF],
    [S.CC_LOGIC, 2, 0xffffffff80000000n, 5n, SF | PF],
    // SHL of 0x81 by 1, 8 bits: 0x02, CF 1, OF 1.
    [S.CC_SHL, 0, 0x02n, 0x81n, CF | OF],
    // SHL of 0xc0 by 1: 0x80, CF 1, OF 0.
    [S.CC_SHL, 0, 0x80n, 0xc0n, CF | SF],
    // SHR of 0x81 by 1: 0x40, CF 1, OF = old top bit.
    [S.CC_SHR, 0, 0x40n, 0x81n, CF | OF],
    // SAR of 0x81 by 1: 0xc0, CF 1, OF 0.
    [S.CC_SHR, 0, 0xc0n, 0x81n, CF | SF | PF],
    [S.CC_MUL, 2, 6n, 0n, PF],
    [S.CC_MUL, 2, 6n, 1n, PF | CF | OF],
    [S.CC_FLAGS, 0, 0n, 0xffffn, CF | PF | AF | ZF | SF | OF],
  ];
  for (const [kind, size, dst, src, flags] of rows) {
    const got = evaluate(kind * 4 + size, dst, src, 0n);
    assert.equal(got, flags, `kind ${kind} size ${size} dst ${dst.toString(16)}`);
  }
});

test('RFLAGS splits and joins', () => {
  const m = new TestMachine();
  m.routine('setRflags')(0xffffffffffffffffn);
  assert.equal(m.rflags, 0x3f7fd7n);
  assert.equal(m.get64(S.RFLAGS), 0x3f7702n);
  m.routine('setRflags')(0n);
  assert.equal(m.rflags, 2n);
});
