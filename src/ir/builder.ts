/**
 * Builds values and statements, folding constants on the way. Knows types and WebAssembly's arithmetic, nothing of x86.
 * Generic methods (`add`, `shl`, `ltu` …) take the integer type of their first operand.
 */
import { type AccessSize, type FlagsRecord, nextSerial, type Statement, type Type, Value } from './value.js';

type Fold = (a: bigint, b: bigint, bits: number) => bigint;

const unsigned = (v: bigint, bits: number): bigint => BigInt.asUintN(bits, v);
const signed = (v: bigint, bits: number): bigint => BigInt.asIntN(bits, v);
const truth = (v: boolean): bigint => (v ? 1n : 0n);

/** Constant folding of WebAssembly's two-operand integer operations; division is never folded (it can trap). */
const folds: Record<string, Fold> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b, n) => a << (b & BigInt(n - 1)),
  shr_u: (a, b, n) => unsigned(a, n) >> (b & BigInt(n - 1)),
  shr_s: (a, b, n) => signed(a, n) >> (b & BigInt(n - 1)),
  rotl: (a, b, n) => {
    const k = b & BigInt(n - 1);
    return (unsigned(a, n) << k) | (unsigned(a, n) >> (BigInt(n) - k));
  },
  rotr: (a, b, n) => {
    const k = b & BigInt(n - 1);
    return (unsigned(a, n) >> k) | (unsigned(a, n) << (BigInt(n) - k));
  },
  eq: (a, b, n) => truth(unsigned(a, n) === unsigned(b, n)),
  ne: (a, b, n) => truth(unsigned(a, n) !== unsigned(b, n)),
  lt_u: (a, b, n) => truth(unsigned(a, n) < unsigned(b, n)),
  lt_s: (a, b, n) => truth(signed(a, n) < signed(b, n)),
  gt_u: (a, b, n) => truth(unsigned(a, n) > unsigned(b, n)),
  gt_s: (a, b, n) => truth(signed(a, n) > signed(b, n)),
  le_u: (a, b, n) => truth(unsigned(a, n) <= unsigned(b, n)),
  le_s: (a, b, n) => truth(signed(a, n) <= signed(b, n)),
  ge_u: (a, b, n) => truth(unsigned(a, n) >= unsigned(b, n)),
  ge_s: (a, b, n) => truth(signed(a, n) >= signed(b, n)),
};
const comparisons = new Set(['eq', 'ne', 'lt_u', 'lt_s', 'gt_u', 'gt_s', 'le_u', 'le_s', 'ge_u', 'ge_s']);
/** x op 0 is x. */
const rightIdentityZero = new Set(['add', 'sub', 'or', 'xor', 'shl', 'shr_u', 'shr_s', 'rotl', 'rotr']);

interface Binary {
  readonly i32: string;
  readonly i64: string;
  readonly fold: Fold;
  readonly compares: boolean;
  readonly keepsWithZero: boolean;
}
/** By name, so that no name is put together where it is used. */
const binaries: Record<string, Binary> = Object.fromEntries(
  Object.entries(folds).map(([name, fold]) => [
    name,
    {
      i32: `i32.${name}`,
      i64: `i64.${name}`,
      fold,
      compares: comparisons.has(name),
      keepsWithZero: rightIdentityZero.has(name),
    },
  ]),
);

/** Value of a constant, zero-extended. */
export function constOf(v: Value): bigint {
  return v.type === 'i64' ? unsigned(v.big, 64) : BigInt(v.imm >>> 0);
}

const isZero = (v: Value): boolean => (v.type === 'i64' ? v.big === 0n : v.imm === 0);
const isAllOnes = (v: Value): boolean => (v.type === 'i64' ? v.big === -1n : v.imm === -1);

export class Builder {
  statements: Statement[] = [];

  // ---- constants ----
  i32(n: number): Value {
    const v = new Value('const', 'i32');
    v.imm = n | 0;
    return v;
  }

  i64(n: bigint | number): Value {
    const v = new Value('const', 'i64');
    v.big = typeof n === 'number' && Number.isSafeInteger(n) ? BigInt(n) : signed(BigInt(n), 64);
    return v;
  }

  /** Constant of the type that holds `size` bytes: i32 up to 4, i64 for 8. */
  constant(size: number, n: bigint | number): Value {
    if (size <= 4 && typeof n === 'number') return this.i32(size === 4 ? n : n & ((1 << (size * 8)) - 1));
    const big = unsigned(BigInt(n), size * 8);
    return size === 8 ? this.i64(big) : this.i32(Number(big) | 0);
  }

  v128(bytes: Uint8Array): Value {
    const v = new Value('v128.const', 'v128');
    v.bytes = bytes;
    return v;
  }

  // ---- integer operations ----
  private binary(name: string, a: Value, b: Value): Value {
    const type = a.type;
    if (type !== b.type) throw new TypeError(`${name} of ${a.type} and ${b.type}`);
    const binary = binaries[name] as Binary;
    const op = type === 'i64' ? binary.i64 : binary.i32;
    if (b.isConst) {
      if (a.isConst) {
        const r = binary.fold(constOf(a), constOf(b), type === 'i64' ? 64 : 32);
        return binary.compares || type === 'i32' ? this.i32(Number(BigInt.asIntN(32, r))) : this.i64(r);
      }
      if (isZero(b)) {
        if (binary.keepsWithZero) return a;
        if (name === 'and') return b;
      }
      if (name === 'and' && isAllOnes(b)) return a;
      // (x + c1) + c2
      if (name === 'add' && a.op === op && a.b?.isConst && a.a) {
        return this.binary('add', a.a, this.binary('add', a.b, b));
      }
    } else if (a.isConst && name === 'add' && isZero(a)) return b;
    return new Value(op, binary.compares ? 'i32' : type, a, b);
  }

  add(a: Value, b: Value): Value {
    return this.binary('add', a, b);
  }
  sub(a: Value, b: Value): Value {
    return this.binary('sub', a, b);
  }
  mul(a: Value, b: Value): Value {
    return this.binary('mul', a, b);
  }
  and(a: Value, b: Value): Value {
    return this.binary('and', a, b);
  }
  or(a: Value, b: Value): Value {
    return this.binary('or', a, b);
  }
  xor(a: Value, b: Value): Value {
    return this.binary('xor', a, b);
  }
  /** Shift counts have the type of the shifted value and are taken modulo its width, as in WebAssembly. */
  shl(a: Value, n: Value): Value {
    return this.binary('shl', a, n);
  }
  shru(a: Value, n: Value): Value {
    return this.binary('shr_u', a, n);
  }
  shrs(a: Value, n: Value): Value {
    return this.binary('shr_s', a, n);
  }
  rotl(a: Value, n: Value): Value {
    return this.binary('rotl', a, n);
  }
  rotr(a: Value, n: Value): Value {
    return this.binary('rotr', a, n);
  }
  /** Division traps on zero and on signed overflow: raise before dividing. */
  divu(a: Value, b: Value): Value {
    return new Value(`${a.type}.div_u`, a.type, a, b);
  }
  divs(a: Value, b: Value): Value {
    return new Value(`${a.type}.div_s`, a.type, a, b);
  }
  remu(a: Value, b: Value): Value {
    return new Value(`${a.type}.rem_u`, a.type, a, b);
  }
  rems(a: Value, b: Value): Value {
    return new Value(`${a.type}.rem_s`, a.type, a, b);
  }

  // ---- comparisons: i32 0 or 1 ----
  eq(a: Value, b: Value): Value {
    return this.binary('eq', a, b);
  }
  ne(a: Value, b: Value): Value {
    return this.binary('ne', a, b);
  }
  ltu(a: Value, b: Value): Value {
    return this.binary('lt_u', a, b);
  }
  lts(a: Value, b: Value): Value {
    return this.binary('lt_s', a, b);
  }
  gtu(a: Value, b: Value): Value {
    return this.binary('gt_u', a, b);
  }
  gts(a: Value, b: Value): Value {
    return this.binary('gt_s', a, b);
  }
  leu(a: Value, b: Value): Value {
    return this.binary('le_u', a, b);
  }
  les(a: Value, b: Value): Value {
    return this.binary('le_s', a, b);
  }
  geu(a: Value, b: Value): Value {
    return this.binary('ge_u', a, b);
  }
  ges(a: Value, b: Value): Value {
    return this.binary('ge_s', a, b);
  }
  eqz(a: Value): Value {
    if (a.isConst) return this.i32(isZero(a) ? 1 : 0);
    return new Value(a.type === 'i64' ? 'i64.eqz' : 'i32.eqz', 'i32', a);
  }

  /** WebAssembly operation of one operand by its full name, such as `i64.clz`, `f64.sqrt`, `i8x16.abs`. */
  unary(name: string, type: Type, a: Value): Value {
    return new Value(name, type, a);
  }
  /** WebAssembly operation of two operands by its full name, such as `i16x8.add_sat_s`, `f64.add`. */
  binop(name: string, type: Type, a: Value, b: Value): Value {
    return new Value(name, type, a, b);
  }
  clz(a: Value): Value {
    return this.unary(`${a.type}.clz`, a.type, a);
  }
  ctz(a: Value): Value {
    return this.unary(`${a.type}.ctz`, a.type, a);
  }
  popcnt(a: Value): Value {
    return this.unary(`${a.type}.popcnt`, a.type, a);
  }
  /** cond (i32) ? a : b. Both are evaluated: neither may have an effect. */
  select(cond: Value, a: Value, b: Value): Value {
    if (cond.isConst) return cond.imm !== 0 ? a : b;
    return new Value('select', a.type, a, b, cond);
  }

  // ---- widths ----
  /** i64 -> i32, low half. */
  wrap(a: Value): Value {
    if (a.type === 'i32') return a;
    if (a.isConst) return this.i32(Number(BigInt.asIntN(32, a.big)));
    if (a.op === 'i64.extend_i32_u' || a.op === 'i64.extend_i32_s') return a.a as Value;
    return this.unary('i32.wrap_i64', 'i32', a);
  }
  /** i32 -> i64, zero-extended. */
  zext64(a: Value): Value {
    if (a.type === 'i64') return a;
    if (a.isConst) return this.i64(BigInt(a.imm >>> 0));
    return this.unary('i64.extend_i32_u', 'i64', a);
  }
  /** i32 -> i64, sign-extended. */
  sext64(a: Value): Value {
    if (a.type === 'i64') return a;
    if (a.isConst) return this.i64(BigInt(a.imm));
    return this.unary('i64.extend_i32_s', 'i64', a);
  }
  /** Clears what is above `size` bytes. */
  truncate(a: Value, size: number): Value {
    if (size >= 8 || (size === 4 && a.type === 'i32')) return a;
    if (a.type === 'i64' && size === 4) return this.zext64(this.wrap(a));
    return this.and(a, this.constant(a.type === 'i64' ? 8 : 4, size === 4 ? 0xffffffff : (1 << (size * 8)) - 1));
  }
  /** Sign-extends the low `size` bytes within the value's own type. */
  signExtend(a: Value, size: number): Value {
    if (size >= 8 || (size === 4 && a.type === 'i32')) return a;
    if (a.isConst) {
      const v = signed(constOf(a), size * 8);
      return a.type === 'i64' ? this.i64(v) : this.i32(Number(v));
    }
    return this.unary(`${a.type}.extend${size * 8}_s`, a.type, a);
  }
  /** A zero-extended `from`-byte value as a `to`-byte value of the right type, zero- or sign-extended, truncated if narrower. */
  resize(a: Value, from: number, to: number, isSigned = false): Value {
    if (to === 8) return isSigned ? (from === 8 ? a : this.sext64(this.signExtend(a, from))) : this.zext64(a);
    const narrow = this.wrap(a);
    if (to < from) return this.truncate(narrow, to);
    return isSigned ? this.truncate(this.signExtend(narrow, from), to) : narrow;
  }

  // ---- vectors ----
  shuffle(a: Value, b: Value, lanes: readonly number[]): Value {
    const v = new Value('shuffle', 'v128', a, b);
    v.bytes = Uint8Array.from(lanes);
    return v;
  }
  /** `i32x4.extract_lane`, `i8x16.extract_lane_u`, `i16x8.replace_lane` … (replace: a vector, b value). */
  lane(name: string, type: Type, lane: number, a: Value, b?: Value): Value {
    const v = new Value('lane', type, a, b);
    v.name = name;
    v.imm = lane;
    return v;
  }

  // ---- state ----
  state(offset: number, size: AccessSize): Value {
    const v = new Value('state', size === 16 ? 'v128' : size === 8 ? 'i64' : 'i32');
    v.imm = offset;
    v.size = size;
    return this.now(v);
  }
  setState(offset: number, size: AccessSize, value: Value): void {
    value.uses++;
    this.push({ kind: 'setstate', offset, size, value });
  }

  // ---- statements ----
  protected push(s: Statement): void {
    this.statements.push(s);
  }

  /** Computes `v` at this point of the order of effects. */
  now(v: Value): Value {
    const last = this.statements[this.statements.length - 1];
    if (last?.kind === 'eval' && last.value === v) return v;
    v.uses++;
    this.push({ kind: 'eval', value: v });
    return v;
  }

  /** Runtime routine without side effects on the guest's registers or memory (it may touch MXCSR and x87 state). */
  call(name: string, type: Type, ...args: Value[]): Value {
    const v = new Value('call', type);
    v.name = name;
    v.args = args;
    for (const a of args) a.uses++;
    return this.now(v);
  }

  /** Statements made by `body` happen only if `cond` (i32) is not zero. Values made inside stay inside. */
  ifThen(cond: Value, body: () => void): void {
    if (cond.isConst) {
      if (cond.imm !== 0) body();
      return;
    }
    const outer = this.statements;
    const start = nextSerial();
    this.statements = [];
    body();
    const then = this.statements;
    this.statements = outer;
    for (const v of outsideValues(then, start)) this.now(v);
    cond.uses++;
    this.push({ kind: 'if', cond, then });
  }

  setFlagsRecord(flags: FlagsRecord): void {
    for (const v of [flags.dst, flags.src, flags.src2, flags.x]) if (v !== undefined) v.uses++;
    this.push({ kind: 'flags', flags });
  }
}

/** Values older than serial `start` that statements refer to, directly or through younger values. */
function outsideValues(statements: readonly Statement[], start: number): Set<Value> {
  const found = new Set<Value>();
  const visit = (v: Value | undefined): void => {
    if (v === undefined || v.isConst) return;
    if (v.serial < start) {
      found.add(v);
      return;
    }
    visit(v.a);
    visit(v.b);
    visit(v.c);
    for (const arg of v.args ?? []) visit(arg);
  };
  const scan = (list: readonly Statement[]): void => {
    for (const s of list) {
      for (const v of operandsOf(s)) visit(v);
      if (s.kind === 'if') scan(s.then);
    }
  };
  scan(statements);
  return found;
}

/** The values a statement refers to directly. */
export function operandsOf(s: Statement): readonly Value[] {
  switch (s.kind) {
    case 'set':
    case 'setxmm':
    case 'setstate':
    case 'setflags':
    case 'eval':
      return [s.value];
    case 'setpointer':
      return [s.pointer, s.value];
    case 'store':
      return [s.address, s.value];
    case 'flags':
      return [s.flags.dst, s.flags.src, s.flags.src2, s.flags.x].filter((v): v is Value => v !== undefined);
    case 'routine':
      return s.args;
    case 'if':
      return [s.cond];
    case 'jump':
      return [s.target];
    case 'branch':
      return [s.cond, s.target];
    case 'jumpto':
      return [s.rip];
    default:
      return [];
  }
}
