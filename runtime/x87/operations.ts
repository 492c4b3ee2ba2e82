// FADD FMUL FSUB FSUBR FDIV FDIVR and their kin as compiled code calls them: the short way, else the general one. Each gives 0.
// Registers are those of the stack; `pops` is 1 to pop afterwards.
import {
  ADD,
  DIVIDE,
  DIVIDE_REVERSED,
  MULTIPLY,
  operateLoaded,
  operateRegisters,
  SUBTRACT,
  SUBTRACT_REVERSED,
} from './arith';
import { setFromDouble, setFromSingle, setInteger } from './number';
import { quickDouble, quickNumber, quickRegisters, quickSingle } from './quick';
import { head, mantissa } from './state';

@inline
function registers(operation: i32, dst: i32, src: i32, pops: i32): i32 {
  if (!quickRegisters(operation, dst, src, pops != 0)) operateRegisters(operation, dst, src, pops != 0);
  return 0;
}
@inline
function double(operation: i32, bits: u64): i32 {
  if (!quickDouble(operation, bits)) operateLoaded(operation, setFromDouble(bits));
  return 0;
}
@inline
function single(operation: i32, bits: u32): i32 {
  if (!quickSingle(operation, bits)) operateLoaded(operation, setFromSingle(bits));
  return 0;
}

export function fpu_add(dst: i32, src: i32, pops: i32): i32 {
  return registers(ADD, dst, src, pops);
}
export function fpu_mul(dst: i32, src: i32, pops: i32): i32 {
  return registers(MULTIPLY, dst, src, pops);
}
export function fpu_sub(dst: i32, src: i32, pops: i32): i32 {
  return registers(SUBTRACT, dst, src, pops);
}
export function fpu_subr(dst: i32, src: i32, pops: i32): i32 {
  return registers(SUBTRACT_REVERSED, dst, src, pops);
}
export function fpu_div(dst: i32, src: i32, pops: i32): i32 {
  return registers(DIVIDE, dst, src, pops);
}
export function fpu_divr(dst: i32, src: i32, pops: i32): i32 {
  return registers(DIVIDE_REVERSED, dst, src, pops);
}

export function fpu_add_f64(bits: u64): i32 {
  return double(ADD, bits);
}
export function fpu_mul_f64(bits: u64): i32 {
  return double(MULTIPLY, bits);
}
export function fpu_sub_f64(bits: u64): i32 {
  return double(SUBTRACT, bits);
}
export function fpu_subr_f64(bits: u64): i32 {
  return double(SUBTRACT_REVERSED, bits);
}
export function fpu_div_f64(bits: u64): i32 {
  return double(DIVIDE, bits);
}
export function fpu_divr_f64(bits: u64): i32 {
  return double(DIVIDE_REVERSED, bits);
}

export function fpu_add_f32(bits: u32): i32 {
  return single(ADD, bits);
}
export function fpu_mul_f32(bits: u32): i32 {
  return single(MULTIPLY, bits);
}
export function fpu_sub_f32(bits: u32): i32 {
  return single(SUBTRACT, bits);
}
export function fpu_subr_f32(bits: u32): i32 {
  return single(SUBTRACT_REVERSED, bits);
}
export function fpu_div_f32(bits: u32): i32 {
  return single(DIVIDE, bits);
}
export function fpu_divr_f32(bits: u32): i32 {
  return single(DIVIDE_REVERSED, bits);
}

/** FIADD and its kin, by the numbers above. */
export function fpu_arith_int(operation: i32, value: i64): i32 {
  setInteger(value);
  if (!quickNumber(operation, mantissa, head)) operateLoaded(operation, false);
  return 0;
}
