/**
 * Loading segment registers, and the instructions that ask about selectors. SDM Vol. 3A, "Protection";
 * Vol. 2, "MOV", "LAR", "LSL", "VERR/VERW", "ARPL", "LLDT", "LTR".
 */
import { CPU_BASE, SEG_LDTR, SEG_SS, SEG_TR, STATUS } from '../../src/x86/state';
import { readLinear, writeLinear } from '../mmu/access';
import { isCode, isWritableData } from './code-segment';
import {
  ATTR_CONFORMING,
  ATTR_PRESENT,
  ATTR_READ_WRITE,
  ATTR_S,
  ATTR_UNUSABLE,
  cpl,
  isCanonical,
  isCode64,
  isLong,
  isProtected,
  isVm86,
  selectorOf,
  setNullSegment,
  setRealSegment,
  setSegment,
  setVm86Segment,
  status,
} from './cpu';
import {
  descriptorAttributes,
  descriptorBase,
  descriptorDpl,
  descriptorLimit,
  fetchDescriptor,
  fetchUpperHalf,
  high,
  loadFromDescriptor,
  markAccessed,
  OUTSIDE,
  upper,
  upperType,
  where,
} from './descriptor';
import { computeFlags, setFlags } from './flags';
import { mmuIndexImplicit, updateKey } from './key';
import { GP, NP, raise, raiseError, raiseGp0, SS, UD } from './raise';

const ZF: u32 = 0x40;

/** MOV to, POP and LDS-style loads of ES SS DS FS GS. The shadow after a load of SS is the caller's. */
export function loadSegmentRegister(seg: i32, selector: i32): i32 {
  const sel = (selector as u32) & 0xffff;
  let result = 0;
  if (!isProtected()) setRealSegment(seg, sel);
  else if (isVm86()) setVm86Segment(seg, sel);
  else result = seg == SEG_SS ? loadStack(sel) : loadData(seg, sel);
  // 64-bit code looks at none of them.
  if (result == 0 && !isCode64()) updateKey();
  return result;
}

function loadStack(sel: u32): i32 {
  const level = cpl();
  const code = sel & 0xfffc;
  if (code == 0) {
    if (!isCode64() || level == 3 || ((sel & 3) as i32) != level) return raiseGp0();
    setSegment(SEG_SS, sel, 0, 0, ATTR_UNUSABLE | ((level as u32) << 5));
    return 0;
  }
  const fetched = fetchDescriptor(sel);
  if (fetched == OUTSIDE) return raiseError(GP, code);
  if (fetched != 0) return fetched;
  const attr = descriptorAttributes();
  if (((sel & 3) as i32) != level || !isWritableData(attr) || descriptorDpl() != level) return raiseError(GP, code);
  if ((attr & ATTR_PRESENT) == 0) return raiseError(SS, code);
  const marked = markAccessed();
  if (marked != 0) return marked;
  loadFromDescriptor(SEG_SS, sel);
  return 0;
}

function loadData(seg: i32, sel: u32): i32 {
  const code = sel & 0xfffc;
  if (code == 0) {
    setNullSegment(seg, sel);
    return 0;
  }
  const fetched = fetchDescriptor(sel);
  if (fetched == OUTSIDE) return raiseError(GP, code);
  if (fetched != 0) return fetched;
  const attr = descriptorAttributes();
  // Data, or code that can be read.
  if ((attr & ATTR_S) == 0 || (isCode(attr) && (attr & ATTR_READ_WRITE) == 0)) return raiseError(GP, code);
  if (!isCode(attr) || (attr & ATTR_CONFORMING) == 0) {
    const dpl = descriptorDpl();
    if (((sel & 3) as i32) > dpl || cpl() > dpl) return raiseError(GP, code);
  }
  if ((attr & ATTR_PRESENT) == 0) return raiseError(NP, code);
  const marked = markAccessed();
  if (marked != 0) return marked;
  loadFromDescriptor(seg, sel);
  return 0;
}

/** The 64-bit base of the system descriptor just fetched; a status if its upper half is bad. */
let systemBase: u64 = 0;
function fetchSystemBase(sel: u32): i32 {
  systemBase = descriptorBase();
  if (!isLong()) return 0;
  const code = sel & 0xfffc;
  const fetched = fetchUpperHalf(sel);
  if (fetched == OUTSIDE) return raiseError(GP, code);
  if (fetched != 0) return fetched;
  if (upperType != 0) return raiseError(GP, code);
  systemBase |= (upper as u64) << 32;
  return isCanonical(systemBase) ? 0 : raiseError(GP, code);
}

export function lldt(selector: i32): i32 {
  const sel = (selector as u32) & 0xffff;
  const code = sel & 0xfffc;
  if (!isProtected() || isVm86()) return raise(UD);
  if (cpl() != 0) return raiseGp0();
  if (code == 0) {
    setNullSegment(SEG_LDTR, sel);
    return 0;
  }
  if (sel & 4) return raiseError(GP, code);
  const fetched = fetchDescriptor(sel);
  if (fetched == OUTSIDE) return raiseError(GP, code);
  if (fetched != 0) return fetched;
  const attr = descriptorAttributes();
  if ((attr & 0x1f) != 2) return raiseError(GP, code);
  if ((attr & ATTR_PRESENT) == 0) return raiseError(NP, code);
  const based = fetchSystemBase(sel);
  if (based != 0) return based;
  setSegment(SEG_LDTR, sel, systemBase, descriptorLimit(), attr);
  return 0;
}

export function ltr(selector: i32): i32 {
  const sel = (selector as u32) & 0xffff;
  const code = sel & 0xfffc;
  if (!isProtected() || isVm86()) return raise(UD);
  if (cpl() != 0) return raiseGp0();
  if (code == 0) return raiseGp0();
  if (sel & 4) return raiseError(GP, code);
  const fetched = fetchDescriptor(sel);
  if (fetched == OUTSIDE) return raiseError(GP, code);
  if (fetched != 0) return fetched;
  const attr = descriptorAttributes();
  const type = attr & 0x1f;
  // An available TSS: 32/64-bit, or 16-bit outside IA-32e mode.
  if (type != 9 && (type != 1 || isLong())) return raiseError(GP, code);
  if ((attr & ATTR_PRESENT) == 0) return raiseError(NP, code);
  const based = fetchSystemBase(sel);
  if (based != 0) return based;
  const limit = descriptorLimit();
  writeLinear(where + 5, ((attr & 0xff) | 2) as u64, 1, mmuIndexImplicit());
  if (status() != 0) return status();
  setSegment(SEG_TR, sel, systemBase, limit, attr | 2);
  return 0;
}

/** SLDT and STR: `seg` is SEG_LDTR or SEG_TR. The value is `systemSelector` after a return of 0. */
export function checkProtected(): i32 {
  return !isProtected() || isVm86() ? raise(UD) : 0;
}

export function systemSelector(seg: i32): u32 {
  return selectorOf(seg);
}

/** Does the descriptor just fetched lie below the reach of CPL and RPL? Conforming code is in everybody's reach. */
function isVisible(sel: u32, attr: u32): boolean {
  if (isCode(attr) && (attr & ATTR_CONFORMING) != 0) return true;
  const dpl = descriptorDpl();
  return cpl() <= dpl && ((sel & 3) as i32) <= dpl;
}

/** System types that LAR (bit set) accepts, outside and inside IA-32e mode. SDM Vol. 2A, "LAR", "Segment and Gate Types". */
const LAR_TYPES: u32 = (1 << 1) | (1 << 2) | (1 << 3) | (1 << 4) | (1 << 5) | (1 << 9) | (1 << 11) | (1 << 12);
const LAR_TYPES_LONG: u32 = (1 << 2) | (1 << 9) | (1 << 11) | (1 << 12);
const LSL_TYPES: u32 = (1 << 1) | (1 << 2) | (1 << 3) | (1 << 9) | (1 << 11);
const LSL_TYPES_LONG: u32 = (1 << 2) | (1 << 9) | (1 << 11);

let queryResult: u32 = 0;
/** Result of LAR or LSL, valid when they set ZF. */
export function queriedValue(): u32 {
  return queryResult;
}

/** 1 found and visible, 0 not, other values: a status. */
const FOUND: i32 = -2;
function query(sel: u32, types: u32): i32 {
  if (!isProtected() || isVm86()) return raise(UD);
  if ((sel & 0xfffc) == 0) return 0;
  const fetched = fetchDescriptor(sel);
  if (fetched == OUTSIDE) return 0;
  if (fetched != 0) return fetched;
  const attr = descriptorAttributes();
  if ((attr & ATTR_S) == 0) {
    if (((types >> (attr & 15)) & 1) == 0) return 0;
  }
  return isVisible(sel, attr) ? FOUND : 0;
}

function setZero(on: boolean): void {
  const flags = computeFlags();
  setFlags(on ? flags | ZF : flags & ~ZF);
}

/** LAR: sets ZF; when set, the access rights are `queriedValue()`. 0 or a status. */
export function lar(selector: i32): i32 {
  const found = query((selector as u32) & 0xffff, isLong() ? LAR_TYPES_LONG : LAR_TYPES);
  if (found > 0) return found;
  if (found == FOUND) queryResult = high & 0x00f0ff00;
  setZero(found == FOUND);
  return 0;
}

/** LSL: sets ZF; when set, the limit in bytes is `queriedValue()`. 0 or a status. */
export function lsl(selector: i32): i32 {
  const found = query((selector as u32) & 0xffff, isLong() ? LSL_TYPES_LONG : LSL_TYPES);
  if (found > 0) return found;
  if (found == FOUND) queryResult = descriptorLimit();
  setZero(found == FOUND);
  return 0;
}

function verify(sel: u32, isWrite: boolean): i32 {
  const found = query(sel, 0);
  if (found > 0) return found;
  let ok = found == FOUND;
  if (ok) {
    const attr = descriptorAttributes();
    if (isWrite) ok = isWritableData(attr);
    else ok = !isCode(attr) || (attr & ATTR_READ_WRITE) != 0;
  }
  setZero(ok);
  return 0;
}

/** VERR: ZF tells whether the segment can be read at this CPL. */
export function verr(selector: i32): i32 {
  return verify((selector as u32) & 0xffff, false);
}

/** VERW: ZF tells whether the segment can be written at this CPL. */
export function verw(selector: i32): i32 {
  return verify((selector as u32) & 0xffff, true);
}

/** ARPL's value: `dst` with its RPL raised to that of `src`; sets ZF. The lifter raises #UD outside protected mode. */
export function arpl(dst: i32, src: i32): i32 {
  const raised = (dst & 3) < (src & 3);
  setZero(raised);
  return raised ? (dst & ~3) | (src & 3) : dst;
}
