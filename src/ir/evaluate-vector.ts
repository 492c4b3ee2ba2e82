/** WebAssembly's 128-bit operations, lane by lane on BigInts. WebAssembly specification, "Vector Operations". */
import { evaluateFloat } from './evaluate-float.js';

const ALL = (1n << 128n) - 1n;
const BITS: Record<string, number> = { i8x16: 8, i16x8: 16, i32x4: 32, i64x2: 64, f32x4: 32, f64x2: 64 };

const s = (v: bigint, bits: number): bigint => BigInt.asIntN(bits, v);
const u = (v: bigint, bits: number): bigint => BigInt.asUintN(bits, v);

function lanesOf(v: bigint, bits: number): bigint[] {
  return Array.from({ length: 128 / bits }, (_, n) => u(v >> BigInt(n * bits), bits));
}
function join(lanes: readonly bigint[], bits: number): bigint {
  return lanes.reduceRight((all, lane) => (all << BigInt(bits)) | u(lane, bits), 0n);
}
const clampSigned = (v: bigint, bits: number): bigint => {
  const top = 1n << BigInt(bits - 1);
  return v >= top ? top - 1n : v < -top ? -top : v;
};
const clampUnsigned = (v: bigint, bits: number): bigint => {
  const end = 1n << BigInt(bits);
  return v >= end ? end - 1n : v < 0n ? 0n : v;
};
/** The first where `isFirst`, else the second. */
const choose = (isFirst: boolean, a: bigint, b: bigint): bigint => (isFirst ? a : b);
const mask = (v: boolean): bigint => (v ? -1n : 0n);

/** One lane of two, with the lane's width. */
const pairs: Record<string, (a: bigint, b: bigint, bits: number) => bigint> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  add_sat_s: (a, b, n) => clampSigned(s(a, n) + s(b, n), n),
  add_sat_u: (a, b, n) => clampUnsigned(a + b, n),
  sub_sat_s: (a, b, n) => clampSigned(s(a, n) - s(b, n), n),
  sub_sat_u: (a, b, n) => clampUnsigned(a - b, n),
  min_s: (a, b, n) => choose(s(a, n) < s(b, n), a, b),
  min_u: (a, b) => choose(a < b, a, b),
  max_s: (a, b, n) => choose(s(a, n) > s(b, n), a, b),
  max_u: (a, b) => choose(a > b, a, b),
  avgr_u: (a, b) => (a + b + 1n) >> 1n,
  q15mulr_sat_s: (a, b, n) => clampSigned((s(a, n) * s(b, n) + 0x4000n) >> 15n, n),
  eq: (a, b) => mask(a === b),
  ne: (a, b) => mask(a !== b),
  lt_s: (a, b, n) => mask(s(a, n) < s(b, n)),
  lt_u: (a, b) => mask(a < b),
  gt_s: (a, b, n) => mask(s(a, n) > s(b, n)),
  gt_u: (a, b) => mask(a > b),
  le_s: (a, b, n) => mask(s(a, n) <= s(b, n)),
  le_u: (a, b) => mask(a <= b),
  ge_s: (a, b, n) => mask(s(a, n) >= s(b, n)),
  ge_u: (a, b) => mask(a >= b),
};
/** One lane by a scalar count. */
const shifts: Record<string, (a: bigint, n: bigint, bits: number) => bigint> = {
  shl: (a, n) => a << n,
  shr_u: (a, n) => a >> n,
  shr_s: (a, n, bits) => s(a, bits) >> n,
};
const singles: Record<string, (a: bigint, bits: number) => bigint> = {
  abs: (a, n) => (s(a, n) < 0n ? -s(a, n) : a),
  neg: (a) => -a,
  popcnt: (a) => BigInt([...a.toString(2)].filter((d) => d === '1').length),
};

/** Whole-vector operations without lanes. */
const whole: Record<string, (a: bigint, b: bigint, c: bigint) => bigint> = {
  'v128.and': (a, b) => a & b,
  'v128.or': (a, b) => a | b,
  'v128.xor': (a, b) => a ^ b,
  'v128.andnot': (a, b) => a & ~b & ALL,
  'v128.not': (a) => ~a & ALL,
  'v128.bitselect': (a, b, c) => (a & c) | (b & ~c & ALL),
  'v128.any_true': (a) => (a === 0n ? 0n : 1n),
  'i8x16.swizzle': (a, b) => {
    const bytes = lanesOf(a, 8);
    return join(
      lanesOf(b, 8).map((n) => bytes[Number(n)] ?? 0n),
      8,
    );
  },
  'i32x4.dot_i16x8_s': (a, b) => {
    const [x, y] = [lanesOf(a, 16), lanesOf(b, 16)].map((lanes) => lanes.map((v) => s(v, 16))) as [bigint[], bigint[]];
    const products = x.map((v, n) => v * (y[n] as bigint));
    return join(
      [0, 2, 4, 6].map((n) => (products[n] as bigint) + (products[n + 1] as bigint)),
      32,
    );
  },
};

/** `narrow_i16x8_s`, `extend_low_i8x16_u`, `extmul_high_i16x8_s`, `extadd_pairwise_i8x16_s`. */
function resized(name: string, bits: number, a: bigint, b: bigint): bigint | undefined {
  const parts = /^(narrow|extend_low|extend_high|extmul_low|extmul_high|extadd_pairwise)_(\w+)_([su])$/.exec(name);
  if (parts === null) return undefined;
  const [, operation = '', shape = '', sign] = parts;
  const from = BITS[shape] as number;
  const read = (v: bigint): bigint[] => lanesOf(v, from).map((lane) => (sign === 's' ? s(lane, from) : lane));
  if (operation === 'narrow') {
    const clamp = sign === 's' ? clampSigned : clampUnsigned;
    // Narrowing reads its input as signed whatever it saturates to.
    const lanes = [...lanesOf(a, from), ...lanesOf(b, from)].map((lane) => clamp(s(lane, from), bits));
    return join(lanes, bits);
  }
  const x = read(a);
  if (operation === 'extadd_pairwise') {
    return join(
      Array.from({ length: 128 / bits }, (_, n) => (x[2 * n] as bigint) + (x[2 * n + 1] as bigint)),
      bits,
    );
  }
  const start = operation.endsWith('high') ? x.length / 2 : 0;
  const half = x.slice(start, start + x.length / 2);
  if (operation.startsWith('extend')) return join(half, bits);
  const other = read(b).slice(start, start + x.length / 2);
  return join(
    half.map((v, n) => v * (other[n] as bigint)),
    bits,
  );
}

/** Conversions between integer and floating-point lanes are by the scalar ones. */
const laneConversions: Record<string, (a: bigint) => bigint> = {
  'f32x4.convert_i32x4_s': (a) => mapLanes(a, 'f32.convert_i32_s'),
  'f32x4.convert_i32x4_u': (a) => mapLanes(a, 'f32.convert_i32_u'),
  'f64x2.convert_low_i32x4_s': (a) => widenLow(a, 'f64.convert_i32_s'),
  'f64x2.convert_low_i32x4_u': (a) => widenLow(a, 'f64.convert_i32_u'),
  'f64x2.promote_low_f32x4': (a) => widenLow(a, 'f64.promote_f32'),
  'f32x4.demote_f64x2_zero': (a) =>
    join(
      lanesOf(a, 64).map((v) => evaluateFloat('f32.demote_f64', [v]) as bigint),
      32,
    ),
};
function mapLanes(a: bigint, op: string): bigint {
  return join(
    lanesOf(a, 32).map((v) => evaluateFloat(op, [v]) as bigint),
    32,
  );
}
function widenLow(a: bigint, op: string): bigint {
  return join(
    lanesOf(a, 32)
      .slice(0, 2)
      .map((v) => evaluateFloat(op, [v]) as bigint),
    64,
  );
}

/** The operation on floating-point lanes; comparisons give masks. */
function floatLanes(shape: string, name: string, bits: number, inputs: readonly bigint[]): bigint | undefined {
  const scalar = shape === 'f64x2' ? 'f64' : 'f32';
  const lanes = inputs.map((v) => lanesOf(v, bits));
  const isComparison = ['eq', 'ne', 'lt', 'gt', 'le', 'ge'].includes(name);
  const results: bigint[] = [];
  for (let n = 0; n < 128 / bits; n++) {
    const r =
      pseudoMinimum(scalar, name, lanes, n) ??
      evaluateFloat(
        `${scalar}.${name}`,
        lanes.map((l) => l[n] as bigint),
      );
    if (r === undefined) return undefined;
    results.push(isComparison ? -r : r);
  }
  return join(results, bits);
}

/** `pmin` is b < a ? b : a, `pmax` a < b ? b : a: what MINPS and MAXPS do with operands exchanged. */
function pseudoMinimum(scalar: string, name: string, lanes: readonly bigint[][], n: number): bigint | undefined {
  if (name !== 'pmin' && name !== 'pmax') return undefined;
  const [a, b] = lanes.map((l) => l[n]) as [bigint, bigint];
  const isLess = evaluateFloat(`${scalar}.lt`, name === 'pmin' ? [b, a] : [a, b]);
  return isLess === 1n ? b : a;
}

/** `i8x16.add`, `v128.and` …; undefined for other operations. */
export function evaluateVector(op: string, inputs: readonly bigint[]): bigint | undefined {
  const [a = 0n, b = 0n, c = 0n] = inputs;
  const plain = whole[op] ?? laneConversions[op];
  if (plain !== undefined) return plain(a, b, c);
  const [shape, name] = op.split('.') as [string, string];
  const bits = BITS[shape];
  if (bits === undefined) return undefined;
  if (name === 'splat') return join(Array<bigint>(128 / bits).fill(a), bits);
  if (name === 'bitmask') return lanesOf(a, bits).reduceRight((all, l) => (all << 1n) | (l >> BigInt(bits - 1)), 0n);
  if (name === 'all_true') return lanesOf(a, bits).every((l) => l !== 0n) ? 1n : 0n;
  if (shape.startsWith('f')) return floatLanes(shape, name, bits, inputs);
  const one = inputs.length === 1 ? singles[name] : undefined;
  if (one !== undefined)
    return join(
      lanesOf(a, bits).map((l) => one(l, bits)),
      bits,
    );
  const shift = shifts[name];
  if (shift !== undefined)
    return join(
      lanesOf(a, bits).map((l) => shift(l, b % BigInt(bits), bits)),
      bits,
    );
  const two = pairs[name];
  if (two === undefined) return resized(name, bits, a, b);
  const other = lanesOf(b, bits);
  return join(
    lanesOf(a, bits).map((l, n) => two(l, other[n] as bigint, bits)),
    bits,
  );
}

export function evaluateShuffle(selectors: Uint8Array, inputs: readonly bigint[]): bigint {
  const bytes = inputs.flatMap((v) => lanesOf(v, 8));
  return join(
    [...selectors].map((n) => bytes[n] as bigint),
    8,
  );
}

/** `i16x8.extract_lane_u`, `f64x2.replace_lane` … on lane `lane`. */
export function evaluateLane(name: string, lane: number, inputs: readonly bigint[]): bigint {
  const [shape, operation] = name.split('.') as [string, string];
  const bits = BITS[shape];
  const [a = 0n, b = 0n] = inputs;
  if (bits === undefined) throw new TypeError(`lane operation ${name} is not evaluated`);
  const lanes = lanesOf(a, bits);
  if (operation === 'replace_lane') {
    lanes[lane] = b;
    return join(lanes, bits);
  }
  const value = lanes[lane] as bigint;
  return operation === 'extract_lane_s' ? u(s(value, bits), 32) : value;
}
