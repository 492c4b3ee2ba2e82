/** What values are at most, as far as their making shows. */
import type { Value } from '../../ir/value.js';

const PAGE = 4096;
/** More than a caller asks for. */
const UNKNOWN = Number.POSITIVE_INFINITY;

/** `ofRegister`: what is known of a register's value. */
export function boundOf(v: Value, ofRegister: (reg: Value) => number): number {
  const of = (part: Value | undefined): number => (part === undefined ? UNKNOWN : boundOf(part, ofRegister));
  switch (v.op) {
    case 'const': {
      const value = v.type === 'i64' ? Number(v.big) : v.imm;
      return value >= 0 ? value : UNKNOWN;
    }
    case 'reg':
      return ofRegister(v);
    case 'load':
    case 'loadrmw':
      return v.size < 4 ? 256 ** v.size - 1 : UNKNOWN;
    case 'i32.and':
    case 'i64.and':
      return Math.min(of(v.a), of(v.b));
    case 'i64.extend_i32_u':
      return of(v.a);
    case 'i32.wrap_i64': {
      const bound = of(v.a);
      return bound < 2 ** 32 ? bound : UNKNOWN;
    }
    case 'i32.shl':
    case 'i64.shl':
      return v.b?.isConst === true ? small(of(v.a) * 2 ** of(v.b)) : UNKNOWN;
    case 'i32.add':
    case 'i64.add':
      return small(of(v.a) + of(v.b));
    default:
      return UNKNOWN;
  }
}
/** Where a sum cannot have wrapped around. */
const small = (bound: number): number => (bound < 2 ** 31 ? bound : UNKNOWN);

/** An address in a table that is no larger than a page: a base plus what is small, but no constant. */
export function isInTable(address: Value, ofRegister: (reg: Value) => number): boolean {
  const parts: Value[] = [];
  const collect = (v: Value): void => {
    if (v.op === 'i64.add') for (const part of [v.a, v.b]) part !== undefined && collect(part);
    else if (!v.isConst) parts.push(v);
  };
  collect(address);
  const indexes = parts.filter((part) => boundOf(part, ofRegister) < PAGE);
  return indexes.length === 1 && parts.length <= 2;
}
