/**
 * RDMSR and WRMSR. SDM Vol. 4, "IA-32 Architectural MSRs". The processor owns the MSRs below; all others go to the
 * machine, which answers (local APIC, TSC deadline, paravirtual clocks) or refuses, and a refusal is #GP(0).
 */
import {
  CPU_BASE,
  CR0,
  CSTAR,
  DEBUGCTL,
  EFER,
  EXIT_RDMSR,
  EXIT_WRMSR,
  FMASK,
  KERNEL_GS_BASE,
  LOG_REFUSED,
  LSTAR,
  MCG_STATUS,
  MISC_ENABLE,
  MTRR_DEF_TYPE,
  MTRR_FIXED,
  MTRR_VARIABLE,
  PAT,
  PHYSICAL_BITS,
  SEG_FS,
  SEG_GS,
  SEGMENT,
  SEGMENT_BASE,
  SEGMENT_STRIDE,
  SPEC_CTRL,
  STAR,
  STATUS_EXIT,
  SYSENTER_CS,
  SYSENTER_EIP,
  SYSENTER_ESP,
  TSC_ADJUST,
  TSC_AUX,
  UCODE_REV,
} from '../../src/x86/state';
import { flushTlb } from '../mmu/tlb';
import { cpl, gpr, isCanonical, RAX, RCX, RDX, setGpr } from './cpu';
import { msrWrite } from './env';
import { answer, isDirect, request } from './exit';
import { updateKey } from './key';
import { raiseGp0 } from './raise';
import { tscValue, writeTsc, writeTscAdjust } from './tsc';

const EFER_SCE: u64 = 1;
const EFER_LME: u64 = 0x100;
const EFER_LMA: u64 = 0x400;
const EFER_NXE: u64 = 0x800;
const CR0_PG: u64 = 0x80000000;
/** Eight variable ranges, fixed ranges, write combining. */
const MTRR_CAPABILITIES: u64 = 0x508;
/**
 * RDCL_NO IBRS_ALL SKIP_L1DFL SSB_NO MDS_NO PSCHANGE_MC_NO TAA_NO SBDR_SSDP_NO FBSDP_NO PSDP_NO BHI_NO PBRSB_NO GDS_NO
 * RFDS_NO ITS_NO: translated code has none of these leaks of the guest's own processor.
 */
const ARCH_CAPABILITIES_VALUE: u64 = 0x400000000d10e17b;

/** `rdmsrValue`: the answer is in `msrResult`. */
let msrResult: u64 = 0;

function reg(offset: i32): i32 {
  msrResult = load<u64>(CPU_BASE + offset);
  return 0;
}

function constant(value: u64): i32 {
  msrResult = value;
  return 0;
}

function put(offset: i32, value: u64): i32 {
  store<u64>(CPU_BASE + offset, value);
  return 0;
}

function segmentBase(segment: i32): i32 {
  return SEGMENT + segment * SEGMENT_STRIDE + SEGMENT_BASE;
}

/** Offset in the vCPU state of an MTRR, or 0. */
function mtrr(msr: u32): i32 {
  if (msr == 0x2ff) return MTRR_DEF_TYPE;
  if (msr >= 0x200 && msr < 0x210) return MTRR_VARIABLE + (((msr - 0x200) << 3) as i32);
  if (msr == 0x250) return MTRR_FIXED;
  if (msr == 0x258 || msr == 0x259) return MTRR_FIXED + (((msr - 0x257) << 3) as i32);
  if (msr >= 0x268 && msr < 0x270) return MTRR_FIXED + (((msr - 0x265) << 3) as i32);
  return 0;
}

/** The value in `msrResult`; 0 or a status. */
function readMsr(msr: u32): i32 {
  switch (msr) {
    case 0x10:
      return constant(tscValue());
    case 0x3b:
      return reg(TSC_ADJUST);
    case 0x48:
      return reg(SPEC_CTRL);
    case 0x8b:
      return reg(UCODE_REV);
    case 0xfe:
      return constant(MTRR_CAPABILITIES);
    case 0x10a:
      return constant(ARCH_CAPABILITIES_VALUE);
    case 0x174:
      return reg(SYSENTER_CS);
    case 0x175:
      return reg(SYSENTER_ESP);
    case 0x176:
      return reg(SYSENTER_EIP);
    case 0x17a:
      return reg(MCG_STATUS);
    case 0x1a0:
      return reg(MISC_ENABLE);
    case 0x1d9:
      return reg(DEBUGCTL);
    case 0x277:
      return reg(PAT);
    // P5 machine checks, platform id, machine-check banks (none), last branches and interrupts: always zero.
    case 0:
    case 1:
    case 0x17:
    case 0x179:
    case 0x1db:
    case 0x1dc:
    case 0x1dd:
    case 0x1de:
      return constant(0);
    case 0xc0000080:
      return reg(EFER);
    case 0xc0000081:
      return reg(STAR);
    case 0xc0000082:
      return reg(LSTAR);
    case 0xc0000083:
      return reg(CSTAR);
    case 0xc0000084:
      return reg(FMASK);
    case 0xc0000100:
      return reg(segmentBase(SEG_FS));
    case 0xc0000101:
      return reg(segmentBase(SEG_GS));
    case 0xc0000102:
      return reg(KERNEL_GS_BASE);
    case 0xc0000103:
      return reg(TSC_AUX);
    default:
      break;
  }
  const range = mtrr(msr);
  if (range != 0) return reg(range);
  if (request(EXIT_RDMSR, msr as u64, 8, 0) == 0) return STATUS_EXIT;
  if (wasRefused()) return raiseGp0();
  return constant(answer());
}

function wasRefused(): boolean {
  if (load<i32>(CPU_BASE + LOG_REFUSED) == 0) return false;
  store<i32>(CPU_BASE + LOG_REFUSED, 0);
  return true;
}

function putCanonical(offset: i32, value: u64): i32 {
  return isCanonical(value) ? put(offset, value) : raiseGp0();
}

function putMasked(offset: i32, value: u64, allowed: u64): i32 {
  return value & ~allowed ? raiseGp0() : put(offset, value);
}

/** Memory types 0 (UC) 1 (WC) 4 (WT) 5 (WP) 6 (WB), and 7 (UC-) where the PAT is meant; one per byte. */
function areMemoryTypes(value: u64, bytes: i32, allowed: u32): boolean {
  for (let n = 0; n < bytes; n++) {
    const type = ((value >> ((n as u64) << 3)) & 255) as u32;
    if (type > 7 || ((allowed >> type) & 1) == 0) return false;
  }
  return true;
}

const MTRR_TYPES: u32 = 0x73;
const PAT_TYPES: u32 = 0xf3;

function writeMtrr(msr: u32, offset: i32, value: u64): i32 {
  if (msr == 0x2ff) {
    if ((value & ~(0xcff as u64)) != 0 || !areMemoryTypes(value, 1, MTRR_TYPES)) return raiseGp0();
  } else if (msr >= 0x250) {
    if (!areMemoryTypes(value, 8, MTRR_TYPES)) return raiseGp0();
  } else {
    const beyond = ~(((1 as u64) << (load<u32>(CPU_BASE + PHYSICAL_BITS) as u64)) - 1);
    if (msr & 1 ? (value & (beyond | 0x7ff)) != 0 : (value & (beyond | 0xf00)) != 0) return raiseGp0();
    if ((msr & 1) == 0 && !areMemoryTypes(value, 1, MTRR_TYPES)) return raiseGp0();
  }
  return put(offset, value);
}

function writeEfer(value: u64): i32 {
  const old = load<u64>(CPU_BASE + EFER);
  if (value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) return raiseGp0();
  if (((old ^ value) & EFER_LME) != 0 && (load<u64>(CPU_BASE + CR0) & CR0_PG) != 0) return raiseGp0();
  put(EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
  if ((old ^ value) & EFER_NXE) flushTlb(1);
  updateKey();
  return 0;
}

function writeMsr(msr: u32, value: u64): i32 {
  switch (msr) {
    case 0x10:
      writeTsc(value);
      return 0;
    case 0x3b:
      writeTscAdjust(value);
      return 0;
    // Only IBRS is offered; it and the prediction barrier have nothing to do here.
    case 0x48:
      // IBRS, and BHI_DIS_S (bit 10): nothing is speculated here, so both cost nothing.
      return putMasked(SPEC_CTRL, value, 0x401);
    case 0x49:
      return value & ~(1 as u64) ? raiseGp0() : 0;
    // Microcode: an update is accepted and changes nothing; the revision can be cleared before CPUID reads it back.
    case 0x79:
    case 0x8b:
      return 0;
    case 0x174:
      return put(SYSENTER_CS, value & 0xffffffff);
    case 0x175:
      return putCanonical(SYSENTER_ESP, value);
    case 0x176:
      return putCanonical(SYSENTER_EIP, value);
    case 0x17a:
      return putMasked(MCG_STATUS, value, 7);
    // Fast strings only; the other bits say what there is not.
    case 0x1a0:
      return put(MISC_ENABLE, (load<u64>(CPU_BASE + MISC_ENABLE) & ~(1 as u64)) | (value & 1));
    // @deviation LBR can be set, but no branch is recorded: LASTBRANCH MSRs read zero.
    case 0x1d9:
      return putMasked(DEBUGCTL, value, 3);
    case 0x277:
      return areMemoryTypes(value, 8, PAT_TYPES) ? put(PAT, value) : raiseGp0();
    case 0xc0000080:
      return writeEfer(value);
    case 0xc0000081:
      return put(STAR, value);
    case 0xc0000082:
      return putCanonical(LSTAR, value);
    case 0xc0000083:
      return putCanonical(CSTAR, value);
    case 0xc0000084:
      return putMasked(FMASK, value, 0xffffffff);
    case 0xc0000100:
      return putCanonical(segmentBase(SEG_FS), value);
    case 0xc0000101:
      return putCanonical(segmentBase(SEG_GS), value);
    case 0xc0000102:
      return putCanonical(KERNEL_GS_BASE, value);
    case 0xc0000103:
      return putMasked(TSC_AUX, value, 0xffffffff);
    // Read-only.
    case 0x17:
    case 0xfe:
    case 0x10a:
    case 0x179:
      return raiseGp0();
    // P5 machine checks: writes are dropped.
    case 0:
    case 1:
      return 0;
    default:
      break;
  }
  const range = mtrr(msr);
  if (range != 0) return writeMtrr(msr, range, value);
  if (isDirect() && msrWrite(msr as i32, value) != 0) return 0;
  if (request(EXIT_WRMSR, msr as u64, 8, value) == 0) return STATUS_EXIT;
  return wasRefused() ? raiseGp0() : 0;
}

/** RDMSR: EDX:EAX of MSR ECX. */
export function rdmsr(): i32 {
  if (cpl() != 0) return raiseGp0();
  const result = readMsr(gpr(RCX) as u32);
  if (result != 0) return result;
  setGpr(RAX, msrResult & 0xffffffff);
  setGpr(RDX, msrResult >> 32);
  return 0;
}

/** WRMSR. The block key may have changed when it returns 0. */
export function wrmsr(): i32 {
  if (cpl() != 0) return raiseGp0();
  return writeMsr(gpr(RCX) as u32, (gpr(RDX) << 32) | (gpr(RAX) & 0xffffffff));
}
