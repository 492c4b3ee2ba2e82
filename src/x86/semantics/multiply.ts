/** Multiplication and division. Intel SDM Vol. 2, "MUL", "IMUL", "DIV", "IDIV". Division leaves the flags alone. */
import type { Value } from '../../ir/value.js';
import type { Operand } from '../insn.js';
import { type Definitions, define, GPR_INDEX, type Lift, type OperandSize, VECTOR } from '../lift.js';
import * as S from '../state.js';
import { operand, sizeOf } from './shape.js';

const { rax, rdx } = GPR_INDEX;

/** High 64 bits of an unsigned 64 x 64 product, from four 32-bit ones. */
function highUnsigned(b: Lift, x: Value, y: Value): Value {
  const half = b.i64(32);
  const low = (v: Value): Value => b.truncate(v, 4);
  const [x0, x1, y0, y1] = [low(x), b.shru(x, half), low(y), b.shru(y, half)];
  const middle = b.add(b.mul(x1, y0), b.shru(b.mul(x0, y0), half));
  const other = b.add(b.mul(x0, y1), low(middle));
  return b.add(b.add(b.mul(x1, y1), b.shru(middle, half)), b.shru(other, half));
}

/** A negative factor counts as itself plus 2^64: take the other factor off the high half again. */
function highSigned(b: Lift, x: Value, y: Value): Value {
  const sign = (v: Value): Value => b.shrs(v, b.i64(63));
  return b.sub(b.sub(highUnsigned(b, x, y), b.and(sign(x), y)), b.and(sign(y), x));
}

interface Product {
  /** Low and high half, clean. */
  readonly low: Value;
  readonly high: Value;
  /** Not zero when the high half carries information: CF and OF. */
  readonly overflow: Value;
}

function multiply(b: Lift, isSigned: boolean, x: Value, y: Value, size: OperandSize): Product {
  if (size === 8) {
    const low = b.mul(x, y);
    const high = isSigned ? highSigned(b, x, y) : highUnsigned(b, x, y);
    return { low, high, overflow: isSigned ? b.xor(high, b.shrs(low, b.i64(63))) : high };
  }
  const bits = size * 8;
  const wide = (v: Value): Value => b.resize(v, size, size === 4 ? 8 : 4, isSigned);
  const product = b.mul(wide(x), wide(y));
  const part = (from: number): Value =>
    b.truncate(b.wrap(b.shru(product, size === 4 ? b.i64(from) : b.i32(from))), size);
  const [low, high] = [part(0), part(bits)];
  const sign = b.truncate(b.shrs(b.signExtend(low, size), b.i32(31)), size);
  return { low, high, overflow: isSigned ? b.xor(high, sign) : high };
}

/** AX, or rDX:rAX, becomes the double-width `low` and `high`. */
function setPair(b: Lift, size: OperandSize, low: Value, high: Value): void {
  if (size === 1) {
    b.setReg(rax, 2, b.or(low, b.shl(high, b.i32(8))));
    return;
  }
  b.now(low);
  b.now(high);
  b.setReg(rax, size, low);
  b.setReg(rdx, size, high);
}

function multiplyAccumulator(b: Lift, isSigned: boolean, src: Operand): void {
  const size = sizeOf(src);
  const p = multiply(b, isSigned, b.reg(rax, size), b.read(src), size);
  setPair(b, size, p.low, p.high);
  b.flagsOf(S.CC_MUL, size, p.low, p.overflow);
}

const mul = define((b, i) => multiplyAccumulator(b, false, operand(i, 0)));

const imul = define((b, i) => {
  const dst = operand(i, 0);
  const second = i.operands[1];
  if (second === undefined) {
    multiplyAccumulator(b, true, dst);
    return;
  }
  const size = sizeOf(dst);
  const third = i.operands[2];
  const p = multiply(b, true, b.read(third === undefined ? dst : second), b.read(third ?? second), size);
  b.write(dst, b.now(p.low));
  b.flagsOf(S.CC_MUL, size, p.low, p.overflow);
});

/** rDX:rAX of 4-byte halves, or AX, or DX:AX, as one i64, extended from its own width. */
function dividend(b: Lift, size: 1 | 2 | 4, isSigned: boolean): Value {
  if (size === 1) return b.resize(b.reg(rax, 2), 2, 8, isSigned);
  const bits = b.i64(size * 8);
  const whole = b.or(b.shl(b.zext64(b.reg(rdx, size)), bits), b.zext64(b.reg(rax, size)));
  return isSigned ? b.signExtend(whole, size * 2) : whole;
}

function setQuotient(b: Lift, size: OperandSize, quotient: Value, remainder: Value): void {
  const narrow = (v: Value): Value => b.resize(v, 8, size);
  setPair(b, size, narrow(quotient), narrow(remainder));
}

const div = define((b, i) => {
  const src = operand(i, 0);
  const size = sizeOf(src);
  const y = b.now(b.zext64(b.read(src)));
  if (size === 8) {
    divideWide(b, y);
    return;
  }
  const x = b.now(dividend(b, size, false));
  // The quotient fits exactly if the high half is below the divisor; that also refuses 0.
  b.raiseIf(b.geu(b.shru(x, b.i64(size * 8)), y), VECTOR.DE);
  const quotient = b.now(b.divu(x, y));
  setQuotient(b, size, quotient, b.sub(x, b.mul(quotient, y)));
});

function divideWide(b: Lift, y: Value): void {
  const low = b.reg(rax, 8);
  const high = b.reg(rdx, 8);
  b.raiseIf(b.geu(high, y), VECTOR.DE);
  b.ifThen(b.eqz(high), () => {
    const quotient = b.now(b.divu(low, y));
    setQuotient(b, 8, quotient, b.sub(low, b.mul(quotient, y)));
  });
  b.ifThen(b.ne(high, b.i64(0)), () => {
    const quotient = b.call('divideU128', 'i64', high, low, y);
    setQuotient(b, 8, quotient, b.sub(low, b.mul(quotient, y)));
  });
}

const idiv = define((b, i) => {
  const src = operand(i, 0);
  const size = sizeOf(src);
  const y = b.now(b.resize(b.read(src), size, 8, true));
  b.raiseIf(b.eqz(y), VECTOR.DE);
  if (size === 8) {
    divideWideSigned(b, y);
    return;
  }
  const x = b.now(dividend(b, size, true));
  // The only quotient that does not fit i64, on which WebAssembly's division traps.
  if (size === 4) b.raiseIf(b.and(b.eq(x, b.i64(-(2n ** 63n))), b.eq(y, b.i64(-1))), VECTOR.DE);
  const quotient = b.now(b.divs(x, y));
  b.raiseIf(b.ne(b.signExtend(quotient, size), quotient), VECTOR.DE);
  setQuotient(b, size, quotient, b.sub(x, b.mul(quotient, y)));
});

/** Dividends that fit 64 bits, the usual case after CQO, are divided in place. */
function divideWideSigned(b: Lift, y: Value): void {
  const low = b.reg(rax, 8);
  const high = b.reg(rdx, 8);
  const isLowest = b.eq(low, b.i64(-(2n ** 63n)));
  const isNarrow = b.now(b.and(b.eq(high, b.shrs(low, b.i64(63))), b.eqz(b.and(isLowest, b.eq(y, b.i64(-1))))));
  b.ifThen(isNarrow, () => {
    const quotient = b.now(b.divs(low, y));
    setQuotient(b, 8, quotient, b.sub(low, b.mul(quotient, y)));
  });
  b.ifThen(b.eqz(isNarrow), () => {
    b.raiseIf(b.eqz(b.call('quotientFitsS128', 'i32', high, low, y)), VECTOR.DE);
    const quotient = b.call('divideS128', 'i64', high, low, y);
    setQuotient(b, 8, quotient, b.sub(low, b.mul(quotient, y)));
  });
}

export const definitions: Definitions = { mul, imul, div, idiv };
