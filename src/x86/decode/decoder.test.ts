import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BASE_RIP, type CodeSize, type Insn, NO_REGISTER, type Operand, SEG } from '../insn.js';
import { decode } from './decoder.js';
import { formNumber } from './form.js';
import { opcodeRows, SLOTS } from './tables.js';

function decoded(codeSize: CodeSize, ...bytes: number[]): Insn {
  const insn = decode(Uint8Array.from(bytes), 0, bytes.length, codeSize);
  if (insn === 'truncated') throw new Error('truncated');
  return insn;
}

function memory(operand: Operand | undefined): Operand & { kind: 'mem' } {
  if (operand?.kind !== 'mem') throw new Error('not a memory operand');
  return operand;
}

test('a record has every field of the contract', () => {
  assert.deepEqual(decoded(64, 0xf0, 0x64, 0x48, 0x83, 0x44, 0x8b, 0x10, 0xff), {
    mnemonic: 'add',
    length: 8,
    operandSize: 8,
    addressSize: 8,
    codeSize: 64,
    operands: [
      { kind: 'mem', size: 8, seg: SEG.fs, base: 3, index: 1, scale: 2, disp: 16 },
      { kind: 'imm', size: 8, value: 0xffff_ffff_ffff_ffffn },
    ],
    cond: 0,
    lock: true,
    repeat: 'none',
  });
});

test('the default segment is SS for the stack and frame pointers only', () => {
  const segment = (...bytes: number[]) => memory(decoded(64, ...bytes).operands[1]).seg;
  assert.equal(segment(0x8b, 0x04, 0x24), SEG.ss);
  assert.equal(segment(0x8b, 0x45, 0x00), SEG.ss);
  assert.equal(segment(0x41, 0x8b, 0x04, 0x24), SEG.ds);
  assert.equal(segment(0x41, 0x8b, 0x45, 0x00), SEG.ds);
  assert.equal(segment(0x8b, 0x04, 0x28), SEG.ds, 'RBP as an index');
  assert.equal(memory(decoded(16, 0x8b, 0x02).operands[1]).seg, SEG.ss, 'BP+SI');
  assert.equal(memory(decoded(16, 0x8b, 0x06, 0, 0).operands[1]).seg, SEG.ds, 'disp16');
});

test('implicit memory operands take the override, and ES:rDI does not', () => {
  const movs = decoded(32, 0x65, 0xa5);
  assert.equal(memory(movs.operands[0]).seg, SEG.es);
  assert.equal(memory(movs.operands[1]).seg, SEG.gs);
  assert.equal(memory(decoded(64, 0x64, 0xd7).operands[0]).seg, SEG.fs);
  const masked = memory(decoded(64, 0x65, 0x66, 0x0f, 0xf7, 0xc1).operands[0]);
  assert.deepEqual([masked.seg, masked.base, masked.size], [SEG.gs, 7, 16]);
});

test('conditions, RIP and absolute addresses', () => {
  assert.deepEqual([decoded(64, 0x7f, 0).mnemonic, decoded(64, 0x7f, 0).cond], ['jcc', 15]);
  assert.deepEqual([decoded(64, 0xda, 0xd8).mnemonic, decoded(64, 0xda, 0xd8).cond], ['fcmovcc', 10]);
  assert.equal(memory(decoded(64, 0x8b, 0x05, 0, 0, 0, 0).operands[1]).base, BASE_RIP);
  assert.equal(memory(decoded(32, 0x8b, 0x05, 0, 0, 0, 0).operands[1]).base, NO_REGISTER);
});

test('15 bytes are an instruction, 16 are #GP', () => {
  const prefixes = (count: number) => Array<number>(count).fill(0x66);
  assert.equal(decoded(64, ...prefixes(14), 0x90).length, 15);
  assert.equal(decoded(64, ...prefixes(15), 0x90).mnemonic, 'gp');
  assert.equal(decode(Uint8Array.from(prefixes(14)), 0, 14, 64), 'truncated');
  assert.equal(decoded(64, ...prefixes(8), 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8).mnemonic, 'gp');
});

test('reads neither before the offset nor past what is available', () => {
  const bytes = Uint8Array.of(0x66, 0x90, 0xb8, 1, 0, 0, 0, 0xff);
  const insn = decode(bytes, 2, 5, 64);
  assert.ok(insn !== 'truncated' && insn.length === 5 && insn.operandSize === 4);
  assert.equal(decode(bytes, 2, 4, 64), 'truncated');
  assert.equal(decode(bytes, 7, 100, 64), 'truncated', 'the end of the array');
  assert.equal(decode(bytes, 100, 100, 64), 'truncated');
  assert.equal(decode(bytes, 0, 0, 64), 'truncated');
});

test('random bytes: always a record, never longer than 15, and the same whatever follows', () => {
  let seed = 12345;
  const random = () => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return seed >>> 24;
  };
  const mnemonics = new Set(['ud', 'gp', ...opcodeRows.flatMap((row) => row.mnemonic.split('/'))]);
  const bytes = new Uint8Array(16);
  for (let round = 0; round < 60_000; round++) {
    for (let i = 0; i < bytes.length; i++) bytes[i] = random();
    if (round % 3 === 0) bytes[0] = 0x0f;
    const codeSize = ([64, 32, 16] as const)[round % 3];
    const insn = decode(bytes, 0, 16, codeSize);
    assert.ok(insn !== 'truncated');
    assert.ok(insn.length >= 1 && insn.length <= 15);
    assert.ok(mnemonics.has(insn.mnemonic), insn.mnemonic);
    assert.ok(
      insn.operands.every((operand) => operand !== undefined),
      insn.mnemonic,
    );
    if (insn.mnemonic === 'gp' || insn.length === 15) continue;
    assert.deepEqual(decode(bytes, 0, insn.length, codeSize), insn);
    if (insn.mnemonic !== 'ud') assert.equal(decode(bytes, 0, insn.length - 1, codeSize), 'truncated');
  }
});

test('every row of the tables can be reached, and no two claim the same encoding with the same right', () => {
  const reached = new Set<number>();
  for (const slot of SLOTS) for (const row of slot.cells ?? [slot.memory, slot.register]) reached.add(row.id);
  const lost = opcodeRows.filter((_, id) => !reached.has(id)).map((row) => `${row.map} ${row.opcode.toString(16)}`);
  assert.deepEqual(lost, []);
  const claims = new Map<string, string>();
  for (const row of opcodeRows) {
    const modes = row.i64 ? ['legacy'] : row.o64 ? ['long'] : ['legacy', 'long'];
    for (const mode of modes) {
      for (let opcode = row.opcode; opcode < row.opcode + row.span; opcode++) {
        const key = [mode, row.map, opcode, row.prefix, row.reg, row.rm, row.mod].join();
        assert.equal(claims.get(key), undefined, `${key}: ${row.mnemonic} and ${claims.get(key)}`);
        claims.set(key, row.mnemonic);
      }
    }
  }
});

test('a form forgets registers, immediates and displacements, and nothing else', () => {
  const key = (...bytes: number[]) => formNumber(decoded(64, ...bytes));
  assert.equal(key(0x01, 0xd8), key(0x45, 0x01, 0xfe));
  assert.equal(key(0x83, 0xc0, 1), key(0x41, 0x83, 0xc7, 0x80));
  assert.equal(key(0x8b, 0x00), key(0x8b, 0x84, 0x88, 1, 2, 3, 4));
  assert.equal(key(0x74, 1), key(0x0f, 0x84, 1, 0, 0, 0));
  const distinct = [
    [0x01, 0xd8],
    [0x48, 0x01, 0xd8],
    [0x66, 0x01, 0xd8],
    [0x00, 0xd8],
    [0x00, 0xe0],
    [0x00, 0xe4],
    [0x29, 0xd8],
    [0x01, 0x18],
    [0x03, 0x18],
    [0xf0, 0x01, 0x18],
    [0x64, 0x01, 0x18],
    [0x67, 0x01, 0x18],
    [0x01, 0x05, 0, 0, 0, 0],
    [0x74, 0],
    [0x75, 0],
    [0xa4],
    [0xf3, 0xa4],
    [0x0f, 0x28, 0xc1],
    [0x0f, 0x6f, 0xc1],
  ];
  const keys = distinct.map((bytes) => key(...bytes));
  assert.equal(new Set(keys).size, keys.length);
  assert.notEqual(formNumber(decoded(32, 0x01, 0xd8)), key(0x01, 0xd8));
});
