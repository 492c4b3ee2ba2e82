/** Packed shifts. Intel SDM Vol. 2B, "PSLLW/PSLLD/PSLLQ", "PSRAW/PSRAD/PSRAQ", "PSRLW/PSRLD/PSRLQ". */
import type { Value } from '../../ir/value.js';
import type { Operand } from '../insn.js';
import type { Definition, Definitions, Lift } from '../lift.js';
import { isMmx, readMmx, readVector, simd, writeMmx } from './sse-guard.js';
import { low64, splat64, zero128 } from './sse-vector.js';

/** The count is the low 64 bits of a register or memory operand, or an immediate byte. */
function countOf(b: Lift, op: Operand, isMmxForm: boolean): Value {
  if (op.kind === 'imm') return b.zext64(b.immediate(op));
  return isMmxForm ? readMmx(b, op) : b.now(low64(b, readVector(b, op)));
}

/** Counts of the element's width and more give zeros, or copies of the sign. WebAssembly takes counts modulo the width. */
function shifted(b: Lift, shape: string, bits: number, name: string, v: Value, count: Value): Value {
  const fits = b.ltu(count, b.i64(bits));
  if (name === 'shr_s') return b.binop(`${shape}.shr_s`, 'v128', v, b.select(fits, b.wrap(count), b.i32(bits - 1)));
  return b.select(fits, b.binop(`${shape}.${name}`, 'v128', v, b.wrap(count)), zero128(b));
}

const shift = (shape: string, bits: number, name: string): Definition =>
  simd((b, i) => {
    const [dst, src] = i.operands;
    const count = countOf(b, src, isMmx(dst));
    if (isMmx(dst)) writeMmx(b, dst, low64(b, shifted(b, shape, bits, name, splat64(b, readMmx(b, dst)), count)));
    else b.write(dst, shifted(b, shape, bits, name, b.read(dst), count));
  });

export const definitions: Definitions = {
  psllw: shift('i16x8', 16, 'shl'),
  pslld: shift('i32x4', 32, 'shl'),
  psllq: shift('i64x2', 64, 'shl'),
  psrlw: shift('i16x8', 16, 'shr_u'),
  psrld: shift('i32x4', 32, 'shr_u'),
  psrlq: shift('i64x2', 64, 'shr_u'),
  psraw: shift('i16x8', 16, 'shr_s'),
  psrad: shift('i32x4', 32, 'shr_s'),
};
