import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFields } from '../../x86/decode/fields.js';
import type { CodeSize } from '../../x86/insn.js';
import * as S from '../../x86/state.js';
import * as R from './record.js';
import { RecordWriter } from './record-writer.js';

const memory = new WebAssembly.Memory({ initial: 1 });
const view = new DataView(memory.buffer);
const AT = 96;
const OFFSET = 0x20;
const gpr = (n: number, byte = 0): number => S.CPU_BASE + S.GPR + 8 * n + byte;

/** The record of an instruction. */
function record(codeSize: CodeSize, ...bytes: number[]) {
  new Uint8Array(memory.buffer).fill(0);
  const length = readFields(Uint8Array.from(bytes), 0, bytes.length, codeSize);
  assert.equal(length, bytes.length);
  new RecordWriter(memory).write(AT, 77, OFFSET, OFFSET + length);
  const i32 = (field: number) => view.getInt32(AT + field, true);
  return {
    handler: i32(R.HANDLER),
    next: view.getUint16(AT + R.NEXT, true),
    operands: [0, 1, 2].map((n) => i32(R.OPERAND + 4 * n)),
    base: i32(R.BASE),
    index: i32(R.INDEX),
    scale: i32(R.SCALE),
    displacement: view.getBigInt64(AT + R.DISPLACEMENT, true),
    immediate: view.getBigUint64(AT + R.IMMEDIATE, true),
    behind: view.getInt32(AT + R.RECORD_SIZE, true),
  };
}

test('registers are pointers into the state, and nothing else of the record is set', () => {
  assert.deepEqual(record(64, 0x48, 0x01, 0xd8), {
    handler: 77,
    next: OFFSET + 3,
    operands: [gpr(0), gpr(3), 0],
    base: 0,
    index: 0,
    scale: 0,
    displacement: 0n,
    immediate: 0n,
    behind: 0,
  });
  assert.deepEqual(record(64, 0x88, 0xe1).operands, [gpr(1), gpr(0, 1), 0], 'mov cl, ah');
  assert.deepEqual(record(64, 0x40, 0x88, 0xe1).operands, [gpr(1), gpr(4), 0], 'mov cl, spl');
  assert.deepEqual(
    record(64, 0x45, 0x0f, 0x28, 0xc8).operands.slice(0, 2),
    [9, 8].map((n) => S.CPU_BASE + S.XMM + 16 * n),
  );
  assert.deepEqual(record(64, 0x0f, 0xa5, 0xd0).operands, [gpr(0), gpr(2), gpr(1)], 'shld eax, edx, cl');
  assert.equal(record(64, 0x0f, 0x22, 0xd8).operands[0], 3, 'mov cr3, rax');
});

test('memory operands', () => {
  const { base, index, scale, displacement } = record(64, 0x48, 0x8b, 0x84, 0x8b, 0xf0, 0xff, 0xff, 0xff);
  assert.deepEqual([base, index, scale, displacement], [gpr(3), gpr(1), 2, -16n]);
  const zero = S.CPU_BASE + S.ZERO;
  const relative = record(64, 0x8b, 0x05, 0x10, 0, 0, 0);
  assert.deepEqual([relative.base, relative.index, relative.displacement], [zero, zero, 16n]);
  const offset = record(64, 0xa1, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11);
  assert.deepEqual([offset.base, offset.displacement], [zero, 0x1122334455667788n]);
  assert.equal(record(32, 0xa1, 0, 0, 0, 0x80).displacement, -0x80000000n);
});

test('immediates', () => {
  assert.equal(record(64, 0x48, 0x83, 0xc0, 0xff).immediate, 0xffff_ffff_ffff_ffffn);
  assert.equal(record(64, 0x83, 0xc0, 0xff).immediate, 0xffff_ffffn);
  assert.equal(record(64, 0x66, 0x83, 0xc0, 0xff).immediate, 0xffffn);
  assert.equal(record(64, 0x48, 0xb8, 8, 7, 6, 5, 4, 3, 2, 0xf1).immediate, 0xf102030405060708n);
  assert.equal(record(64, 0xb0, 0xff).immediate, 0xffn);
  assert.equal(record(64, 0xd1, 0xe0).immediate, 1n);
  const enter = record(64, 0xc8, 0x34, 0x12, 0x05);
  assert.deepEqual([enter.immediate, enter.scale], [0x1234n, 5]);
});

test('jumps hold their target, far pointers offset and selector', () => {
  assert.equal(record(64, 0xe9, 0, 0, 0, 0x80).immediate, BigInt.asUintN(64, BigInt(OFFSET + 5) - 0x80000000n));
  assert.equal(record(64, 0xe9, 0xff, 0xff, 0xff, 0x7f).immediate, BigInt(OFFSET + 5) + 0x7fffffffn);
  assert.equal(record(64, 0xeb, 0xfe).immediate, BigInt(OFFSET));
  const far = record(32, 0x9a, 0x78, 0x56, 0x34, 0xf2, 0x10, 0x80);
  assert.deepEqual([far.immediate, far.displacement], [0xf2345678n, 0x8010n]);
});
