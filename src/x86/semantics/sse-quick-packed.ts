/**
 * Packed floating-point arithmetic by WebAssembly's own operations, under the conditions of sse-quick.ts in every
 * element; exact zeros are let through, too, as unused elements often are zero. Everything else goes to runtime/simd.
 */
import type { Value } from '../../ir/value.js';
import type { Operand } from '../insn.js';
import type { Lift } from '../lift.js';
import { readVector } from './sse-guard.js';
import { isUnsettled } from './sse-quick.js';
import { fill, zero128 } from './sse-vector.js';

export interface PackedFormat {
  readonly shape: 'f32x4' | 'f64x2';
  readonly lanes: 'i32x4' | 'i64x2';
  /** Twice the smallest normal number, the smallest normal number, infinity: high bytes of the element, lowest first. */
  readonly smallestSafe: readonly number[];
  readonly smallestNormal: readonly number[];
  readonly infinity: readonly number[];
}

export const SINGLES: PackedFormat = {
  shape: 'f32x4',
  lanes: 'i32x4',
  smallestSafe: [0, 0, 0x00, 0x01],
  smallestNormal: [0, 0, 0x80, 0x00],
  infinity: [0, 0, 0x80, 0x7f],
};
export const DOUBLES: PackedFormat = {
  shape: 'f64x2',
  lanes: 'i64x2',
  smallestSafe: [0, 0, 0, 0, 0, 0, 0x20, 0x00],
  smallestNormal: [0, 0, 0, 0, 0, 0, 0x10, 0x00],
  infinity: [0, 0, 0, 0, 0, 0, 0xf0, 0x7f],
};

export type PackedName = 'add' | 'sub' | 'mul' | 'div';

/** dst = dst op src. */
export function quickPacked(b: Lift, f: PackedFormat, name: PackedName, dst: Operand, src: Operand): void {
  const op = (operation: string, x: Value, y: Value): Value => b.binop(`${f.shape}.${operation}`, 'v128', x, y);
  const and = (x: Value, y: Value): Value => b.binop('v128.and', 'v128', x, y);
  const or = (x: Value, y: Value): Value => b.binop('v128.or', 'v128', x, y);
  const magnitude = (x: Value): Value => b.unary(`${f.shape}.abs`, 'v128', x);
  const zero = zero128(b);

  const y = readVector(b, src);
  const x = b.read(dst);
  const quick = b.now(op(name, x, y));
  const size = b.now(magnitude(quick));
  const safe = and(op('ge', size, fill(b, f.smallestSafe)), op('lt', size, fill(b, f.infinity)));
  const zeroX = op('eq', x, zero);
  const zeroY = op('eq', y, zero);
  const normal = fill(b, f.smallestNormal);
  const ordinary = and(or(op('ge', magnitude(x), normal), zeroX), or(op('ge', magnitude(y), normal), zeroY));
  const isZero = op('eq', quick, zero);
  // A sum that is zero is exact; a product or quotient only when a factor or the dividend is.
  const exactZero = name === 'mul' ? and(isZero, or(zeroX, zeroY)) : name === 'div' ? and(isZero, zeroX) : isZero;
  const fine = b.unary(`${f.lanes}.all_true`, 'i32', and(or(safe, exactZero), ordinary));
  const bad = b.now(b.or(b.eqz(fine), isUnsettled(b)));
  b.write(dst, quick);
  b.ifThen(bad, () => b.write(dst, b.call(`${f.shape}_${name}`, 'v128', x, y)));
}
