/**
 * Packed and scalar floating-point arithmetic. What is not quick (sse-quick.ts) is done by the runtime (runtime/float a
 * number at a time, runtime/simd a vector at a time), which knows MXCSR. Intel SDM Vol. 1, "Programming with SSE", "SIMD Floating-Point
 * Exceptions".
 */
import type { Definition, Definitions } from '../lift.js';
import * as S from '../state.js';
import { arithmetic, readVector, sse } from './sse-guard.js';
import { DOUBLE, type Format, quickBinary, quickMinimum, quickSquareRoot, SINGLE } from './sse-quick.js';
import { DOUBLES, type PackedFormat, type PackedName, quickPacked, SINGLES } from './sse-quick-packed.js';

/** dst = dst op src on whole vectors. */
const packed = (routine: string): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    const y = readVector(b, src);
    const x = b.read(dst);
    b.write(
      dst,
      arithmetic(b, () => b.call(routine, 'v128', x, y)),
    );
  });

/** dst = op src on whole vectors. */
const packedUnary = (routine: string): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    const y = readVector(b, src);
    b.write(
      dst,
      arithmetic(b, () => b.call(routine, 'v128', y)),
    );
  });

/** Whole vectors with a control byte as the last argument. */
const packedControl = (routine: string): Definition =>
  sse((b, i) => {
    const [dst, src, imm] = i.operands;
    const y = readVector(b, src);
    const x = b.read(dst);
    const control = b.read(imm);
    b.write(
      dst,
      arithmetic(b, () => b.call(routine, 'v128', x, y, control)),
    );
  });

const packedUnaryControl = (routine: string): Definition =>
  sse((b, i) => {
    const [dst, src, imm] = i.operands;
    const y = readVector(b, src);
    const control = b.read(imm);
    b.write(
      dst,
      arithmetic(b, () => b.call(routine, 'v128', y, control)),
    );
  });

/** While an exception is unmasked, results wait for the check: no quick way then. */
const isMasked = (key: number): boolean => (key & S.KEY_SSE_UNMASKED) === 0;

/** The lowest element only. */
const scalar = (f: Format, name: string): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    if (isMasked(b.key)) {
      if (name === 'min' || name === 'max') quickMinimum(b, f, name, dst, src);
      else quickBinary(b, f, name, dst, src);
      return;
    }
    const y = b.readLow(src, f.size);
    const x = b.readLow(dst, f.size);
    b.writeLow(
      dst,
      f.size,
      arithmetic(b, () => b.call(`${f.float}_${name}`, f.integer, x, y)),
    );
  });

const squareRoot = (f: Format): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    if (isMasked(b.key)) {
      quickSquareRoot(b, f, dst, src);
      return;
    }
    const x = b.readLow(src, f.size);
    b.writeLow(
      dst,
      f.size,
      arithmetic(b, () => b.call(`${f.float}_sqrt`, f.integer, x)),
    );
  });

const approximation = (routine: string): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    b.writeLow(dst, 4, b.call(routine, 'i32', b.readLow(src, 4)));
  });

const round = (f: Format): Definition =>
  sse((b, i) => {
    const [dst, src, imm] = i.operands;
    const y = b.readLow(src, f.size);
    const control = b.read(imm);
    b.writeLow(
      dst,
      f.size,
      arithmetic(b, () => b.call(`${f.float}_round`, f.integer, y, control)),
    );
  });

/** The packed operations that WebAssembly rounds alike. */
const packedArithmetic = (f: PackedFormat, name: PackedName): Definition => {
  const checked = packed(`${f.shape}_${name}`);
  return sse((b, i) => {
    if (isMasked(b.key)) quickPacked(b, f, name, i.operands[0], i.operands[1]);
    else checked.lift(b, i);
  });
};

/** The four formats of one operation: `add` -> ADDPS ADDPD ADDSS ADDSD. */
const formats = (name: PackedName): Definitions => ({
  [`${name}ps`]: packedArithmetic(SINGLES, name),
  [`${name}pd`]: packedArithmetic(DOUBLES, name),
  [`${name}ss`]: scalar(SINGLE, name),
  [`${name}sd`]: scalar(DOUBLE, name),
});

export const definitions: Definitions = {
  ...formats('add'),
  ...formats('sub'),
  ...formats('mul'),
  ...formats('div'),
  minps: packed('f32x4_min'),
  minpd: packed('f64x2_min'),
  minss: scalar(SINGLE, 'min'),
  minsd: scalar(DOUBLE, 'min'),
  maxps: packed('f32x4_max'),
  maxpd: packed('f64x2_max'),
  maxss: scalar(SINGLE, 'max'),
  maxsd: scalar(DOUBLE, 'max'),
  sqrtps: packedUnary('f32x4_sqrt'),
  sqrtpd: packedUnary('f64x2_sqrt'),
  sqrtss: squareRoot(SINGLE),
  sqrtsd: squareRoot(DOUBLE),
  // Approximations: no exceptions, MXCSR does not matter.
  rcpps: packedUnary('f32x4_rcp'),
  rcpss: approximation('f32_rcp'),
  rsqrtps: packedUnary('f32x4_rsqrt'),
  rsqrtss: approximation('f32_rsqrt'),
  haddps: packed('f32x4_hadd'),
  haddpd: packed('f64x2_hadd'),
  hsubps: packed('f32x4_hsub'),
  hsubpd: packed('f64x2_hsub'),
  addsubps: packed('f32x4_addsub'),
  addsubpd: packed('f64x2_addsub'),
  dpps: packedControl('f32x4_dot'),
  dppd: packedControl('f64x2_dot'),
  roundps: packedUnaryControl('f32x4_round'),
  roundpd: packedUnaryControl('f64x2_round'),
  roundss: round(SINGLE),
  roundsd: round(DOUBLE),
};
