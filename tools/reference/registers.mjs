// docs/reference/registers.md: the devices' registers, by the names in src/spec; what they hold at power-on and which of their
// bits keep what is written is found out by accessing them.
import * as acpi from '../../dist/spec/acpi.js';
import * as apic from '../../dist/spec/apic.js';
import * as fwCfg from '../../dist/spec/fw-cfg.js';
import * as hpet from '../../dist/spec/hpet.js';
import * as kbc from '../../dist/spec/i8042.js';
import * as pit from '../../dist/spec/i8254.js';
import * as pic from '../../dist/spec/i8259.js';
import * as rtc from '../../dist/spec/mc146818.js';
import * as pci from '../../dist/spec/pci.js';
import * as uart from '../../dist/spec/uart-16550.js';
import { recordedChipset } from './chipset.mjs';
import { hex, page, table } from './markdown.mjs';

/** `KBC_READ_OUTPUT` without its prefix: "read output". */
const words = (name, prefix) => name.replace(prefix, '').replaceAll('_', ' ').toLowerCase();
/** The same as data sheets write registers: "IER". */
const register = (name, prefix) => name.replace(prefix, '').replaceAll('_', ' ');
/** Constants of a specification whose names match, by value. */
const named = (spec, pattern) =>
  Object.entries(spec)
    .filter(([name, value]) => typeof value === 'number' && pattern.test(name))
    .sort((a, b) => a[1] - b[1]);

/** A machine at power-on, before any firmware. */
const powerOn = () => recordedChipset({ firmware: true }).chipset;
/** One in which every block has its address. */
const configured = () => recordedChipset().chipset;

/** Value at power-on, and the bits that can be written both ways; each on a machine of its own. */
function probe(read, write, ones, make = powerOn) {
  const fresh = make();
  const initial = read(fresh);
  write(fresh, ones);
  const set = read(fresh);
  const other = make();
  write(other, 0);
  return { initial, writable: Number(BigInt(set) & ~BigInt(read(other))) };
}

function registerTable(rows, digits) {
  return table(
    ['Offset', 'Register', 'At power-on', 'Writable bits'],
    rows.map(([offset, name, { initial, writable }]) => [
      hex(offset, 2),
      name,
      hex(initial, digits),
      writable === 0 ? '' : hex(writable, digits),
    ]),
  );
}

const port = (number, size = 1) => [
  (chipset) => chipset.bus.pio.read(number, size),
  (chipset, value) => chipset.bus.pio.write(number, size, value),
];
const memory = (address) => [
  (chipset) => chipset.bus.mmio.readNumber(address, 4),
  (chipset, value) => chipset.bus.mmio.writeNumber(address, 4, value),
];

function uartRegisters() {
  const { port: base } = uart.COM_PORTS[0];
  const rows = named(uart, /^UART_(DATA|IER|IIR_FCR|LCR|MCR|LSR|MSR|SCR)$/).map(([name, offset]) => [
    offset,
    register(name, /^UART_/).replace(' ', ', '),
    probe(...port(base + offset), 0xff),
  ]);
  return registerTable(rows, 2);
}

function powerManagement() {
  const rows = named(acpi, /_OFFSET$/).map(([name, offset]) => {
    const size = /TIMER/.test(name) ? 4 : 2;
    return [offset, register(name, /_OFFSET$/), probe(...port(acpi.PM_BASE + offset, size), 0xdfff, configured)];
  });
  return registerTable(rows, 4);
}

function cmos() {
  const access = (cell) => [
    (chipset) => {
      chipset.bus.pio.write(rtc.RTC_PORT, 1, cell);
      return chipset.bus.pio.read(rtc.RTC_PORT + 1, 1);
    },
    (chipset, value) => {
      chipset.bus.pio.write(rtc.RTC_PORT, 1, cell);
      chipset.bus.pio.write(rtc.RTC_PORT + 1, 1, value);
    },
  ];
  const cells = named(rtc, /^(RTC_(?!PORT|IRQ)|CMOS_(?!SIZE))/);
  // The clock's own cells hold a time, not bits.
  const isTime = (cell) => cell < rtc.RTC_A || cell === rtc.CMOS_CENTURY;
  const rows = cells.map(([name, cell]) => {
    const found = probe(...access(cell), 0xff);
    return [cell, register(name, /^(RTC|CMOS)_/), isTime(cell) ? { ...found, writable: 0xff } : found];
  });
  return registerTable(rows, 2);
}

const LAPIC_REGISTER =
  /^APIC_(ID|VER|TPR|APR|PPR|EOI|RRD|LDR|DFR|SVR|ISR|TMR|IRR|ESR|ICR_\w+|LVT_\w+|TIMER_(?!HZ)\w+)$/;

function localApic() {
  const rows = named(apic, LAPIC_REGISTER).map(([name, index]) => [
    index * 16,
    register(name, /^APIC_/),
    probe(...memory(apic.APIC_DEFAULT_BASE + index * 16), 0xffffffff),
  ]);
  return registerTable(rows, 8);
}

function ioApic() {
  const access = (index) => [
    (chipset) => {
      chipset.bus.mmio.writeNumber(apic.IOAPIC_BASE, 4, index);
      return chipset.bus.mmio.readNumber(apic.IOAPIC_BASE + 0x10, 4);
    },
    (chipset, value) => {
      chipset.bus.mmio.writeNumber(apic.IOAPIC_BASE, 4, index);
      chipset.bus.mmio.writeNumber(apic.IOAPIC_BASE + 0x10, 4, value);
    },
  ];
  const last = 0x10 + 2 * (apic.IOAPIC_PINS - 1);
  const names = { 0: 'identification', 1: 'version', 2: 'arbitration' };
  const rows = Object.entries(names).map(([index, name]) => [Number(index), name, probe(...access(Number(index)), ~0)]);
  rows.push([0x10, `redirection entry 0, low; to ${hex(last)} every second one`, probe(...access(0x10), 0xffffffff)]);
  rows.push([0x11, `redirection entry 0, high; to ${hex(last + 1)}`, probe(...access(0x11), 0xffffffff)]);
  return registerTable(rows, 8);
}

function hpetRegisters() {
  const access = (offset) => memory(hpet.HPET_BASE + offset);
  const rows = named(hpet, /^HPET_(CAPABILITIES|CONFIG|STATUS|COUNTER)$/).map(([name, offset]) => [
    offset,
    register(name, /^HPET_/),
    probe(...access(offset), 0xffffffff),
  ]);
  for (let timer = 0; timer < hpet.HPET_TIMERS; timer++) {
    for (const [name, offset] of named(hpet, /^TIMER_(CONFIG|COMPARATOR)$/)) {
      const at = hpet.HPET_TIMER0 + 0x20 * timer + offset;
      rows.push([at, `TIMER ${timer} ${register(name, /^TIMER_/)}`, probe(...access(at), 0xffffffff)]);
    }
  }
  return registerTable(rows, 8);
}

/** Header registers: name and width. */
const PCI_HEADER = { VENDOR_ID: 2, DEVICE_ID: 2, COMMAND: 2, STATUS: 2, CLASS: 3, SUBSYSTEM_VENDOR: 2, SUBSYSTEM: 2 };
const bytesFrom = (first, count, name) => Array.from({ length: count }, (_, i) => [first + i, 1, `${name} ${i}`]);
/** By slot * 8 + function: title, vendor registers as offset, width and name. */
const PCI_FUNCTIONS = {
  0: [
    'i440FX host bridge',
    [...bytesFrom(pci.PAM_FIRST, pci.PAM_COUNT, 'PAM'), [pci.SMRAM_CONTROL, 1, 'SMRAM control']],
  ],
  8: [
    'PIIX3 ISA bridge',
    [
      ...pci.PIIX3_DEFAULTS.map(([offset]) => [offset, 1, '(Intel 82371SB data sheet)']),
      ...bytesFrom(pci.PIRQ_ROUTE, pci.PIRQ_COUNT, 'PIRQ route'),
    ],
  ],
  11: [
    'PIIX4 power management',
    [
      [pci.PIIX4_PMBASE, 4, 'PMBASE'],
      [pci.PIIX4_DEVACTB, 4, 'device activity B'],
      [pci.PIIX4_PMREGMISC, 1, 'PMREGMISC'],
      [pci.PIIX4_SMBBASE, 4, 'SMBBASE'],
      [pci.PIIX4_SMBHSTCFG, 1, 'SMBHSTCFG'],
    ],
  ],
};

function pciFunction(key) {
  const header = named(pci, /^PCI_/)
    .map(([name, offset]) => [offset, PCI_HEADER[name.replace('PCI_', '')] ?? 1, register(name, /^PCI_/)])
    .filter(([offset, , name]) => offset < 0x40 && !/BAR|ROM|SLOTS|CONFIG|CAPABILITIES/.test(name));
  const [, vendor] = PCI_FUNCTIONS[key];
  const rows = [...header, ...vendor]
    .sort((a, b) => a[0] - b[0])
    .map(([offset, size, name]) => {
      const config = (chipset) => chipset.pci.functions().get(Number(key)).config;
      const read = (chipset) => {
        let value = 0;
        for (let i = 0; i < size; i++) value += config(chipset).read(offset + i, 1) * 256 ** i;
        return value;
      };
      const write = (chipset, ones) => {
        for (let i = 0; i < size; i++) config(chipset).write(offset + i, 1, ones & 0xff);
      };
      return [offset, name, probe(read, write, 0xff)];
    });
  return registerTable(rows, 2);
}

const commands = (spec, pattern, prefix) =>
  table(
    ['Command', 'What'],
    named(spec, pattern).map(([name, value]) => [hex(value, 2), words(name, prefix)]),
  );

function firmwareItems() {
  const keys = named(fwCfg, /^FW_CFG_(SIGNATURE|ID|UUID|RAM_SIZE|NO_GRAPHIC|NB_CPUS|MAX_CPUS|BOOT_MENU|FILE_DIR)$/);
  const parts = Object.entries({
    setup: fwCfg.FW_CFG_SETUP,
    kernel: fwCfg.FW_CFG_KERNEL,
    'command line': fwCfg.FW_CFG_COMMAND_LINE,
    initrd: fwCfg.FW_CFG_INITRD,
  }).flatMap(([part, { ADDRESS, SIZE, DATA }]) => [
    [ADDRESS, `${part}: address`],
    [SIZE, `${part}: length`],
    [DATA, `${part}: bytes`],
  ]);
  const rows = [...keys.map(([name, key]) => [key, words(name, /^FW_CFG_/)]), ...parts].sort((a, b) => a[0] - b[0]);
  return table(
    ['Key', 'Item'],
    rows.map(([key, name]) => [hex(key, 2), name]),
  );
}

export function registersReference() {
  return page(
    'Registers',
    'the constants in `src/spec` and the devices themselves',
    'The registers of the [devices](devices.md) by the names of their data sheets. "At power-on" is what a read gives before ' +
      'firmware has run; "writable bits" are those that can be set and cleared by a write alone.',
    '## 16550A, offsets from the port',
    uartRegisters(),
    '## 8259A',
    'Initialization command words at offset 0 with bit 4 set and then at offset 1; operation command words by bits 4:3. ' +
      'Operation command word 2, bits 7:5:',
    commands(pic, /^OCW2_/, /^OCW2_/),
    'Operation command word 3:',
    commands(pic, /^OCW3_(?!SELECT)/, /^OCW3_/),
    '## 8254',
    `Counters 0 to 2 at offsets 0 to 2, the control word at ${hex(pit.PIT_CONTROL)}. Port ` +
      `${hex(pit.SYSTEM_CONTROL_B_PORT)}:`,
    commands(pit, /^PORT_B_/, /^PORT_B_/).replace('Command', 'Bits'),
    '## i8042',
    'Commands at port 0x64:',
    commands(kbc, /^KBC_(?!DATA_PORT|COMMAND_PORT)/, /^KBC_/),
    'Commands of keyboard and mouse, and their answers:',
    commands(kbc, /^(PS2|KEYBOARD|MOUSE)_(?!IRQ|ID$)/, /^PS2_/),
    '## Clock and CMOS memory, cells',
    cmos(),
    '## ACPI, offsets from PMBASE',
    powerManagement(),
    '## Local APIC, offsets from its page',
    localApic(),
    'The mask bits of local vectors stay set while SVR disables the APIC, as it does at power-on.',
    '## I/O APIC, by index',
    ioApic(),
    '## HPET',
    hpetRegisters(),
    ...Object.entries(PCI_FUNCTIONS).flatMap(([key, [title]]) => [
      `## PCI configuration: ${title}`,
      pciFunction(key),
      'Registers from 0x40 on that are not named here keep what is written.',
    ]),
    '## fw_cfg items',
    firmwareItems(),
    `Files by name have keys from ${hex(fwCfg.FW_CFG_FILE_FIRST)} on; see [boot protocols](boot-protocols.md#firmware).`,
  );
}
