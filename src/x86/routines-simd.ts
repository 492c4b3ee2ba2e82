/** Signatures of the routines of SSE, MMX and x87: runtime/float, runtime/simd, runtime/x87. */
import type { Type } from '../ir/value.js';
import { acts, computes, type Routine } from './routine.js';

/** Reads or writes MXCSR or the x87 state. */
const tells = (result: Type, ...params: Type[]): Routine => ({
  params,
  result,
  status: false,
  pure: false,
  confined: true,
});

const each = (names: readonly string[], routine: Routine): Record<string, Routine> =>
  Object.fromEntries(names.map((name) => [name, routine]));

const faults: Record<string, Routine> = {
  sseTrap: acts(),
  fpuTrap: acts(),
  waitTrap: acts(),
  sseBegin: acts(),
  sseCheck: acts(),
  loadMxcsr: acts('i32'),
};

const scalar: Record<string, Routine> = {
  ...each(
    ['add', 'sub', 'mul', 'div', 'min', 'max'].map((n) => `f32_${n}`),
    tells('i32', 'i32', 'i32'),
  ),
  ...each(
    ['add', 'sub', 'mul', 'div', 'min', 'max'].map((n) => `f64_${n}`),
    tells('i64', 'i64', 'i64'),
  ),
  f32_sqrt: tells('i32', 'i32'),
  f64_sqrt: tells('i64', 'i64'),
  f32_rcp: computes('i32', 'i32'),
  f32_rsqrt: computes('i32', 'i32'),
  /** value, control byte */
  f32_round: tells('i32', 'i32', 'i32'),
  f64_round: tells('i64', 'i64', 'i32'),
  /** x, y, whether quiet NaNs are invalid; x, y, predicate */
  ...each(['f32_compare', 'f32_cmp_predicate'], tells('i32', 'i32', 'i32', 'i32')),
  ...each(['f64_compare', 'f64_cmp_predicate'], tells('i32', 'i64', 'i64', 'i32')),
  f32_to_f64: tells('i64', 'i32'),
  f64_to_f32: tells('i32', 'i64'),
  i32_to_f32: tells('i32', 'i32'),
  i64_to_f32: tells('i32', 'i64'),
  i32_to_f64: computes('i64', 'i32'),
  i64_to_f64: tells('i64', 'i64'),
  /** value, 1 to truncate */
  f32_to_i32: tells('i32', 'i32', 'i32'),
  f32_to_i64: tells('i64', 'i32', 'i32'),
  f64_to_i32: tells('i32', 'i64', 'i32'),
  f64_to_i64: tells('i64', 'i64', 'i32'),
};

const BINARY = ['add', 'sub', 'mul', 'div', 'min', 'max', 'hadd', 'hsub', 'addsub'];
const packed: Record<string, Routine> = {
  ...each(
    BINARY.flatMap((n) => [`f32x4_${n}`, `f64x2_${n}`]),
    tells('v128', 'v128', 'v128'),
  ),
  ...each(['f32x4_sqrt', 'f64x2_sqrt'], tells('v128', 'v128')),
  ...each(['f32x4_rcp', 'f32x4_rsqrt'], computes('v128', 'v128')),
  /** x, y, predicate or control byte */
  ...each(['f32x4_cmp', 'f64x2_cmp', 'f32x4_dot', 'f64x2_dot'], tells('v128', 'v128', 'v128', 'i32')),
  ...each(['f32x4_round', 'f64x2_round'], tells('v128', 'v128', 'i32')),
  ...each(['f32x2_to_f64x2', 'f64x2_to_f32x2', 'i32x4_to_f32x4', 'i32x2_to_f32x2'], tells('v128', 'v128')),
  i32x2_to_f64x2: computes('v128', 'v128'),
  ...each(['f32x4_to_i32x4', 'f32x2_to_i32x2', 'f64x2_to_i32x2'], tells('v128', 'v128', 'i32')),
};

const integer: Record<string, Routine> = {
  simd_mpsadbw: computes('v128', 'v128', 'v128', 'i32'),
  simd_phminposuw: computes('v128', 'v128'),
  simd_pclmulqdq: computes('v128', 'v128', 'v128', 'i32'),
  /** rule, control byte */
  simd_control: computes('v128', 'i32', 'i32'),
  simd_pcmpistr: computes('i64', 'v128', 'v128', 'i32'),
  simd_pcmpestr: computes('i64', 'v128', 'i64', 'v128', 'i64', 'i32'),
  simd_pcmpmask: computes('v128', 'i32', 'i32'),
};

const cryptography: Record<string, Routine> = {
  ...each(
    [
      'aes_encrypt',
      'aes_encrypt_last',
      'aes_decrypt',
      'aes_decrypt_last',
      'sha1_next_e',
      'sha1_message1',
      'sha1_message2',
      'sha256_message1',
      'sha256_message2',
    ], // prettier-ignore
    computes('v128', 'v128', 'v128'),
  ),
  aes_inverse_mix: computes('v128', 'v128'),
  aes_keygen_assist: computes('v128', 'v128', 'i32'),
  sha1_rounds4: computes('v128', 'v128', 'v128', 'i32'),
  sha256_rounds2: computes('v128', 'v128', 'v128', 'v128'),
};

const X87_ARITHMETIC = ['add', 'mul', 'sub', 'subr', 'div', 'divr'];
/** Those that only act give an i32 without meaning. */
const x87: Record<string, Routine> = {
  ...each(
    [
      'fpu_fld_f32',
      'fpu_fld_st',
      'fpu_fld_const',
      'fpu_fxch',
      'fpu_simple',
      'fpu_transcendental',
      'fpu_ffree',
      'fpu_ffreep',
      'fpu_fldcw',
    ], // prettier-ignore
    tells('i32', 'i32'),
  ),
  ...each(['fpu_fld_f64', 'fpu_fild'], tells('i32', 'i64')),
  ...each(['fpu_fld_f80', 'fpu_fbld', 'fpu_fcom_f64', 'fpu_fcom_int'], tells('i32', 'i64', 'i32')),
  /** ST(dst), ST(src), 1 to pop */
  ...each([...X87_ARITHMETIC.map((n) => `fpu_${n}`), 'fpu_fcom'], tells('i32', 'i32', 'i32', 'i32')),
  ...each(
    X87_ARITHMETIC.map((n) => `fpu_${n}_f32`),
    tells('i32', 'i32'),
  ),
  ...each(
    X87_ARITHMETIC.map((n) => `fpu_${n}_f64`),
    tells('i32', 'i64'),
  ),
  ...each(['fpu_fst_st', 'fpu_fcom_f32', 'fpu_fcmov', 'x87_fcomi'], tells('i32', 'i32', 'i32')),
  fpu_arith_int: tells('i32', 'i32', 'i64'),
  ...each(['x87_fst_f32', 'x87_fst_exponent', 'x87_fbstp_high'], tells('i32')),
  ...each(['x87_fst_f64', 'x87_fst_mantissa', 'x87_fbstp_low'], tells('i64')),
  ...each(['x87_fist16', 'x87_fist32'], tells('i32', 'i32')),
  x87_fist64: tells('i64', 'i32'),
  /** linear address, bytes of a word of the image */
  ...each(['fpuStoreEnvironment', 'fpuSave', 'fpuLoadEnvironment', 'fpuRestore'], acts('i64', 'i32')),
};

export const SIMD_ROUTINES: Readonly<Record<string, Routine>> = {
  ...faults,
  ...scalar,
  ...packed,
  ...integer,
  ...cryptography,
  ...x87,
};
