/**
 * The physical map as compiled code sees it: ROM behind RAM, page attributes and shadow bytes for 0xc0000-0xfffff, and
 * the address mask of the A20 gate. The runtime's side is runtime/mmu/backing.ts.
 */
import * as S from '../../x86/state.js';
import type { PhysicalMap, ShadowAccess } from '../engine.js';
import type { DbtVcpu } from './vcpu.js';

const PAGE = 4096;
const A20 = 1n << 20n;

export class DbtPhysicalMap implements PhysicalMap {
  private readonly view: DataView;
  private readonly bytes: Uint8Array;
  /** Before there is a vCPU changes take effect at once. */
  vcpu: DbtVcpu | undefined;

  constructor(memory: WebAssembly.Memory) {
    this.view = new DataView(memory.buffer);
    this.bytes = new Uint8Array(memory.buffer);
  }

  loadRom(rom: Uint8Array): void {
    if (rom.length % PAGE !== 0) throw new RangeError(`a ROM of ${rom.length} bytes`);
    const ramBytes = this.view.getUint32(S.CPU_BASE + S.RAM_SIZE, true);
    this.bytes.set(rom, S.RAM + ramBytes);
    this.view.setUint32(S.CPU_BASE + S.ROM_SIZE, rom.length, true);
    const first = S.PAGE_ATTRIBUTES + ramBytes / PAGE;
    this.bytes.fill(S.PAGE_READ_ONLY, first, first + rom.length / PAGE);
  }

  shadow(base: number, sizeBytes: number, { readsRam, writesRam }: ShadowAccess): void {
    const attribute = readsRam ? (writesRam ? 0 : S.PAGE_READ_ONLY) : S.PAGE_DEVICE;
    this.change(`shadow ${base}`, () => {
      for (let gpa = base; gpa < base + sizeBytes; gpa += PAGE) {
        const at = S.PAGE_ATTRIBUTES + gpa / PAGE;
        const kept = (this.bytes[at] as number) & ~(S.PAGE_READ_ONLY | S.PAGE_DEVICE);
        this.bytes[at] = kept | attribute;
        this.bytes[S.CPU_BASE + S.SHADOW + (gpa - S.SHADOW_BASE) / PAGE] = writesRam ? S.SHADOW_WRITE_RAM : 0;
      }
    });
  }

  a20(isOpen: boolean): void {
    this.change('a20', () => this.view.setBigUint64(S.CPU_BASE + S.ADDRESS_CLOSED, isOpen ? 0n : A20, true));
  }

  private change(what: string, apply: () => void): void {
    if (this.vcpu === undefined) apply();
    else this.vcpu.remapBy(what, apply);
  }
}
