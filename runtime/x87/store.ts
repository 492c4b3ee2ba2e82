// FST in all formats, FIST, FISTTP, FBSTP. Each returns the value to write; the caller stores it when x87_store_ok says
// so, and pops after the store. Nothing in the registers changes here, so the instruction can be repeated after a fault
// of the store, with the same flags.
// Intel SDM Vol. 2A, "FST/FSTP", "FIST/FISTP", "FISTTP", "FBSTP".
import {
  resultExponent,
  resultSign,
  roundedCarry,
  roundedInexact,
  roundedSig,
  roundedUp,
  roundResult,
  setNormalized,
} from '../float/round';
import {
  classify,
  exponentOf,
  INFINITY,
  INTEGER_BIT,
  QUIET_NAN,
  SIGNALING_NAN,
  significandOf,
  signOf,
  UNSUPPORTED,
  ZERO,
} from './number';
import { isQuickStore, roundedDouble, slot, topNumber } from './quick';
import {
  begin,
  C1,
  controlWord,
  headOf,
  IE,
  INDEFINITE,
  INDEFINITE_HEAD,
  isEmpty,
  isStoreStopped,
  mantissaOf,
  OE,
  PE,
  raise,
  roundingMode,
  SF,
  setUnmasked,
  UE,
} from './state';

export function x87_store_ok(): i32 {
  return i32(!isStoreStopped());
}

/** The last result in a smaller format; `largest` is its largest exponent and its bias. */
function packSmall(keep: i32, largest: i32): u64 {
  const control = controlWord();
  const rounding = roundingMode();
  const fractionBits = keep - 1;
  const sign = (<u64>resultSign) << (keep == 24 ? 31 : 63);
  const infinity = (<u64>(2 * largest + 1)) << fractionBits;
  const smallest = 1 - largest;
  let exponent = resultExponent;
  roundResult(keep, rounding);
  if (roundedCarry) exponent++;
  if (exponent > largest) {
    const toInfinity = rounding == 0 || rounding == (resultSign != 0 ? 1 : 2);
    if (control & OE) raise(toInfinity ? OE | PE | C1 : OE | PE);
    else raise(OE);
    return sign | (toInfinity ? infinity : infinity - 1);
  }
  if (resultExponent >= smallest) {
    const sig = roundedCarry ? roundedSig >> 1 : roundedSig;
    if (roundedInexact) raise(roundedUp ? PE | C1 : PE);
    return sign | ((<u64>(exponent + largest)) << fractionBits) | (sig & ((1 << fractionBits) - 1));
  }
  const tiny = resultExponent < smallest - 1 || !roundedCarry;
  if (tiny && (control & UE) == 0) {
    raise(UE);
    return 0;
  }
  roundResult(keep - (smallest - resultExponent), rounding);
  if (roundedInexact) raise((tiny ? UE | PE : PE) | (roundedUp ? C1 : 0));
  return sign | roundedSig;
}

function storeSmall(keep: i32, largest: i32): u64 {
  begin();
  const signPlace = keep == 24 ? 31 : 63;
  const infinity = (<u64>(2 * largest + 1)) << (keep - 1);
  const indefinite = ((<u64>1) << signPlace) | infinity | ((<u64>1) << (keep - 2));
  if (isEmpty(0)) {
    raise(IE | SF);
    return indefinite;
  }
  const m = mantissaOf(0);
  const h = headOf(0);
  const sign = (<u64>signOf(h)) << signPlace;
  const kind = classify(m, h);
  if (kind == ZERO) return sign;
  if (kind == INFINITY) return sign | infinity;
  if (kind == UNSUPPORTED) {
    raise(IE);
    return indefinite;
  }
  if (kind >= QUIET_NAN) {
    if (kind == SIGNALING_NAN) raise(IE);
    return sign | infinity | ((<u64>1) << (keep - 2)) | ((m & ~INTEGER_BIT) >> (64 - keep));
  }
  setNormalized(signOf(h), exponentOf(m, h), significandOf(m), 0);
  return packSmall(keep, largest);
}

export function x87_fst_f32(): u32 {
  return <u32>storeSmall(24, 127);
}

export function x87_fst_f64(): u64 {
  const top = topNumber();
  const m = load<u64>(slot(top));
  const h = load<u16>(slot(top) + 8);
  if (isQuickStore(top, m, h)) {
    setUnmasked(0);
    return roundedDouble(m, h);
  }
  return storeSmall(53, 1023);
}

/** The 80-bit store comes in two parts; this one raises the exceptions. */
export function x87_fst_mantissa(): u64 {
  begin();
  if (!isEmpty(0)) return mantissaOf(0);
  raise(IE | SF);
  return INDEFINITE;
}

export function x87_fst_exponent(): i32 {
  return <i32>(isEmpty(0) ? INDEFINITE_HEAD : headOf(0));
}

/** ST(0) as an integer of `bits` bits, or the integer indefinite. */
function storeInteger(bits: i32, truncate: i32): i64 {
  begin();
  const indefinite = i64.MIN_VALUE >> (64 - bits);
  if (isEmpty(0)) {
    raise(IE | SF);
    return indefinite;
  }
  const m = mantissaOf(0);
  const h = headOf(0);
  const kind = classify(m, h);
  if (kind == ZERO) return 0;
  const exponent = exponentOf(m, h);
  if (kind >= INFINITY || exponent >= bits) {
    raise(IE);
    return indefinite;
  }
  setNormalized(signOf(h), exponent, significandOf(m), 0);
  roundResult(exponent + 1, truncate ? 3 : roundingMode());
  if (roundedSig > <u64>(1 << (bits - 1)) - u64(resultSign == 0)) {
    raise(IE);
    return indefinite;
  }
  if (roundedInexact) raise(roundedUp ? PE | C1 : PE);
  return resultSign ? 0 - <i64>roundedSig : <i64>roundedSig;
}

export function x87_fist16(truncate: i32): i32 {
  return <i32>storeInteger(16, truncate);
}

export function x87_fist32(truncate: i32): i32 {
  return <i32>storeInteger(32, truncate);
}

export function x87_fist64(truncate: i32): i64 {
  return storeInteger(64, truncate);
}

const DECIMAL_LIMIT: u64 = 1000000000000000000;
const DECIMAL_INDEFINITE: u64 = 0xc000000000000000;
let decimalHigh: i32 = 0;

/** Packed decimal: the low 8 bytes, with the exceptions; then x87_fbstp_high gives the upper two. */
export function x87_fbstp_low(): u64 {
  begin();
  decimalHigh = 0xffff;
  if (isEmpty(0)) {
    raise(IE | SF);
    return DECIMAL_INDEFINITE;
  }
  const m = mantissaOf(0);
  const h = headOf(0);
  const kind = classify(m, h);
  const sign = (<i32>signOf(h)) << 15;
  let value: u64 = 0;
  if (kind != ZERO) {
    const exponent = exponentOf(m, h);
    if (kind >= INFINITY || exponent >= 63) {
      raise(IE);
      return DECIMAL_INDEFINITE;
    }
    setNormalized(signOf(h), exponent, significandOf(m), 0);
    roundResult(exponent + 1, roundingMode());
    value = roundedSig;
    if (value >= DECIMAL_LIMIT) {
      raise(IE);
      return DECIMAL_INDEFINITE;
    }
    if (roundedInexact) raise(roundedUp ? PE | C1 : PE);
  }
  let low: u64 = 0;
  for (let place = 0; place < 64; place += 4) {
    low |= (value % 10) << place;
    value /= 10;
  }
  decimalHigh = sign | <i32>((value / 10) << 4) | <i32>(value % 10);
  return low;
}

export function x87_fbstp_high(): i32 {
  return decimalHigh;
}
