/** Gives BARs addresses when no firmware runs: largest first, from the PCI hole and the top of I/O space. */
import * as spec from '../../spec/pci.js';
import type { PciBus } from './pci-bus.js';

export interface PciWindows {
  readonly memory: { readonly base: number; readonly end: number };
  readonly io: { readonly base: number; readonly end: number };
  /** The interrupt line register's value for a slot's pin. */
  readonly interruptLine: (slot: number, pin: number) => number;
}

export function assignResources(pci: PciBus, windows: PciWindows): void {
  const next = { memory: windows.memory.base, io: windows.io.base };
  const bars = [...pci.functions().values()].flatMap((pciFunction) => pciFunction.bars);
  bars.sort((a, b) => b.definition.size - a.definition.size);
  for (const bar of bars) {
    const space = bar.definition.kind === 'io' ? 'io' : 'memory';
    const { size } = bar.definition;
    const address = Math.ceil(next[space] / size) * size;
    // Out of room: the guest's own allocator may still find a way.
    if (address + size > windows[space].end) continue;
    next[space] = address + size;
    bar.address = address;
  }
  for (const [key, pciFunction] of pci.functions()) {
    if (pciFunction.bars.length > 0) {
      const command = pciFunction.config.read(spec.PCI_COMMAND, 2);
      pciFunction.config.write(spec.PCI_COMMAND, 2, command | spec.COMMAND_IO | spec.COMMAND_MEMORY);
    }
    if (pciFunction.interruptPin > 0) {
      const line = windows.interruptLine(key >> 3, pciFunction.interruptPin);
      pciFunction.config.write(spec.PCI_INTERRUPT_LINE, 1, line);
    }
    pciFunction.update();
  }
}
