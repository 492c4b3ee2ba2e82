// x87 instructions as compiled code calls them: an instruction that answers nothing gives 0, and the images of the
// environment that FNSTENV, FNSAVE, FLDENV and FRSTOR move. Intel SDM Vol. 1, "x87 FPU Environment" figures
// "Protected Mode x87 FPU State Image in Memory, 32-Bit Format" and its three neighbours.
import { BLOCK_KEY, CPU_BASE, CR0, KEY_MMU_MASK, KEY_MMU_SHIFT, RFLAGS, STATUS, STATUS_OK } from '../../src/x86/state';
import { probeWrite, readLinear, writeLinear } from '../mmu/access';
import { NM, raise } from '../system/raise';
import * as x87 from '../x87/index';

// ---- instructions without an answer ----
export function fpu_fld_f80(mantissa: u64, head: i32): i32 {
  x87.x87_fld_f80(mantissa, head);
  return 0;
}
export function fpu_fild(value: i64): i32 {
  x87.x87_fild(value);
  return 0;
}
export function fpu_fld_const(k: i32): i32 {
  x87.x87_fld_const(k);
  return 0;
}
export function fpu_fbld(low: u64, high: i32): i32 {
  x87.x87_fbld(low, high);
  return 0;
}
export function fpu_fcom(i: i32, pops: i32, quiet: i32): i32 {
  x87.x87_fcom(i, pops, quiet);
  return 0;
}
/** FCMOVcc: `holds` says whether the condition does. */
export function fpu_fcmov(holds: i32, i: i32): i32 {
  if (holds) x87.x87_fcmov(i);
  else x87.x87_fcmov_not(i);
  return 0;
}

/** Instructions without operands, by the numbers of src/x86/semantics/x87-arith.ts. */
export function fpu_simple(operation: i32): i32 {
  switch (operation) {
    case 0:
      x87.x87_fchs();
      break;
    case 1:
      x87.x87_fabs();
      break;
    case 2:
      x87.x87_ftst();
      break;
    case 3:
      x87.x87_fxam();
      break;
    case 4:
      x87.x87_fsqrt();
      break;
    case 5:
      x87.x87_frndint();
      break;
    case 6:
      x87.x87_fscale();
      break;
    case 7:
      x87.x87_fxtract();
      break;
    case 8:
      x87.x87_fprem();
      break;
    case 9:
      x87.x87_fprem1();
      break;
    case 10:
      x87.x87_fincstp();
      break;
    case 11:
      x87.x87_fdecstp();
      break;
    case 12:
      x87.x87_fnclex();
      break;
    default:
      x87.x87_fninit();
  }
  return 0;
}

export function fpu_transcendental(operation: i32): i32 {
  switch (operation) {
    case 0:
      x87.x87_f2xm1();
      break;
    case 1:
      x87.x87_fyl2x();
      break;
    case 2:
      x87.x87_fyl2xp1();
      break;
    case 3:
      x87.x87_fptan();
      break;
    case 4:
      x87.x87_fpatan();
      break;
    case 5:
      x87.x87_fsin();
      break;
    case 6:
      x87.x87_fcos();
      break;
    default:
      x87.x87_fsincos();
  }
  return 0;
}

export function fpu_ffree(i: i32): i32 {
  x87.x87_ffree(i);
  return 0;
}
/** FFREEP: FFREE, then a pop without looking. */
export function fpu_ffreep(i: i32): i32 {
  x87.x87_ffree(i);
  x87.x87_pop();
  return 0;
}
export function fpu_fldcw(value: i32): i32 {
  x87.x87_fldcw(value);
  return 0;
}

// ---- FWAIT ----
const CR0_MP: u64 = 2;
const CR0_TS: u64 = 8;
const CR0_PE: u64 = 1;
const RFLAGS_VM: u64 = 0x20000;

/** FWAIT with CR0.EM or CR0.TS set: #NM only when MP and TS both are. */
export function waitTrap(): i32 {
  const cr0 = load<u64>(CPU_BASE + CR0);
  return (cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS) ? raise(NM) : STATUS_OK;
}

// ---- the environment ----
const ENVIRONMENT_WORDS = 7;
const REGISTERS_SIZE = 80;
/** Where an image is built and taken apart: 108 bytes at most. */
const IMAGE: usize = memory.data(112, 16);

@inline
function mmu(): i32 {
  return (load<i32>(CPU_BASE + BLOCK_KEY) & KEY_MMU_MASK) >> KEY_MMU_SHIFT;
}
@inline
function status(): i32 {
  return load<i32>(CPU_BASE + STATUS);
}

/** Real-address and virtual-8086 mode have their own image. */
@inline
function isRealFormat(): i32 {
  return i32((load<u64>(CPU_BASE + CR0) & CR0_PE) == 0 || (load<u64>(CPU_BASE + RFLAGS) & RFLAGS_VM) != 0);
}

/**
 * The image to guest memory in words of 2 or 4 bytes, which must be aligned where alignment is checked; every byte has
 * been probed.
 */
function writeImage(at: u64, bytes: i32, size: i32): i32 {
  for (let n = 0; n < bytes; n += size) {
    writeLinear(at + n, size == 4 ? load<u32>(IMAGE + n) : load<u16>(IMAGE + n), size, mmu());
    if (status() != STATUS_OK) return status();
  }
  return STATUS_OK;
}

function readImage(at: u64, bytes: i32, size: i32): i32 {
  for (let n = 0; n < bytes; n += size) {
    const word = readLinear(at + n, size, mmu());
    if (status() != STATUS_OK) return status();
    if (size == 4) store<u32>(IMAGE + n, <u32>word);
    else store<u16>(IMAGE + n, <u16>word);
  }
  return STATUS_OK;
}

/** FNSTENV; `size` is that of a word of the image, 4 or 2. */
export function fpuStoreEnvironment(at: u64, size: i32): i32 {
  const bytes = ENVIRONMENT_WORDS * size;
  probeWrite(at, bytes, mmu());
  if (status() != STATUS_OK) return status();
  x87.fnstenv_image(IMAGE, i32(size == 4), isRealFormat());
  if (writeImage(at, bytes, size) != STATUS_OK) return status();
  x87.fnstenv_done();
  return STATUS_OK;
}

export function fpuSave(at: u64, size: i32): i32 {
  const bytes = ENVIRONMENT_WORDS * size + REGISTERS_SIZE;
  probeWrite(at, bytes, mmu());
  if (status() != STATUS_OK) return status();
  x87.fnsave_image(IMAGE, i32(size == 4), isRealFormat());
  if (writeImage(at, bytes, size) != STATUS_OK) return status();
  x87.x87_fninit();
  return STATUS_OK;
}

export function fpuLoadEnvironment(at: u64, size: i32): i32 {
  if (readImage(at, ENVIRONMENT_WORDS * size, size) != STATUS_OK) return status();
  x87.fldenv_image(IMAGE, i32(size == 4), isRealFormat());
  return STATUS_OK;
}

export function fpuRestore(at: u64, size: i32): i32 {
  if (readImage(at, ENVIRONMENT_WORDS * size + REGISTERS_SIZE, size) != STATUS_OK) return status();
  x87.frstor_image(IMAGE, i32(size == 4), isRealFormat());
  return STATUS_OK;
}
