/**
 * Shifts and rotates. Intel SDM Vol. 2, "SAL/SAR/SHL/SHR", "RCL/RCR/ROL/ROR", "SHLD", "SHRD".
 * Counts are masked to 5 bits (6 for 8-byte operands); a masked count of 0 changes no flag. The destination is written
 * either way: a 4-byte register then still loses its bits 63:32.
 */
import type { Value } from '../../ir/value.js';
import type { Insn, Operand } from '../insn.js';
import { type Definition, type Definitions, define, FLAG, type Lift, type OperandSize } from '../lift.js';
import * as S from '../state.js';
import { operand, sizeOf } from './shape.js';

/** The masked count in operand `n` (1 where there is none), in the type of the shifted value. */
function countOf(b: Lift, i: Insn, n: number, size: OperandSize): Value {
  const op = i.operands[n];
  if (op === undefined) return b.constant(size, 1);
  const mask = size === 8 ? 63 : 31;
  return b.resize(b.and(b.wrap(b.read(op)), b.i32(mask)), 4, size === 8 ? 8 : 4);
}

const isNotZero = (b: Lift, count: Value): Value => b.ne(count, count.type === 'i64' ? b.i64(0) : b.i32(0));
const minusOne = (b: Lift, count: Value): Value => b.sub(count, count.type === 'i64' ? b.i64(1) : b.i32(1));

function shift(kind: 'shl' | 'shr' | 'sar'): Definition {
  return define((b, i) => {
    const dst = operand(i, 0);
    const size = sizeOf(dst);
    const x = b.readForWrite(dst);
    const n = countOf(b, i, 1, size);
    const wide = kind === 'sar' ? b.signExtend(x, size) : x;
    const by = (count: Value): Value =>
      b.truncate(
        kind === 'shl' ? b.shl(wide, count) : kind === 'sar' ? b.shrs(wide, count) : b.shru(wide, count),
        size,
      );
    const r = b.now(by(n));
    b.write(dst, r);
    b.ifThen(isNotZero(b, n), () => {
      b.flagsOf(kind === 'shl' ? S.CC_SHL : S.CC_SHR, size, r, by(minusOne(b, n)));
    });
  });
}

const topBit = (b: Lift, v: Value, size: OperandSize, below = 0): Value =>
  b.and(b.wrap(b.shru(v, b.constant(size === 8 ? 8 : 4, size * 8 - 1 - below))), b.i32(1));

/** CF and OF become `carry` and `overflow` (0 or 1); the other flags stay. */
function setCarryOverflow(b: Lift, carry: Value, overflow: Value): void {
  const rest = b.and(b.flagsWord(), b.i32(~(FLAG.CF | FLAG.OF)));
  b.setFlags(b.or(b.or(rest, carry), b.shl(overflow, b.i32(11))));
}

/** A 1- or 2-byte value repeated over 32 bits rotates as WebAssembly's 32-bit rotate does. */
function spread(b: Lift, v: Value, size: OperandSize): Value {
  if (size === 1) return b.mul(v, b.i32(0x01010101));
  return size === 2 ? b.or(v, b.shl(v, b.i32(16))) : v;
}

function rotate(kind: 'rol' | 'ror'): Definition {
  return define((b, i) => {
    const dst = operand(i, 0);
    const size = sizeOf(dst);
    const x = spread(b, b.readForWrite(dst), size);
    const n = countOf(b, i, 1, size);
    const r = b.now(b.truncate(kind === 'rol' ? b.rotl(x, n) : b.rotr(x, n), size));
    b.write(dst, r);
    b.ifThen(isNotZero(b, n), () => {
      const top = topBit(b, r, size);
      if (kind === 'rol') {
        const carry = b.and(b.wrap(r), b.i32(1));
        setCarryOverflow(b, carry, b.xor(top, carry));
      } else setCarryOverflow(b, top, b.xor(top, topBit(b, r, size, 1)));
    });
  });
}

const modulo = (b: Lift, n: Value, by: number): Value => (n.isConst ? b.i32(n.imm % by) : b.remu(n, b.i32(by)));

/** Rotates the (8 * size + 1)-bit number CF:x left by n (i64; below the width). Gives the value and the new CF. */
function rotateCarry(b: Lift, x: Value, carry: Value, n: Value, size: 1 | 2 | 4): { value: Value; carry: Value } {
  const bits = size * 8;
  const whole = b.or(b.zext64(x), b.shl(b.zext64(carry), b.i64(bits)));
  const turned = b.now(b.or(b.shl(whole, n), b.shru(whole, b.sub(b.i64(bits + 1), n))));
  return {
    value: b.truncate(b.wrap(turned), size),
    carry: b.and(b.wrap(b.shru(turned, b.i64(bits))), b.i32(1)),
  };
}

/** The 65-bit rotate. n = 0 gives shift counts of 64, which WebAssembly takes as 0: hence the shifts in two steps. */
function rotateCarry64(b: Lift, kind: 'rcl' | 'rcr', x: Value, carry: Value, n: Value): { value: Value; carry: Value } {
  const one = b.i64(1);
  const back = b.sub(b.i64(64), n);
  const c = b.zext64(carry);
  const [value, out] =
    kind === 'rcl'
      ? [b.or(b.or(b.shl(x, n), b.shl(c, b.sub(n, one))), b.shru(b.shru(x, one), back)), b.shru(x, back)]
      : [b.or(b.or(b.shru(x, n), b.shl(c, back)), b.shl(b.shl(x, one), back)), b.shru(x, b.sub(n, one))];
  return { value: b.select(isNotZero(b, n), value, x), carry: b.and(b.wrap(out), b.i32(1)) };
}

function rotateThroughCarry(kind: 'rcl' | 'rcr'): Definition {
  return define((b, i) => {
    const dst = operand(i, 0);
    const size = sizeOf(dst);
    const x = b.readForWrite(dst);
    const count = countOf(b, i, 1, size);
    const old = b.flag('CF');
    let result: { value: Value; carry: Value };
    if (size === 8) result = rotateCarry64(b, kind, x, old, count);
    else {
      const width = size * 8 + 1;
      const n = size === 4 ? count : modulo(b, count, width);
      // Right by n is left by width - n. For n = 0 that would be a shift by the whole width: mapped back to 0.
      const left = kind === 'rcl' ? n : b.select(isNotZero(b, n), b.sub(b.i32(width), n), b.i32(0));
      result = rotateCarry(b, x, old, b.zext64(left), size);
    }
    const value = b.now(result.value);
    const carry = b.now(result.carry);
    b.write(dst, value);
    b.ifThen(isNotZero(b, count), () => {
      const top = topBit(b, value, size);
      setCarryOverflow(b, carry, b.xor(top, kind === 'rcl' ? carry : topBit(b, value, size, 1)));
    });
  });
}

/**
 * The destination shifted by `n` with bits of the source coming in. Two-byte operands with counts above 16 are undefined
 * in the manual; processors continue with the destination's own bits, and so do we.
 */
function shiftDouble(b: Lift, kind: 'shld' | 'shrd', x: Value, y: Value, n: Value, size: OperandSize): Value {
  if (size === 8) {
    const one = b.i64(1);
    const back = b.sub(b.i64(63), n);
    return kind === 'shld'
      ? b.or(b.shl(x, n), b.shru(b.shru(y, one), back))
      : b.or(b.shru(x, n), b.shl(b.shl(y, one), back));
  }
  const n64 = b.zext64(n);
  const at = (v: Value, place: number): Value => b.shl(b.zext64(v), b.i64(place));
  const bits = size * 8;
  const low = kind === 'shld' ? (size === 2 ? b.or(at(y, 16), at(x, 0)) : at(y, 0)) : b.or(at(y, bits), at(x, 0));
  const whole = kind === 'shld' || size === 2 ? b.or(at(x, 32), low) : low;
  const moved = kind === 'shld' ? b.shru(b.shl(whole, n64), b.i64(32)) : b.shru(whole, n64);
  return b.truncate(b.wrap(moved), size);
}

function double(kind: 'shld' | 'shrd'): Definition {
  return define((b, i) => {
    const dst: Operand = operand(i, 0);
    const size = sizeOf(dst);
    const x = b.readForWrite(dst);
    const y = b.read(operand(i, 1));
    const n = countOf(b, i, 2, size);
    const r = b.now(shiftDouble(b, kind, x, y, n, size));
    b.write(dst, r);
    b.ifThen(isNotZero(b, n), () => {
      const before = shiftDouble(b, kind, x, y, minusOne(b, n), size);
      b.flagsOf(kind === 'shld' ? S.CC_SHL : S.CC_SHR, size, r, before);
    });
  });
}

export const definitions: Definitions = {
  shl: shift('shl'),
  sal: shift('shl'),
  shr: shift('shr'),
  sar: shift('sar'),
  rol: rotate('rol'),
  ror: rotate('ror'),
  rcl: rotateThroughCarry('rcl'),
  rcr: rotateThroughCarry('rcr'),
  shld: double('shld'),
  shrd: double('shrd'),
};
