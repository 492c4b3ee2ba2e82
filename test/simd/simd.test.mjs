// Every form of MMX, SSE to SSE4.2, AES, PCLMULQDQ, SHA and x87 against the host's processor: registers, flags, MXCSR,
// memory, and which fault. In the interpreter and in translated code.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildRunner, judge } from './judge.mjs';

const CASES = Number(process.env.SIMD_CASES ?? 12);
const program = buildRunner();
const skip = typeof program === 'string' ? false : program.reason;
/** Their last bits are each processor's own; test/float judges them. */
const TRANSCENDENTAL = ['f2xm1', 'fyl2x', 'fyl2xp1', 'fptan', 'fpatan', 'fsin', 'fsincos', 'fcos'];
const VECTOR = /^[^f]/;
const X87 = { test: (name) => name.startsWith('f') && !TRANSCENDENTAL.includes(name.split(' ')[0]) };

for (const [tier, hotThreshold, bits] of [
  ['interpreter', 0, 64],
  ['translator', 1, 64],
  ['interpreter, 32-bit code', 0, 32],
]) {
  for (const [part, filter] of [
    ['vector', VECTOR],
    ['x87', X87],
  ]) {
    test(`${part} instructions in the ${tier}`, { skip }, () => {
      const problems = [];
      const encodings = hotThreshold === 0 ? 4 : 2;
      const result = judge({
        count: CASES,
        seed: 77,
        filter,
        hotThreshold,
        bits,
        program,
        encodings,
        report: (form, code, problem) =>
          problems.push(`${form.name} [${code.map((b) => b.toString(16)).join(' ')}]: ${problem}`),
      });
      assert.ok(result.cases > 1000, 'the tables gave too few forms');
      assert.equal(result.regions > 0, hotThreshold > 0);
      assert.deepEqual(problems, []);
    });
  }
}

/** COMISD or UCOMISS and SETcc: the flags are consumed by every condition. */
const CONDITIONS = [
  [0x66, 0x0f, 0x2f, 0xc1],
  [0x0f, 0x2e, 0xca],
  [0x66, 0x0f, 0x38, 0x17, 0xc1],
].flatMap((compare) =>
  Array.from({ length: 16 }, (_, cond) => ({
    mnemonic: 'setcc',
    name: `setcc ${cond}`,
    encode: () => [...compare, 0x0f, 0x90 | cond, 0xc0],
  })),
);

for (const hotThreshold of [0, 1]) {
  test(`conditions after vector comparisons, threshold ${hotThreshold}`, { skip }, () => {
    const problems = [];
    judge({
      count: 50,
      seed: 5,
      filter: /./,
      hotThreshold,
      program,
      encodings: 1,
      list: CONDITIONS,
      report: (form, _code, problem) => problems.push(`${form.name}: ${problem}`),
    });
    assert.deepEqual(problems, []);
  });
}
