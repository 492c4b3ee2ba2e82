// Accesses of small tables in loops remember the page that they found last: where a table lies in two pages, or
// faults, the translated code does what the interpreter does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineMachine } from './engine.mjs';
import { DATA, WINDOW_SIZE } from './machine.mjs';

const PAGE = 4096;
/** Where engine.mjs has the entries of the two pages of data, and what it maps the first to. */
const DATA_PTE = 0x5000;
const PDPT = 0x2000;
const PD = 0x3000;
const FIRST_GPA = 0x300000;
/** Not behind the first in physical memory. */
const SECOND_GPA = 0x280000;
const NO_EXECUTE = 1n << 63n;
const USER_WRITABLE = 7;
const USER_READABLE = 5;
const TURNS = 60;
const BODIES = {
  reads: [
    [0x0f, 0xb6, 0xd1], // movzx edx, cl
    [0x48, 0x8b, 0x04, 0xd7], // mov rax, [rdi + rdx * 8]
    [0x48, 0x01, 0xc3], // add rbx, rax
    [0x83, 0xe0, 0x7f], // and eax, 127
    [0x44, 0x0f, 0xb7, 0x44, 0x47, 0x01], // movzx r8d, word [rdi + rax * 2 + 1]
    [0x4c, 0x01, 0xc3], // add rbx, r8
  ],
  writes: [
    [0x89, 0xca], // mov edx, ecx
    [0x83, 0xe2, 0x1f], // and edx, 31
    [0x48, 0x89, 0x1c, 0xd7], // mov [rdi + rdx * 8], rbx
    [0x01, 0x0c, 0x97], // add [rdi + rdx * 4], ecx
    [0x48, 0x6b, 0xdb, 0x0d], // imul rbx, rbx, 13
  ],
  'aligned and other vectors': [
    [0x0f, 0xb6, 0xd1], // movzx edx, cl
    [0xf3, 0x0f, 0x6f, 0x04, 0xd7], // movdqu xmm0, [rdi + rdx * 8]
    [0xf3, 0x0f, 0x7f, 0x44, 0x17, 0x20], // movdqu [rdi + rdx + 32], xmm0
  ],
};
const loop = (body) => {
  const bytes = [...body.flat(), 0xff, 0xc9]; // dec ecx
  return [...bytes, 0x75, 256 - bytes.length - 2, 0xcc];
};

/** The state at the end of a program with RDI so far behind the start of the data, and the two pages. */
function run(hotThreshold, program, offset, second) {
  const machine = new EngineMachine(hotThreshold);
  machine.ram.setBigUint64(DATA_PTE + 8, BigInt(SECOND_GPA | second) | NO_EXECUTE, true);
  // The first GiB again 4 GiB behind.
  machine.ram.setBigUint64(PDPT + 8 * 4, BigInt(PD | USER_WRITABLE), true);
  const gpr = Array.from({ length: 16 }, (_, n) => BigInt(n) * 0x0101010101010101n);
  gpr[1] = BigInt(TURNS);
  gpr[4] = BigInt(DATA + 512);
  gpr[7] = BigInt.asUintN(64, BigInt(DATA + offset));
  const again = () => {
    machine.set({ gpr, flags: 0n, window: new Uint8Array(WINDOW_SIZE) }, 64, new Uint8Array(program));
    for (const gpa of [FIRST_GPA, SECOND_GPA])
      for (let n = 0; n < PAGE; n++) machine.bytes[gpa + n] = (n * 7 + (n >> 3) * 31 + gpa / PAGE) & 255;
    return machine.run();
  };
  // What is hot after the first time is translated before the second.
  again();
  const state = again();
  delete state.window;
  const pages = [FIRST_GPA, SECOND_GPA].map((gpa) =>
    Buffer.from(machine.bytes.slice(gpa, gpa + PAGE)).toString('base64'),
  );
  return { outcome: { ...state, pages }, regions: machine.vcpu.statistics().translator.regions };
}

function agree(program, offset, second) {
  const interpreted = run(0, program, offset, second);
  const translated = run(1, program, offset, second);
  assert.equal(interpreted.regions, 0);
  assert.ok(translated.regions > 0);
  assert.deepEqual(translated.outcome, interpreted.outcome, `at ${offset}`);
  return interpreted.outcome.trap;
}

/** From a table in one page to one that the border of the pages goes through. */
const OFFSETS = [
  PAGE / 2,
  PAGE - 600,
  ...Array.from({ length: 20 }, (_, n) => PAGE - 250 + 13 * n),
  PAGE - 4,
  PAGE + 64,
];

for (const [name, body] of Object.entries(BODIES)) {
  test(`${name} of tables that cross into a page elsewhere`, () => {
    for (const offset of OFFSETS) assert.equal(agree(loop(body), offset, USER_WRITABLE), 3);
  });
  test(`${name} of tables that fault in the second page`, () => {
    assert.equal(agree(loop(body), PAGE / 2, 0), 3);
    for (const offset of OFFSETS.slice(2)) {
      assert.equal(agree(loop(body), offset, 0), 14);
      agree(loop(body), offset, USER_READABLE);
    }
  });
  test(`${name} of tables at addresses that are not canonical, and at those that none is behind`, () => {
    for (const at of [2 ** 47 - 8 * 30, -(2 ** 47) - 8 * 30, 0, -8 * 30])
      assert.ok([13, 14].includes(agree(loop(body), at - DATA, USER_WRITABLE)), `at ${at}`);
  });
}

test('an access across pages, 4 GiB behind one of the first of them', () => {
  const body = [
    [0x0f, 0xb6, 0xd1], // movzx edx, cl
    [0x83, 0xe2, 0x01], // and edx, 1
    [0x48, 0x8b, 0x04, 0x17], // mov rax, [rdi + rdx]
    [0x48, 0x01, 0xc3], // add rbx, rax
    [0x48, 0x0f, 0xba, 0xff, 0x20], // btc rdi, 32
    [0x48, 0x69, 0xdb, 0x35, 0x01, 0, 0], // imul rbx, rbx, 309
  ];
  for (const offset of [PAGE - 4, PAGE - 8, PAGE - 12, PAGE]) {
    assert.equal(agree(loop(body), offset, USER_WRITABLE), 3);
    assert.equal(agree(loop(body), offset + 2 ** 32, USER_WRITABLE), 3);
  }
});
