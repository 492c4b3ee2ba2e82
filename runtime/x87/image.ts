// The memory images of floating-point state: FXSAVE and XSAVE's legacy region, FNSTENV, FNSAVE. They are built and read
// in linear memory (scratch); the caller copies between scratch and guest memory.
// Intel SDM Vol. 1, "FXSAVE and FXRSTOR Instructions" region tables and "Protected Mode x87 FPU State Image in Memory"
// figures; Vol. 2A, "FXSAVE", "FSTENV/FNSTENV".
//
//   FXSAVE:   0 FCW, 2 FSW, 4 FTW (bit n: physical register n is NOT empty), 6 FOP, 8 FIP, 16 FDP, 24 MXCSR,
//             28 MXCSR_MASK, 32 ST0-ST7 (16 bytes each), 160 XMM0-XMM15, to 416
//   FNSTENV:  control, status, tags, instruction pointer, its selector and opcode, data pointer, its selector;
//             seven dwords or seven words. FNSAVE: ST0-ST7 follow, 10 bytes each.
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
  MXCSR,
  XMM,
} from '../../src/x86/state';
import {
  x87_fldcw,
  x87_fninit,
  x87_fnstcw,
  x87_fnstsw,
  x87_set_status_word,
  x87_set_tag_word,
  x87_tag_word,
} from './control';
import { controlWord, top, updateSummary } from './state';

const MXCSR_MASK: u32 = 0xffff;
const MXCSR_DEFAULT: u32 = 0x1f80;
const OPCODE_MASK: u32 = 0x7ff;
const FX_REGISTERS = 32;
const FX_XMM = 160;
const ALL_MASKS: u32 = 0x3f;

@inline
function register(i: i32): usize {
  return CPU_BASE + FPR + (((top() + i) & 7) << 4);
}

/** Bytes 0-23 and 32-159 of the region: everything of the x87. `wide`: 64-bit pointers (REX.W), else with selectors. */
export function fx_save_x87(address: usize, wide: i32): void {
  store<u16>(address, <u16>x87_fnstcw());
  store<u16>(address + 2, <u16>x87_fnstsw());
  store<u16>(address + 4, load<u8>(CPU_BASE + FPU_EMPTY) ^ 0xff);
  store<u16>(address + 6, load<u16>(CPU_BASE + FPU_OPCODE) & OPCODE_MASK);
  savePointer(address + 8, load<u64>(CPU_BASE + FPU_IP), load<u16>(CPU_BASE + FPU_CS), wide);
  savePointer(address + 16, load<u64>(CPU_BASE + FPU_DP), load<u16>(CPU_BASE + FPU_DS), wide);
  for (let i = 0; i < 8; i++) {
    const from = register(i);
    const to = address + FX_REGISTERS + (i << 4);
    store<u64>(to, load<u64>(from));
    store<u64>(to + 8, load<u16>(from + 8));
  }
}

function savePointer(address: usize, pointer: u64, selector: u32, wide: i32): void {
  store<u64>(address, wide ? pointer : (pointer & 0xffffffff) | ((<u64>selector) << 32));
}

export function fx_load_x87(address: usize, wide: i32): void {
  x87_fldcw(load<u16>(address));
  x87_set_status_word(load<u16>(address + 2));
  store<u8>(CPU_BASE + FPU_EMPTY, load<u8>(address + 4) ^ 0xff);
  store<u16>(CPU_BASE + FPU_OPCODE, load<u16>(address + 6) & OPCODE_MASK);
  store<u64>(CPU_BASE + FPU_IP, wide ? load<u64>(address + 8) : load<u32>(address + 8));
  store<u16>(CPU_BASE + FPU_CS, wide ? 0 : load<u16>(address + 12));
  store<u64>(CPU_BASE + FPU_DP, wide ? load<u64>(address + 16) : load<u32>(address + 16));
  store<u16>(CPU_BASE + FPU_DS, wide ? 0 : load<u16>(address + 20));
  for (let i = 0; i < 8; i++) {
    const from = address + FX_REGISTERS + (i << 4);
    const to = register(i);
    store<u64>(to, load<u64>(from));
    store<u16>(to + 8, load<u16>(from + 8));
  }
}

/** XMM0 to XMM(count - 1) at byte 160. */
export function fx_save_xmm(address: usize, count: i32): void {
  memory.copy(address + FX_XMM, CPU_BASE + XMM, count << 4);
}

export function fx_load_xmm(address: usize, count: i32): void {
  memory.copy(CPU_BASE + XMM, address + FX_XMM, count << 4);
}

export function fx_save_mxcsr(address: usize): void {
  store<u32>(address + 24, load<u32>(CPU_BASE + MXCSR));
  store<u32>(address + 28, MXCSR_MASK);
}

/** 0 when a reserved bit is set: #GP(0), and nothing has changed. */
export function fx_load_mxcsr(address: usize): i32 {
  const value = load<u32>(address + 24);
  if (value & ~MXCSR_MASK) return 0;
  store<u32>(CPU_BASE + MXCSR, value);
  return 1;
}

/** The initial states that XRSTOR gives to components whose XSTATE_BV bit is clear. */
export function fx_init_x87(): void {
  x87_fninit();
  memory.fill(CPU_BASE + FPR, 0, 128);
}

export function fx_init_sse(count: i32): void {
  memory.fill(CPU_BASE + XMM, 0, count << 4);
}

export function fx_init_mxcsr(): void {
  store<u32>(CPU_BASE + MXCSR, MXCSR_DEFAULT);
}

/**
 * FXSAVE. is64: 0 outside of 64-bit mode, 1 FXSAVE64 (REX.W), 2 64-bit mode without REX.W. Gives the number of bytes
 * the instruction writes (288 or 416); the rest of the 512 belongs to software.
 */
export function fxsave_image(address: usize, is64: i32): i32 {
  const count = is64 ? 16 : 8;
  fx_save_x87(address, is64 & 1);
  fx_save_mxcsr(address);
  fx_save_xmm(address, count);
  return FX_XMM + (count << 4);
}

/** FXRSTOR, is64 as above; 0 when MXCSR in the image has a reserved bit: #GP(0), and nothing has changed. */
export function fxrstor_image(address: usize, is64: i32): i32 {
  if (!fx_load_mxcsr(address)) return 0;
  fx_load_x87(address, is64 & 1);
  fx_load_xmm(address, is64 ? 16 : 8);
  return 1;
}

/**
 * FNSTENV. wide: 32-bit operand size; real: real or virtual-8086 mode. Gives 28 or 14, the bytes to write. Call
 * fnstenv_done after they have been written.
 */
export function fnstenv_image(address: usize, wide: i32, real: i32): i32 {
  const opcode = <u32>load<u16>(CPU_BASE + FPU_OPCODE) & OPCODE_MASK;
  let ip = load<u64>(CPU_BASE + FPU_IP);
  let dp = load<u64>(CPU_BASE + FPU_DP);
  const cs = <u32>load<u16>(CPU_BASE + FPU_CS);
  const ds = <u32>load<u16>(CPU_BASE + FPU_DS);
  if (real) {
    ip += (<u64>cs) << 4;
    dp += (<u64>ds) << 4;
  }
  const code = <u32>ip;
  const data = <u32>dp;
  if (wide) {
    store<u32>(address, x87_fnstcw() | 0xffff0000);
    store<u32>(address + 4, x87_fnstsw() | 0xffff0000);
    store<u32>(address + 8, x87_tag_word() | 0xffff0000);
    store<u32>(address + 12, real ? code & 0xffff : code);
    store<u32>(address + 16, real ? ((code >> 16) << 12) | opcode : cs | (opcode << 16));
    store<u32>(address + 20, real ? data & 0xffff : data);
    store<u32>(address + 24, real ? (data >> 16) << 12 : ds | 0xffff0000);
    return 28;
  }
  store<u16>(address, <u16>x87_fnstcw());
  store<u16>(address + 2, <u16>x87_fnstsw());
  store<u16>(address + 4, <u16>x87_tag_word());
  store<u16>(address + 6, <u16>code);
  store<u16>(address + 8, real ? <u16>((((code >> 16) & 15) << 12) | opcode) : <u16>cs);
  store<u16>(address + 10, <u16>data);
  store<u16>(address + 12, real ? <u16>(((data >> 16) & 15) << 12) : <u16>ds);
  return 14;
}

/** FNSTENV has masked every exception. */
export function fnstenv_done(): void {
  store<u16>(CPU_BASE + FPU_CONTROL, <u16>(controlWord() | ALL_MASKS));
  updateSummary();
}

export function fldenv_image(address: usize, wide: i32, real: i32): i32 {
  const step: usize = wide ? 4 : 2;
  x87_fldcw(load<u16>(address));
  x87_set_status_word(load<u16>(address + step));
  x87_set_tag_word(load<u16>(address + 2 * step));
  const code = wide ? load<u32>(address + 12) : load<u16>(address + 6);
  const second = wide ? load<u32>(address + 16) : load<u16>(address + 8);
  const data = wide ? load<u32>(address + 20) : load<u16>(address + 10);
  const fourth = wide ? load<u32>(address + 24) : load<u16>(address + 12);
  let ip = code;
  let dp = data;
  if (real) {
    ip = (code & 0xffff) | (((second >> 12) & 0xffff) << 16);
    dp = (data & 0xffff) | (((fourth >> 12) & 0xffff) << 16);
  }
  store<u64>(CPU_BASE + FPU_IP, ip);
  store<u64>(CPU_BASE + FPU_DP, dp);
  store<u16>(CPU_BASE + FPU_CS, real ? 0 : <u16>second);
  store<u16>(CPU_BASE + FPU_DS, real ? 0 : <u16>fourth);
  const hasOpcode = wide || real;
  store<u16>(CPU_BASE + FPU_OPCODE, hasOpcode ? <u16>((real ? second : second >> 16) & OPCODE_MASK) : 0);
  return wide ? 28 : 14;
}

/** FNSAVE: 108 or 94 bytes. Call x87_fninit after they have been written. */
export function fnsave_image(address: usize, wide: i32, real: i32): i32 {
  const size = fnstenv_image(address, wide, real);
  for (let i = 0; i < 8; i++) {
    const from = register(i);
    const to = address + size + i * 10;
    store<u64>(to, load<u64>(from));
    store<u16>(to + 8, load<u16>(from + 8));
  }
  return size + 80;
}

export function frstor_image(address: usize, wide: i32, real: i32): i32 {
  const size = fldenv_image(address, wide, real);
  for (let i = 0; i < 8; i++) {
    const from = address + size + i * 10;
    const to = register(i);
    store<u64>(to, load<u64>(from));
    store<u16>(to + 8, load<u16>(from + 8));
  }
  return size + 80;
}
