/** INVLPG and INVPCID. SDM Vol. 2A, "INVLPG", "INVPCID". */
import { CPU_BASE, CR3 } from '../../src/x86/state';
import { readLinear } from '../mmu/access';
import { flushPage, flushTlb } from '../mmu/tlb';
import { cpl, hasCr4, isCanonical, isVm86, status } from './cpu';
import { linear } from './descriptor';
import { mmuIndexOf } from './key';
import { raiseGp0 } from './raise';

const CR4_PCIDE: u64 = 0x20000;

/** INVLPG of a linear address; one that is not canonical is ignored. */
export function invlpg(gva: u64): i32 {
  if (cpl() != 0) return raiseGp0();
  if (isCanonical(gva)) flushPage(gva);
  return 0;
}

/** INVPCID: the type, and the linear address of the 16-byte descriptor. */
export function invpcid(type: u64, descriptor: u64): i32 {
  if (cpl() != 0 || isVm86()) return raiseGp0();
  const mmu = mmuIndexOf(0);
  const first = readLinear(descriptor, 8, mmu);
  if (status() != 0) return status();
  const address = readLinear(linear(descriptor + 8), 8, mmu);
  if (status() != 0) return status();
  if (type > 3) return raiseGp0();
  if (type < 2) {
    // PCID in bits 11:0, the rest reserved; with CR4.PCIDE clear only PCID 0 exists.
    if ((first & ~(0xfff as u64)) != 0 || (first != 0 && !hasCr4(CR4_PCIDE))) return raiseGp0();
    if (type == 0 && !isCanonical(address)) return raiseGp0();
    const current = hasCr4(CR4_PCIDE) ? load<u64>(CPU_BASE + CR3) & 0xfff : 0;
    // The TLB holds nothing of other PCIDs: MOV CR3 dropped it.
    if (first != current) return 0;
    if (type == 0) flushPage(address);
    else flushTlb(0);
    return 0;
  }
  flushTlb(type == 2 ? 1 : 0);
  return 0;
}
