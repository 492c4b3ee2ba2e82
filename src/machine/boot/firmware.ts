/**
 * Firmware in a ROM: what is accepted as one, and the processor's state at power-on, when it fetches its first
 * instruction from the end of the ROM. SDM Vol. 3A, "Processor State After Reset".
 */
import { BadImageError } from '../../base/errors.js';
import type { CpuState, SegmentState } from '../../engine/engine.js';
import { IA32_MTRR_DEF_TYPE, IA32_PAT, PAT_RESET, RFLAGS_RESERVED, resetControls } from './initial-state.js';

/** The ROM's window ends at 4 GiB; below it lie the interrupt controllers. */
const MAX_ROM_SIZE = 16 << 20;
const ROM_GRANULE = 64 << 10;

const RESET_CS = 0xf000;
const RESET_CS_BASE = 0xffff0000n;
const RESET_IP = 0xfff0n;
const LIMIT_64K = 0xffff;
/** Segment attributes as SEGMENT_ATTRIBUTES in x86/state.ts: present, accessed; code, data, LDT, busy TSS. */
const CODE = 0x9b;
const DATA = 0x93;
const LDT = 0x82;
const TSS_BUSY = 0x8b;
/** CD, NW and ET. */
const CR0_RESET = 0x60000010n;
/** Those that RESET clears: TSC and its adjustment, SYSENTER, DEBUGCTL, MTRRs, SPEC_CTRL, SYSCALL, KERNEL_GS_BASE, TSC_AUX. */
const CLEARED_MSRS = [
  ...[0x10, 0x3b, 0x174, 0x175, 0x176, 0x1d9],
  ...Array.from({ length: 16 }, (_, n) => 0x200 + n),
  ...[0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f],
  ...[IA32_MTRR_DEF_TYPE, 0x48, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, 0xc0000103],
];
/** "EDX: Family/Model/Stepping": any of the sixth family. */
const RESET_EDX = 0x600n;
const FCW_RESET = 0x40;
const DX = 2;

/** Throws BadImageError for what cannot be a firmware ROM. */
export function checkFirmware(rom: Uint8Array, name = 'the firmware'): void {
  if (rom.length === 0) throw new BadImageError(`${name}: the file is empty; give a firmware ROM`);
  if (rom.length % ROM_GRANULE !== 0 || rom.length > MAX_ROM_SIZE) {
    throw new BadImageError(
      `${name}: a firmware ROM has a multiple of 64 KiB up to 16 MiB, and this file has ${rom.length} bytes; give a whole ROM`,
    );
  }
}

/** Real mode at F000:FFF0, with the code segment's base 16 bytes below the ROM's last. */
export function resetState(): CpuState {
  const segment = (attributes: number): SegmentState => ({ base: 0n, limit: LIMIT_64K, attributes, selector: 0 });
  const code: SegmentState = { base: RESET_CS_BASE, limit: LIMIT_64K, attributes: CODE, selector: RESET_CS };
  const data = (): SegmentState => segment(DATA);
  const gpr = new Array<bigint>(16).fill(0n);
  gpr[DX] = RESET_EDX;
  return {
    gpr,
    rip: RESET_IP,
    rflags: RFLAGS_RESERVED,
    segments: [data(), code, data(), data(), data(), data(), segment(LDT), segment(TSS_BUSY)],
    gdtr: { base: 0n, limit: LIMIT_64K },
    idtr: { base: 0n, limit: LIMIT_64K },
    ...resetControls(FCW_RESET),
    cr0: CR0_RESET,
    msrs: new Map([...CLEARED_MSRS.map((msr) => [msr, 0n] as const), [IA32_PAT, PAT_RESET]]),
  };
}
