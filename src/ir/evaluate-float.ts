/** WebAssembly's scalar floating-point operations on the bits of f32 and f64. Specification, "Floating-Point Operations". */

const view = new DataView(new ArrayBuffer(8));

function toNumber(type: string, bits: bigint): number {
  if (type === 'f64') {
    view.setBigUint64(0, bits);
    return view.getFloat64(0);
  }
  view.setUint32(0, Number(BigInt.asUintN(32, bits)));
  return view.getFloat32(0);
}

function toBits(type: string, v: number): bigint {
  if (type === 'f64') {
    view.setFloat64(0, v);
    return view.getBigUint64(0);
  }
  view.setFloat32(0, v);
  return BigInt(view.getUint32(0));
}

/** Ties go to even, as WebAssembly's `nearest`. */
function nearest(v: number): number {
  if (!Number.isFinite(v) || Math.abs(v) >= 2 ** 52) return v;
  const low = Math.floor(v);
  const rest = v - low;
  const up = rest > 0.5 || (rest === 0.5 && low % 2 !== 0);
  const r = up ? low + 1 : low;
  return r === 0 && (v < 0 || Object.is(v, -0)) ? -0 : r;
}

const unary: Record<string, (a: number) => number> = {
  sqrt: Math.sqrt,
  ceil: Math.ceil,
  floor: Math.floor,
  trunc: Math.trunc,
  nearest,
};
const binary: Record<string, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  min: Math.min,
  max: Math.max,
};
const comparisons: Record<string, (a: number, b: number) => boolean> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt: (a, b) => a < b,
  gt: (a, b) => a > b,
  le: (a, b) => a <= b,
  ge: (a, b) => a >= b,
};

/** Sign operations work on the bits: they keep NaN payloads. */
function signOperation(name: string, bits: number, a: bigint, b: bigint): bigint | undefined {
  const sign = 1n << BigInt(bits - 1);
  if (name === 'neg') return a ^ sign;
  if (name === 'abs') return a & ~sign;
  return name === 'copysign' ? (a & ~sign) | (b & sign) : undefined;
}

/** A 64-bit integer that a number holds exactly, except for bits that only tell a later rounding to single that they are there. */
function roundedOnce(v: bigint): number {
  const magnitude = v < 0n ? -v : v;
  const sticky = (magnitude & 0x7ffn) === 0n ? 0n : 1n;
  const kept = magnitude < 1n << 53n ? Number(magnitude) : Number((magnitude >> 11n) | sticky) * 2048;
  return v < 0n ? -kept : kept;
}

/** Conversions by full name: from the bits of the input to the bits of the result. */
const conversions: Record<string, (a: bigint) => bigint> = {
  'f64.promote_f32': (a) => toBits('f64', toNumber('f32', a)),
  'f32.demote_f64': (a) => toBits('f32', toNumber('f64', a)),
  'f64.convert_i32_s': (a) => toBits('f64', Number(BigInt.asIntN(32, a))),
  'f64.convert_i32_u': (a) => toBits('f64', Number(a)),
  'f64.convert_i64_s': (a) => toBits('f64', Number(BigInt.asIntN(64, a))),
  'f64.convert_i64_u': (a) => toBits('f64', Number(a)),
  'f32.convert_i32_s': (a) => toBits('f32', Number(BigInt.asIntN(32, a))),
  'f32.convert_i32_u': (a) => toBits('f32', Number(a)),
  'f32.convert_i64_s': (a) => toBits('f32', roundedOnce(BigInt.asIntN(64, a))),
  'f64.reinterpret_i64': (a) => a,
  'i64.reinterpret_f64': (a) => a,
  'f32.reinterpret_i32': (a) => a,
  'i32.reinterpret_f32': (a) => a,
};

/** `f64.add`, `f32.lt`, `i64.reinterpret_f64` …; undefined for other operations. */
export function evaluateFloat(op: string, inputs: readonly bigint[]): bigint | undefined {
  const [a = 0n, b = 0n] = inputs;
  const conversion = conversions[op];
  if (conversion !== undefined) return conversion(a);
  const [type, name] = op.split('.') as [string, string];
  if (type !== 'f32' && type !== 'f64') return undefined;
  const signed = signOperation(name, type === 'f64' ? 64 : 32, a, b);
  if (signed !== undefined) return signed;
  const x = toNumber(type, a);
  const y = toNumber(type, b);
  const compare = comparisons[name];
  if (compare !== undefined) return compare(x, y) ? 1n : 0n;
  const result = inputs.length === 1 ? unary[name]?.(x) : binary[name]?.(x, y);
  return result === undefined ? undefined : toBits(type, result);
}
