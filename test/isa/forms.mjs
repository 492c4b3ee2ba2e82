// Generators of single integer instructions as bytes, over the opcode maps of Intel SDM Vol. 2, Appendix A, and of
// states to run them in. Memory operands are based on registers that point into the window.
import { WINDOW } from './machine.mjs';

export function randomSource(seed) {
  let state = seed | 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  const below = (n) => next() % n;
  return { next, below, pick: (list) => list[below(list.length)], big: () => (BigInt(next()) << 32n) | BigInt(next()) };
}

/** Values at which results and flags change. */
export const EDGES = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0xffffffffffffffffn,
]; // prettier-ignore

function value(r) {
  switch (r.below(4)) {
    case 0:
      return r.pick(EDGES);
    case 1:
      return BigInt(r.below(256));
    case 2:
      return BigInt.asUintN(64, -BigInt(r.below(256)));
    default:
      return r.big();
  }
}

/** Registers with RBX RBP RSP RSI RDI in the window, R12 (and the count, for REP) small; status flags and DF at random. */
export function randomState(r, bits, isRepeated = false) {
  const gpr = Array.from({ length: 16 }, () => value(r));
  if (r.below(3) === 0)
    gpr[2] = r.pick([0n, BigInt.asUintN(64, BigInt.asIntN(64, gpr[0]) >> 63n), BigInt(r.below(16))]);
  const inWindow = () => BigInt(WINDOW + 64 + r.below(128));
  for (const n of [3, 5, 6, 7]) gpr[n] = inWindow();
  gpr[4] = BigInt(WINDOW + 64 + r.below(16) * 8);
  gpr[12] = BigInt(r.below(8));
  if (isRepeated) gpr[1] = BigInt(r.below(8));
  let flags = 0x202n;
  for (const bit of [0x1n, 0x4n, 0x10n, 0x40n, 0x80n, 0x800n]) if (r.below(2)) flags |= bit;
  if (r.below(4) === 0) flags |= 0x400n;
  const window = Uint8Array.from({ length: 256 }, () => r.pick([0, 255, r.below(256), r.below(256)]));
  if (bits === 32) for (let n = 0; n < 16; n++) gpr[n] &= 0xffffffffn;
  if (bits === 32) for (let n = 8; n < 16; n++) gpr[n] = 0n;
  return { gpr, flags, window };
}

/** ModRM with a register (0-15) or `ext` in .reg and a register or memory in .rm: [rex bits, bytes]. */
function modrm(r, bits, ext, kind) {
  const reg = ext >= 0 ? ext : r.below(bits === 64 ? 16 : 8);
  let rex = reg >= 8 ? 4 : 0;
  const form = kind === 'any' ? r.pick(['reg', 'reg', 'mem']) : kind;
  if (form === 'reg') {
    const rm = r.below(bits === 64 ? 16 : 8);
    if (rm >= 8) rex |= 1;
    return [rex, [0xc0 | ((reg & 7) << 3) | (rm & 7)]];
  }
  const disp = (r.below(32) - 16) & 255;
  switch (r.below(bits === 64 ? 4 : 3)) {
    case 0:
      return [rex, [0x43 | ((reg & 7) << 3), disp]]; // [rbx+disp8]
    case 1:
      return [rex, [0x44 | ((reg & 7) << 3), 0x24, disp]]; // [rsp+disp8]
    case 2:
      return [
        rex,
        [0x80 | ((reg & 7) << 3) | 6, disp, disp >= 128 ? 255 : 0, disp >= 128 ? 255 : 0, disp >= 128 ? 255 : 0],
      ];
    default:
      rex |= 2; // [rbp+r12*2+disp8]
      return [rex, [0x44 | ((reg & 7) << 3), 0x65, disp]];
  }
}

const immediate = (r, n) => Array.from({ length: n }, () => r.pick([0, 1, 0x7f, 0x80, 0xff, r.below(256)]));

/**
 * opcode bytes (with mandatory prefix first, if any), options:
 *   ext: ModRM.reg extension; imm: 'b', 'z' or 'v'; kind of ModRM; byte: 8-bit form; plain: no ModRM;
 *   sizes: allowed operand sizes; plusr: register in the opcode
 */
function form(opcode, options = {}) {
  return (r, bits) => {
    const sizes = options.sizes ?? (options.byte ? [1] : bits === 64 ? [2, 4, 8] : [2, 4]);
    const size = r.pick(sizes.filter((s) => bits === 64 || s < 8));
    const bytes = [];
    if (size === 2) bytes.push(0x66);
    const code = [...opcode];
    if (code[0] === 0xf2 || code[0] === 0xf3) bytes.push(code.shift());
    let rex = size === 8 && !options.default64 ? 8 : 0;
    let tail = [];
    if (!options.plain) {
      const [more, body] = modrm(r, bits, options.ext ?? -1, options.kind ?? 'any');
      rex |= more;
      tail = body;
    }
    if (options.plusr) {
      const register = r.below(bits === 64 ? 16 : 8);
      if (register >= 8) rex |= 1;
      code[code.length - 1] |= register & 7;
    }
    if (bits === 64 && (rex !== 0 || (options.byte && r.below(2)))) bytes.push(0x40 | rex);
    bytes.push(...code, ...tail);
    if (options.imm === 'b') bytes.push(...immediate(r, 1));
    if (options.imm === 'w') bytes.push(...immediate(r, 2));
    if (options.imm === 'z') bytes.push(...immediate(r, size === 2 ? 2 : 4));
    if (options.imm === 'v') bytes.push(...immediate(r, size));
    // A short jump out of the instruction itself.
    if (options.imm === 'short') bytes.push(r.pick([0, 16 + r.below(112), 128 + r.below(100)]));
    return Uint8Array.from(bytes);
  };
}

const table = [];
const add = (...args) => table.push(form(...args));

for (let op = 0; op < 8; op++) {
  for (const [low, options] of [
    [0, { byte: true }],
    [1, {}],
    [2, { byte: true }],
    [3, {}],
  ])
    add([op * 8 + low], options);
  add([op * 8 + 4], { plain: true, byte: true, imm: 'b' });
  add([op * 8 + 5], { plain: true, imm: 'z' });
  add([0x80], { ext: op, byte: true, imm: 'b' });
  add([0x81], { ext: op, imm: 'z' });
  add([0x83], { ext: op, imm: 'b' });
  for (const [low, imm] of [
    [0xc0, 'b'],
    [0xd0, undefined],
    [0xd2, undefined],
  ]) {
    add([low], { ext: op, byte: true, imm });
    add([low + 1], { ext: op, imm });
  }
  if (op !== 1) {
    add([0xf6], { ext: op, byte: true, imm: op < 2 ? 'b' : undefined });
    add([0xf7], { ext: op, imm: op < 2 ? 'z' : undefined });
  }
}
for (const ext of [0, 1]) {
  add([0xfe], { ext, byte: true });
  add([0xff], { ext });
}
for (const op of [0x84, 0x86, 0x88, 0x8a]) {
  add([op], { byte: true });
  add([op + 1], {});
}
add([0x63], { sizes: [8] });
add([0x69], { imm: 'z' });
add([0x6b], { imm: 'b' });
add([0x8d], { kind: 'mem' });
add([0x90], { plain: true, plusr: true });
add([0x98], { plain: true });
add([0x99], { plain: true });
add([0xa8], { plain: true, byte: true, imm: 'b' });
add([0xa9], { plain: true, imm: 'z' });
add([0xb0], { plain: true, byte: true, plusr: true, imm: 'b' });
add([0xb8], { plain: true, plusr: true, imm: 'v' });
add([0xc6], { ext: 0, byte: true, imm: 'b' });
add([0xc7], { ext: 0, imm: 'z' });
for (const op of [0xf5, 0xf8, 0xf9, 0xfc, 0xfd, 0x9e, 0x9f]) add([op], { plain: true, sizes: [4] });
for (const op of [0xa3, 0xab, 0xb3, 0xbb]) add([0x0f, op], {});
for (const ext of [4, 5, 6, 7]) add([0x0f, 0xba], { ext, imm: 'b' });
for (const op of [0xa4, 0xac]) {
  add([0x0f, op], { imm: 'b' });
  add([0x0f, op + 1], {});
}
add([0x0f, 0xaf], {});
for (const op of [0xb0, 0xc0]) {
  add([0x0f, op], { byte: true });
  add([0x0f, op + 1], {});
}
for (const op of [0xb6, 0xb7, 0xbe, 0xbf, 0xbc, 0xbd]) add([0x0f, op], {});
for (const op of [0xb8, 0xbc, 0xbd]) add([0xf3, 0x0f, op], {});
add([0x0f, 0xc8], { plain: true, plusr: true });
add([0x0f, 0xc7], { ext: 1, kind: 'mem', sizes: [4, 8] });
add([0x0f, 0x38, 0xf0], { kind: 'mem' });
add([0x0f, 0x38, 0xf1], { kind: 'mem' });
add([0xf2, 0x0f, 0x38, 0xf0], { sizes: [4, 8] });
add([0xf2, 0x0f, 0x38, 0xf1], {});
add([0xf3, 0x0f, 0x38, 0xf6], { sizes: [4, 8] });
table.push((r, bits) =>
  Uint8Array.from([0x66, ...(bits === 64 && r.below(2) ? [0x48] : []), 0x0f, 0x38, 0xf6, 0xc0 | r.below(64)]),
);
for (let cc = 0; cc < 16; cc++) {
  add([0x0f, 0x40 + cc], {});
  add([0x0f, 0x90 + cc], { byte: true });
  add([0x70 + cc], { plain: true, sizes: [4], imm: 'short' });
  add([0x0f, 0x80 + cc], { plain: true, sizes: [4], imm: 'rel' });
}
for (const op of [0xe0, 0xe1, 0xe2, 0xe3, 0xeb]) add([op], { plain: true, sizes: [4], imm: 'short' });
// The stack: a 66 prefix only where processors agree on it.
add([0x50], { plain: true, plusr: true, default64: true });
add([0x58], { plain: true, plusr: true, default64: true });
add([0x68], { plain: true, imm: 'z', default64: true });
add([0x6a], { plain: true, imm: 'b', default64: true });
add([0x8f], { ext: 0, default64: true });
add([0xff], { ext: 6, default64: true });
add([0xff], { ext: 4, sizes: [4], default64: true });
add([0xff], { ext: 2, sizes: [4], default64: true });
add([0xc3], { plain: true, sizes: [4] });
add([0xc2], { plain: true, sizes: [4], imm: 'w' });
add([0xc9], { plain: true, sizes: [4] });
table.push((r) => Uint8Array.from([0xc8, r.below(64), 0, r.below(4)]));
add([0x9c], { plain: true, sizes: [4] });
add([0xe8], { plain: true, sizes: [4], imm: 'rel' });
add([0xd7], { plain: true, sizes: [4] });
for (const op of [0xa4, 0xa6, 0xaa, 0xac, 0xae]) {
  add([op], { plain: true, byte: true });
  add([op + 1], { plain: true });
}

/** Repeated string instructions. */
const repeated = [0xa4, 0xa6, 0xaa, 0xac, 0xae].flatMap((op) =>
  [0xf2, 0xf3].flatMap((prefix) => [
    form([prefix, op], { plain: true, byte: true }),
    form([prefix, op + 1], { plain: true }),
  ]),
);

/** 32-bit code only. */
const legacy = [
  ...[0x27, 0x2f, 0x37, 0x3f, 0xd6].map((op) => form([op], { plain: true, sizes: [4] })),
  form([0xd4], { plain: true, sizes: [4], imm: 'b' }),
  form([0xd5], { plain: true, sizes: [4], imm: 'b' }),
  form([0x40], { plain: true, plusr: true }),
  form([0x48], { plain: true, plusr: true }),
  form([0x60], { plain: true }),
  form([0x61], { plain: true }),
  form([0x62], { kind: 'mem' }),
  form([0x63], { sizes: [4] }),
];

export function randomInstruction(r, bits) {
  const list = r.below(12) === 0 ? repeated : bits === 32 && r.below(4) === 0 ? legacy : table;
  let code = r.pick(list)(r, bits);
  const relative = code[0] === 0xe8 || (code[0] === 0x0f && (code[1] & 0xf0) === 0x80);
  if (relative) code = Uint8Array.from([...code, r.below(256), r.below(2), 0, 0]);
  return { code, isRepeated: list === repeated };
}
