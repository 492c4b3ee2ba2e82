/**
 * Signatures of the runtime's routines (runtime/, AssemblyScript) that definitions call, by export name. Unsigned
 * parameters have the same WebAssembly types. The lowering imports by these names.
 */
import type { Type } from '../ir/value.js';
import { acts, computes, type Routine } from './routine.js';
import { SIMD_ROUTINES } from './routines-simd.js';

/** Tells a value; may touch state that definitions do not see directly (MXCSR, x87, a result kept by the runtime). */
const tells = (result: Type, ...params: Type[]): Routine => ({ params, result, status: false, pure: false });

const integer: Record<string, Routine> = {
  /** segment, offset, size */
  segmentCheck: acts('i32', 'i64', 'i32'),
  segmentCheckWrite: acts('i32', 'i64', 'i32'),
  /** target */
  codeCheck: acts('i64'),
  /** STATUS after a `tells` that can fault. */
  pendingStatus: acts(),
  /** high, low, divisor */
  divideU128: computes('i64', 'i64', 'i64', 'i64'),
  divideS128: computes('i64', 'i64', 'i64', 'i64'),
  quotientFitsS128: computes('i32', 'i64', 'i64', 'i64'),
  /** crc, data, size */
  crc32c: computes('i32', 'i32', 'i64', 'i32'),
  /** operand size, allocation, level */
  enterFrame: acts('i32', 'i32', 'i32'),
};

/** element size, address size, then the source's segment and REPE (1) or REPNE (0), or whether to repeat */
const string: Record<string, Routine> = {
  repMovs: acts('i32', 'i32', 'i32'),
  repStos: acts('i32', 'i32'),
  repLods: acts('i32', 'i32', 'i32'),
  repCmps: acts('i32', 'i32', 'i32', 'i32'),
  repScas: acts('i32', 'i32', 'i32'),
  stringIn: acts('i32', 'i32', 'i32'),
  stringOut: acts('i32', 'i32', 'i32', 'i32'),
};

const control: Record<string, Routine> = {
  /** selector, offset, operand size, next RIP */
  farJump: acts('i32', 'i64', 'i32', 'i64'),
  farCall: acts('i32', 'i64', 'i32', 'i64'),
  /** operand size, bytes of parameters */
  farReturn: acts('i32', 'i32'),
  iret: acts('i32'),
  /** vector, next RIP */
  softwareInterrupt: acts('i32', 'i64'),
  int3: acts('i64'),
  int1: acts('i64'),
  into: acts('i64'),
  syscall: acts('i64'),
  sysret: acts('i32'),
  sysenter: acts(),
  sysexit: acts('i32'),
};

const system: Record<string, Routine> = {
  /** segment, selector */
  loadSegmentRegister: acts('i32', 'i32'),
  checkProtected: acts(),
  lgdt: acts('i32', 'i64'),
  lidt: acts('i32', 'i64'),
  lldt: acts('i32'),
  ltr: acts('i32'),
  verr: acts('i32'),
  verw: acts('i32'),
  lar: acts('i32'),
  lsl: acts('i32'),
  queriedValue: tells('i32'),
  checkFsgsbase: acts(),
  readSegmentBase: tells('i64', 'i32'),
  writeSegmentBase: acts('i32', 'i64'),
  swapgs: acts(),
  /** register number, value */
  readCr: tells('i64', 'i32'),
  writeCr: acts('i32', 'i64'),
  readDr: tells('i64', 'i32'),
  writeDr: acts('i32', 'i64'),
  lmsw: acts('i32'),
  clts: acts(),
  invlpg: acts('i64'),
  /** type, linear address of the descriptor */
  invpcid: acts('i64', 'i64'),
  /** image, operand size */
  popf: acts('i64', 'i32'),
  cli: acts(),
  /** operand size */
  checkPushf: acts('i32'),
  /** image, operand size */
  checkPopf: acts('i64', 'i32'),
  sti: acts(),
  clac: acts(),
  stac: acts(),
  /** port, size, value */
  portIn: acts('i32', 'i32'),
  portOut: acts('i32', 'i32', 'i32'),
  hlt: acts('i64'),
  monitor: acts(),
  mwait: acts(),
  wbinvd: acts(),
  executeCpuid: acts(),
  rdtsc: acts(),
  rdtscp: acts(),
  rdpmc: acts(),
  rdmsr: acts(),
  wrmsr: acts(),
  rdrand: tells('i64', 'i32'),
  xgetbv: acts(),
  xsetbv: acts(),
};

/** linear address of the area, 1 with REX.W */
const saving: Record<string, Routine> = Object.fromEntries(
  ['fxsave', 'fxrstor', 'xsave', 'xrstor', 'xsavec'].map((name) => [name, acts('i64', 'i32')]),
);

export const ROUTINES: Readonly<Record<string, Routine>> = {
  ...integer,
  ...string,
  ...control,
  ...system,
  ...saving,
  ...SIMD_ROUTINES,
};

export { acts, computes, tells };
