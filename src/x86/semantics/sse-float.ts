/**
 * Packed and scalar floating-point arithmetic. The work is done by the runtime (runtime/float a number at a time,
 * runtime/simd a vector at a time), which knows MXCSR. Intel SDM Vol. 1, "Programming with SSE", "SIMD Floating-Point
 * Exceptions".
 */
import { type Definition, type Definitions } from '../lift.js';
import { arithmetic, readVector, sse } from './sse-guard.js';

const TYPES = { 4: 'i32', 8: 'i64' } as const;

/** dst = dst op src on whole vectors. */
const packed = (routine: string): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    const y = readVector(b, src);
    const x = b.read(dst);
    b.write(dst, arithmetic(b, () => b.call(routine, 'v128', x, y)));
  });

/** dst = op src on whole vectors. */
const packedUnary = (routine: string): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    const y = readVector(b, src);
    b.write(dst, arithmetic(b, () => b.call(routine, 'v128', y)));
  });

/** Whole vectors with a control byte as the last argument. */
const packedControl = (routine: string): Definition =>
  sse((b, i) => {
    const [dst, src, imm] = i.operands;
    const y = readVector(b, src);
    const x = b.read(dst);
    const control = b.read(imm);
    b.write(dst, arithmetic(b, () => b.call(routine, 'v128', x, y, control)));
  });

const packedUnaryControl = (routine: string): Definition =>
  sse((b, i) => {
    const [dst, src, imm] = i.operands;
    const y = readVector(b, src);
    const control = b.read(imm);
    b.write(dst, arithmetic(b, () => b.call(routine, 'v128', y, control)));
  });

/** The lowest element only. */
const scalar = (size: 4 | 8, routine: string): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    const y = b.readLow(src, size);
    const x = b.readLow(dst, size);
    b.writeLow(dst, size, arithmetic(b, () => b.call(routine, TYPES[size], x, y)));
  });

const scalarUnary = (size: 4 | 8, routine: string): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    const y = b.readLow(src, size);
    b.writeLow(dst, size, arithmetic(b, () => b.call(routine, TYPES[size], y)));
  });

const scalarUnaryControl = (size: 4 | 8, routine: string): Definition =>
  sse((b, i) => {
    const [dst, src, imm] = i.operands;
    const y = b.readLow(src, size);
    const control = b.read(imm);
    b.writeLow(dst, size, arithmetic(b, () => b.call(routine, TYPES[size], y, control)));
  });

/** The four formats of one operation: `add` -> ADDPS ADDPD ADDSS ADDSD. */
const formats = (name: string): Definitions => ({
  [`${name}ps`]: packed(`f32x4_${name}`),
  [`${name}pd`]: packed(`f64x2_${name}`),
  [`${name}ss`]: scalar(4, `f32_${name}`),
  [`${name}sd`]: scalar(8, `f64_${name}`),
});

export const definitions: Definitions = {
  ...formats('add'),
  ...formats('sub'),
  ...formats('mul'),
  ...formats('div'),
  ...formats('min'),
  ...formats('max'),
  sqrtps: packedUnary('f32x4_sqrt'),
  sqrtpd: packedUnary('f64x2_sqrt'),
  sqrtss: scalarUnary(4, 'f32_sqrt'),
  sqrtsd: scalarUnary(8, 'f64_sqrt'),
  // Approximations: no flags, no exceptions, MXCSR does not matter.
  rcpps: packedUnary('f32x4_rcp'),
  rcpss: scalarUnary(4, 'f32_rcp'),
  rsqrtps: packedUnary('f32x4_rsqrt'),
  rsqrtss: scalarUnary(4, 'f32_rsqrt'),
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
  roundss: scalarUnaryControl(4, 'f32_round'),
  roundsd: scalarUnaryControl(8, 'f64_round'),
};
