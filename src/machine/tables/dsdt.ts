/**
 * The namespace of the machine: \_S5, the PCI root with its windows and interrupt routing, the ISA devices.
 * ACPI, "Device Configuration", "_PRT (PCI Routing Table)"; PCI Firmware Specification for the root's windows.
 */
import { swizzle } from '../../device/pci/pci-bus.js';
import { GPE0_PORT, GPE0_SIZE, SCI_IRQ, SLP_TYP_S5 } from '../../spec/acpi.js';
import { HPET_BASE, HPET_SIZE } from '../../spec/hpet.js';
import { KBC_COMMAND_PORT, KBC_DATA_PORT, KEYBOARD_IRQ, MOUSE_IRQ } from '../../spec/i8042.js';
import { PIT_PORT } from '../../spec/i8254.js';
import { ELCR_PORT, PIC_MASTER_PORT, PIC_SLAVE_PORT } from '../../spec/i8259.js';
import { RTC_IRQ, RTC_PORT } from '../../spec/mc146818.js';
import { PCI_CONFIG_ADDRESS_PORT, PCI_SLOTS } from '../../spec/pci.js';
import { COM_PORTS } from '../../spec/uart-16550.js';
import * as layout from '../memory-layout.js';
import * as aml from './aml.js';

export interface DsdtOptions {
  readonly vcpus: number;
  readonly serialPorts: number;
  readonly hpet: boolean;
}

export function dsdtBody(options: DsdtOptions): number[] {
  return [
    aml.named('\\_S5', aml.aPackage(aml.integer(SLP_TYP_S5), aml.integer(0), aml.integer(0), aml.integer(0))),
    // The system says which interrupt controllers it uses: 0 the 8259As, 1 the APICs.
    aml.named('\\PICF', aml.integer(0)),
    aml.method('\\_PIC', 1, aml.store(aml.argument(0), aml.path('\\PICF'))),
    aml.scope('\\_SB', pciRoot(), ...(options.hpet ? [hpet()] : []), ...processors(options.vcpus)),
    aml.scope('\\_SB.PCI0', isaBridge(options.serialPorts)),
  ].flat();
}

function pciRoot(): number[] {
  return aml.device(
    'PCI0',
    aml.named('_HID', aml.eisaId('PNP0A03')),
    aml.named('_UID', aml.integer(0)),
    aml.named(
      '_CRS',
      aml.resources(
        aml.busWindow(0, 0xff),
        aml.ioWindow(0, PCI_CONFIG_ADDRESS_PORT - 1),
        aml.ioPorts(PCI_CONFIG_ADDRESS_PORT, 8),
        aml.ioWindow(PCI_CONFIG_ADDRESS_PORT + 8, 0xffff),
        aml.memoryWindow(layout.VGA_WINDOW_BASE, layout.VGA_WINDOW_END, true),
        aml.memoryWindow(layout.PCI_HOLE_BASE, layout.PCI_HOLE_END),
      ),
    ),
    aml.named(
      'PRTA',
      routing((wire) => layout.PCI_GSI_BASE + wire),
    ),
    aml.named(
      'PRTP',
      routing((wire) => layout.PIRQ_IRQS[wire & 3]),
    ),
    aml.method('_PRT', 0, aml.when(aml.path('\\PICF'), aml.returns(aml.path('PRTA'))), aml.returns(aml.path('PRTP'))),
  );
}

/** Four pins of every slot; the only pin of slot 1, the power management function's, is the SCI. */
function routing(gsi: (wire: number) => number): number[] {
  const entries: number[][] = [];
  for (let slot = 1; slot < PCI_SLOTS; slot++) {
    for (let pin = 0; pin < 4; pin++) {
      const target = slot === 1 && pin === 0 ? SCI_IRQ : gsi(swizzle(slot, pin + 1));
      const address = aml.integer(slot * 0x10000 + 0xffff);
      entries.push(aml.aPackage(address, aml.integer(pin), aml.integer(0), aml.integer(target)));
    }
  }
  return aml.aPackage(...entries);
}

function isaBridge(serialPorts: number): number[] {
  return aml.device(
    'ISA',
    aml.named('_ADR', aml.integer(0x10000)),
    isaDevice('PIC', 'PNP0000', aml.ioPorts(PIC_MASTER_PORT, 2), aml.ioPorts(PIC_SLAVE_PORT, 2), aml.irq(2)),
    isaDevice('TIMR', 'PNP0100', aml.ioPorts(PIT_PORT, 4), aml.irq(0)),
    isaDevice('RTC', 'PNP0B00', aml.ioPorts(RTC_PORT, 2), aml.irq(RTC_IRQ)),
    isaDevice('KBD', 'PNP0303', aml.ioPorts(KBC_DATA_PORT, 1), aml.ioPorts(KBC_COMMAND_PORT, 1), aml.irq(KEYBOARD_IRQ)),
    isaDevice('MOU', 'PNP0F13', aml.irq(MOUSE_IRQ)),
    ...COM_PORTS.slice(0, serialPorts).map((com, i) =>
      aml.device(
        `COM${i + 1}`,
        aml.named('_HID', aml.eisaId('PNP0501')),
        aml.named('_UID', aml.integer(i + 1)),
        aml.named('_STA', aml.integer(0x0f)),
        aml.named('_CRS', aml.resources(aml.ioPorts(com.port, 8), aml.irq(com.irq))),
      ),
    ),
    isaDevice('MBRD', 'PNP0C02', aml.ioPorts(ELCR_PORT, 2), aml.ioPorts(GPE0_PORT, GPE0_SIZE)),
  );
}

function isaDevice(name: string, id: string, ...descriptors: aml.Aml[]): number[] {
  return aml.device(
    name,
    aml.named('_HID', aml.eisaId(id)),
    aml.named('_STA', aml.integer(0x0f)),
    aml.named('_CRS', aml.resources(...descriptors)),
  );
}

function hpet(): number[] {
  return aml.device(
    'HPET',
    aml.named('_HID', aml.eisaId('PNP0103')),
    aml.named('_UID', aml.integer(0)),
    aml.named('_STA', aml.integer(0x0f)),
    aml.named('_CRS', aml.resources(aml.memory32Fixed(HPET_BASE, HPET_SIZE))),
  );
}

function processors(count: number): number[][] {
  return Array.from({ length: count }, (_, i) =>
    aml.device(
      `C${i.toString(16).toUpperCase().padStart(3, '0')}`,
      aml.named('_HID', aml.text('ACPI0007')),
      aml.named('_UID', aml.integer(i)),
    ),
  );
}
