// docs/reference/devices.md: ports, memory windows, PCI functions, interrupts and saved states of the machine.
import { COM_PORTS } from '../../dist/spec/uart-16550.js';
import { recordedChipset } from './chipset.mjs';
import { hex, page, range, table } from './markdown.mjs';

/** What answers at a port, by the first port of its claim. */
const PORTS = {
  32: ['8259A, master', 'Intel 8259A data sheet'],
  64: ['8254 timer', 'Intel 8254 data sheet'],
  96: ['i8042 data', 'IBM PS/2 technical reference, keyboard controller'],
  97: ['system control port B: timer gate 2, speaker, refresh toggle', 'IBM PC AT technical reference'],
  100: ['i8042 command and status', 'IBM PS/2 technical reference, keyboard controller'],
  112: ['clock and CMOS memory', 'Motorola MC146818A data sheet'],
  128: ['POST code', 'IBM PC AT technical reference'],
  146: ['system control port A: A20, fast reset', 'IBM PS/2 technical reference'],
  160: ['8259A, slave', 'Intel 8259A data sheet'],
  178: ['SMI command: ACPI on and off', 'Intel 82371AB data sheet, FADT'],
  233: ['debug console, where `--debugcon` puts it', ''],
  244: ['debug exit, with `--debug-exit`', ''],
  760: ['16550A, COM2', 'National PC16550D data sheet'],
  1016: ['16550A, COM1', 'National PC16550D data sheet'],
  1232: ['edge/level control of the 8259As', 'Intel 82371SB data sheet'],
  1296: ['fw_cfg selector and data', 'QEMU, firmware configuration device'],
  1300: ['fw_cfg DMA', 'QEMU, firmware configuration device'],
  1536: ['power management: PM1, PM timer', 'ACPI, Intel 82371AB data sheet'],
  1792: ['SMBus host controller', 'Intel 82371AB data sheet'],
  3320: ['PCI configuration address', 'PCI Local Bus Specification 3.0'],
  3321: ['reset control', 'Intel 82371SB data sheet, FADT'],
  3324: ['PCI configuration data', 'PCI Local Bus Specification 3.0'],
  45024: ['general purpose events', 'ACPI'],
};
const WINDOWS = {
  4273995776: ['I/O APIC, version 0x11, 24 inputs', 'Intel 82093AA data sheet'],
  4275044352: ['HPET, 3 timers', 'IA-PC HPET Specification'],
  4276092928: ['local APIC (moves with IA32_APIC_BASE)', 'Intel SDM Vol. 3A, "Local APIC"'],
};
const FUNCTIONS = { 0: 'i440FX host bridge', 8: 'PIIX3 ISA bridge', 11: 'PIIX4 power management, SMBus' };

/** Every claim has a description and every description a claim, or the page would lie. */
function described(claims, descriptions, place) {
  const unknown = claims.filter((claim) => descriptions[place(claim)] === undefined).map((claim) => hex(place(claim)));
  const unused = Object.keys(descriptions).filter((key) => !claims.some((claim) => place(claim) === Number(key)));
  if (unknown.length > 0) throw new Error(`tools/reference/devices.mjs does not describe ${unknown.join(', ')}`);
  if (unused.length > 0)
    throw new Error(`tools/reference/devices.mjs describes ${unused.map(Number).map(hex)} in vain`);
  return claims.map((claim) => [claim, descriptions[place(claim)]]);
}

/** kind and version of a saved state and of those inside it. */
function savedStates(state, path = '') {
  if (typeof state !== 'object' || state === null) return [];
  const own = typeof state.kind === 'string' && typeof state.version === 'number' ? [[state.kind, state.version]] : [];
  return [...own, ...Object.entries(state).flatMap(([key, value]) => savedStates(value, `${path}.${key}`))];
}

export function devicesReference() {
  const { chipset, ports, memory } = recordedChipset();
  const functions = [...chipset.pci.functions()].map(([key, pciFunction]) => {
    const state = pciFunction.save();
    return [Number(key), state];
  });
  const kinds = [...new Map(savedStates(chipset.save()).map(([kind, version]) => [kind, version]))].sort();
  return page(
    'Devices',
    'the claims that `src/machine/chipset.ts` makes',
    'A PC of the i440FX kind. Ports and addresses that nobody claims read as all ones and ignore writes. What the devices ' +
      'hold: [registers](registers.md).',
    '## I/O ports',
    table(
      ['Ports', 'Access', 'Device', 'Modelled after'],
      described(ports, PORTS, (claim) => claim.first).map(([claim, [device, source]]) => [
        range(claim.first, claim.count),
        claim.sizes.map((size) => size * 8).join(', '),
        device,
        source,
      ]),
    ),
    '## Memory windows',
    table(
      ['Guest-physical addresses', 'Device', 'Modelled after'],
      described(memory, WINDOWS, (claim) => claim.base).map(([claim, [device, source]]) => [
        range(claim.base, claim.size),
        device,
        source,
      ]),
    ),
    '## PCI functions',
    table(
      ['Slot.function', 'Device'],
      functions.map(([key]) => {
        if (FUNCTIONS[key] === undefined) throw new Error(`tools/reference/devices.mjs does not describe PCI ${key}`);
        return [`00:${(key >> 3).toString(16).padStart(2, '0')}.${key & 7}`, FUNCTIONS[key]];
      }),
    ),
    '## Serial ports',
    table(
      ['Port', 'Interrupt', 'Connected to'],
      COM_PORTS.slice(0, chipset.uarts.length).map(({ port, irq }, n) => [
        hex(port),
        irq,
        n === 0 ? '`--serial`' : 'size of the terminal, as lines `ROWS COLUMNS`',
      ]),
    ),
    '## Saved states',
    'Kinds and versions of what `Chipset.save()` returns (`src/base/state.ts`). A state of another version is refused.',
    table(['Kind', 'Version'], kinds),
  );
}
