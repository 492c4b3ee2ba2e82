/**
 * Decimal arithmetic, SALC, BOUND, ARPL: instructions of 16- and 32-bit code. Intel SDM Vol. 2, the pages of each
 * mnemonic. Flags that the manual leaves undefined get the values that processors are known to give, or stay.
 */
import type { Value } from '../../ir/value.js';
import type { Insn } from '../insn.js';
import { type Definition, type Definitions, define, FLAG, GPR_INDEX, type Lift, VECTOR } from '../lift.js';
import * as S from '../state.js';
import { memory, operand, sizeOf } from './shape.js';

const { rax } = GPR_INDEX;

/** SF ZF PF of a byte, with the given CF and AF (0 or 1); OF is cleared. */
function setByteFlags(b: Lift, r: Value, carry: Value, adjust: Value): void {
  const sign = b.and(r, b.i32(FLAG.SF));
  const zero = b.shl(b.eqz(r), b.i32(6));
  const parity = b.shl(b.eqz(b.and(b.popcnt(r), b.i32(1))), b.i32(2));
  b.setFlags(b.or(b.or(b.or(sign, zero), parity), b.or(carry, b.shl(adjust, b.i32(4)))));
}

/** DAA and DAS. */
function decimalAdjust(adds: boolean): Definition {
  return define((b) => {
    const al = b.reg(rax, 1);
    const carry = b.flag('CF');
    const nibble = b.or(b.gtu(b.and(al, b.i32(15)), b.i32(9)), b.flag('AF'));
    const high = b.now(b.or(b.gtu(al, b.i32(0x99)), carry));
    const by = b.add(b.mul(nibble, b.i32(6)), b.mul(high, b.i32(0x60)));
    const r = b.now(b.truncate(adds ? b.add(al, by) : b.sub(al, by), 1));
    // DAS also keeps the borrow of its first step.
    const borrow = adds ? b.i32(0) : b.and(nibble, b.ltu(al, b.i32(6)));
    b.setReg(rax, 1, r);
    setByteFlags(b, r, b.or(high, borrow), nibble);
  });
}

/** AAA and AAS: adjusts AX as a whole, as processors since the 286 do. CF and AF tell; the others are those of AL. */
function asciiAdjust(adds: boolean): Definition {
  return define((b) => {
    const ax = b.reg(rax, 2);
    const adjusts = b.now(b.or(b.gtu(b.and(ax, b.i32(15)), b.i32(9)), b.flag('AF')));
    const by = b.mul(adjusts, b.i32(0x106));
    const r = b.now(b.and(adds ? b.add(ax, by) : b.sub(ax, by), b.i32(0xff0f)));
    b.setReg(rax, 2, r);
    setByteFlags(b, b.and(r, b.i32(255)), adjusts, adjusts);
  });
}

const aam = define((b, i) => {
  const base = b.now(b.read(operand(i, 0)));
  b.raiseIf(b.eqz(base), VECTOR.DE);
  const al = b.reg(rax, 1);
  const tens = b.now(b.divu(al, base));
  const ones = b.now(b.sub(al, b.mul(tens, base)));
  b.setReg(rax, 2, b.or(ones, b.shl(tens, b.i32(8))));
  setByteFlags(b, ones, b.i32(0), b.i32(0));
});

const aad = define((b, i) => {
  const base = b.read(operand(i, 0));
  const ax = b.reg(rax, 2);
  const tens = b.shru(ax, b.i32(8));
  const r = b.now(b.truncate(b.add(ax, b.mul(tens, base)), 1));
  b.setReg(rax, 2, r);
  setByteFlags(b, r, b.i32(0), b.i32(0));
});

/** AL := CF ? FF : 00. */
const salc = define((b) => b.setReg(rax, 1, b.truncate(b.sub(b.i32(0), b.flag('CF')), 1)));

/** #BR unless lower bound <= index <= upper bound, all signed. */
const bound = define((b: Lift, i: Insn) => {
  const index = operand(i, 0);
  const size = sizeOf(index);
  const at = b.linear(memory(i, 1));
  const x = b.signExtend(b.read(index), size);
  const lower = b.signExtend(b.load(at, size), size);
  const upper = b.signExtend(b.load(b.now(b.add(at, b.i64(size))), size), size);
  b.raiseIf(b.or(b.lts(x, lower), b.gts(x, upper)), VECTOR.BR);
});

/** The destination's RPL is raised to the source's; ZF tells. Not recognized in real and virtual-8086 mode. */
const arpl = define((b, i) => {
  if (!b.isProtected || (b.key & S.KEY_VM86) !== 0) {
    b.raise(VECTOR.UD);
    return;
  }
  const dst = operand(i, 0);
  const x = b.readForWrite(dst);
  const y = b.read(operand(i, 1));
  const rpl = b.and(y, b.i32(3));
  const raises = b.now(b.ltu(b.and(x, b.i32(3)), rpl));
  b.write(dst, b.select(raises, b.or(b.and(x, b.i32(0xfffc)), rpl), x));
  b.setFlags(b.or(b.and(b.flagsWord(), b.i32(~FLAG.ZF)), b.shl(raises, b.i32(6))));
});

export const definitions: Definitions = {
  daa: decimalAdjust(true),
  das: decimalAdjust(false),
  aaa: asciiAdjust(true),
  aas: asciiAdjust(false),
  aam,
  aad,
  salc,
  bound,
  arpl,
};
