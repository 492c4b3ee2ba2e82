// Accesses near each other share a look-up of their page: where they lie in different pages, or fault, the
// translated code does what the interpreter does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineMachine } from './engine.mjs';
import { DATA, WINDOW_SIZE } from './machine.mjs';

const PAGE = 4096;
/** Where engine.mjs has the entries of the two pages of data, and what it maps the first to. */
const DATA_PTE = 0x5000;
const FIRST_GPA = 0x300000;
/** Not behind the first in physical memory. */
const SECOND_GPA = 0x280000;
const NO_EXECUTE = 1n << 63n;
const USER_WRITABLE = 7;
const USER_READABLE = 5;
const TURNS = 6;
const STRAIGHT = [
  [0x48, 0x8b, 0x07], // mov rax, [rdi]
  [0x48, 0x8b, 0x5f, 0x08], // mov rbx, [rdi + 8]
  [0x48, 0x01, 0x47, 0x10], // add [rdi + 16], rax
  [0x48, 0x89, 0x5f, 0xf8], // mov [rdi - 8], rbx
  [0x8b, 0x57, 0x0c], // mov edx, [rdi + 12]
  [0x01, 0x4f, 0x04], // add [rdi + 4], ecx
  [0x48, 0xff, 0x47, 0x18], // inc qword [rdi + 24]
  [0xf3, 0x0f, 0x6f, 0x47, 0x02], // movdqu xmm0, [rdi + 2]
  [0xf3, 0x0f, 0x7f, 0x47, 0x14], // movdqu [rdi + 20], xmm0
  [0x48, 0x01, 0xd6], // add rsi, rdx
  [0xff, 0xc9], // dec ecx
].flat();
/** The same as a loop, and as a function that a loop calls: INT3 ends either. */
const LOOP = [...STRAIGHT, 0x75, 256 - STRAIGHT.length - 2, 0xcc];
const CALLED = [0xe8, 0x05, 0, 0, 0, 0x75, 0xf9, 0xcc, 0x90, 0x90, ...STRAIGHT, 0xc3];

/** The state at the end of a program with RDI so far behind the start of the data, and the two pages. */
function run(hotThreshold, program, offset, { second = USER_WRITABLE }) {
  const machine = new EngineMachine(hotThreshold);
  machine.ram.setBigUint64(DATA_PTE + 8, BigInt(SECOND_GPA | second) | NO_EXECUTE, true);
  const gpr = Array.from({ length: 16 }, (_, n) => BigInt(n) * 0x0101010101010101n);
  gpr[1] = BigInt(TURNS);
  gpr[4] = BigInt(DATA + 512);
  gpr[7] = BigInt(DATA + offset);
  const again = () => {
    machine.set({ gpr, flags: 0n, window: new Uint8Array(WINDOW_SIZE) }, 64, new Uint8Array(program));
    for (const gpa of [FIRST_GPA, SECOND_GPA]) {
      for (let n = 0; n < PAGE; n++) machine.bytes[gpa + n] = (n * 7 + gpa / PAGE) & 255;
    }
    return machine.run();
  };
  // What is hot after the first time is translated before the second.
  again();
  const state = again();
  delete state.window;
  const pages = [FIRST_GPA, SECOND_GPA].map((gpa) =>
    Buffer.from(machine.bytes.slice(gpa, gpa + PAGE)).toString('base64'),
  );
  const regions = machine.vcpu.statistics().translator.regions;
  return { outcome: { ...state, pages }, regions };
}

function agree(program, offset, circumstances = {}) {
  const interpreted = run(0, program, offset, circumstances);
  const translated = run(1, program, offset, circumstances);
  assert.equal(interpreted.regions, 0);
  assert.ok(translated.regions > 0);
  assert.deepEqual(translated.outcome, interpreted.outcome, `at ${offset}`);
  return interpreted.outcome;
}

/** Places where each of the accesses crosses into the second page, or is the first that lies there. */
const OFFSETS = [PAGE / 2, ...Array.from({ length: 50 }, (_, n) => PAGE - 40 + n)];

for (const [name, program] of Object.entries({ 'a loop': LOOP, 'a function': CALLED })) {
  test(`${name} whose accesses cross into a page elsewhere`, () => {
    for (const offset of OFFSETS) assert.equal(agree(program, offset).trap, 3);
  });
  test(`${name} whose accesses fault in the second page`, () => {
    const trapOf = (offset) => agree(program, offset, { second: USER_READABLE }).trap;
    assert.deepEqual(new Set(OFFSETS.map(trapOf)), new Set([3, 14]));
    assert.equal(agree(program, PAGE - 30, { second: 0 }).trap, 14);
  });
}
