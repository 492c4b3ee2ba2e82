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
/** In 32-bit code, where addresses wrap around; EDI may be anywhere when FAR_OFF is in all displacements. */
const FAR_OFF = 0x20000000;
const straight32 = (base) => {
  const at = (n) => [...new Uint8Array(new Int32Array([base + n]).buffer)];
  return [
    [0xdb, 0xe3], // fninit
    [0x8b, 0x87, ...at(0)], // mov eax, [edi + base]
    [0x8b, 0x9f, ...at(8)], // mov ebx, [edi + base + 8]
    [0x01, 0x87, ...at(16)], // add [edi + base + 16], eax
    [0x89, 0x9f, ...at(-8)], // mov [edi + base - 8], ebx
    [0x8d, 0xb7, ...at(FAR_OFF)], // lea esi, [edi + base + 2^29]
    [0x8b, 0x96, ...new Uint8Array(new Int32Array([12 - FAR_OFF]).buffer)], // mov edx, [esi + 12 - 2^29]
    [0xf3, 0x0f, 0x6f, 0x87, ...at(2)], // movdqu xmm0, [edi + base + 2]
    [0xf3, 0x0f, 0x7f, 0x87, ...at(20)], // movdqu [edi + base + 20], xmm0
    [0xdd, 0x87, ...at(4)], // fld qword [edi + base + 4]
    [0xdd, 0x9f, ...at(6)], // fstp qword [edi + base + 6]
    [0xff, 0x87, ...at(24)], // inc dword [edi + base + 24]
    [0x01, 0xd6], // add esi, edx
    [0xff, 0xc9], // dec ecx
  ].flat();
};
/** The same as a loop, and as a function that a loop calls: INT3 ends either. */
const loop = (body) => [...body, 0x75, 256 - body.length - 2, 0xcc];
const called = (body) => [0xe8, 0x05, 0, 0, 0, 0x75, 0xf9, 0xcc, 0x90, 0x90, ...body, 0xc3];

/** The last page below 4 GiB is the first of the data, and page 0 the second. */
function mapAround(machine) {
  const [PDPT, PD, TOP_PD, TOP_PT] = [0x2000, 0x3000, 0xc000, 0xd000];
  const put = (at, v) => machine.ram.setBigUint64(at, BigInt(v), true);
  put(PDPT + 8 * 3, TOP_PD | USER_WRITABLE);
  put(TOP_PD + 8 * 511, TOP_PT | USER_WRITABLE);
  put(TOP_PT + 8 * 511, FIRST_GPA | USER_WRITABLE);
  // Two MiB from 0, which have the other tables.
  put(PD, 0x80 | USER_WRITABLE);
}

/** The state at the end of a program with RDI so far behind the start of the data, and the two pages. */
function run(hotThreshold, program, offset, { second = USER_WRITABLE, bits = 64, base = 0, wraps = false }) {
  const machine = new EngineMachine(hotThreshold);
  machine.ram.setBigUint64(DATA_PTE + 8, BigInt(SECOND_GPA | second) | NO_EXECUTE, true);
  if (wraps) mapAround(machine);
  const gpas = [FIRST_GPA, wraps ? 0 : SECOND_GPA];
  const gpr = Array.from({ length: 16 }, (_, n) => BigInt(n) * 0x0101010101010101n);
  gpr[1] = BigInt(TURNS);
  gpr[4] = BigInt(DATA + 512);
  gpr[7] = BigInt.asUintN(bits, BigInt((wraps ? -PAGE : DATA) + offset - base));
  const again = () => {
    machine.set({ gpr, flags: 0n, window: new Uint8Array(WINDOW_SIZE) }, bits, new Uint8Array(program));
    for (const gpa of gpas) {
      for (let n = 0; n < PAGE; n++) machine.bytes[gpa + n] = (n * 7 + gpa / PAGE) & 255;
    }
    return machine.run();
  };
  // What is hot after the first time is translated before the second.
  again();
  const state = again();
  delete state.window;
  const pages = gpas.map((gpa) => Buffer.from(machine.bytes.slice(gpa, gpa + PAGE)).toString('base64'));
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

const SHAPES = { 'a loop': loop, 'a function': called };
const MODES = {
  '64-bit code': { bits: 64, base: 0, body: STRAIGHT },
  '32-bit code': { bits: 32, base: 0, body: straight32(0) },
  '32-bit code with large displacements': { bits: 32, base: FAR_OFF, body: straight32(FAR_OFF) },
};

for (const [mode, { bits, base, body }] of Object.entries(MODES)) {
  for (const [shape, make] of Object.entries(SHAPES)) {
    const name = `${shape} of ${mode}`;
    const program = make(body);
    test(`${name} whose accesses cross into a page elsewhere`, () => {
      for (const offset of OFFSETS) assert.equal(agree(program, offset, { bits, base }).trap, 3);
    });
    test(`${name} whose accesses fault in the second page`, () => {
      const trapOf = (offset) => agree(program, offset, { bits, base, second: USER_READABLE }).trap;
      assert.deepEqual(new Set(OFFSETS.map(trapOf)), new Set([3, 14]));
      assert.equal(agree(program, PAGE - 30, { bits, base, second: 0 }).trap, 14);
    });
    if (bits === 64) continue;
    test(`${name} whose accesses wrap around at 4 GiB`, () => {
      // What itself lies on both sides finds no page behind the end.
      const trapOf = (offset) => agree(program, offset, { bits, base, wraps: true }).trap;
      assert.deepEqual(new Set(OFFSETS.map(trapOf)), new Set([3, 14]));
      for (const offset of [PAGE / 2, PAGE, PAGE + 8]) assert.equal(trapOf(offset), 3);
    });
  }
}
