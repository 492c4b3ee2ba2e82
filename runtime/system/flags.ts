/**
 * Status flags: RFLAGS is split into the lazy record (CC_*), which tells the six status flags when somebody asks, and
 * RFLAGS in the vCPU state, which holds all the others. Intel SDM Vol. 1, "EFLAGS Register".
 */
import {
  CC_ADC,
  CC_ADD,
  CC_DEC,
  CC_DST,
  CC_FLAGS,
  CC_INC,
  CC_LOGIC,
  CC_MUL,
  CC_OP,
  CC_SBB,
  CC_SHL,
  CC_SHR,
  CC_SRC,
  CC_SRC2,
  CC_SUB,
  CPU_BASE,
  RFLAGS,
} from '../../src/x86/state';
import { updateKey } from './key';

const CF: u32 = 1;
const PF: u32 = 4;
const AF: u32 = 0x10;
const ZF: u32 = 0x40;
const SF: u32 = 0x80;
const OF: u32 = 0x800;
const STATUS_FLAGS: u32 = 0x8d5;
/** TF IF DF IOPL NT RF VM AC VIF VIP ID: what RFLAGS in the vCPU state may hold besides bit 1. */
const OTHER_FLAGS: u64 = 0x3f7700;

/** CF PF AF ZF SF OF of a lazy record, in their RFLAGS places. Pure. */
export function evaluateFlags(op: i32, dst: u64, src: u64, src2: u64): u32 {
  const kind = op >> 2;
  if (kind == CC_FLAGS) return (src as u32) & STATUS_FLAGS;
  const width: u64 = 8 << (op & 3);
  const top: u64 = 1 << (width - 1);
  const mask: u64 = top | (top - 1);
  const d = dst & mask;
  const s = src & mask;
  let x: u64 = 0;
  let flags: u32 = (popcnt(d & 0xff) & 1) == 0 ? PF : 0;
  if (d == 0) flags |= ZF;
  if (d & top) flags |= SF;
  switch (kind) {
    case CC_ADD:
    case CC_ADC: {
      const carry: u64 = kind == CC_ADC ? src2 & 1 : 0;
      x = (d - s - carry) & mask;
      if (d < s || (carry != 0 && d == s)) flags |= CF;
      if ((x ^ d) & (s ^ d) & top) flags |= OF;
      flags |= ((x ^ s ^ d) as u32) & AF;
      break;
    }
    case CC_SUB:
    case CC_SBB: {
      const borrow: u64 = kind == CC_SBB ? src2 & 1 : 0;
      x = (d + s + borrow) & mask;
      if (x < s || (borrow != 0 && x == s)) flags |= CF;
      if ((x ^ s) & (x ^ d) & top) flags |= OF;
      flags |= ((x ^ s ^ d) as u32) & AF;
      break;
    }
    case CC_INC:
      flags |= (src as u32) & CF;
      if (d == top) flags |= OF;
      if ((d & 15) == 0) flags |= AF;
      break;
    case CC_DEC:
      flags |= (src as u32) & CF;
      if (d == top - 1) flags |= OF;
      if ((d & 15) == 15) flags |= AF;
      break;
    case CC_SHL:
      if (s & top) flags |= CF;
      if ((s ^ d) & top) flags |= OF;
      break;
    case CC_SHR:
      flags |= (s as u32) & CF;
      if ((s ^ d) & top) flags |= OF;
      break;
    case CC_MUL:
      if (src != 0) flags |= CF | OF;
      break;
    default:
      break;
  }
  return flags;
}

/** The six status flags of the guest now. */
export function computeFlags(): u32 {
  return evaluateFlags(
    load<i32>(CPU_BASE + CC_OP),
    load<u64>(CPU_BASE + CC_DST),
    load<u64>(CPU_BASE + CC_SRC),
    load<u64>(CPU_BASE + CC_SRC2),
  );
}

/** Condition code 0-15 on status flags. SDM Vol. 1, appendix B, "EFLAGS Condition Codes". */
function test(cc: i32, flags: u32): i32 {
  let holds = false;
  switch (cc >> 1) {
    case 0:
      holds = (flags & OF) != 0;
      break;
    case 1:
      holds = (flags & CF) != 0;
      break;
    case 2:
      holds = (flags & ZF) != 0;
      break;
    case 3:
      holds = (flags & (CF | ZF)) != 0;
      break;
    case 4:
      holds = (flags & SF) != 0;
      break;
    case 5:
      holds = (flags & PF) != 0;
      break;
    case 6:
      holds = ((flags & SF) != 0) != ((flags & OF) != 0);
      break;
    default:
      holds = (flags & ZF) != 0 || ((flags & SF) != 0) != ((flags & OF) != 0);
      break;
  }
  return (holds as i32) ^ (cc & 1);
}

/** 1 when condition code `cc` (0-15) holds on lazy flags: what Jcc, SETcc and CMOVcc ask. */
export function evaluateCondition(cc: i32, op: i32, dst: u64, src: u64, src2: u64): i32 {
  const kind = op >> 2;
  if (kind == CC_FLAGS) return test(cc, src as u32);
  const pair = cc >> 1;
  const shift: u64 = 64 - (8 << (op & 3));
  const d = dst << shift;
  // Values are compared in the top bits of 64, so that one comparison serves every size.
  if (pair == 2) return ((d == 0) as i32) ^ (cc & 1);
  if (pair == 4) return (((d as i64) < 0) as i32) ^ (cc & 1);
  if (kind == CC_SUB && pair != 0 && pair != 5) {
    const y = src << shift;
    const x = d + y;
    let holds = false;
    if (pair == 1) holds = x < y;
    else if (pair == 3) holds = x <= y;
    else if (pair == 6) holds = (x as i64) < (y as i64);
    else holds = (x as i64) <= (y as i64);
    return (holds as i32) ^ (cc & 1);
  }
  if (kind == CC_LOGIC && pair != 5) {
    let holds = false; // CF = OF = 0
    if (pair == 3) holds = d == 0;
    else if (pair == 6) holds = (d as i64) < 0;
    else if (pair == 7) holds = (d as i64) <= 0;
    return (holds as i32) ^ (cc & 1);
  }
  return test(cc, evaluateFlags(op, dst, src, src2));
}

/** The same on the guest's flags now. */
export function condition(cc: i32): i32 {
  return evaluateCondition(
    cc,
    load<i32>(CPU_BASE + CC_OP),
    load<u64>(CPU_BASE + CC_DST),
    load<u64>(CPU_BASE + CC_SRC),
    load<u64>(CPU_BASE + CC_SRC2),
  );
}

/** Makes `v` the status flags (other bits are ignored). */
export function setFlags(v: u32): void {
  store<i32>(CPU_BASE + CC_OP, CC_FLAGS);
  store<u64>(CPU_BASE + CC_SRC, (v & STATUS_FLAGS) as u64);
}

/** The whole architectural RFLAGS. */
export function getRflags(): u64 {
  return load<u64>(CPU_BASE + RFLAGS) | (computeFlags() as u64);
}

/** Sets the whole RFLAGS as given, with no privilege check; bit 1 is always set, bits that do not exist are dropped. */
export function setRflags(v: u64): void {
  setFlags(v as u32);
  store<u64>(CPU_BASE + RFLAGS, (v & OTHER_FLAGS) | 2);
  updateKey();
}
