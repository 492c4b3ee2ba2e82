// The transcendental x87 instructions. Special operands, flags, tags and stack faults are judged by the host's
// processor; results by 113-bit arithmetic (within 0.501 units of the last place to nearest), because processors differ there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildNative, fraction, listOperations, loadRuntime, randomSource, runNative } from './native.mjs';
import {
  compareState,
  describe,
  FPR,
  IN_BYTES,
  loadState,
  nearHead,
  number80,
  OUT_BYTES,
  writeImage,
} from './x87-state.mjs';

const CASES = Number(process.env.FLOAT_CASES ?? 5000);
const { program, reason } = buildNative();
const skip = reason ?? false;
const { memory, exports: r } = loadRuntime();
const view = new DataView(memory.buffer);
const BIAS = 16383;
const C1 = 0x200;
const PE = 0x20;

/** Runtime routine, number of the reference function, register of its result afterwards, exponents of ST(0). */
const FUNCTIONS = {
  sin: { run: r.x87_fsin, reference: 0, result: 0, low: -70, high: 64 },
  cos: { run: r.x87_fcos, reference: 1, result: 0, low: -70, high: 64 },
  sincos: { run: r.x87_fsincos, reference: 0, result: 1, low: -70, high: 64 },
  ptan: { run: r.x87_fptan, reference: 2, result: 1, low: -70, high: 64 },
  patan: { run: r.x87_fpatan, reference: 3, result: 0, low: -80, high: 80 },
  '2xm1': { run: r.x87_f2xm1, reference: 4, result: 0, low: -80, high: -1 },
  yl2x: { run: r.x87_fyl2x, reference: 5, result: 0, low: -80, high: 80 },
  yl2xp1: { run: r.x87_fyl2xp1, reference: 6, result: 0, low: -80, high: -3 },
};

function registers(random, { low, high, reference }) {
  const st0 = number80(random, BIAS);
  const st1 = number80(random, nearHead(random, st0));
  if (random.below(4)) {
    st0.head = (st0.head & 0x8000) | (BIAS + low + random.below(high - low + 1));
    st0.mantissa = (1n << 63n) | fraction(random, 63);
    if (reference === 5) {
      st0.head &= 0x7fff;
      // Near 1 the logarithm is small.
      if (random.below(3) === 0) st0.head = BIAS - random.below(2);
    }
    if (reference === 3 && random.below(2))
      st1.head = (st1.head & 0x8000) | ((st0.head & 0x7fff) - 8 + random.below(17));
    else if (random.below(2)) st1.head = (st1.head & 0x8000) | (BIAS - 40 + random.below(80));
    if ((st1.head & 0x7fff) !== 0) st1.mantissa |= 1n << 63n;
  }
  return [st0, st1];
}

const magnitude = ({ mantissa, head }) => (BigInt(head & 0x7fff) << 64n) | mantissa;
const isNumber = ({ mantissa, head }) => (head & 0x7fff) !== 0x7fff && mantissa !== 0n;

/** Beyond what the manual defines: |x| > 1 for F2XM1, |x| > 1 - sqrt(1/2) for FYL2XP1. */
function isUndefined(name, { mantissa, head }) {
  const exponent = (head & 0x7fff) - BIAS;
  if (exponent > BIAS) return name === '2xm1' || name === 'yl2xp1';
  if (name === '2xm1') return exponent > 0 || (exponent === 0 && mantissa !== 1n << 63n);
  return name === 'yl2xp1' && exponent >= -2;
}

for (const [name, fn] of Object.entries(skip ? {} : FUNCTIONS)) {
  test(`f${name}: flags as the processor, results as 113-bit arithmetic`, (t) => {
    const number = listOperations(program, ['x87', '--list']).indexOf(name);
    const random = randomSource(0x2545f491 ^ (fn.reference * 7907 + fn.result));
    const input = Buffer.alloc(CASES * IN_BYTES);
    for (let i = 0; i < CASES; i++) {
      const at = i * IN_BYTES;
      input.writeUInt32LE(number, at);
      writeImage(input.subarray(at + 16, at + IN_BYTES), random, ...registers(random, fn));
    }
    const output = runNative(program, ['x87'], input);
    const judged = [];
    const ours = [];
    const theirs = [];
    let wrong = 0;
    let first = '';
    for (let i = 0; i < CASES; i++) {
      const before = input.subarray(i * IN_BYTES + 16, (i + 1) * IN_BYTES);
      const after = output.subarray(i * OUT_BYTES + 16, (i + 1) * OUT_BYTES);
      const st0 = { mantissa: before.readBigUInt64LE(28), head: before.readUInt16LE(36) };
      if (isUndefined(name, st0)) {
        loadState(view, r, before);
        fn.run();
        continue;
      }
      loadState(view, r, before);
      fn.run();
      // Finite results are judged below; both must be so, with the same sign and nearly the same value.
      let skipRegisters = 0;
      for (let k = 0; k < 2; k++) {
        const at = FPR + 16 * ((((after.readUInt16LE(4) >> 11) & 7) + k) & 7);
        const mine = { mantissa: view.getBigUint64(at, true), head: view.getUint16(at + 8, true) };
        const its = { mantissa: after.readBigUInt64LE(28 + 10 * k), head: after.readUInt16LE(36 + 10 * k) };
        if (!isNumber(mine) || !isNumber(its) || (mine.head ^ its.head) & 0x8000) continue;
        const apart = magnitude(mine) - magnitude(its);
        // Across a power of two the distance looks like 2^63 more.
        if (
          (apart >= -2n && apart <= 2n) ||
          (apart > 1n << 62n && apart < (1n << 63n) + 3n) ||
          (-apart > 1n << 62n && -apart < (1n << 63n) + 3n)
        )
          skipRegisters |= 1 << k;
        const masked = (before.readUInt16LE(0) & 0x3f) === 0x3f && (before.readUInt16LE(0) & 0xc00) === 0;
        if (k === fn.result && masked && (view.getUint16(0x10000 + 1154, true) & PE & ~before.readUInt16LE(4)) !== 0) {
          judged.push(i);
          ours.push(mine);
          theirs.push(its);
        }
      }
      const difference = compareState(view, r, after, { ignoreStatus: C1, skipRegisters });
      if (difference === '') continue;
      wrong++;
      if (wrong <= 8) first += `\n${name} ${describe(before)}:${difference}`;
    }
    const worst = judgeErrors(fn.reference, judged, ours, input);
    const host = judgeErrors(fn.reference, judged, theirs, input);
    t.diagnostic(`${judged.length} results: error ${worst.error.toFixed(4)}, processor ${host.error.toFixed(4)} ulp`);
    assert.equal(wrong, 0, `${wrong} of ${CASES} differ${first}`);
    assert.ok(judged.length > CASES / 8, 'too few ordinary results');
    assert.ok(worst.error <= 0.501, `${worst.error} ulp: ${worst.text}`);
  });
}

function judgeErrors(reference, cases, results, input) {
  const records = Buffer.alloc(cases.length * 56);
  cases.forEach((i, k) => {
    const image = input.subarray(i * IN_BYTES + 16, (i + 1) * IN_BYTES);
    records.writeUInt32LE(reference, k * 56);
    for (let n = 0; n < 2; n++) {
      records.writeBigUInt64LE(image.readBigUInt64LE(28 + 10 * n), k * 56 + 8 + 16 * n);
      records.writeUInt16LE(image.readUInt16LE(36 + 10 * n), k * 56 + 16 + 16 * n);
    }
    records.writeBigUInt64LE(results[k].mantissa, k * 56 + 40);
    records.writeUInt16LE(results[k].head, k * 56 + 48);
  });
  const errors = runNative(program, ['error'], records);
  let error = 0;
  let text = '';
  cases.forEach((i, k) => {
    const value = errors.readDoubleLE(k * 8);
    if (!(value > error)) return;
    error = value;
    const { mantissa, head } = results[k];
    const image = input.subarray(i * IN_BYTES + 16, (i + 1) * IN_BYTES);
    text = `${describe(image)} gives ${head.toString(16)}:${mantissa.toString(16)}`;
  });
  return { error, text };
}

test('the host judges transcendental instructions', { skip }, () => assert.ok(program));
