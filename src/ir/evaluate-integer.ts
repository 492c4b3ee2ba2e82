/** WebAssembly's scalar integer operations on unsigned BigInts. WebAssembly specification, "Integer Operations". */

type Unary = (a: bigint, bits: number) => bigint;
type Binary = (a: bigint, b: bigint, bits: number) => bigint;

const s = (v: bigint, bits: number): bigint => BigInt.asIntN(bits, v);
const truth = (v: boolean): bigint => (v ? 1n : 0n);
const count = (n: bigint, bits: number): bigint => n % BigInt(bits);
/** Binary digits, most significant first. */
const digits = (a: bigint, bits: number): string => a.toString(2).padStart(bits, '0');
const leading = (text: string): bigint => BigInt(text.indexOf('1') < 0 ? text.length : text.indexOf('1'));

function rotate(a: bigint, left: bigint, bits: number): bigint {
  return (a << left) | (a >> (BigInt(bits) - left));
}

const unary: Record<string, Unary> = {
  eqz: (a) => truth(a === 0n),
  clz: (a, n) => leading(digits(a, n)),
  ctz: (a, n) => leading([...digits(a, n)].reverse().join('')),
  popcnt: (a, n) => BigInt([...digits(a, n)].filter((d) => d === '1').length),
  extend8_s: (a) => s(a, 8),
  extend16_s: (a) => s(a, 16),
  extend32_s: (a) => s(a, 32),
  extend_i32_u: (a) => a,
  extend_i32_s: (a) => s(a, 32),
  wrap_i64: (a) => a,
};

const binary: Record<string, Binary> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div_u: (a, b) => a / b,
  div_s: (a, b, n) => s(a, n) / s(b, n),
  rem_u: (a, b) => a % b,
  rem_s: (a, b, n) => s(a, n) % s(b, n),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b, n) => a << count(b, n),
  shr_u: (a, b, n) => a >> count(b, n),
  shr_s: (a, b, n) => s(a, n) >> count(b, n),
  rotl: (a, b, n) => rotate(a, count(b, n), n),
  rotr: (a, b, n) => rotate(a, BigInt(n) - count(b, n), n),
  eq: (a, b) => truth(a === b),
  ne: (a, b) => truth(a !== b),
  lt_u: (a, b) => truth(a < b),
  lt_s: (a, b, n) => truth(s(a, n) < s(b, n)),
  gt_u: (a, b) => truth(a > b),
  gt_s: (a, b, n) => truth(s(a, n) > s(b, n)),
  le_u: (a, b) => truth(a <= b),
  le_s: (a, b, n) => truth(s(a, n) <= s(b, n)),
  ge_u: (a, b) => truth(a >= b),
  ge_s: (a, b, n) => truth(s(a, n) >= s(b, n)),
};

/** `i32.add`, `i64.clz` …; undefined for other operations. Division traps as BigInt does: definitions rule it out. */
export function evaluateInteger(op: string, inputs: readonly bigint[]): bigint | undefined {
  const [type, name] = op.split('.') as [string, string];
  if (type !== 'i32' && type !== 'i64') return undefined;
  const bits = type === 'i64' ? 64 : 32;
  const [a, b] = inputs as [bigint, bigint];
  const result = inputs.length === 1 ? unary[name]?.(a, bits) : binary[name]?.(a, b, bits);
  // A trap that WebAssembly has and BigInt has not: the quotient does not fit.
  if (name === 'div_s' && result === 1n << BigInt(bits - 1)) throw new RangeError(`${op} overflows`);
  return result === undefined ? undefined : BigInt.asUintN(bits, result);
}
