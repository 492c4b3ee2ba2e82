// A guest that takes interrupts by every way a PC has, on each engine and on each set of interrupt controllers.
import assert from 'node:assert/strict';
import { ENTRY_64 } from '../guest/small-kernels.mjs';
import { CC, Code, RAX, RCX, RDI, RDX } from './code.mjs';
import { testOnEachIrqchip } from './debug-port.mjs';

const LOAD = 0x200000;
const IDT = 0x2000000;
const COUNTS = 0x2002000;
const STACK = 0x2010000;
const LAPIC = 0xfee00000;
const IOAPIC = 0xfec00000;
const HPET = 0xfed00000;
/** Vectors; the 8259A's are its base and more. */
const V = { pic: 0x20, periodic: 0x40, oneShot: 0x41, deadline: 0x42, edge: 0x43, level: 0x44, ipi: 0x75, nmi: 2 };
const HPET_PIN = 20;
/** 100 interrupts in a second, of 1193182 and of 25 million ticks. */
const PIT_COUNT = 11932;
const TIMER_COUNT = 250_000;
/** What the guest says when it has seen enough of each. */
const PHASES = { pic: 'P', periodic: 'L', oneShot: 'O', deadline: 'D', edge: 'E', level: 'V', nmi: 'N', ipi: 'I' };

const EOI = (code) =>
  code
    .mov(RDI, BigInt(LAPIC + 0xb0))
    .b('c707')
    .number(0, 4);
const HANDLERS = {
  pic: (code) => code.b('b020 e620'),
  level: (code) => {
    // The device first: its line falls. mov dword [HPET + 0x20], 1
    code
      .mov(RDI, BigInt(HPET + 0x20))
      .b('c707')
      .number(1, 4);
    EOI(code);
  },
  nmi: () => undefined,
};

function guestCode() {
  const code = new Code(LOAD + ENTRY_64);
  const write = (at, value) => code.mov(RDI, BigInt(at)).b('c707').number(value, 4);
  const lapic = (register, value) => write(LAPIC + register, value);
  const redirect = (pin, low) => {
    for (const [select, value] of [
      [0x11 + 2 * pin, 0],
      [0x10 + 2 * pin, low],
    ]) {
      write(IOAPIC, select);
      write(IOAPIC + 0x10, value);
    }
  };
  /** HLT until there were so many; then the phase's letter, interrupts off. */
  const halt = (name, count, before = () => undefined) => {
    code.label(`${name} wait`);
    before();
    code
      .b('fb f4 fa 833c25')
      .number(COUNTS + 4 * V[name], 4)
      .b(count)
      .jcc(CC.c, `${name} wait`);
    code.b('b0', PHASES[name].charCodeAt(0), 'e6e9');
  };
  code.mov(4, BigInt(STACK)).b('fa');
  for (const [name, vector] of Object.entries(V)) {
    code.mov(RDI, BigInt(IDT + 16 * vector)).mov(RAX, name);
    code.b('668907 66c747021000 66c74704008e 48c1e810 66894706');
  }
  code
    .mov(RDI, BigInt(COUNTS - 16))
    .b('66c707ff0f')
    .mov(RAX, BigInt(IDT))
    .b('48894702 0f011f');
  // The 8259As at 0x20 and 0x28, only IRQ 0; the 8254's counter 0 in mode 2.
  for (const [port, byte] of [
    ...[
      [0x20, 0x11],
      [0x21, V.pic],
      [0x21, 4],
      [0x21, 1],
      [0xa0, 0x11],
      [0xa1, 0x28],
      [0xa1, 2],
      [0xa1, 1],
    ],
    ...[
      [0x21, 0xfe],
      [0xa1, 0xff],
      [0x43, 0x34],
      [0x40, PIT_COUNT & 255],
      [0x40, PIT_COUNT >> 8],
    ],
  ]) {
    code.b(0xb0, byte, 0xe6, port);
  }
  halt('pic', 5);
  code.b('b0ff e621');
  lapic(0xf0, 0x1ff);
  lapic(0x3e0, 0xb);
  lapic(0x320, 0x20000 | V.periodic);
  lapic(0x380, TIMER_COUNT);
  halt('periodic', 5);
  lapic(0x320, V.oneShot);
  lapic(0x380, TIMER_COUNT);
  halt('oneShot', 1);
  lapic(0x320, 0x40000 | V.deadline);
  code.b('0f31 48c1e220 4809d0 480580841e00'); // rdtsc; rax |= rdx << 32; rax += 2000000
  code.b('4889c2 48c1ea20').mov32(RCX, 0x6e0).b('0f30');
  halt('deadline', 1);
  redirect(2, V.edge);
  halt('edge', 5);
  redirect(2, 0x10000);
  redirect(HPET_PIN, 0x8000 | V.level);
  // The HPET's timer 0: level-triggered, one shot; each time 100,000 ticks from now.
  write(HPET + 0x10, 1);
  write(HPET + 0x100, 6 | (HPET_PIN << 9));
  halt('level', 3, () => {
    // Once more if the counter has passed it meanwhile.
    code
      .label('arm')
      .mov(RDI, BigInt(HPET + 0xf0))
      .b('8b07 05a0860100 48894718 8b0f 29c8')
      .jcc(CC.s, 'arm');
  });
  write(HPET + 0x100, 0);
  redirect(HPET_PIN, 0x10000);
  // A non-maskable interrupt by message to itself.
  lapic(0x310, 0);
  lapic(0x300, 0x40400);
  code
    .label('nmi wait')
    .b('833c25')
    .number(COUNTS + 4 * V.nmi, 4)
    .b(1)
    .jcc(CC.c, 'nmi wait');
  code.b('b0', PHASES.nmi.charCodeAt(0), 'e6e9');
  // An IPI to itself waits for the task priority to fall.
  lapic(0x80, 0x80);
  lapic(0x300, 0x44000 | V.ipi);
  code.b('fb').mov32(RCX, 1000).label('spin').b('ffc9').jcc(CC.nz, 'spin');
  code
    .b('833c25')
    .number(COUNTS + 4 * V.ipi, 4)
    .b(0)
    .jcc(CC.nz, 'bad')
    .b('fa');
  lapic(0x80, 0);
  waitForIpi(code);
  code.mov32(RAX, 1).jmp('end').label('bad').mov32(RAX, 2);
  code.label('end').mov32(RDX, 0xf4).b('ee').label('stop').b('ebfe');
  for (const name of Object.keys(V)) {
    code
      .label(name)
      .b('50 57 ff0425')
      .number(COUNTS + 4 * V[name], 4);
    (HANDLERS[name] ?? EOI)(code);
    code.b('5f 58 48cf');
  }
  return code.finish();
}

/** The IPI is there already when interrupts come on: no HLT. */
function waitForIpi(code) {
  code
    .b('fb')
    .label('ipi wait')
    .b('833c25')
    .number(COUNTS + 4 * V.ipi, 4)
    .b(1)
    .jcc(CC.c, 'ipi wait');
  code.b('fa b0', PHASES.ipi.charCodeAt(0), 'e6e9');
}

testOnEachIrqchip('interrupts by every way', 120_000, guestCode, (told, result) => {
  const phases = String.fromCharCode(...told);
  assert.deepEqual([phases, result.reason, result.exitCode], [Object.values(PHASES).join(''), 'debug-exit', 3]);
});
