// x87 instructions of the runtime against the host's processor: registers, tags, control and status word, stored
// values, bit for bit. Transcendental instructions are judged in x87-transcendental.test.mjs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildNative, fraction, listOperations, loadRuntime, operand, randomSource, runNative } from './native.mjs';
import {
  compareState,
  describe,
  IN_BYTES,
  loadState,
  nearHead,
  number80,
  OUT_BYTES,
  writeImage,
} from './x87-state.mjs';

const CASES = Number(process.env.FLOAT_CASES ?? 5000);
const { program, reason } = buildNative();
const skip = reason ?? false;
const { memory, exports: r } = loadRuntime();
const view = new DataView(memory.buffer);

/** Stores give their value only when the store may happen; then comes the pop. */
const store = (value, pops) => () => {
  const stored = value();
  if (!r.x87_store_ok()) return undefined;
  if (pops) r.x87_pop();
  return stored;
};
const i16 = (value) => BigInt.asIntN(16, value);
const i32 = (value) => Number(BigInt.asIntN(32, value));
const u16 = (value) => BigInt(value & 0xffff);
const u32 = (value) => BigInt(value >>> 0);
const u64 = (value) => BigInt.asUintN(64, value);

/** What the lifter will call for each instruction. `value` is the memory operand. */
const calls = {
  add: () => r.fpu_add(0, 1, 0),
  add_to: () => r.fpu_add(1, 0, 0),
  add_pop: () => r.fpu_add(1, 0, 1),
  add_self: () => r.fpu_add(0, 0, 0),
  mul: () => r.fpu_mul(0, 1, 0),
  mul_pop: () => r.fpu_mul(1, 0, 1),
  sub: () => r.fpu_sub(0, 1, 0),
  subr: () => r.fpu_subr(0, 1, 0),
  sub_to: () => r.fpu_sub(1, 0, 0),
  subr_to: () => r.fpu_subr(1, 0, 0),
  div: () => r.fpu_div(0, 1, 0),
  divr: () => r.fpu_divr(0, 1, 0),
  div_pop: () => r.fpu_div(1, 0, 1),
  divr_pop: () => r.fpu_divr(1, 0, 1),
  sqrt: r.x87_fsqrt,
  chs: r.x87_fchs,
  abs: r.x87_fabs,
  tst: r.x87_ftst,
  xam: r.x87_fxam,
  rndint: r.x87_frndint,
  scale: r.x87_fscale,
  xtract: r.x87_fxtract,
  prem: r.x87_fprem,
  prem1: r.x87_fprem1,
  com: () => r.x87_fcom(1, 0, 0),
  comp: () => r.x87_fcom(1, 1, 0),
  compp: () => r.x87_fcom(1, 2, 0),
  ucom: () => r.x87_fcom(1, 0, 1),
  ucompp: () => r.x87_fcom(1, 2, 1),
  xch: () => r.fpu_fxch(1),
  ffree: () => r.x87_ffree(1),
  incstp: r.x87_fincstp,
  decstp: r.x87_fdecstp,
  ld_st: () => r.fpu_fld_st(1),
  st_st: () => r.fpu_fst_st(1, 0),
  stp_st: () => r.fpu_fst_st(1, 1),
  nclex: r.x87_fnclex,
  ninit: r.x87_fninit,
  ld1: () => r.x87_fld_const(0),
  ldl2t: () => r.x87_fld_const(1),
  ldl2e: () => r.x87_fld_const(2),
  ldpi: () => r.x87_fld_const(3),
  ldlg2: () => r.x87_fld_const(4),
  ldln2: () => r.x87_fld_const(5),
  ldz: () => r.x87_fld_const(6),
  emms: r.mmx_emms,
  mmx_move: () => {
    r.mmx_enter();
    view.setBigUint64(0x10000 + 1024 + 32, view.getBigUint64(0x10000 + 1024 + 16, true), true);
    r.mmx_write(2);
  },
  add_f32: (v) => r.fpu_add_f32(i32(v)),
  mul_f32: (v) => r.fpu_mul_f32(i32(v)),
  sub_f64: (v) => r.fpu_sub_f64(v),
  subr_f64: (v) => r.fpu_subr_f64(v),
  div_f32: (v) => r.fpu_div_f32(i32(v)),
  divr_f64: (v) => r.fpu_divr_f64(v),
  com_f32: (v) => r.fpu_fcom_f32(i32(v), 0),
  comp_f64: (v) => r.fpu_fcom_f64(v, 1),
  add_i16: (v) => r.fpu_arith_int(0, i16(v)),
  mul_i32: (v) => r.fpu_arith_int(1, BigInt(i32(v))),
  subr_i32: (v) => r.fpu_arith_int(5, BigInt(i32(v))),
  div_i16: (v) => r.fpu_arith_int(6, i16(v)),
  comp_i32: (v) => r.fpu_fcom_int(BigInt(i32(v)), 1),
  ld_f32: (v) => r.fpu_fld_f32(i32(v)),
  ld_f64: (v) => r.fpu_fld_f64(v),
  ild_i16: (v) => r.x87_fild(i16(v)),
  ild_i32: (v) => r.x87_fild(BigInt(i32(v))),
  ild_i64: (v) => r.x87_fild(v),
  ldcw: (v) => r.x87_fldcw(Number(v & 0xffffn)),
  st_f32: store(() => u32(r.x87_fst_f32()), false),
  stp_f64: store(() => u64(r.x87_fst_f64()), true),
  stp_f80: store(() => [u64(r.x87_fst_mantissa()), u16(r.x87_fst_exponent())], true),
  ist_i16: store(() => u16(r.x87_fist16(0)), false),
  ist_i32: store(() => u32(r.x87_fist32(0)), false),
  istp_i64: store(() => u64(r.x87_fist64(0)), true),
  isttp_i16: store(() => u16(r.x87_fist16(1)), true),
  isttp_i32: store(() => u32(r.x87_fist32(1)), true),
  isttp_i64: store(() => u64(r.x87_fist64(1)), true),
  bstp: store(() => [u64(r.x87_fbstp_low()), u16(r.x87_fbstp_high())], true),
  comi: () => u32(r.x87_fcomi(1, 0)),
  comip: () => {
    const flags = u32(r.x87_fcomi(1, 0));
    if (r.x87_store_ok()) r.x87_pop();
    return flags;
  },
  ucomi: () => u32(r.x87_fcomi(1, 1)),
  cmov: () => r.x87_fcmov(1),
  cmov_not: () => r.x87_fcmov_not(1),
};
/** Linear memory nobody uses in these tests. */
const SCRATCH = 0x200000;
/** FLDENV reads the operand and, behind it, what the record holds: the state image. */
const loadEnvironment = (wide) => (value, before) => {
  view.setBigUint64(SCRATCH, value, true);
  new Uint8Array(memory.buffer, SCRATCH + 8, 24).set(before.subarray(0, 24));
  r.fldenv_image(SCRATCH, wide, 0);
};
const storeEnvironment = (wide, bytes) => () => {
  r.fnstenv_image(SCRATCH, wide, 0);
  r.fnstenv_done();
  return Buffer.from(new Uint8Array(memory.buffer, SCRATCH, bytes));
};
Object.assign(calls, {
  ldenv: loadEnvironment(1),
  ldenv16: loadEnvironment(0),
  // The pointers that follow are those of the judge's own code.
  stenv: storeEnvironment(1, 12),
  stenv16: storeEnvironment(0, 6),
});
/** The operand and the operand's neighbours in the input record hold ten bytes for these. */
const TEN_BYTES = { ld_f80: (low, high) => r.x87_fld_f80(low, high), bld: (low, high) => r.x87_fbld(low, high) };

function memoryOperand(name, random) {
  if (name.includes('f32')) return operand(random, 23, 8, 127);
  if (name.includes('f64')) return operand(random, 52, 11, 1023);
  if (name.startsWith('ldenv')) return BigInt(random.next()) | (BigInt(random.next()) << 32n);
  if (name === 'ldcw') return BigInt(random.below(4) ? (random.next() & 0xf7f) | 0x40 : random.next() & 0xffff);
  return fraction(random, [16, 32, 64][random.below(3)]);
}

/** ST(0) and ST(1) where the instruction is interesting. */
function registers(name, random) {
  const st0 = number80(random, 16383);
  const st1 = random.below(12) === 0 ? { ...st0 } : number80(random, nearHead(random, st0));
  if (/^(ist|bst|rnd)/.test(name) && random.below(4)) {
    st0.head = (st0.head & 0x8000) | (16381 + random.below(70));
    st0.mantissa |= 1n << 63n;
  }
  if (name.startsWith('st') && random.below(2)) {
    const bias = name.includes('f32') ? 127 : 1023;
    const field =
      [16383 + bias, 16383 - bias, 16383 - bias - 23, 16383 - bias - 52][random.below(4)] - 2 + random.below(5);
    st0.head = (st0.head & 0x8000) | field;
  }
  if (name === 'scale' && random.below(2)) st1.head = (st1.head & 0x8000) | (16381 + random.below(18));
  if (name === 'prem' || name === 'prem1') {
    if (random.below(2)) {
      const distance = random.below(140) - 4;
      st1.head = (st1.head & 0x8000) | Math.min(0x7ffe, Math.max(0, (st0.head & 0x7fff) - distance));
    }
  }
  return [st0, st1];
}

const NOT_HERE = new Set(['sin', 'cos', 'sincos', 'ptan', 'patan', '2xm1', 'yl2x', 'yl2xp1']);

for (const [number, name] of skip ? [] : listOperations(program, ['x87', '--list']).entries()) {
  if (NOT_HERE.has(name)) continue;
  test(`f${name} as the processor does it`, () => {
    const random = randomSource(0x51ed270b ^ (number * 104729));
    const input = Buffer.alloc(CASES * IN_BYTES);
    for (let i = 0; i < CASES; i++) {
      const at = i * IN_BYTES;
      input.writeUInt32LE(number, at);
      input.writeBigUInt64LE(memoryOperand(name, random), at + 8);
      writeImage(input.subarray(at + 16, at + IN_BYTES), random, ...registers(name, random));
    }
    const output = runNative(program, ['x87'], input);
    let wrong = 0;
    let first = '';
    for (let i = 0; i < CASES; i++) {
      const at = i * IN_BYTES;
      const before = input.subarray(at + 16, at + IN_BYTES);
      const after = output.subarray(i * OUT_BYTES + 16, (i + 1) * OUT_BYTES);
      const value = input.readBigUInt64LE(at + 8);
      loadState(view, r, before);
      const stored = name in TEN_BYTES ? TEN_BYTES[name](value, before.readUInt16LE(0)) : calls[name](value, before);
      let difference = compareState(view, r, after);
      const native = output.subarray(i * OUT_BYTES, i * OUT_BYTES + 16);
      const expected = Buffer.alloc(16, 0xcc);
      if (Buffer.isBuffer(stored)) {
        native.copy(expected);
        stored.copy(expected);
      } else if (Array.isArray(stored)) {
        expected.writeBigUInt64LE(stored[0], 0);
        expected.writeUInt16LE(Number(stored[1]), 8);
      } else if (typeof stored === 'bigint') {
        const width = /i16/.test(name) ? 2 : /[fi]32/.test(name) ? 4 : 8;
        for (let k = 0; k < width; k++) expected[k] = Number((stored >> BigInt(8 * k)) & 0xffn);
      }
      if (!expected.equals(native) && !(name.includes('comi') && !r.x87_store_ok())) {
        difference += ` stored ${expected.toString('hex')}, processor ${native.toString('hex')};`;
      }
      if (difference === '') continue;
      wrong++;
      if (wrong > 6) continue;
      first += `\n${name} ${describe(before)} operand ${value.toString(16)}:${difference}`;
    }
    assert.equal(wrong, 0, `${wrong} of ${CASES} differ${first}`);
  });
}

test('the host judges x87', { skip }, () => assert.ok(program));
