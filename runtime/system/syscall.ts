/**
 * Fast system calls. SDM Vol. 2, "SYSCALL", "SYSRET", "SYSENTER", "SYSEXIT", "SWAPGS"; Intel's rules where the vendors differ:
 * SYSCALL and SYSRET only in 64-bit code, SYSENTER and SYSEXIT in every protected mode.
 */
import {
  CPL,
  CPU_BASE,
  EFER,
  FMASK,
  KERNEL_GS_BASE,
  LSTAR,
  SEG_CS,
  SEG_GS,
  SEG_SS,
  SEGMENT,
  SEGMENT_BASE,
  SEGMENT_STRIDE,
  STAR,
  STATUS_MISS,
  SYSENTER_CS,
  SYSENTER_EIP,
  SYSENTER_ESP,
} from '../../src/x86/state';
import {
  cpl,
  FLAG_IF,
  FLAG_RF,
  FLAG_VM,
  gpr,
  isCanonical,
  isCode64,
  isLong,
  isProtected,
  RCX,
  RDX,
  RSP,
  setGpr,
  setRip,
  setSegment,
  setSystemFlags,
  systemFlags,
} from './cpu';
import { getRflags, setFlags } from './flags';
import { updateKey, updateKeyCode64 } from './key';
import { raise, raiseGp0, UD } from './raise';

const EFER_SCE: u64 = 1;
const R11: i32 = 11;
/** Code, readable, accessed, present, 4 KiB granular; with L or D. */
const CODE64: u32 = 0xa09b;
const CODE32: u32 = 0xc09b;
const DATA32: u32 = 0xc093;
const DPL3: u32 = 0x60;
/** What SYSRET may load: all but RF, VM and the reserved bits. */
const SYSRET_FLAGS: u64 = 0x3c7fd7;

function flatSegment(segment: i32, selector: u32, attr: u32): void {
  setSegment(segment, selector, 0, 0xffffffff, attr);
}

/** `next`: the address after the instruction, which RCX gets. */
export function syscall(next: u64): i32 {
  if (!isCode64() || (load<u64>(CPU_BASE + EFER) & EFER_SCE) == 0) return raise(UD);
  const rflags = getRflags() & ~FLAG_RF;
  setGpr(RCX, next);
  setGpr(R11, rflags);
  setRip(load<u64>(CPU_BASE + LSTAR));
  const kept = rflags & ~load<u64>(CPU_BASE + FMASK);
  setFlags(kept as u32);
  setSystemFlags((kept & 0x3f7700 & ~FLAG_RF) | 2);
  const selector = (load<u64>(CPU_BASE + STAR) >> 32) as u32;
  flatSegment(SEG_CS, selector & 0xfffc, CODE64);
  flatSegment(SEG_SS, (selector + 8) & 0xfffc, DATA32);
  store<i32>(CPU_BASE + CPL, 0);
  updateKeyCode64();
  return STATUS_MISS;
}

/** `size` is the operand size: 8 returns to 64-bit code, 4 to compatibility mode. */
export function sysret(size: i32): i32 {
  if (!isCode64() || (load<u64>(CPU_BASE + EFER) & EFER_SCE) == 0) return raise(UD);
  if (cpl() != 0) return raiseGp0();
  const target = gpr(RCX);
  if (size == 8 && !isCanonical(target)) return raiseGp0();
  const selector = (load<u64>(CPU_BASE + STAR) >> 48) as u32;
  const image = gpr(R11) & SYSRET_FLAGS;
  setFlags(image as u32);
  setSystemFlags((image & 0x3f7700) | 2);
  if (size == 8) {
    setRip(target);
    flatSegment(SEG_CS, ((selector + 16) & 0xffff) | 3, CODE64 | DPL3);
  } else {
    setRip(target & 0xffffffff);
    flatSegment(SEG_CS, selector | 3, CODE32 | DPL3);
  }
  flatSegment(SEG_SS, ((selector + 8) & 0xffff) | 3, DATA32 | DPL3);
  store<i32>(CPU_BASE + CPL, 3);
  if (size == 8) updateKeyCode64();
  else updateKey();
  return STATUS_MISS;
}

export function sysenter(): i32 {
  const selector = (load<u64>(CPU_BASE + SYSENTER_CS) & 0xffff) as u32;
  if (!isProtected() || (selector & 0xfffc) == 0) return raiseGp0();
  const wide = isLong();
  const rsp = load<u64>(CPU_BASE + SYSENTER_ESP);
  const target = load<u64>(CPU_BASE + SYSENTER_EIP);
  setSystemFlags(systemFlags() & ~(FLAG_VM | FLAG_IF | FLAG_RF));
  setGpr(RSP, wide ? rsp : rsp & 0xffffffff);
  setRip(wide ? target : target & 0xffffffff);
  flatSegment(SEG_CS, selector & 0xfffc, wide ? CODE64 : CODE32);
  flatSegment(SEG_SS, ((selector & 0xfffc) + 8) & 0xffff, DATA32);
  store<i32>(CPU_BASE + CPL, 0);
  updateKey();
  return STATUS_MISS;
}

/** `size` is the operand size: 8 (REX.W) returns to 64-bit code. */
export function sysexit(size: i32): i32 {
  const selector = (load<u64>(CPU_BASE + SYSENTER_CS) & 0xffff) as u32;
  if (!isProtected() || (selector & 0xfffc) == 0 || cpl() != 0) return raiseGp0();
  const rsp = gpr(RCX);
  const target = gpr(RDX);
  if (size == 8) {
    if (!isCanonical(rsp) || !isCanonical(target)) return raiseGp0();
    setGpr(RSP, rsp);
    setRip(target);
    flatSegment(SEG_CS, ((selector + 32) & 0xffff) | 3, CODE64 | DPL3);
    flatSegment(SEG_SS, ((selector + 40) & 0xffff) | 3, DATA32 | DPL3);
  } else {
    setGpr(RSP, rsp & 0xffffffff);
    setRip(target & 0xffffffff);
    flatSegment(SEG_CS, ((selector + 16) & 0xffff) | 3, CODE32 | DPL3);
    flatSegment(SEG_SS, ((selector + 24) & 0xffff) | 3, DATA32 | DPL3);
  }
  store<i32>(CPU_BASE + CPL, 3);
  updateKey();
  return STATUS_MISS;
}

export function swapgs(): i32 {
  if (!isCode64()) return raise(UD);
  if (cpl() != 0) return raiseGp0();
  const p: usize = CPU_BASE + SEGMENT + SEG_GS * SEGMENT_STRIDE + SEGMENT_BASE;
  const base = load<u64>(p);
  store<u64>(p, load<u64>(CPU_BASE + KERNEL_GS_BASE));
  store<u64>(CPU_BASE + KERNEL_GS_BASE, base);
  return 0;
}
