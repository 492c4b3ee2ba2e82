/** Bitwise logic, PTEST and the blends that select by sign bits. */
import type { Value } from '../../ir/value.js';
import { type Definition, type Definitions, FLAG, type Lift } from '../lift.js';
import * as S from '../state.js';
import { readVector, sse } from './sse-guard.js';
import { type Binary, packed, vector } from './sse-vector.js';

const and: Binary = (b, x, y) => b.binop('v128.and', 'v128', x, y);
const or: Binary = (b, x, y) => b.binop('v128.or', 'v128', x, y);
const xor: Binary = (b, x, y) => b.binop('v128.xor', 'v128', x, y);
/** x86 inverts the first operand, WebAssembly the second. */
const andNot: Binary = (b, x, y) => b.binop('v128.andnot', 'v128', y, x);

/** Bits of `y` where `mask` is set, of `x` elsewhere. */
export function choose(b: Lift, x: Value, y: Value, mask: Value): Value {
  return or(b, and(b, y, mask), b.binop('v128.andnot', 'v128', x, mask));
}

/** BLENDVPS, BLENDVPD, PBLENDVB: elements of src where XMM0 has the element's sign bit. */
const blendBySign = (op: string, bits: number): Definition =>
  sse((b, i) => {
    const [dst, src] = i.operands;
    const y = readVector(b, src);
    const mask = b.now(b.binop(op, 'v128', b.state(S.XMM, 16), b.i32(bits - 1)));
    b.write(dst, choose(b, b.read(dst), y, mask));
  });

/** PTEST: ZF when the and is zero, CF when src and not dst is zero. */
const ptest: Definition = sse((b, i) => {
  const [dst, src] = i.operands;
  const y = readVector(b, src);
  const x = b.read(dst);
  const none = b.eqz(b.unary('v128.any_true', 'i32', and(b, x, y)));
  const covered = b.eqz(b.unary('v128.any_true', 'i32', andNot(b, x, y)));
  b.setFlags(b.or(b.mul(none, b.i32(FLAG.ZF)), covered));
});

export const definitions: Definitions = {
  andps: vector(and),
  andpd: vector(and),
  andnps: vector(andNot),
  andnpd: vector(andNot),
  orps: vector(or),
  orpd: vector(or),
  xorps: vector(xor),
  xorpd: vector(xor),
  pand: packed(and),
  pandn: packed(andNot),
  por: packed(or),
  pxor: packed(xor),
  ptest,
  blendvps: blendBySign('i32x4.shr_s', 32),
  blendvpd: blendBySign('i64x2.shr_s', 64),
  pblendvb: blendBySign('i8x16.shr_s', 8),
};
