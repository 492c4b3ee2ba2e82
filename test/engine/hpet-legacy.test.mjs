// HPET legacy replacement takes IRQ 0 from the 8254 and gives it back. IA-PC HPET Specification 1.0a, "LegacyReplacement Route".
import assert from 'node:assert/strict';
import { ENTRY_64 } from '../guest/small-kernels.mjs';
import { CC, Code, RAX, RDI, RDX } from './code.mjs';
import { testOnEachIrqchip } from './debug-port.mjs';

const LOAD = 0x200000;
const IDT = 0x2000000;
const COUNT = 0x2002000;
const STACK = 0x2010000;
const HPET = 0xfed00000;
const VECTOR = 0x20;
/** 500 ticks in a second. */
const PERIOD = 2386;
/** 50 and 20 milliseconds of 10 ns. */
const LONG = 5_000_000;
const SHORT = 2_000_000;

function guestCode() {
  const code = new Code(LOAD + ENTRY_64);
  const write = (at, value) => code.mov(RDI, BigInt(at)).b('c707').number(value, 4);
  const untilTicks = (name, count) => {
    code.b('c70425').number(COUNT, 4).number(0, 4).label(name).b('fb f4 fa 833c25').number(COUNT, 4);
    code.b(count).jcc(CC.c, name);
  };
  /** Interrupts on, until the HPET's counter has gone on so far; the count then. */
  const countFor = (name, ticks) => {
    code
      .b('c70425')
      .number(COUNT, 4)
      .number(0, 4)
      .mov(RDI, BigInt(HPET + 0xf0))
      .b('8b0f 81c1')
      .number(ticks, 4);
    code.b('fb').label(name).b('8b07 29c8').jcc(CC.s, name).b('fa 8b0425').number(COUNT, 4);
  };
  const tellWhether = (name, condition) => {
    code.b('b000').jcc(condition, name).b('b001').label(name).b('e6e9');
  };
  code.mov(4, BigInt(STACK)).b('fa');
  code.mov(RDI, BigInt(IDT + 16 * VECTOR)).mov(RAX, 'tick');
  code.b('668907 66c747021000 66c74704008e 48c1e810 66894706');
  code
    .mov(RDI, BigInt(COUNT - 16))
    .b('66c707ff0f')
    .mov(RAX, BigInt(IDT))
    .b('48894702 0f011f');
  for (const [port, byte] of [
    ...[0x11, VECTOR, 4, 1].map((byte, n) => [n === 0 ? 0x20 : 0x21, byte]),
    ...[0x11, 0x28, 2, 1].map((byte, n) => [n === 0 ? 0xa0 : 0xa1, byte]),
    ...[
      [0x21, 0xfe],
      [0xa1, 0xff],
      [0x43, 0x34],
      [0x40, PERIOD & 255],
      [0x40, PERIOD >> 8],
    ],
  ]) {
    code.b(0xb0, byte, 0xe6, port);
  }
  untilTicks('pit', 3);
  code.b('b050 e6e9'); // P
  // Enabled, legacy replacement; no timer of the HPET's interrupts: at most one tick was on its way.
  write(HPET + 0x10, 3);
  countFor('silence', LONG);
  code.b('83f802');
  tellWhether('silent', CC.nc);
  // Timer 0 by edges, 20 ms from now: one tick.
  write(HPET + 0x100, 4);
  code
    .mov(RDI, BigInt(HPET + 0xf0))
    .b('8b07 05')
    .number(SHORT, 4)
    .b('48894718');
  untilTicks('hpet', 1);
  code.b('b048 e6e9'); // H
  write(HPET + 0x100, 0);
  write(HPET + 0x10, 1);
  untilTicks('again', 3);
  code.b('b050 e6e9'); // P
  code.mov32(RAX, 1).mov32(RDX, 0xf4).b('ee').label('stop').b('ebfe');
  code.label('tick').b('50 ff0425').number(COUNT, 4).b('b020 e620 58 48cf');
  return code.finish();
}

testOnEachIrqchip('HPET legacy replacement takes IRQ 0', 60_000, guestCode, (told, result) => {
  assert.deepEqual([told, result.reason, result.exitCode], [[0x50, 1, 0x48, 0x50], 'debug-exit', 3]);
});
