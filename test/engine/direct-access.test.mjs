// What a machine answers while the guest runs: no exit, the same results; what it declines is an exit as before.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RAX, RBX, RCX, RDI, RDX } from './code.mjs';
import { DEVICE, FREE, RESULTS, SmallGuest } from './guest.mjs';

const HLT = 0xf4;
const DECLINED = -1;
const TIMEOUT = 60_000;
const unchanged = () => undefined;

const store = (code, register, n) => code.b(0x48, 0x89, 0x04 | (register << 3), 0x25).number(RESULTS + 8 * n, 4);

/** Answers ports below 0x80 and the first half of the device's page; ports read as 0x11223300 and their number. */
function device(log, vcpu, kickAt) {
  const note = (answer, ...what) => {
    log.push(what.map((x) => (typeof x === 'string' ? x : x.toString(16))).join(' '));
    if (log.length === kickAt) vcpu().kick();
    return answer;
  };
  const readPort = (port, size) => note((0x11223300 + port) % 2 ** (8 * size), 'in', port, size);
  return {
    readPort: (port, size) => (port < 0x80 ? readPort(port, size) : DECLINED),
    writePort: (port, size, value) => port < 0x80 && note(true, 'out', port, size, value),
    readMemory: (gpa, size) => (gpa < DEVICE + 0x800 ? note(0xfedcba98, 'read', gpa - DEVICE, size) : DECLINED),
    writeMemory: (gpa, size, value) => gpa < DEVICE + 0x800 && note(true, 'write', gpa - DEVICE, size, value),
    writeMsr: (msr, value) => msr === 0x6e0 && note(true, 'wrmsr', value),
  };
}

for (const hotThreshold of [0, 1]) {
  test(`answers at once, threshold ${hotThreshold}`, { timeout: TIMEOUT }, () => {
    const guest = new SmallGuest(
      'dbt',
      'long0',
      (code) => {
        code.mov(RAX, -1n).b('e460'); // in al, 0x60
        store(code, RAX, 0);
        code.mov(RAX, -1n).b('66e560'); // in ax, 0x60
        store(code, RAX, 1);
        code.mov(RAX, -1n).b('e560'); // in eax, 0x60
        store(code, RAX, 2);
        code.mov32(RAX, 0x12345678).b('e661 66e761 e761'); // out 0x61
        code.b('e480'); // in al, 0x80: declined
        store(code, RAX, 3);
        code.mov(RBX, BigInt(DEVICE)).b('8b03 c7430478563412 834308 01'); // mov eax, [rbx]; mov [rbx+4]; add [rbx+8], 1
        store(code, RAX, 4);
        code.b('488b03'); // eight bytes are declined
        store(code, RAX, 5);
        code.b('8b8300080000'); // mov eax, [rbx + 0x800]: declined
        store(code, RAX, 6);
        code.mov32(RCX, 0x6e0).mov32(RAX, 5).mov32(RDX, 1).b('0f30'); // wrmsr
        // rep insb of two bytes from port 0x60 is no answer at once: each element is an exit
        code.mov32(RDX, 0x60).mov32(RCX, 2).mov(RDI, BigInt(FREE)).b('fc f36c', HLT);
      },
      unchanged,
      { hotThreshold },
    );
    const log = [];
    guest.vcpu.answerBy(device(log, () => guest.vcpu));
    const exits = [];
    const last = guest.run(({ kind, port, gpa }) => {
      exits.push(`${kind} ${(port ?? gpa - DEVICE).toString(16)}`);
      return 0x4242n;
    });
    guest.close();
    assert.equal(last.kind, 'hlt');
    assert.deepEqual(exits, ['pio-in 80', 'mmio-read 0', 'mmio-read 800', 'pio-in 60', 'pio-in 60']);
    assert.deepEqual(log, [
      ...['in 60 1', 'in 60 2', 'in 60 4', 'out 61 1 78', 'out 61 2 5678', 'out 61 4 12345678'],
      ...['read 0 4', 'write 4 4 12345678', 'read 8 4', 'write 8 4 fedcba99', 'wrmsr 100000005'],
    ]);
    assert.deepEqual(
      [0, 1, 2, 3, 4, 5, 6].map((n) => guest.result(n)),
      [0xffffffffffffff60n, 0xffffffffffff3360n, 0x11223360n, 0x12345642n, 0xfedcba98n, 0x4242n, 0x4242n],
    );
    assert.deepEqual([...guest.ram.subarray(FREE, FREE + 2)], [0x42, 0x42]);
  });

  test(`a kick ends the run soon, behind the access, threshold ${hotThreshold}`, { timeout: TIMEOUT }, () => {
    // again: in al, 0x60; inc rbx; jmp again
    const guest = new SmallGuest('dbt', 'long0', (code) => code.label('again').b('e460 48ffc3 ebf9'), unchanged, {
      hotThreshold,
    });
    const log = [];
    guest.vcpu.answerBy(device(log, () => guest.vcpu, 1000));
    assert.equal(guest.enter({ sliceNs: 1e9 }).kind, 'preempted');
    const { gpr, rip } = guest.vcpu.save();
    guest.close();
    assert.ok(log.length >= 1000 && log.length <= 1002, `${log.length} answers`);
    assert.ok(gpr[RBX] === BigInt(log.length) || rip !== 0n);
    assert.equal(gpr[RAX] & 0xffn, 0x60n);
  });
}

test('single steps trap behind an answer', { timeout: TIMEOUT }, () => {
  const guest = new SmallGuest('dbt', 'long0', (code) => {
    // pushf; or word [rsp], 0x100; popf; in al, 0x60; nop; then TF off by the handler's count: hlt
    code.mov(15, 'after').b('9c 66810c240001 9d').label('in').b('e460').label('after').b(HLT);
  });
  const log = [];
  guest.vcpu.answerBy(device(log, () => guest.vcpu));
  assert.equal(guest.run().kind, 'hlt');
  const [trap] = guest.log();
  guest.close();
  assert.deepEqual(log, ['in 60 1']);
  assert.deepEqual([trap.vector, trap.rip], [1, guest.code.address('after')]);
});
