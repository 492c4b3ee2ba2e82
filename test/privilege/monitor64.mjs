// The guest of cases in IA-32e mode: as monitor.mjs, in 64-bit code. SDM Vol. 3A, "Initializing IA-32e Mode".
import { multiboot1Header } from '../../dist/machine/boot/test-images.js';
import { Code, dword } from './code.mjs';
import * as L from './layout.mjs';

const EFER = 0xc0000080;
const HEADER = 0x118000;
const RESULT = 0x118400;
const CURRENT = 0x118800;
const FIRST_OFFSET = 0x40;
/** LME, SCE and NXE. */
export const LONG_EFER = 0x901;
export const LONG_CR0 = 0x80010011;
export const PAE = 0x20;

/** Quadwords of a case's header. */
const REGISTERS = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];
const FIELDS = [
  ...['size', 'writes', 'number', 'cr0', 'cr3', 'cr4', 'efer', 'gdtr', 'gdtr2', 'idtr', 'idtr2'],
  ...['probe0', 'probe1', 'probe2', 'probe3', 'ds', 'es', 'fs', 'gs'],
  ...REGISTERS,
];
const field = (name) => HEADER + FIELDS.indexOf(name) * 8;
/** What is on the stack at the end: registers as pushed, last first, and the vector. */
const PUSHED = [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 3, 2, 1, 0];
const STACK_WORDS = PUSHED.length + 1 + 8;
export const RESULT_SIZE = (STACK_WORDS + 4 + 4) * 8;

/** mov reg, [address]: REX.W 8B /r with a 32-bit address. */
const load = (register, at) => [0x48 | (register >= 8 ? 4 : 0), 0x8b, 0x04 | ((register & 7) << 3), 0x25, ...dword(at)];
const move = (register, value) => [0xb8 | register, ...dword(value)];

function monitor() {
  const code = new Code(L.IMAGE);
  code.put(...multiboot1Header(0x10000, L.IMAGE, L.IMAGE, 0, 0, L.IMAGE + 0x60));
  while (code.here < L.IMAGE + 0x60) code.put(0);
  code.put(0xfa, 0xfc, 0xb0, 0xff, 0xe6, 0x21, 0xe6, 0xa1);
  code.put(...move(0, PAE), 0x0f, 0x22, 0xe0); // mov cr4
  code.put(...move(0, L.PML4), 0x0f, 0x22, 0xd8); // mov cr3
  code.put(...move(1, EFER), ...move(0, LONG_EFER), 0x31, 0xd2, 0x0f, 0x30); // wrmsr
  code.put(...move(0, LONG_CR0), 0x0f, 0x22, 0xc0); // mov cr0
  code.put(0x0f, 0x01, 0x15, 'gdtr'); // lgdt
  code.put(0xea, 'long', L.CS64[0], 0);
  code.label('long');
  code.put(...move(0, L.DS[0]));
  for (const to of [0xd8, 0xc0, 0xd0, 0xe0, 0xe8]) code.put(0x8e, to);
  code.put(...move(4, L.MONITOR_STACK));
  code.put(0x8b, 0x1c, 0x25, ...dword(L.IMAGE + FIRST_OFFSET), 0x89, 0x1c, 0x25, ...dword(CURRENT));

  code.label('case');
  code.put(0x83, 0x3b, 0x00, 0x0f, 0x84, '+end');
  code.put(...move(6, L.TEMPLATE), ...move(7, L.TABLES), ...move(1, L.TABLES_SIZE / 8), 0xf3, 0x48, 0xa5);
  code.put(0x89, 0xde, ...move(7, HEADER), ...move(1, FIELDS.length), 0xf3, 0x48, 0xa5);
  code.put(0x8b, 0x0c, 0x25, ...dword(field('writes')));
  code.put(0xe3, 0x06, 0xad, 0x89, 0xc7, 0xa5, 0xe2, 0xfa);
  code.put(0x0f, 0x01, 0x14, 0x25, ...dword(field('gdtr') + 6)); // lgdt
  code.put(0x0f, 0x01, 0x1c, 0x25, ...dword(field('idtr') + 6)); // lidt
  code.put(...move(0, L.LDT64_SELECTOR), 0x0f, 0x00, 0xd0, ...move(0, L.TSS64_SELECTOR), 0x0f, 0x00, 0xd8);
  code.put(...load(0, field('cr4')), 0x0f, 0x22, 0xe0, ...load(0, field('cr3')), 0x0f, 0x22, 0xd8);
  code.put(...move(1, EFER), ...load(0, field('efer')), 0x31, 0xd2, 0x0f, 0x30);
  code.put(...load(0, field('cr0')), 0x0f, 0x22, 0xc0);
  for (const [name, to] of [
    ['ds', 0xd8],
    ['es', 0xc0],
    ['fs', 0xe0],
    ['gs', 0xe8],
  ])
    code.put(...load(0, field(name)), 0x8e, to);
  for (const [n, name] of REGISTERS.entries()) code.put(...load(n, field(name)));
  code.label('enter').put(0x48, 0xcf); // iretq

  for (let vector = 0; vector < 256; vector++) code.label(`stub-${vector}`).put(0x68, ...dword(vector), 0xe9, '+back');
  code.label('back');
  for (const n of [...PUSHED].reverse()) code.put(...(n >= 8 ? [0x41] : []), 0x50 | (n & 7));
  code.put(0xfc, 0x48, 0x89, 0xe5, ...move(7, RESULT), ...move(1, STACK_WORDS)); // mov rbp, rsp
  code.put(0x48, 0x8b, 0x45, 0x00, 0x48, 0xab, 0x48, 0x83, 0xc5, 0x08, 0xe2, 0xf4); // copy
  code.put(0x48, 0x89, 0xe0, 0x48, 0xab, 0x0f, 0x20, 0xd0, 0x48, 0xab); // rsp, cr2
  // ss, number and what segment registers hold.
  code.put(0x8b, 0x0c, 0x25, ...dword(field('number')), 0xc1, 0xe1, 0x10, 0x31, 0xc0, 0x8c, 0xd0, 0x09, 0xc8, 0xab);
  code.put(0x31, 0xc0, 0x0f, 0x00, 0xc8, 0xab); // str
  for (const from of [0xd8, 0xc0, 0xe0, 0xe8]) code.put(0x31, 0xc0, 0x8c, from, 0x66, 0xab);
  code.put(...move(0, L.DS[0]), 0x8e, 0xd0, 0x8e, 0xd8, 0x8e, 0xc0, ...move(4, L.MONITOR_STACK));
  code.put(
    ...move(0, LONG_CR0),
    0x0f,
    0x22,
    0xc0,
    ...move(0, L.PML4),
    0x0f,
    0x22,
    0xd8,
    ...move(0, PAE),
    0x0f,
    0x22,
    0xe0,
  );
  code.put(0x6a, 0x02, 0x9d, ...move(1, EFER), ...move(0, LONG_EFER), 0x31, 0xd2, 0x0f, 0x30);
  code.put(...move(6, field('probe0')), ...move(1, 4), 0x48, 0xad, 0x48, 0x8b, 0x00, 0x48, 0xab, 0xe2, 0xf7);
  code.put(...move(6, RESULT), ...move(1, RESULT_SIZE), ...move(2, 0xe9), 0xf3, 0x6e);
  code.put(0x8b, 0x1c, 0x25, ...dword(CURRENT), 0x03, 0x1b, 0x89, 0x1c, 0x25, ...dword(CURRENT), 0xe9, '+case');
  code.label('end').put(0xb0, 0x10, 0xe6, 0xf4).label('stay').put(0xf4, 0xe9, '+stay');
  code.label('gdtr').put(L.GDT_LIMIT & 0xff, L.GDT_LIMIT >> 8, ...dword(L.GDT));
  return code;
}

const assembled = monitor();
const bytes = assembled.finish();
export const ENTER = assembled.labels.get('enter');
export const stubs = (vector) => assembled.labels.get(`stub-${vector}`);
const template = L.longTables(stubs);

export function image(cases, pages) {
  const parts = cases.map((c, n) => encode(c, n));
  const file = new Uint8Array(L.CASES - L.IMAGE + parts.reduce((sum, part) => sum + part.length, 8));
  const view = new DataView(file.buffer);
  file.set(bytes);
  file.set(template, L.TEMPLATE - L.IMAGE);
  file.set(template, L.TABLES - L.IMAGE);
  for (const [at, values] of pages) {
    values.forEach((value, n) => {
      view.setBigUint64(at - L.IMAGE + n * 8, BigInt(value), true);
    });
  }
  const addresses = [];
  let at = L.CASES;
  for (const part of parts) {
    addresses.push(at);
    file.set(part, at - L.IMAGE);
    at += part.length;
  }
  return { file, start: (n) => view.setUint32(FIRST_OFFSET, addresses[n], true) };
}

function encode(c, number) {
  const values = { cr0: LONG_CR0, cr3: L.PML4, cr4: PAE, efer: LONG_EFER, ...c.state, number, writes: c.writes.length };
  for (const name of ['probe0', 'probe1', 'probe2', 'probe3']) values[name] ??= L.GDT;
  // The pseudo-descriptors' limits end where their bases begin.
  Object.assign(values, { gdtr: BigInt(L.GDT_LIMIT) << 48n, gdtr2: L.GDT, idtr: 0xfffn << 48n, idtr2: L.IDT });
  values.size = FIELDS.length * 8 + c.writes.length * 8;
  const quads = FIELDS.map((name) => BigInt.asUintN(64, BigInt(values[name] ?? 0)));
  return Buffer.concat([
    new Uint8Array(BigUint64Array.from(quads).buffer),
    new Uint8Array(Uint32Array.from(c.writes.flat()).buffer),
  ]);
}

export function decodeResult(data, at) {
  const view = new DataView(data.buffer, data.byteOffset + at, RESULT_SIZE);
  const quad = (n) => view.getBigUint64(n * 8, true);
  const result = { vector: Number(quad(PUSHED.length)), frame: [], probes: [] };
  PUSHED.forEach((register, n) => {
    result[REGISTERS[register]] = quad(n);
  });
  for (let n = PUSHED.length + 1; n < STACK_WORDS; n++) result.frame.push(quad(n));
  result.stack = quad(STACK_WORDS);
  result.cr2 = quad(STACK_WORDS + 1);
  const words = new DataView(data.buffer, data.byteOffset + at + (STACK_WORDS + 2) * 8, 16);
  result.ss = words.getUint16(0, true);
  result.number = words.getUint16(2, true);
  result.tr = words.getUint16(4, true);
  ['ds', 'es', 'fs', 'gs'].forEach((name, n) => {
    result[name] = words.getUint16(8 + n * 2, true);
  });
  for (let n = 0; n < 4; n++) result.probes.push(quad(STACK_WORDS + 4 + n));
  return result;
}
