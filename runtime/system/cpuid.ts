/**
 * CPUID from the table the engine wrote (CPUID_TABLE), with the bits that follow the processor's state.
 * SDM Vol. 2A, "CPUID".
 */
import { CPU_BASE, CPUID_COUNT, CPUID_ENTRY_SIZE, CPUID_TABLE, CR4 } from '../../src/x86/state';
import { gpr, isCode64, RAX, RBX, RCX, RDX, setGpr } from './cpu';

const ANY_SUBLEAF: u32 = 0xffffffff;
const CR4_OSXSAVE: u64 = 0x40000;
const ECX_OSXSAVE: u32 = 0x8000000;
const EDX_SYSCALL: u32 = 0x800;

/** Address of the entry, or 0. */
function find(leaf: u32, subleaf: u32): usize {
  const count = load<u32>(CPU_BASE + CPUID_COUNT);
  let p: usize = CPU_BASE + CPUID_TABLE;
  for (let n: u32 = 0; n < count; n++, p += CPUID_ENTRY_SIZE) {
    if (load<u32>(p) != leaf) continue;
    const sub = load<u32>(p, 4);
    if (sub == ANY_SUBLEAF || sub == subleaf) return p;
  }
  return 0;
}

/** Leaves above the highest of their range answer as the highest basic leaf does. */
function effectiveLeaf(leaf: u32): u32 {
  const range = find(leaf & 0x80000000, 0);
  if (range != 0 && leaf <= load<u32>(range, 8)) return leaf;
  const basic = find(0, 0);
  return basic != 0 ? load<u32>(basic, 8) : 0;
}

/** CPUID: leaf in EAX, subleaf in ECX; writes EAX EBX ECX EDX. */
export function cpuid(): void {
  const leaf = effectiveLeaf(gpr(RAX) as u32);
  const p = find(leaf, gpr(RCX) as u32);
  let eax: u32 = 0;
  let ebx: u32 = 0;
  let ecx: u32 = 0;
  let edx: u32 = 0;
  if (p != 0) {
    eax = load<u32>(p, 8);
    ebx = load<u32>(p, 12);
    ecx = load<u32>(p, 16);
    edx = load<u32>(p, 20);
  } else if (leaf == 0xb) {
    // Invalid topology levels still tell the level asked for and the x2APIC id.
    ecx = (gpr(RCX) as u32) & 255;
    const first = find(0xb, 0);
    if (first != 0) edx = load<u32>(first, 20);
  }
  if (leaf == 1 && (load<u64>(CPU_BASE + CR4) & CR4_OSXSAVE) != 0) ecx |= ECX_OSXSAVE;
  // Intel shows SYSCALL only to 64-bit code.
  if (leaf == 0x80000001 && !isCode64()) edx &= ~EDX_SYSCALL;
  setGpr(RAX, eax as u64);
  setGpr(RBX, ebx as u64);
  setGpr(RCX, ecx as u64);
  setGpr(RDX, edx as u64);
}
