// A guest that looks at itself all the time - registers, FPU and SSE state, memory, its clocks and timer interrupts - while
// the host changes its engine.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineSwitchError, Machine } from '../../dist/node.js';
import { bzImage, ENTRY_64 } from '../guest/small-kernels.mjs';
import { CC, Code, R8, R10, R11, R12, R13, R15, RAX, RBX, RCX, RDI, RDX } from './code.mjs';
import { IRQCHIP_NEEDS, kvm, lacks, makeEngine } from './engines.mjs';

const LOAD = 0x200000;
const IDT = 0x2000000;
const DATA = 0x2002000;
const [TICKS, LAST_TSC, FXSAVE, PATTERN] = [DATA, DATA + 8, DATA + 0x200, DATA + 0x1000];
const STACK = 0x2010000;
const LAPIC = 0xfee00000;
const TIMER_VECTOR = 0x40;
/** The timer's input is 25 MHz: 100 interrupts in a second. */
const TIMER_COUNT = 250_000;
const TICKS_PER_DOT = 4n;
const CONSTANTS = [
  [R10, 0x1010101010101010n],
  [R11, 0xfedcba9876543210n],
  [R12, 0x00000000ffffffffn],
  [R13, 0x8000000000000001n],
  [R15, 0x5a5a5a5aa5a5a5a5n],
];
const XMM5 = 0x0123456789abcdefn;
/** Exit codes of the guest: (value << 1) | 1. */
const GOOD = 1;
const BAD = { registers: 2, memory: 3, tsc: 4, fpu: 5, sse: 6 };

function guestCode() {
  const code = new Code(LOAD + ENTRY_64);
  const dword = (at, value) => code.b('c70425').number(at, 4).number(value, 4);
  // cmp qword [at], rax and cmp rax, rbx come with 64-bit constants in registers.
  code.mov(4, BigInt(STACK)).b('fa b0ff e621 e6a1'); // mask both 8259As
  code.mov(RDI, BigInt(IDT + 16 * TIMER_VECTOR)).mov(RAX, 'service');
  // The gate: offset 15:0, selector 0x10, 64-bit interrupt gate, offset 31:16.
  code.b('668907 66c747021000 66c74704008e 48c1e810 66894706');
  code
    .mov(RDI, BigInt(DATA - 16))
    .b('66c707ff0f')
    .mov(RAX, BigInt(IDT))
    .b('48894702 0f011f'); // lidt
  // CR4.OSFXSR; CR0 without EM
  code.b('0f20e0 480d00060000 0f22e0 0f20c0 4883e0fb 0f22c0 dbe3 d9eb'); // fninit; fldpi
  code.mov(RAX, XMM5).b('66480f6ee8'); // movq xmm5, rax
  for (const [register, value] of CONSTANTS) code.mov(register, value);
  code.b('4d31c0'); // xor r8, r8
  // Local APIC: enabled, LVT timer periodic, divide by 1.
  for (const [register, value] of [
    [0xf0, 0x1ff],
    [0x320, 0x20000 | TIMER_VECTOR],
    [0x3e0, 0xb],
    [0x380, TIMER_COUNT],
  ]) {
    code
      .mov(RDI, BigInt(LAPIC + register))
      .b('c707')
      .number(value, 4);
  }
  // The receiver's interrupt is on (and masked): the serial line is listened to.
  code.mov32(RDX, 0x3f9).b('b001 ee fb').label('loop');
  code.b('49ffc0'); // inc r8
  for (const [register, value] of CONSTANTS) {
    code
      .mov(RAX, value)
      .b(0x4c, 0x39, 0xc0 | ((register & 7) << 3))
      .jcc(CC.nz, 'bad registers');
  }
  // Memory: slot R8 & 511 holds R8 - 512, or nothing yet; now it holds R8.
  code.b('4c89c0 25ff010000').mov(RDI, BigInt(PATTERN)).b('488b1cc7 4c89c1 4881e900020000');
  code.b('4885db').jcc(CC.z, 'fresh').b('4839cb').jcc(CC.nz, 'bad memory').label('fresh').b('4c8904c7');
  // The TSC never runs backwards.
  code.b('0f31 48c1e220 4809d0').b('483b0425').number(LAST_TSC, 4).jcc(CC.c, 'bad tsc');
  code.b('48890425').number(LAST_TSC, 4);
  // Each 16th time: FXSAVE, and pi in ST0, XMM5.
  code.b('41f6c00f').jcc(CC.nz, 'ticks').b('480fae0425').number(FXSAVE, 4);
  code
    .mov(RAX, 0xc90fdaa22168c235n)
    .b('483b0425')
    .number(FXSAVE + 32, 4)
    .jcc(CC.nz, 'bad fpu');
  code
    .mov(RAX, XMM5)
    .b('483b0425')
    .number(FXSAVE + 160 + 16 * 5, 4)
    .jcc(CC.nz, 'bad sse');
  // And an SSE instruction itself.
  code.b('66480f7ee8').mov(RBX, XMM5).b('4839d8').jcc(CC.nz, 'bad sse');
  // A dot for every fourth tick; the end when a byte has come.
  code.label('ticks').b('488b0425').number(TICKS, 4).b('4883f8', Number(TICKS_PER_DOT)).jcc(CC.c, 'loop');
  code.b('48832c25').number(TICKS, 4).b(Number(TICKS_PER_DOT));
  code.mov32(RDX, 0x3f8).b('b02e ee').mov32(RDX, 0x3fd).b('ec a801').jcc(CC.z, 'loop');
  code.mov32(RAX, GOOD).jmp('end');
  for (const [name, number] of Object.entries(BAD)) code.label(`bad ${name}`).mov32(RAX, number).jmp('end');
  code.label('end').mov32(RDX, 0xf4).b('ee').label('stop').b('ebfe');
  // inc qword [TICKS]; EOI
  code.label('service').b('57 48ff0425').number(TICKS, 4);
  code
    .mov(RDI, BigInt(LAPIC + 0xb0))
    .b('c707')
    .number(0, 4)
    .b('5f 48cf');
  void [dword, RCX];
  return code.finish();
}

function machineWith(options) {
  const payload = new Uint8Array(0x4000);
  payload.set(guestCode(), ENTRY_64);
  const machine = new Machine({
    kernel: bzImage(payload),
    memoryBytes: 64 << 20,
    debugExit: true,
    noReboot: true,
    timeoutMs: 50_000,
    ...options,
  });
  return started(machine);
}

function started(machine) {
  let dots = 0;
  let wake = () => undefined;
  machine.on('serial', (bytes) => {
    dots += bytes.length;
    wake();
  });
  const ended = machine.run();
  ended.finally(() => wake()).catch(() => undefined);
  let result;
  ended.then((value) => {
    result = value;
  });
  const moreDots = async (count) => {
    const until = dots + count;
    while (dots < until) {
      // The guest ends when it is told to, and when it has found something wrong.
      assert.equal(result, undefined, `the guest has ended: ${result?.reason} ${result?.exitCode}`);
      await new Promise((resolve) => {
        wake = resolve;
      });
    }
  };
  return { machine, ended, moreDots, dots: () => dots };
}

const noKvm = kvm.usable ? false : kvm.problem;

test('the guest finds itself intact on one engine', { timeout: 60_000 }, async () => {
  const { machine, ended, moreDots } = machineWith({ engine: 'dbt' });
  await moreDots(5);
  machine.write(Uint8Array.of(0x71));
  const result = await ended;
  assert.deepEqual([result.reason, result.exitCode], ['debug-exit', (GOOD << 1) | 1]);
});

for (const irqchip of ['machine', 'split', 'kernel']) {
  const skip = lacks('kvm', IRQCHIP_NEEDS[irqchip]) ?? false;
  const title = `a running guest goes from dbt to kvm and back, again and again (irqchip ${irqchip})`;
  test(title, { skip, timeout: 60_000 }, () => goesAndComes(irqchip));
}

for (const irqchip of ['split', 'kernel']) {
  const skip = lacks('kvm', IRQCHIP_NEEDS[irqchip]) ?? false;
  const title = `a guest saved under kvm (irqchip ${irqchip}) goes on under dbt, and under kvm again where that can be`;
  test(title, { skip, timeout: 60_000 }, async () => {
    const { machine, moreDots } = machineWith({ engine: 'dbt', switchable: true, irqchip });
    await moreDots(2);
    await machine.switchEngine('kvm');
    await moreDots(2);
    await machine.pause();
    const state = await machine.save();
    machine.close();
    const options = { engine: 'dbt', switchable: true, irqchip, timeoutMs: 50_000 };
    const later = started(await Machine.load(state, options));
    await later.moreDots(3);
    later.machine.write(Uint8Array.of(0x71));
    assert.equal((await later.ended).exitCode, (GOOD << 1) | 1);
  });
}

async function goesAndComes(irqchip) {
  const { machine, ended, moreDots, dots } = machineWith({ engine: 'dbt', switchable: true, irqchip });
  await moreDots(2);
  const started = performance.now();
  const before = dots();
  for (let n = 0; n < 4; n++) {
    await machine.switchEngine('kvm');
    await moreDots(3);
    await machine.switchEngine('dbt');
    await moreDots(3);
  }
  const seconds = (performance.now() - started) / 1000;
  const rate = ((dots() - before) * Number(TICKS_PER_DOT)) / seconds;
  machine.write(Uint8Array.of(0x71));
  const result = await ended;
  assert.deepEqual([result.reason, result.exitCode], ['debug-exit', (GOOD << 1) | 1]);
  assert.ok(result.statistics['KVM exits'] !== undefined);
  // Virtual time stands still for a switch, and a busy host is late: never faster than the clock.
  assert.ok(rate <= 105 && rate > 20, `${rate} ticks in a second`);
}

test('what the other engine lacks is named, and the guest goes on', { skip: noKvm, timeout: 60_000 }, async (t) => {
  if (kvm.capabilities.cpuidMasking) return t.skip('this KVM lacks nothing that such a guest has seen');
  const { machine, ended, moreDots } = machineWith({ engine: 'kvm' });
  await moreDots(2);
  await assert.rejects(machine.switchEngine('dbt'), (error) => {
    assert.ok(error instanceof EngineSwitchError);
    assert.equal(error.code, 'engine-switch');
    assert.ok(
      error.missing.some((name) => name.startsWith('CPU feature ')),
      error.message,
    );
    return true;
  });
  await moreDots(2);
  machine.write(Uint8Array.of(0x71));
  assert.equal((await ended).exitCode, (GOOD << 1) | 1);
});

test('a machine that does not run changes no engine', async () => {
  const machine = new Machine({ kernel: bzImage(new Uint8Array(0x4000)), memoryBytes: 64 << 20 });
  await assert.rejects(machine.switchEngine('dbt'), { code: 'bad-usage' });
  void [makeEngine, R8];
});
