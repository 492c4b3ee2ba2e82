/**
 * x87 and SSE state as memory images: FXSAVE, FXRSTOR, the XSAVE family, XCR0, MXCSR.
 * SDM Vol. 1, "Managing State Using the XSAVE Feature Set"; Vol. 2A, "FXSAVE".
 *
 *   0 FCW  2 FSW  4 abridged FTW  6 FOP  8 FIP  16 FDP  24 MXCSR  28 mask  32 ST0-ST7, 16 bytes each
 *   160 XMM0-XMM15  416 reserved, 464 software  512 XSTATE_BV  520 XCOMP_BV  528 reserved to 576
 */
import {
  CPU_BASE,
  CR0,
  FPR,
  FPU_CONTROL,
  FPU_CS,
  FPU_DP,
  FPU_DS,
  FPU_EMPTY,
  FPU_IP,
  FPU_OPCODE,
  FPU_TOP,
  MXCSR,
  XCR0,
  XMM,
} from '../../src/x86/state';
import { hostForRead, hostForWrite, probeWrite, readLinear, writeLinear } from '../mmu/access';
import { x87_fldcw, x87_fninit, x87_fnstsw, x87_set_status_word } from '../x87/control';
import { cpl, gpr, hasCr4, isCode64, RAX, RCX, RDX, setGpr, status } from './cpu';
import { linear } from './descriptor';
import { mmuIndexOf, updateKey } from './key';
import { NM, raise, raiseGp0, UD } from './raise';

const CR0_EM: u64 = 4;
const CR0_TS: u64 = 8;
const CR4_OSXSAVE: u64 = 0x40000;
const FXSAVE_SIZE: i32 = 512;
const XSAVE_SIZE: i32 = 576;
const HEADER: usize = 512;
const X87: u64 = 1;
const SSE: u64 = 2;
const SUPPORTED: u64 = 3;
const COMPACT: u64 = 0x8000000000000000;
const MXCSR_MASK: u32 = 0xffff;
const MXCSR_INITIAL: u32 = 0x1f80;

/** Where an image that is not plain RAM within one page is put together. */
const scratch: usize = memory.data(576, 64);

function xcr0(): u64 {
  return load<u64>(CPU_BASE + XCR0);
}

/** The requested-feature bitmap: EDX:EAX and XCR0. */
function requested(): u64 {
  return ((gpr(RDX) << 32) | (gpr(RAX) & 0xffffffff)) & xcr0();
}

function copyIn(gva: u64, size: i32, mmu: i32): void {
  for (let n = 0; n < size; n += 8) {
    const value = readLinear(linear(gva + (n as u64)), 8, mmu);
    if (status() != 0) return;
    store<u64>(scratch + (n as usize), value);
  }
}

/** A host address where `size` bytes of guest memory can be changed; `close` afterwards. 0: a status is set. */
function openForWrite(gva: u64, size: i32): usize {
  const mmu = mmuIndexOf(cpl());
  if ((gva & 4095) + (size as u64) <= 4096) {
    const host = hostForWrite(gva, mmu);
    if (status() != 0) return 0;
    if (host != 0) return host as usize;
  }
  probeWrite(gva, size, mmu);
  if (status() != 0) return 0;
  copyIn(gva, size, mmu);
  return status() != 0 ? 0 : scratch;
}

/** Writes a scratch image back; the pages were probed. 0 or a status. */
function close(p: usize, gva: u64, size: i32): i32 {
  if (p != scratch) return 0;
  const mmu = mmuIndexOf(cpl());
  for (let n = 0; n < size; n += 8) {
    writeLinear(linear(gva + (n as u64)), load<u64>(scratch + (n as usize)), 8, mmu);
    if (status() != 0) return status();
  }
  return 0;
}

/** A host address with the `size` bytes of guest memory, not to be changed. 0: a status is set. */
function openForRead(gva: u64, size: i32): usize {
  const mmu = mmuIndexOf(cpl());
  if ((gva & 4095) + (size as u64) <= 4096) {
    const host = hostForRead(gva, mmu);
    if (status() != 0) return 0;
    if (host != 0) return host as usize;
  }
  copyIn(gva, size, mmu);
  return status() != 0 ? 0 : scratch;
}

/** Address of ST(i)'s slot. */
function slot(i: u32): usize {
  const physical = ((load<u8>(CPU_BASE + FPU_TOP) as u32) + i) & 7;
  return CPU_BASE + FPR + ((physical as usize) << 4);
}

/** `wide`: FIP and FDP have 64 bits and no selectors (REX.W). */
function saveX87(p: usize, wide: boolean): void {
  store<u16>(p, load<u16>(CPU_BASE + FPU_CONTROL));
  store<u16>(p, x87_fnstsw() as u16, 2);
  store<u16>(p, (~load<u8>(CPU_BASE + FPU_EMPTY) & 0xff) as u16, 4);
  store<u16>(p, load<u16>(CPU_BASE + FPU_OPCODE), 6);
  const ip = load<u64>(CPU_BASE + FPU_IP);
  const dp = load<u64>(CPU_BASE + FPU_DP);
  if (wide) {
    store<u64>(p, ip, 8);
    store<u64>(p, dp, 16);
  } else {
    store<u64>(p, (ip & 0xffffffff) | ((load<u16>(CPU_BASE + FPU_CS) as u64) << 32), 8);
    store<u64>(p, (dp & 0xffffffff) | ((load<u16>(CPU_BASE + FPU_DS) as u64) << 32), 16);
  }
  for (let i: u32 = 0; i < 8; i++) {
    const from = slot(i);
    const to = p + 32 + ((i as usize) << 4);
    store<u64>(to, load<u64>(from));
    store<u64>(to, load<u16>(from, 8) as u64, 8);
  }
}

function loadX87(p: usize, wide: boolean): void {
  x87_fldcw(load<u16>(p));
  store<u8>(CPU_BASE + FPU_EMPTY, ~load<u8>(p, 4) as u8);
  store<u16>(CPU_BASE + FPU_OPCODE, load<u16>(p, 6) & 0x7ff);
  const ip = load<u64>(p, 8);
  const dp = load<u64>(p, 16);
  store<u64>(CPU_BASE + FPU_IP, wide ? ip : ip & 0xffffffff);
  store<u64>(CPU_BASE + FPU_DP, wide ? dp : dp & 0xffffffff);
  store<u16>(CPU_BASE + FPU_CS, wide ? 0 : ((ip >> 32) as u16));
  store<u16>(CPU_BASE + FPU_DS, wide ? 0 : ((dp >> 32) as u16));
  x87_set_status_word(load<u16>(p, 2) as i32);
  for (let i: u32 = 0; i < 8; i++) {
    const to = slot(i);
    const from = p + 32 + ((i as usize) << 4);
    store<u64>(to, load<u64>(from));
    store<u16>(to, load<u16>(from, 8), 8);
  }
}

function initX87(): void {
  x87_fninit();
  memory.fill(CPU_BASE + FPR, 0, 128);
}

/** XMM8-XMM15 exist in 64-bit code only. */
function xmmBytes(): usize {
  return isCode64() ? 256 : 128;
}

function saveSse(p: usize): void {
  memory.copy(p + 160, CPU_BASE + XMM, xmmBytes());
}

function loadSse(p: usize): void {
  memory.copy(CPU_BASE + XMM, p + 160, xmmBytes());
}

function saveMxcsr(p: usize): void {
  store<u32>(p, load<u32>(CPU_BASE + MXCSR), 24);
  store<u32>(p, MXCSR_MASK, 28);
}

function setMxcsr(value: u32): void {
  store<u32>(CPU_BASE + MXCSR, value);
  updateKey();
}

/** LDMXCSR: reserved bits are #GP(0). The block key may have changed. */
export function ldmxcsr(value: i32): i32 {
  if ((value as u32) & ~MXCSR_MASK) return raiseGp0();
  setMxcsr(value as u32);
  return 0;
}

function checkFx(gva: u64): i32 {
  if (load<u64>(CPU_BASE + CR0) & (CR0_EM | CR0_TS)) return raise(NM);
  return gva & 15 ? raiseGp0() : 0;
}

/** FXSAVE at a linear address; `wide` is nonzero for FXSAVE64. */
export function fxsave(gva: u64, wide: i32): i32 {
  const checked = checkFx(gva);
  if (checked != 0) return checked;
  const p = openForWrite(gva, FXSAVE_SIZE);
  if (p == 0) return status();
  saveX87(p, wide != 0);
  saveMxcsr(p);
  saveSse(p);
  return close(p, gva, FXSAVE_SIZE);
}

/** FXRSTOR. The block key may have changed. */
export function fxrstor(gva: u64, wide: i32): i32 {
  const checked = checkFx(gva);
  if (checked != 0) return checked;
  const p = openForRead(gva, FXSAVE_SIZE);
  if (p == 0) return status();
  const mxcsr = load<u32>(p, 24);
  if (mxcsr & ~MXCSR_MASK) return raiseGp0();
  loadX87(p, wide != 0);
  loadSse(p);
  setMxcsr(mxcsr);
  return 0;
}

function checkXsave(gva: u64): i32 {
  if (!hasCr4(CR4_OSXSAVE)) return raise(UD);
  if (load<u64>(CPU_BASE + CR0) & CR0_TS) return raise(NM);
  return gva & 63 ? raiseGp0() : 0;
}

function saveComponents(p: usize, mask: u64, wide: boolean): void {
  if (mask & X87) saveX87(p, wide);
  if (mask & SSE) {
    saveSse(p);
    saveMxcsr(p);
  }
}

/**
 * XSAVE and XSAVEOPT, which may but need not leave out what has not changed. Both components always count as in use
 * (XINUSE may be 1 for a component in its initial state).
 */
export function xsave(gva: u64, wide: i32): i32 {
  const checked = checkXsave(gva);
  if (checked != 0) return checked;
  const mask = requested();
  const p = openForWrite(gva, XSAVE_SIZE);
  if (p == 0) return status();
  saveComponents(p, mask, wide != 0);
  store<u64>(p + HEADER, load<u64>(p + HEADER) | mask);
  return close(p, gva, XSAVE_SIZE);
}

/** XSAVEC: the compacted format, which is the same place for x87 and SSE. */
export function xsavec(gva: u64, wide: i32): i32 {
  const checked = checkXsave(gva);
  if (checked != 0) return checked;
  const mask = requested();
  const p = openForWrite(gva, XSAVE_SIZE);
  if (p == 0) return status();
  saveComponents(p, mask, wide != 0);
  store<u64>(p + HEADER, mask);
  store<u64>(p + HEADER, mask | COMPACT, 8);
  return close(p, gva, XSAVE_SIZE);
}

/** XRSTOR. The block key may have changed. */
export function xrstor(gva: u64, wide: i32): i32 {
  const checked = checkXsave(gva);
  if (checked != 0) return checked;
  const mask = requested();
  const p = openForRead(gva, XSAVE_SIZE);
  if (p == 0) return status();
  const present = load<u64>(p + HEADER);
  const layout = load<u64>(p + HEADER, 8);
  const isCompact = (layout & COMPACT) != 0;
  if (present & ~xcr0()) return raiseGp0();
  if (isCompact) {
    if ((layout & ~(COMPACT | xcr0())) != 0 || (present & ~layout) != 0) return raiseGp0();
    for (let n: usize = 16; n < 64; n += 8) if (load<u64>(p + HEADER + n) != 0) return raiseGp0();
  } else if (layout != 0 || load<u64>(p + HEADER, 16) != 0) {
    return raiseGp0();
  }
  // MXCSR: with the standard format it comes from memory whenever SSE is asked for.
  const takesMxcsr = (mask & SSE) != 0 && (!isCompact || (present & SSE) != 0);
  const mxcsr = load<u32>(p, 24);
  if (takesMxcsr && (mxcsr & ~MXCSR_MASK) != 0) return raiseGp0();
  if (mask & X87) {
    if (present & X87) loadX87(p, wide != 0);
    else initX87();
  }
  if (mask & SSE) {
    if (present & SSE) loadSse(p);
    else memory.fill(CPU_BASE + XMM, 0, xmmBytes());
    setMxcsr(takesMxcsr ? mxcsr : MXCSR_INITIAL);
  }
  return 0;
}

/** XGETBV: XCR ECX in EDX:EAX; XCR 1 shows what is in use. */
export function xgetbv(): i32 {
  if (!hasCr4(CR4_OSXSAVE)) return raise(UD);
  if ((gpr(RCX) as u32) > 1) return raiseGp0();
  setGpr(RAX, xcr0());
  setGpr(RDX, 0);
  return 0;
}

/** XSETBV: x87 cannot be switched off, and there is nothing beyond SSE. */
export function xsetbv(): i32 {
  if (!hasCr4(CR4_OSXSAVE)) return raise(UD);
  if (cpl() != 0) return raiseGp0();
  const value = (gpr(RDX) << 32) | (gpr(RAX) & 0xffffffff);
  if ((gpr(RCX) as u32) != 0 || (value & X87) == 0 || (value & ~SUPPORTED) != 0) return raiseGp0();
  store<u64>(CPU_BASE + XCR0, value);
  return 0;
}
