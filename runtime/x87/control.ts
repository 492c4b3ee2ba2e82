// FNINIT FNCLEX FLDCW FNSTCW FNSTSW, the tag word, and the MMX view of the registers.
// Intel SDM Vol. 1, "x87 FPU Tag Word"; Vol. 3A, "MMX State and the x87 FPU"-related rules of "Effect of MMX
// Instructions on the x87 FPU Tag Word".
import {
  CPU_BASE,
  FPR,
  FPU_CONTROL,
  FPU_CS,
  FPU_DP,
  FPU_DS,
  FPU_EMPTY,
  FPU_IP,
  FPU_OPCODE,
  FPU_STATUS,
  FPU_TOP,
} from '../../src/x86/state';
import { classify, NORMAL, ZERO } from './number';
import { setStatusBits, statusBits, top, updateSummary } from './state';

/** Bits of the control word that exist; bit 6 reads as one. */
const CONTROL_MASK: u32 = 0x1f3f;
const CONTROL_FIXED: u32 = 0x40;
const TOP_BITS: u32 = 0x3800;

export function x87_fninit(): void {
  store<u16>(CPU_BASE + FPU_CONTROL, 0x37f);
  store<u16>(CPU_BASE + FPU_STATUS, 0);
  store<u8>(CPU_BASE + FPU_EMPTY, 0xff);
  store<u8>(CPU_BASE + FPU_TOP, 0);
  store<u16>(CPU_BASE + FPU_OPCODE, 0);
  store<u64>(CPU_BASE + FPU_IP, 0);
  store<u64>(CPU_BASE + FPU_DP, 0);
  store<u16>(CPU_BASE + FPU_CS, 0);
  store<u16>(CPU_BASE + FPU_DS, 0);
}

export function x87_fnclex(): void {
  setStatusBits(statusBits() & 0x7f00);
}

export function x87_fnstsw(): i32 {
  return <i32>((statusBits() & ~TOP_BITS) | (top() << 11));
}

export function x87_fnstcw(): i32 {
  return load<u16>(CPU_BASE + FPU_CONTROL);
}

export function x87_fldcw(value: i32): void {
  store<u16>(CPU_BASE + FPU_CONTROL, (value & CONTROL_MASK) | CONTROL_FIXED);
  updateSummary();
}

/** A whole status word, as FLDENV and FXRSTOR load it: TOP to its place, ES and B from the flags. */
export function x87_set_status_word(value: i32): void {
  store<u8>(CPU_BASE + FPU_TOP, (value >> 11) & 7);
  store<u16>(CPU_BASE + FPU_STATUS, value & ~TOP_BITS);
  updateSummary();
}

/** Two bits per physical register: valid 0, zero 1, special 2, empty 3. */
export function x87_tag_word(): i32 {
  const empty = <u32>load<u8>(CPU_BASE + FPU_EMPTY);
  let tags = 0;
  for (let n = 0; n < 8; n++) {
    const at = CPU_BASE + FPR + (n << 4);
    const kind = classify(load<u64>(at), load<u16>(at + 8));
    const tag = (empty >> n) & 1 ? 3 : kind == ZERO ? 1 : kind == NORMAL ? 0 : 2;
    tags |= tag << (2 * n);
  }
  return tags;
}

/** Only emptiness is kept; the other classes follow from the contents. */
export function x87_set_tag_word(value: i32): void {
  let empty = 0;
  for (let n = 0; n < 8; n++) empty |= i32(((value >> (2 * n)) & 3) == 3) << n;
  store<u8>(CPU_BASE + FPU_EMPTY, empty);
}

/** Every MMX instruction but EMMS: TOP = 0 and all registers valid. */
export function mmx_enter(): void {
  store<u8>(CPU_BASE + FPU_TOP, 0);
  store<u8>(CPU_BASE + FPU_EMPTY, 0);
}

/** After the mantissa of MMn was written: its upper 16 bits become ones. */
export function mmx_write(n: i32): void {
  store<u16>(CPU_BASE + FPR + ((n & 7) << 4) + 8, 0xffff);
}

export function mmx_emms(): void {
  store<u8>(CPU_BASE + FPU_TOP, 0);
  store<u8>(CPU_BASE + FPU_EMPTY, 0xff);
}
