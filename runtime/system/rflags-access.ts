/**
 * CLI, STI, PUSHF, POPF, CLAC, STAC: instructions that read or change system flags. SDM Vol. 2.
 */
import { CPU_BASE, INTERRUPT_SHADOW } from '../../src/x86/state';
import {
  cpl,
  FLAG_AC,
  FLAG_DF,
  FLAG_ID,
  FLAG_IF,
  FLAG_IOPL,
  FLAG_NT,
  FLAG_RF,
  FLAG_TF,
  FLAG_VIF,
  FLAG_VM,
  iopl,
  isProtected,
  isVm86,
  setSystemFlags,
  systemFlags,
} from './cpu';
import { getRflags, setFlags } from './flags';
import { updateFlagsKey } from './key';
import { raise, raiseGp0, UD } from './raise';
import { checkVirtualImage, hasVme, isFlagVirtual, putVirtualFlag, virtualFromImage } from './virtual-interrupts';

/** May IF be changed here? Real mode always; else CPL (3 in virtual-8086 mode) must not exceed IOPL. */
function controlsInterrupts(): boolean {
  return !isProtected() || cpl() <= iopl();
}

export function cli(): i32 {
  if (!controlsInterrupts()) return isFlagVirtual() ? putVirtualFlag(false) : raiseGp0();
  setSystemFlags(systemFlags() & ~FLAG_IF);
  return 0;
}

/** STI: interrupts stay held off for one more instruction if they were off. */
export function sti(): i32 {
  if (!controlsInterrupts()) return isFlagVirtual() ? putVirtualFlag(true) : raiseGp0();
  const flags = systemFlags();
  if ((flags & FLAG_IF) == 0) store<i32>(CPU_BASE + INTERRUPT_SHADOW, 1);
  setSystemFlags(flags | FLAG_IF);
  return 0;
}

/** PUSHF and POPF in virtual-8086 mode need IOPL 3, or VME and 16 bits. 0 or a status. */
export function checkPushf(size: i32): i32 {
  return isVm86() && iopl() < 3 && !(hasVme() && size == 2) ? raiseGp0() : 0;
}

/** What POPF takes from the stack in virtual-8086 mode. 0 or a status. */
export function checkPopf(image: u64, size: i32): i32 {
  return isVm86() && iopl() < 3 ? checkVirtualImage(image, size) : 0;
}

/** RFLAGS as PUSHF stores it: RF and VM read as zero. */
export function pushfValue(): u64 {
  return getRflags() & ~(FLAG_RF | FLAG_VM);
}

/**
 * POPF of `image` with operand size `size` (2, 4 or 8). 0 or a status. The block key may have changed, and interrupts may
 * have become possible (no shadow).
 */
export function popf(image: u64, size: i32): i32 {
  const isVirtual = isVm86() && iopl() < 3;
  let mask = FLAG_TF | FLAG_DF | FLAG_NT;
  if (isVirtual) {
    const refused = checkVirtualImage(image, size);
    if (refused != 0) return refused;
    image = virtualFromImage(image);
    mask |= FLAG_VIF;
  }
  if (size != 2) mask |= FLAG_AC | FLAG_ID;
  if (controlsInterrupts()) mask |= FLAG_IF;
  if (cpl() == 0) mask |= FLAG_IOPL;
  const old = systemFlags();
  const flags = (old & ~mask & ~FLAG_RF) | (image & mask);
  setFlags(image as u32);
  setSystemFlags(flags);
  if ((old ^ flags) & (FLAG_TF | FLAG_AC)) updateFlagsKey();
  return 0;
}

function setAc(on: boolean): i32 {
  if (!isProtected() || cpl() != 0) return raise(UD);
  const flags = systemFlags();
  setSystemFlags(on ? flags | FLAG_AC : flags & ~FLAG_AC);
  updateFlagsKey();
  return 0;
}

/** CLAC. The block key changes. */
export function clac(): i32 {
  return setAc(false);
}

/** STAC. The block key changes. */
export function stac(): i32 {
  return setAc(true);
}
