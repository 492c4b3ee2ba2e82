// SSE arithmetic of the runtime against the host's processor: results, MXCSR flags, unmasked exceptions, bit for bit.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  buildNative,
  fraction,
  listOperations,
  loadRuntime,
  nearExponent,
  operand,
  randomSource,
  runNative,
} from './native.mjs';

const MXCSR = 0x10000 + 1184;
const CASES = Number(process.env.FLOAT_CASES ?? 5000);
const { program, reason } = buildNative();
const skip = reason ?? false;
const { memory, exports: runtime } = loadRuntime();
const view = new DataView(memory.buffer);

/** A few control words are frequent; the rest takes every bit as it comes. */
function control(random) {
  switch (random.below(8)) {
    case 0:
      return 0x1f80;
    case 1:
    case 2:
      return 0x1fa0;
    case 3:
      return 0x1f80 | (random.below(4) << 13);
    case 4:
      return 0x9fc0 | random.below(64);
    case 5:
      return 0x1f80 | (random.next() & 0xe07f);
    default:
      return random.next() & 0xffff;
  }
}

/** Operands in the formats that the name tells. */
function operands(name, random) {
  if (name.startsWith('f64')) {
    const a = operand(random, 52, 11, 1023);
    return [a, random.below(12) === 0 ? a : operand(random, 52, 11, nearExponent(random, a, 52, 11))];
  }
  if (name.startsWith('f32')) {
    const a = operand(random, 23, 8, 127);
    return [a, random.below(12) === 0 ? a : operand(random, 23, 8, nearExponent(random, a, 23, 8))];
  }
  const value = fraction(random, name.startsWith('i32') ? 32 : 64);
  return [value, 0n];
}

/** Singles around the limits that only doubles reach otherwise, and integers with halves. */
function adjust(name, a, random) {
  if (name === 'f64_to_f32') {
    const exponent = [896, 897, 873, 874, 872, 1150, 1151, 1023][random.below(8)] + random.below(2);
    if (random.below(2)) return (a & ~(0x7ffn << 52n)) | (BigInt(exponent) << 52n);
  }
  if (name.includes('_to_i') && random.below(2)) {
    const wide = name.startsWith('f64');
    const exponent = BigInt((wide ? 1023 : 127) - 2 + random.below(68));
    return wide ? (a & ~(0x7ffn << 52n)) | (exponent << 52n) : (a & ~(0xffn << 23n)) | (exponent << 23n);
  }
  return a;
}

const asU32 = (value) => Number(value & 0xffffffffn) | 0;

function callRuntime(name, a, b) {
  const single = name.startsWith('f32');
  const x = single ? asU32(a) : a;
  const y = single ? asU32(b) : b;
  const parts = name.split('_');
  const kind = `${parts[0]}_${parts[1]}`;
  if (kind.endsWith('_cmp')) return runtime[`${parts[0]}_cmp_predicate`](x, y, Number(parts[2]));
  if (kind.endsWith('_compare')) return runtime[kind](x, y, parts.length > 2 ? 1 : 0);
  if (kind.endsWith('_round')) return runtime[kind](x, Number(parts[2]));
  if (kind.endsWith('_sqrt') || kind.endsWith('_to')) {
    const full = `${kind}${kind.endsWith('_to') ? `_${parts[2]}` : ''}`;
    if (full.includes('_to_i')) return runtime[full](x, parts.length > 3 ? 1 : 0);
    return runtime[full](full.startsWith('i32') ? asU32(a) : x);
  }
  return runtime[kind](x, y);
}

const isNarrow = (name) => /^f32_(add|sub|mul|div|min|max|sqrt|round)|_to_f32|_to_i32|_cmp|_compare/.test(name);

for (const [number, name] of skip ? [] : listOperations(program, ['--list']).entries()) {
  test(`${name} as the processor does it`, () => {
    const random = randomSource(0x9e3779b9 ^ (number * 7919));
    const input = Buffer.alloc(CASES * 24);
    for (let i = 0; i < CASES; i++) {
      const [a, b] = operands(name, random);
      input.writeUInt32LE(number, i * 24);
      input.writeUInt32LE(control(random), i * 24 + 4);
      input.writeBigUInt64LE(adjust(name, a, random), i * 24 + 8);
      input.writeBigUInt64LE(b, i * 24 + 16);
    }
    const output = runNative(program, ['sse'], input);
    let wrong = 0;
    let first = '';
    for (let i = 0; i < CASES; i++) {
      const mxcsr = input.readUInt32LE(i * 24 + 4);
      const a = input.readBigUInt64LE(i * 24 + 8);
      const b = input.readBigUInt64LE(i * 24 + 16);
      view.setUint32(MXCSR, mxcsr, true);
      runtime.float_begin();
      const raw = BigInt(callRuntime(name, a, b));
      const result = BigInt.asUintN(isNarrow(name) ? 32 : 64, raw);
      const pending = runtime.float_pending();
      const after = view.getUint32(MXCSR, true);
      const trapped = output.readUInt32LE(i * 16 + 12);
      const expected = BigInt.asUintN(isNarrow(name) ? 32 : 64, output.readBigUInt64LE(i * 16));
      const same =
        after === output.readUInt32LE(i * 16 + 8) &&
        (pending !== 0) === (trapped !== 0) &&
        (trapped || result === expected);
      if (same) continue;
      wrong++;
      if (wrong > 8) continue;
      first +=
        `\n${name} mxcsr ${mxcsr.toString(16)} a ${a.toString(16)} b ${b.toString(16)}: ` +
        `${result.toString(16)} ${after.toString(16)} ${pending}, processor ${expected.toString(16)} ` +
        `${output.readUInt32LE(i * 16 + 8).toString(16)} ${trapped}`;
    }
    assert.equal(wrong, 0, `${wrong} of ${CASES} differ${first}`);
  });
}

test('the host judges SSE arithmetic', { skip }, () => assert.ok(program));
