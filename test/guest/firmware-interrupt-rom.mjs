// A firmware ROM of our own that takes non-maskable interrupts and a TSC deadline in flat protected mode, and tells on the
// debug port in which order they came.
import { assemble, label, line, near8 } from '../../dist/machine/boot/machine-code.js';

const ROM_SIZE = 0x10000;
const DEBUG_PORT = 0x402;
const IDT = 0x1000;
const LAPIC = 0xfee00000;
const IOAPIC = 0xfec00000;
const TIMER_VECTOR = 0x30;
const TSC_DEADLINE_MS = 5;

const word = (value) => [value & 0xff, (value >> 8) & 0xff];
const dword = (value) => [...word(value), ...word(value >>> 16)];
/** Address of a label of the shadowed ROM. */
const linear = (to) => [{ to, form: 'absolute16' }, 0x0f, 0x00];

const store = (address, value) => line('mov dword [address], value', 0xc7, 0x05, ...dword(address), ...dword(value));
const out8 = (port, value) => [line('mov al', 0xb0, value), line('out imm8, al', 0xe6, port)];
const tell = (value) => [
  line('mov dx, debug port', 0x66, 0xba, ...word(DEBUG_PORT)),
  line('mov al', 0xb0, value),
  line('out dx, al', 0xee),
];
const wrmsr = (msr, high, low) => [
  line('mov ecx', 0xb9, ...dword(msr)),
  line('mov edx', 0xba, ...dword(high)),
  line('mov eax', 0xb8, ...dword(low)),
  line('wrmsr', 0x0f, 0x30),
];
/** A 32-bit interrupt gate to a label below 64 KiB of the shadow. */
const gate = (vector, to) => [
  line('mov dword [gate], 0008:low', 0xc7, 0x05, ...dword(IDT + 8 * vector), { to, form: 'absolute16' }, 0x08, 0x00),
  store(IDT + 8 * vector + 4, 0x000f8e00),
];
/** The local APIC sends itself an NMI. */
const sendNmi = [store(LAPIC + 0x310, 0), store(LAPIC + 0x300, 0x400)];

const ENTRY = [
  line('jmp far f000:start', 0xea, { to: 'start', form: 'absolute16' }, ...word(0xf000)),
  label('start'),
  line('cli', 0xfa),
  line('lgdt cs:[gdtr]', 0x2e, 0x66, 0x0f, 0x01, 0x16, { to: 'gdtr', form: 'absolute16' }),
  line('mov eax, cr0', 0x0f, 0x20, 0xc0),
  line('or al, 1', 0x0c, 0x01),
  line('mov cr0, eax', 0x0f, 0x22, 0xc0),
  line('jmp far 0008:protected', 0x66, 0xea, ...linear('protected'), ...word(0x08)),
  label('gdtr'),
  line('limit, base', ...word(0x17), ...linear('gdt')),
  label('gdt'),
  line('null', ...dword(0), ...dword(0)),
  line('flat code', 0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0),
  line('flat data', 0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0),
  label('idtr'),
  line('limit, base', ...word(0x7ff), ...dword(IDT)),
];

const PROTECTED = [
  label('protected'),
  line('mov ax, 0x10', 0x66, 0xb8, ...word(0x10)),
  line('mov ds, ax', 0x8e, 0xd8),
  line('mov es, ax', 0x8e, 0xc0),
  line('mov ss, ax', 0x8e, 0xd0),
  line('mov esp', 0xbc, ...dword(0x9000)),
  ...gate(2, 'on-nmi'),
  ...gate(TIMER_VECTOR, 'on-timer'),
  line('lidt [idtr]', 0x0f, 0x01, 0x1d, ...linear('idtr')),
  line('xor ebx, ebx', 0x31, 0xdb),
  store(LAPIC + 0xf0, 0x1ff),

  // The handler sends a second one, which must wait for its IRET; both come before the next instruction here.
  ...sendNmi,
  ...tell(0x4d),
  // Interrupts are off: HLT ends by the timer's NMI through pin 2 of the I/O APIC all the same.
  ...[store(IOAPIC, 0x15), store(IOAPIC + 0x10, 0), store(IOAPIC, 0x14), store(IOAPIC + 0x10, 0x400)],
  ...[...out8(0x43, 0x30), ...out8(0x40, 0x00), ...out8(0x40, 0x10)],
  line('hlt', 0xf4),
  ...tell(0x48),
  ...[store(IOAPIC, 0x14), store(IOAPIC + 0x10, 0x10000)],

  // The TSC is set far ahead; a deadline is a reading of that TSC.
  ...wrmsr(0x10, 0x100, 0),
  store(LAPIC + 0x320, (2 << 17) | TIMER_VECTOR),
  line('rdtsc', 0x0f, 0x31),
  line('add eax, ticks', 0x05, ...dword(TSC_DEADLINE_MS * 1e6)),
  line('adc edx, 0', 0x83, 0xd2, 0x00),
  line('mov ecx, IA32_TSC_DEADLINE', 0xb9, ...dword(0x6e0)),
  line('wrmsr', 0x0f, 0x30),
  line('sti', 0xfb),
  line('hlt', 0xf4),
  ...tell(0x45),
  ...out8(0xf4, 0x10),
  label('stay'),
  line('jmp stay', 0xeb, near8('stay')),

  label('on-nmi'),
  line('inc ebx', 0x43),
  line('mov eax, ebx', 0x89, 0xd8),
  line('mov dx, debug port', 0x66, 0xba, ...word(DEBUG_PORT)),
  line('out dx, al', 0xee),
  line('cmp ebx, 1', 0x83, 0xfb, 0x01),
  line('jne done', 0x75, near8('nmi-done')),
  ...sendNmi,
  ...tell(0x42),
  label('nmi-done'),
  line('iret', 0xcf),

  label('on-timer'),
  ...tell(TIMER_VECTOR),
  store(LAPIC + 0xb0, 0),
  line('iret', 0xcf),
];

/** NMI 1, still in it, NMI 2, main; NMI 3 out of HLT, main; the timer, main. */
export const INTERRUPTS_TOLD = [0x01, 0x42, 0x02, 0x4d, 0x03, 0x48, TIMER_VECTOR, 0x45];

export function interruptRom() {
  const rom = new Uint8Array(ROM_SIZE).fill(0xcc);
  rom.set(assemble([...ENTRY, ...PROTECTED], 0).bytes, 0);
  // jmp far f000:0000
  rom.set([0xea, 0, 0, ...word(0xf000)], 0xfff0);
  return rom;
}
