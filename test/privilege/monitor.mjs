// The guest of 32-bit cases: a Multiboot image whose monitor puts the processor into the state of a case, lets it go, and
// tells on port 0xe9 which gate it came back through and what it left behind.
import { multiboot1Header } from '../../dist/machine/boot/test-images.js';
import { Code, dword } from './code.mjs';
import * as L from './layout.mjs';

const DEBUG_PORT = 0xe9;
const EXIT_PORT = 0xf4;
const EFER = 0xc0000080;
/** Where the monitor keeps the running case's header, and the results. */
const HEADER = 0x118000;
const RESULT = 0x118200;
const CURRENT = 0x118400;
/** Patched by the runner: the address of the first case. */
export const FIRST_OFFSET = 0x40;

/** Dwords of a case's header, in the order in which the monitor takes them. */
const FIELDS = [
  ...[
    'size',
    'writes',
    'number',
    'cr0',
    'cr3',
    'cr4',
    'efer',
    'ldt',
    'tr',
    'gdtr',
    'gdtr2',
    'idtr',
    'idtr2',
    'esp',
    'ss',
  ],
  ...['probe0', 'probe1', 'probe2', 'probe3'],
  ...['gs', 'fs', 'es', 'ds', 'edi', 'esi', 'ebp', 'unused', 'ebx', 'edx', 'ecx', 'eax'],
];
const field = (name) => HEADER + FIELDS.indexOf(name) * 4;
/** Dwords of a result: what the handler finds on its stack from GS up, and registers. */
const STACK_WORDS = 24;
const STACKED = ['gs', 'fs', 'es', 'ds', 'edi', 'esi', 'ebp', 'unused', 'ebx', 'edx', 'ecx', 'eax', 'vector'];
export const RESULT_SIZE = (STACK_WORDS + 8) * 4;

function monitor() {
  const code = new Code(L.IMAGE);
  code.put(...multiboot1Header(0x10000, L.IMAGE, L.IMAGE, 0, 0, L.IMAGE + 0x60));
  while (code.here < L.IMAGE + 0x60) code.put(0);
  code.put(0xfa, 0xfc); // cli; cld
  code.put(0xb0, 0xff, 0xe6, 0x21, 0xe6, 0xa1); // mov al, 0xff; out 0x21, al; out 0xa1, al: no interrupts
  code.put(0x0f, 0x01, 0x15, 'gdtr'); // lgdt [gdtr]
  code.put(0xea, 'flat', ...[L.CS[0], 0]); // jmp far
  code.label('flat');
  code.put32([0xb8], L.DS[0]); // mov eax, ds
  for (const to of [0xd8, 0xc0, 0xd0, 0xe0, 0xe8]) code.put(0x8e, to);
  code.put32([0xbc], L.MONITOR_STACK); // mov esp
  code.put(0x8b, 0x1d, ...dword(L.IMAGE + FIRST_OFFSET)); // mov ebx, [first]
  code.put(0x89, 0x1d, ...dword(CURRENT)); // mov [current], ebx

  code.label('case');
  code.put(0x83, 0x3b, 0x00, 0x0f, 0x84, '+end'); // cmp dword [ebx], 0; je end
  // Fresh tables, the case's header, and what it wants in memory.
  code
    .put32([0xbe], L.TEMPLATE)
    .put32([0xbf], L.TABLES)
    .put32([0xb9], L.TABLES_SIZE / 4)
    .put(0xf3, 0xa5);
  code.put(0x89, 0xde).put32([0xbf], HEADER).put32([0xb9], FIELDS.length).put(0xf3, 0xa5);
  code.put(0x8b, 0x0d, ...dword(field('writes'))); // mov ecx, [writes]
  code.put(0xe3, 0x06).put(0xad, 0x89, 0xc7, 0xa5, 0xe2, 0xfa); // jecxz; lodsd; mov edi, eax; movsd; loop
  code.put(0x0f, 0x01, 0x15, ...dword(field('gdtr') + 2)); // lgdt
  code.put(0x0f, 0x01, 0x1d, ...dword(field('idtr') + 2)); // lidt
  code.put(0x0f, 0x00, 0x15, ...dword(field('ldt'))); // lldt
  code.put(0x0f, 0x00, 0x1d, ...dword(field('tr'))); // ltr
  code.put32([0xb9], EFER).put(0xa1, ...dword(field('efer')), 0x31, 0xd2, 0x0f, 0x30); // wrmsr
  code.put(0xa1, ...dword(field('cr4')), 0x0f, 0x22, 0xe0); // mov cr4
  code.put(0xa1, ...dword(field('cr3')), 0x0f, 0x22, 0xd8); // mov cr3
  code.put(0xa1, ...dword(field('cr0')), 0x0f, 0x22, 0xc0); // mov cr0
  code.put(0xeb, 0x00);
  code.put32([0xbc], field('gs')); // mov esp
  code.put(0x0f, 0xa9, 0x0f, 0xa1, 0x07, 0x1f, 0x61); // pop gs, fs, es, ds; popad
  code.put(0x2e, 0x0f, 0xb2, 0x25, ...dword(field('esp'))); // lss esp, cs:[esp]
  code.label('enter').put(0xcf); // iretd

  for (let vector = 0; vector < 256; vector++) {
    code.label(`stub-${vector}`).put32([0x68], vector).put(0xe9, '+back');
  }

  code.label('back');
  code.put(0x60, 0x1e, 0x06, 0x0f, 0xa0, 0x0f, 0xa8); // pushad; push ds, es, fs, gs
  code.put(0xfc).put32([0xb8], L.DS[0]).put(0x8e, 0xd8, 0x8e, 0xc0);
  code.put(0x89, 0xe5).put32([0xbf], RESULT).put32([0xb9], STACK_WORDS); // mov ebp, esp
  code.put(0x36, 0x8b, 0x45, 0x00, 0xab, 0x83, 0xc5, 0x04, 0xe2, 0xf6); // mov eax, ss:[ebp]; stosd; add ebp, 4; loop
  code.put(0x89, 0xe0, 0xab, 0x8b, 0x0d, ...dword(field('number'))); // mov eax, esp; stosd; mov ecx, [number]
  code.put(0xc1, 0xe1, 0x10, 0x31, 0xc0, 0x8c, 0xd0, 0x09, 0xc8, 0xab); // shl ecx, 16; xor eax, eax; mov eax, ss; or eax, ecx; stosd
  code.put(0x0f, 0x20, 0xd0, 0xab); // cr2
  code.put(0x31, 0xc0, 0x0f, 0x00, 0xc8, 0x89, 0xc1); // xor eax, eax; str ax; mov ecx, eax
  code.put(0x0f, 0x00, 0xc0, 0xc1, 0xe0, 0x10, 0x09, 0xc8, 0xab); // sldt eax; shl eax, 16; or eax, ecx
  code.put32([0xb8], L.DS[0]).put(0x8e, 0xd0).put32([0xbc], L.MONITOR_STACK);
  code.put32([0xb8], 0x11).put(0x0f, 0x22, 0xc0, 0xeb, 0x00); // mov cr0: no paging
  code.put(0x31, 0xc0, 0x0f, 0x22, 0xd8, 0x0f, 0x22, 0xe0, 0x6a, 0x02, 0x9d); // cr3, cr4; push 2; popfd
  code.put32([0xbe], field('probe0')).put32([0xb9], 4).put(0xad, 0x8b, 0x00, 0xab, 0xe2, 0xfa);
  code.put32([0xb9], EFER).put(0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x30);
  code.put32([0xbe], RESULT).put32([0xb9], RESULT_SIZE).put32([0xba], DEBUG_PORT).put(0xf3, 0x6e); // rep outsb
  code.put(0x8b, 0x1d, ...dword(CURRENT), 0x03, 0x1b, 0x89, 0x1d, ...dword(CURRENT)); // next case
  code.put(0xe9, '+case');

  code.label('end').put(0xb0, 0x10, 0xe6, EXIT_PORT); // out
  code.label('stay').put(0xf4, 0xe9, '+stay');
  code.label('gdtr').put(...[L.GDT_LIMIT & 0xff, L.GDT_LIMIT >> 8], ...dword(L.GDT));
  return code;
}

const assembled = monitor();
const bytes = assembled.finish();
/** The instruction that enters a case: a fault here is one of entering it. */
export const ENTER = assembled.labels.get('enter');
const template = L.tables((vector) => assembled.labels.get(`stub-${vector}`));
const stubs = (vector) => assembled.labels.get(`stub-${vector}`);

export { stubs };

/** The image of these cases; fresh tables are identity page tables and the like. */
export function image(cases, pages) {
  const parts = cases.map((c, n) => encode(c, n));
  const size = L.CASES - L.IMAGE + parts.reduce((sum, part) => sum + part.length, 4);
  const file = new Uint8Array(size);
  const view = new DataView(file.buffer);
  file.set(bytes);
  file.set(template, L.TEMPLATE - L.IMAGE);
  for (const [at, values] of pages) {
    values.forEach((value, n) => {
      view.setUint32(at - L.IMAGE + n * 4, value >>> 0, true);
    });
  }
  // GDT for the monitor's first instructions.
  file.set(template, L.TABLES - L.IMAGE);
  const addresses = [];
  let at = L.CASES;
  for (const part of parts) {
    addresses.push(at);
    file.set(part, at - L.IMAGE);
    at += part.length;
  }
  addresses.push(at);
  return { file, start: (n) => view.setUint32(FIRST_OFFSET, addresses[n], true) };
}

const pseudo = (base, limit) => [(limit << 16) >>> 0, base];

function encode(c, number) {
  const writes = [...c.writes];
  const values = {
    ...{ cr0: 0x11, cr3: 0, cr4: 0, efer: 0, ldt: L.LDT_SELECTOR, tr: L.TSS_SELECTOR, ss: L.DS[0], unused: 0 },
    ...{ probe0: L.GDT, probe1: L.GDT, probe2: L.GDT, probe3: L.GDT, gs: 0, fs: 0, es: 0, ds: 0 },
    ...{ edi: 0, esi: 0, ebp: 0, ebx: 0, edx: 0, ecx: 0, eax: 0 },
    ...c.state,
    number,
    writes: writes.length,
  };
  const [gdtr, gdtr2] = pseudo(L.GDT, c.gdtLimit ?? L.GDT_LIMIT);
  const [idtr, idtr2] = pseudo(L.IDT, c.idtLimit ?? 0x7ff);
  Object.assign(values, { gdtr, gdtr2, idtr, idtr2 });
  values.size = (FIELDS.length + writes.length * 2) * 4;
  return new Uint8Array(Uint32Array.from([...FIELDS.map((name) => values[name] >>> 0), ...writes.flat()]).buffer);
}

/** A result as the monitor told it. `frame` is what is above the vector: error code or EIP, and on. */
export function decodeResult(data, at) {
  const view = new DataView(data.buffer, data.byteOffset + at, RESULT_SIZE);
  const result = { frame: [], probes: [] };
  STACKED.forEach((name, n) => {
    result[name] = view.getUint32(n * 4, true);
  });
  for (let n = STACKED.length; n < STACK_WORDS; n++) result.frame.push(view.getUint32(n * 4, true));
  ['esp', 'ss', 'cr2'].forEach((name, n) => {
    result[name] = view.getUint32((STACK_WORDS + n) * 4, true);
  });
  result.number = result.ss >>> 16;
  result.ss &= 0xffff;
  const system = view.getUint32((STACK_WORDS + 3) * 4, true);
  result.tr = system & 0xffff;
  result.ldtr = system >>> 16;
  for (let n = 0; n < 4; n++) result.probes.push(view.getUint32((STACK_WORDS + 4 + n) * 4, true));
  return result;
}
