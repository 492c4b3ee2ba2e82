/** Bit tests, scans, counts, byte swaps, CRC32. Intel SDM Vol. 2, the pages of each mnemonic. */
import type { Value } from '../../ir/value.js';
import { type Definition, type Definitions, define, FLAG, type Lift, type OperandSize } from '../lift.js';
import { operand, sizeOf } from './shape.js';

type Change = 'none' | 'set' | 'reset' | 'complement';

function setCarry(b: Lift, carry: Value): void {
  b.setFlags(b.or(b.and(b.flagsWord(), b.i32(~FLAG.CF)), carry));
}

function changed(b: Lift, change: Change, x: Value, bit: Value): Value {
  if (change === 'set') return b.or(x, bit);
  if (change === 'complement') return b.xor(x, bit);
  return b.and(x, b.xor(bit, bit.type === 'i64' ? b.i64(-1) : b.i32(-1)));
}

/**
 * BT and its changing forms. A register offset is signed and may name a bit outside a memory operand: then the element
 * that holds it is accessed, at its distance in whole elements. An immediate offset is taken modulo the width.
 */
function bitTest(change: Change): Definition {
  return define((b, i) => {
    const dst = operand(i, 0);
    const index = operand(i, 1);
    const size = sizeOf(dst);
    const bits = size * 8;
    const offset = b.resize(b.read(index), sizeOf(index), size);
    const place = b.and(offset, b.constant(size, bits - 1));
    const bit = (): Value => b.shl(b.constant(size, 1), place);
    const carryOf = (x: Value): Value => b.and(b.wrap(b.shru(x, place)), b.i32(1));
    if (dst.kind === 'mem' && index.kind === 'reg') {
      const element = b.shrs(b.resize(offset, size, 8, true), b.i64(Math.log2(bits)));
      const distance = b.shl(element, b.i64(Math.log2(size)));
      const at = b.now(b.truncate(b.add(b.offset(dst), distance), i.addressSize));
      const linear = b.now(b.linearOf(dst, at, size, change === 'none' ? 'read' : 'write'));
      const x = change === 'none' ? b.load(linear, size) : b.loadForWrite(linear, size);
      const carry = b.now(carryOf(x));
      if (change !== 'none') b.store(linear, size, b.truncate(changed(b, change, x, bit()), size));
      setCarry(b, carry);
      return;
    }
    const x = change === 'none' ? b.read(dst) : b.readForWrite(dst);
    const carry = b.now(carryOf(x));
    if (change !== 'none') b.write(dst, changed(b, change, x, bit()));
    setCarry(b, carry);
  });
}

/**
 * BSF and BSR. Of zero: ZF is set and the destination keeps its value (undefined in Intel's manual, so in AMD's and in
 * every processor, all 64 bits of it). The other flags are undefined: they become those of the source.
 */
function scan(kind: 'bsf' | 'bsr'): Definition {
  return define((b, i) => {
    const dst = operand(i, 0);
    const size = sizeOf(dst);
    const x = b.now(b.read(operand(i, 1)));
    const top = b.constant(size, (size === 8 ? 64 : 32) - 1);
    const found = b.now(kind === 'bsf' ? b.ctz(x) : b.sub(top, b.clz(x)));
    b.ifThen(b.eqz(b.eqz(x)), () => b.write(dst, found));
    b.flagsLogic(size, x);
  });
}

/** TZCNT and LZCNT: of zero, the operand's width, and CF is set. ZF tells a zero result. */
function count(kind: 'tzcnt' | 'lzcnt'): Definition {
  return define((b, i) => {
    const dst = operand(i, 0);
    const size = sizeOf(dst);
    const x = b.now(b.read(operand(i, 1)));
    let r: Value;
    if (kind === 'tzcnt') r = size === 2 ? b.ctz(b.or(x, b.i32(0x10000))) : b.ctz(x);
    else r = size === 2 ? b.sub(b.clz(x), b.i32(16)) : b.clz(x);
    b.now(r);
    b.write(dst, r);
    b.setFlags(b.or(b.eqz(x), b.shl(b.eqz(r), b.i32(6))));
  });
}

/** All flags but ZF are cleared. */
const popcnt = define((b, i) => {
  const dst = operand(i, 0);
  const x = b.now(b.read(operand(i, 1)));
  b.write(dst, b.popcnt(x));
  b.setFlags(b.shl(b.eqz(x), b.i32(6)));
});

/** Bytes in the opposite order. */
function swapped(b: Lift, x: Value, size: OperandSize): Value {
  if (size === 2) return b.or(b.shru(x, b.i32(8)), b.truncate(b.shl(x, b.i32(8)), 2));
  if (size === 4) {
    const odd = b.and(b.rotl(x, b.i32(8)), b.i32(0x00ff00ff));
    return b.or(odd, b.and(b.rotr(x, b.i32(8)), b.i32(0xff00ff00)));
  }
  const bytes = 0x00ff00ff00ff00ffn;
  const pairs = 0x0000ffff0000ffffn;
  const s = b.i64(8);
  const byBytes = b.now(b.or(b.and(b.shru(x, s), b.i64(bytes)), b.shl(b.and(x, b.i64(bytes)), s)));
  const t = b.i64(16);
  const byPairs = b.or(b.and(b.shru(byBytes, t), b.i64(pairs)), b.shl(b.and(byBytes, b.i64(pairs)), t));
  return b.rotl(byPairs, b.i64(32));
}

/** BSWAP of 2 bytes is undefined; processors write zero. */
const bswap = define((b, i) => {
  const dst = operand(i, 0);
  const size = sizeOf(dst);
  if (size === 2) b.write(dst, b.i32(0));
  else b.write(dst, swapped(b, b.read(dst), size));
});

const movbe = define((b, i) => {
  const dst = operand(i, 0);
  const src = operand(i, 1);
  b.write(dst, swapped(b, b.read(src), sizeOf(src)));
});

/** CRC-32C of the source's bytes; an 8-byte destination is zero-extended. */
const crc32 = define((b, i) => {
  const dst = operand(i, 0);
  const src = operand(i, 1);
  const x = b.zext64(b.read(src));
  const crc = b.call('crc32c', 'i32', b.wrap(b.read(dst)), x, b.i32(sizeOf(src)));
  b.write(dst, b.resize(crc, 4, sizeOf(dst)));
});

/** ADCX carries in CF alone, ADOX in OF alone. */
function addWithOneFlag(name: 'CF' | 'OF'): Definition {
  return define((b, i) => {
    const dst = operand(i, 0);
    const size = sizeOf(dst);
    const x = b.read(dst);
    const y = b.read(operand(i, 1));
    const carry = b.flag(name);
    const sum = b.now(b.add(x, y));
    const r = b.now(b.add(sum, b.resize(carry, 4, size)));
    const out = b.or(b.ltu(sum, x), b.ltu(r, sum));
    b.write(dst, r);
    const rest = b.and(b.flagsWord(), b.i32(~FLAG[name]));
    b.setFlags(b.or(rest, name === 'CF' ? out : b.shl(out, b.i32(11))));
  });
}

export const definitions: Definitions = {
  bt: bitTest('none'),
  bts: bitTest('set'),
  btr: bitTest('reset'),
  btc: bitTest('complement'),
  bsf: scan('bsf'),
  bsr: scan('bsr'),
  tzcnt: count('tzcnt'),
  lzcnt: count('lzcnt'),
  popcnt,
  bswap,
  movbe,
  crc32,
  adcx: addWithOneFlag('CF'),
  adox: addWithOneFlag('OF'),
};
