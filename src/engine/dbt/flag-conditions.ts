/** Conditions computed straight from the operation that set the flags. SDM Vol. 1, appendix B. */
import type { Builder } from '../../ir/builder.js';
import type { FlagsRecord, Value } from '../../ir/value.js';
import * as S from '../../x86/state.js';

/** Pairs of condition codes: the even one, and its negation one above. */
const PAIR = { o: 0, b: 1, e: 2, be: 3, s: 4, p: 5, l: 6, le: 7 } as const;

const PF_BIT = 2;
const ZF_BIT = 6;
const SF_BIT = 7;
const OF_BIT = 11;

/** 0 or 1 (i32), or undefined where the general routine must be asked. */
export function conditionValue(b: Builder, flags: FlagsRecord, cond: number): Value | undefined {
  const positive = ofPair(b, flags, cond >> 1);
  if (positive === undefined) return undefined;
  return (cond & 1) === 0 ? positive : b.eqz(positive);
}

function ofPair(b: Builder, flags: FlagsRecord, pair: number): Value | undefined {
  const { kind, size, dst, src, x } = flags;
  if (kind === S.CC_FLAGS) return src === undefined ? undefined : ofWord(b, b.wrap(src), pair);
  const zero = b.constant(size, 0);
  const signed = (v: Value): Value => b.signExtend(v, size);
  switch (pair) {
    case PAIR.e:
      if (kind === S.CC_SUB && x !== undefined && src !== undefined) return b.eq(x, src);
      return b.eqz(dst);
    case PAIR.s:
      return b.lts(signed(dst), zero);
    case PAIR.p: {
      const low = b.and(b.wrap(dst), b.i32(255));
      return b.eqz(b.and(b.popcnt(low), b.i32(1)));
    }
    default:
  }
  if (kind === S.CC_SUB && x !== undefined && src !== undefined) {
    if (pair === PAIR.b) return b.ltu(x, src);
    if (pair === PAIR.be) return b.leu(x, src);
    if (pair === PAIR.l) return b.lts(signed(x), signed(src));
    if (pair === PAIR.le) return b.les(signed(x), signed(src));
  }
  if (kind === S.CC_LOGIC) {
    if (pair === PAIR.b || pair === PAIR.o) return b.i32(0);
    if (pair === PAIR.be) return b.eqz(dst);
    if (pair === PAIR.l) return b.lts(signed(dst), zero);
    if (pair === PAIR.le) return b.les(signed(dst), zero);
  }
  if (pair === PAIR.b && src !== undefined) return carry(b, flags, src);
  return undefined;
}

/** CF of the kinds that the caller has not dealt with. */
function carry(b: Builder, { kind, size, dst, src2, x }: FlagsRecord, src: Value): Value | undefined {
  const bit = (v: Value, n: number): Value => b.and(b.wrap(b.shru(v, b.constant(size, n))), b.i32(1));
  switch (kind) {
    case S.CC_ADD:
      return b.ltu(dst, src);
    case S.CC_ADC:
      return src2 === undefined ? undefined : b.or(b.ltu(dst, src), b.and(src2, b.eq(dst, src)));
    case S.CC_SBB:
      return src2 === undefined || x === undefined ? undefined : b.or(b.ltu(x, src), b.and(src2, b.eq(x, src)));
    case S.CC_INC:
    case S.CC_DEC:
      return src;
    case S.CC_SHL:
      return bit(src, size * 8 - 1);
    case S.CC_SHR:
      return bit(src, 0);
    case S.CC_MUL:
      return b.eqz(b.eqz(src));
    default:
      return undefined;
  }
}

/** The condition on a word of status flags (COMISD, POPF …). */
function ofWord(b: Builder, word: Value, pair: number): Value | undefined {
  const bit = (n: number): Value => b.and(b.shru(word, b.i32(n)), b.i32(1));
  const less = (): Value => b.xor(bit(SF_BIT), bit(OF_BIT));
  switch (pair) {
    case PAIR.o:
      return bit(OF_BIT);
    case PAIR.b:
      return b.and(word, b.i32(1));
    case PAIR.e:
      return bit(ZF_BIT);
    case PAIR.be:
      return b.ne(b.and(word, b.i32((1 << ZF_BIT) | 1)), b.i32(0));
    case PAIR.s:
      return bit(SF_BIT);
    case PAIR.p:
      return bit(PF_BIT);
    case PAIR.l:
      return less();
    default:
      return b.or(less(), bit(ZF_BIT));
  }
}
