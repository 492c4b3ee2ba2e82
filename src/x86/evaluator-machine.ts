/**
 * The processor as the slow evaluator sees it: state in the layout of state.ts, flags computed from the lazy record by
 * the textbook (carry and overflow from wide sums, not from tricks). Memory and routines come from outside.
 */
import type { EvaluatorMachine } from '../ir/evaluate.js';
import type { AccessSize } from '../ir/value.js';
import { FLAG } from './lift.js';
import * as S from './state.js';

export interface Surroundings {
  load(gva: bigint, size: AccessSize, forWrite: boolean): bigint | undefined;
  store(gva: bigint, size: AccessSize, value: bigint): boolean;
  routine(name: string, args: readonly bigint[]): bigint;
}

const GPR_SIZE = 8;
const XMM_SIZE = 16;
type Size = 1 | 2 | 4 | 8;

export class ProcessorView implements EvaluatorMachine {
  ripBase = 0n;
  /** The vCPU state: byte 0 is CPU_BASE. */
  private readonly view: DataView;
  private readonly surroundings: Surroundings;

  constructor(view: DataView, surroundings: Surroundings) {
    this.view = view;
    this.surroundings = surroundings;
  }

  register(index: number): bigint {
    return this.state(S.GPR + index * GPR_SIZE, 8);
  }
  setRegister(index: number, value: bigint): void {
    this.setState(S.GPR + index * GPR_SIZE, 8, value);
  }
  vector(index: number): bigint {
    return this.state(S.XMM + index * XMM_SIZE, 16);
  }
  setVector(index: number, value: bigint): void {
    this.setState(S.XMM + index * XMM_SIZE, 16, value);
  }

  state(offset: number, size: AccessSize): bigint {
    let value = 0n;
    for (let n = size - 1; n >= 0; n--) value = (value << 8n) | BigInt(this.view.getUint8(offset + n));
    return value;
  }
  setState(offset: number, size: AccessSize, value: bigint): void {
    for (let n = 0; n < size; n++) this.view.setUint8(offset + n, Number((value >> BigInt(8 * n)) & 255n));
  }
  pointer(address: number, size: AccessSize): bigint {
    return this.state(address - S.CPU_BASE, size);
  }
  setPointer(address: number, size: AccessSize, value: bigint): void {
    this.setState(address - S.CPU_BASE, size, value);
  }

  load(gva: bigint, size: AccessSize, forWrite: boolean): bigint | undefined {
    return this.surroundings.load(gva, size, forWrite);
  }
  store(gva: bigint, size: AccessSize, value: bigint): boolean {
    return this.surroundings.store(gva, size, value);
  }
  routine(name: string, args: readonly bigint[]): bigint {
    return this.surroundings.routine(name, args);
  }

  // ---- flags ----
  setFlagsWord(word: number): void {
    this.setFlags(S.CC_FLAGS, 1, 0n, BigInt(word), 0n);
  }
  setFlags(kind: number, size: Size, dst: bigint, src: bigint, src2: bigint): void {
    this.setState(S.CC_OP, 4, BigInt(kind * 4 + Math.log2(size)));
    this.setState(S.CC_DST, 8, dst);
    this.setState(S.CC_SRC, 8, src);
    this.setState(S.CC_SRC2, 8, src2);
  }

  flagsWord(): number {
    const op = Number(this.state(S.CC_OP, 4));
    const src = this.state(S.CC_SRC, 8);
    if (op >> 2 === S.CC_FLAGS) return Number(src & 0x8d5n);
    const bits = 8 << (op & 3);
    return statusFlags(op >> 2, bits, this.state(S.CC_DST, 8), src, this.state(S.CC_SRC2, 8));
  }

  /** SDM Vol. 1, appendix B, "EFLAGS Condition Codes". */
  condition(cond: number): boolean {
    const flags = this.flagsWord();
    const is = (flag: number): boolean => (flags & flag) !== 0;
    const less = is(FLAG.SF) !== is(FLAG.OF);
    const holds = [
      is(FLAG.OF),
      is(FLAG.CF),
      is(FLAG.ZF),
      is(FLAG.CF) || is(FLAG.ZF),
      is(FLAG.SF),
      is(FLAG.PF),
      less,
      is(FLAG.ZF) || less,
    ][cond >> 1];
    return holds !== ((cond & 1) === 1);
  }
}

interface CarryOverflow {
  readonly carry: boolean;
  readonly overflow: boolean;
  readonly adjust: boolean;
}
const NEITHER: CarryOverflow = { carry: false, overflow: false, adjust: false };

/** CF, OF and AF of x + y + c or x - y - c on `bits` bits. */
function sum(x: bigint, y: bigint, c: bigint, sign: 1n | -1n, bits: number): CarryOverflow {
  const wide = x + sign * (y + c);
  const exact = BigInt.asIntN(bits, x) + sign * (BigInt.asIntN(bits, y) + c);
  const nibble = (x & 15n) + sign * ((y & 15n) + c);
  return {
    carry: wide !== BigInt.asUintN(bits, wide),
    overflow: exact !== BigInt.asIntN(bits, exact),
    adjust: nibble !== (nibble & 15n),
  };
}

function carryOverflow(kind: number, bits: number, dst: bigint, src: bigint, src2: bigint): CarryOverflow {
  const cut = (v: bigint): bigint => BigInt.asUintN(bits, v);
  const top = (v: bigint): boolean => ((v >> BigInt(bits - 1)) & 1n) === 1n;
  switch (kind) {
    case S.CC_ADD:
      return sum(cut(dst - src), src, 0n, 1n, bits);
    case S.CC_ADC:
      return sum(cut(dst - src - src2), src, src2, 1n, bits);
    case S.CC_SUB:
      return sum(cut(dst + src), src, 0n, -1n, bits);
    case S.CC_SBB:
      return sum(cut(dst + src + src2), src, src2, -1n, bits);
    case S.CC_INC:
      return { ...sum(cut(dst - 1n), 1n, 0n, 1n, bits), carry: src === 1n };
    case S.CC_DEC:
      return { ...sum(cut(dst + 1n), 1n, 0n, -1n, bits), carry: src === 1n };
    case S.CC_SHL:
      return { carry: top(src), overflow: top(src) !== top(dst), adjust: false };
    case S.CC_SHR:
      return { carry: (src & 1n) === 1n, overflow: top(src) !== top(dst), adjust: false };
    case S.CC_MUL:
      return { carry: src !== 0n, overflow: src !== 0n, adjust: false };
    default:
      return NEITHER;
  }
}

function statusFlags(kind: number, bits: number, wideDst: bigint, wideSrc: bigint, src2: bigint): number {
  const dst = BigInt.asUintN(bits, wideDst);
  const ones = [...(dst & 255n).toString(2)].filter((d) => d === '1').length;
  const { carry, overflow, adjust } = carryOverflow(kind, bits, dst, BigInt.asUintN(bits, wideSrc), src2);
  let flags = 0;
  if (carry) flags |= FLAG.CF;
  if (ones % 2 === 0) flags |= FLAG.PF;
  if (adjust) flags |= FLAG.AF;
  if (dst === 0n) flags |= FLAG.ZF;
  if (BigInt.asIntN(bits, dst) < 0n) flags |= FLAG.SF;
  if (overflow) flags |= FLAG.OF;
  return flags;
}
