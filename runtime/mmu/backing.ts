// Where guest-physical memory lies in linear memory: RAM, the firmware's ROM that ends at 4 GiB, and what the chipset shows
// at 0xc0000-0xfffff. Intel 82441FX data sheet, "Programmable Attribute Map Registers".
import {
  ADDRESS_CLOSED,
  CPU_BASE,
  PAGE_ATTRIBUTES,
  PAGE_DEVICE,
  RAM,
  RAM_SIZE,
  ROM_SIZE,
  SHADOW,
  SHADOW_BASE,
  SHADOW_END,
  SHADOW_ROM_BASE,
  SHADOW_WRITE_RAM,
} from '../../src/x86/state';

/** No memory: the access goes to the bus. Never an address in linear memory: those of the guest lie above RAM. */
export const DEVICE: usize = 1;

/** The address as it leaves the processor: the A20 gate may hold bit 20 at zero. */
// @ts-ignore: decorator
@inline export function gated(gpa: u64): u64 {
  return gpa & ~load<u64>(CPU_BASE + ADDRESS_CLOSED);
}

/**
 * Address in linear memory of what a read (or a write) at `gpa` reaches, or DEVICE. ROM lies behind RAM, and its pages'
 * attributes, code bitmap and blocks are kept as if RAM went on: by host address minus RAM.
 */
export function backing(gpa: u64, write: bool): usize {
  const ramSize = <u64>load<u32>(CPU_BASE + RAM_SIZE);
  if (gpa < ramSize) {
    if ((load<u8>(PAGE_ATTRIBUTES + <usize>(gpa >> 12)) & PAGE_DEVICE) == 0) return RAM + <usize>gpa;
    return gpa >= <u64>SHADOW_BASE && gpa < <u64>SHADOW_END ? shadowed(gpa, write) : DEVICE;
  }
  const romSize = <u64>load<u32>(CPU_BASE + ROM_SIZE);
  const offset = gpa - (0x100000000 - romSize);
  return offset < romSize ? RAM + <usize>(ramSize + offset) : DEVICE;
}

// Pages whose reads go to the PCI side: the end of the ROM, or nothing.
function shadowed(gpa: u64, write: bool): usize {
  const page = <usize>((gpa - <u64>SHADOW_BASE) >> 12);
  if (write && (load<u8>(CPU_BASE + SHADOW + page) & SHADOW_WRITE_RAM) != 0) return RAM + <usize>gpa;
  const romSize = <u64>load<u32>(CPU_BASE + ROM_SIZE);
  const fromEnd = <u64>SHADOW_END - gpa;
  if (gpa < <u64>SHADOW_ROM_BASE || fromEnd > romSize) return DEVICE;
  return RAM + <usize>(<u64>load<u32>(CPU_BASE + RAM_SIZE) + romSize - fromEnd);
}
