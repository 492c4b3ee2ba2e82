// Comparisons of SSE: COMIS*, UCOMIS* and the predicates of CMP*. A NaN is invalid when it signals, or always for the
// signaling forms. Singles are compared as the doubles of the same values.
// Intel SDM Vol. 2A, "CMPPD", Table "Comparison Predicate for CMPPD and CMPPS Instructions".

import { denormal32, denormal64, isNan64, isSignaling64, widen } from './core';
import { DAZ, DE, IE, mxcsr, raise } from './mxcsr';

const ZF = 0x40;
const PF = 0x04;
const CF = 0x01;

const LESS = 1;
const EQUAL = 2;
const GREATER = 4;
const UNORDERED = 8;

/** One of the four relations above, with IE and DE raised. */
function relate(a: u64, b: u64, denormalA: bool, denormalB: bool, signalQuiet: bool): i32 {
  if ((denormalA || denormalB) && (mxcsr() & DAZ) != 0) {
    if (denormalA) a = 0;
    if (denormalB) b = 0;
    denormalA = denormalB = false;
  }
  if (isNan64(a) || isNan64(b)) {
    if (signalQuiet || isSignaling64(a) || isSignaling64(b)) raise(IE);
    return UNORDERED;
  }
  if (denormalA || denormalB) raise(DE);
  const x = reinterpret<f64>(a);
  const y = reinterpret<f64>(b);
  return x < y ? LESS : x > y ? GREATER : EQUAL;
}

@inline
function flags(relation: i32): i32 {
  if (relation == UNORDERED) return ZF | PF | CF;
  return relation == LESS ? CF : relation == EQUAL ? ZF : 0;
}

/** ZF, PF and CF of UCOMISD (signalQuiet 0) and COMISD (1). */
export function f64_compare(a: u64, b: u64, signalQuiet: i32): i32 {
  return flags(relate(a, b, denormal64(a), denormal64(b), signalQuiet != 0));
}

export function f32_compare(a: u32, b: u32, signalQuiet: i32): i32 {
  return flags(relate(widen(a), widen(b), denormal32(a), denormal32(b), signalQuiet != 0));
}

/** Relations that satisfy predicates EQ LT LE UNORD NEQ NLT NLE ORD, four bits each from the lowest. */
const ACCEPTED: u32 = 0x7ced8312;
/** LT, LE, NLT and NLE signal quiet NaNs. */
const SIGNALING: i32 = 0x66;

export function f64_cmp_predicate(a: u64, b: u64, predicate: i32): i32 {
  predicate &= 7;
  const relation = relate(a, b, denormal64(a), denormal64(b), ((SIGNALING >> predicate) & 1) != 0);
  return i32(((ACCEPTED >> (predicate * 4)) & relation) != 0);
}

export function f32_cmp_predicate(a: u32, b: u32, predicate: i32): i32 {
  predicate &= 7;
  const relation = relate(widen(a), widen(b), denormal32(a), denormal32(b), ((SIGNALING >> predicate) & 1) != 0);
  return i32(((ACCEPTED >> (predicate * 4)) & relation) != 0);
}
