// Compares instructions on the engine with the host's processor. Usage: node test/simd/judge.mjs [count] [seed] [regex] [hot] [bits]
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { arch, platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { randomSource } from '../float/native.mjs';
import { OneInstruction } from './engine.mjs';
import { forms } from './forms.mjs';
import { CASE_SIZE, MEMORY_SIZE, RESULT_SIZE, writeCase } from './state.mjs';

export function buildRunner() {
  const program = join(mkdtempSync(join(tmpdir(), 'trapeze-simd-')), 'native');
  const source = fileURLToPath(new URL('native.c', import.meta.url));
  if (arch() !== 'x64' || platform() !== 'linux') return { reason: 'the host is not x86-64 Linux' };
  const { status, stderr, error } = spawnSync('gcc', [
    '-O1',
    '-masm=intel',
    '-static',
    '-no-pie',
    '-o',
    program,
    source,
  ]);
  if (error) return { reason: 'gcc is not installed' };
  return status === 0 ? program : { reason: String(stderr) };
}

/** Signal of the host -> vectors that cause it. */
const SIGNALS = { 0: [-1], 4: [6], 8: [16, 19], 11: [13, 14, 12], 5: [3] };
/** Features of the opcode tables as Linux names them. */
const HOST_FLAGS = {
  sse3: 'pni',
  'sse4.1': 'sse4_1',
  'sse4.2': 'sse4_2',
  ssse3: 'ssse3',
  aes: 'aes',
  pclmulqdq: 'pclmulqdq',
  sha: 'sha_ni',
};
const cpuinfo = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
const hostFlags = new Set(/^flags\s*: (.*)$/m.exec(cpuinfo)?.[1]?.split(' '));
const hostHas = (form) => HOST_FLAGS[form.feature] === undefined || hostFlags.has(HOST_FLAGS[form.feature]);
/** Where processors differ while an exception is unmasked: FCOMI's flags, the stages of a dot product. */
const MASKED_ONLY = /^(fu?comip?$|dpp)/;
const APPROXIMATE = /^(rcp|rsqrt)/;

/** The host's results for `count` cases. */
function runNative(program, input, count) {
  const bytes = new Uint8Array(input.buffer, input.byteOffset, CASE_SIZE * count);
  for (let attempt = 0; ; attempt++) {
    const { stdout, status, signal } = spawnSync(program, [], { input: bytes, maxBuffer: 1 << 30 });
    if (status === 0 && stdout.length === RESULT_SIZE * count)
      return new DataView(stdout.buffer, stdout.byteOffset, stdout.length);
    if (attempt === 2) throw new Error(`native judge failed: ${status} ${signal}`);
  }
}

/** What differs, as text; undefined where nothing does. */
function difference(native, ours, at) {
  const signal = Number(native.getBigUint64(at + 136, true));
  const vector = Number(ours.getBigUint64(at + 136, true)) - 1;
  if (!(SIGNALS[signal] ?? []).includes(vector)) return `signal ${signal}, vector ${vector}`;
  for (let n = 0; n < 16; n++) {
    if (n === 4) continue;
    const x = native.getBigUint64(at + 8 * n, true);
    const y = ours.getBigUint64(at + 8 * n, true);
    if (x !== y) return `gpr ${n}: ${x.toString(16)}, ours ${y.toString(16)}`;
  }
  const flags = Number(native.getBigUint64(at + 128, true)) & 0x8d5;
  const ourFlags = Number(ours.getBigUint64(at + 128, true)) & 0x8d5;
  if (flags !== ourFlags) return `flags ${flags.toString(16)}, ours ${ourFlags.toString(16)}`;
  const fx = at + 144;
  const hex = (v, from, size) =>
    Array.from({ length: size }, (_, n) =>
      v
        .getUint8(from + size - 1 - n)
        .toString(16)
        .padStart(2, '0'),
    ).join('');
  const fields = [
    ['fcw', 0, 2],
    ['fsw', 2, 2],
    ['ftw', 4, 1],
    ['mxcsr', 24, 4],
  ];
  for (let n = 0; n < 8; n++) fields.push([`st${n}`, 32 + 16 * n, 10]);
  for (let n = 0; n < 16; n++) fields.push([`xmm${n}`, 160 + 16 * n, 16]);
  for (const [name, from, size] of fields) {
    const x = hex(native, fx + from, size);
    const y = hex(ours, fx + from, size);
    if (x !== y) return `${name}: ${x}, ours ${y}`;
  }
  const memory = at + 656;
  for (let n = 0; n < MEMORY_SIZE; n += 8) {
    const x = native.getBigUint64(memory + n, true);
    const y = ours.getBigUint64(memory + n, true);
    if (x !== y) return `memory +${n}: ${x.toString(16)}, ours ${y.toString(16)}`;
  }
  return undefined;
}

/** Cases that go to the native judge together: starting a process costs more than running them. */
const BATCH = 4000;

/**
 * Runs `count` random cases of every form on both sides; `report` hears of the first two differences of a form.
 * `hotThreshold` 0 is the interpreter, 1 the translator.
 */
export function judge({
  count,
  seed,
  filter,
  hotThreshold,
  program,
  report,
  encodings = 4,
  bits = 64,
  list = forms(bits),
}) {
  const random = randomSource(seed);
  const engine = new OneInstruction(hotThreshold);
  const wanted = list.filter((form) => filter.test(form.name) && hostHas(form));
  const perBatch = Math.max(1, Math.floor(BATCH / count));
  const failing = new Map();
  let cases = 0;
  let wrong = 0;
  for (let first = 0; first < wanted.length; first += perBatch) {
    const batch = wanted.slice(first, first + perBatch);
    const input = new DataView(new ArrayBuffer(CASE_SIZE * count * batch.length));
    const codes = batch.map((form, n) => writeForm(input, n * count, form, { count, encodings, bits, random }));
    const total = count * batch.length;
    const native = runNative(program, input, total);
    const ours = new DataView(new ArrayBuffer(RESULT_SIZE * total));
    if (hotThreshold > 0) {
      // Met once, everything is hot; compiled together it costs a fraction.
      for (let n = 0; n < total; n++)
        if (n % count < encodings) compareCase(engine, program, NOTHING, input, native, ours, n);
      engine.compileHot();
    }
    for (let n = 0; n < total; n++) {
      const form = batch[Math.floor(n / count)];
      cases++;
      const problem = compareCase(engine, program, form, input, native, ours, n);
      if (problem === undefined) continue;
      wrong++;
      const seen = failing.get(form.name) ?? 0;
      failing.set(form.name, seen + 1);
      const code = codes[Math.floor(n / count)][(n % count) % encodings];
      if (seen < 2) report(form, code, problem, input, n * CASE_SIZE, native, n * RESULT_SIZE);
    }
  }
  return { cases, wrong, failing, regions: engine.regions };
}

/** Writes the cases of one form from case `from` on; its encodings. */
function writeForm(input, from, form, { count, encodings, bits, random }) {
  const codes = Array.from({ length: encodings }, () => form.encode(random));
  const isMasked = MASKED_ONLY.test(form.mnemonic);
  const isStoreMasked = form.mnemonic.startsWith('maskmov');
  // This AMD processor lets SHA's memory operands be misaligned; Intel's manual demands #GP, as we do.
  const misaligned = !form.mnemonic.startsWith('sha');
  for (let n = 0; n < count; n++) {
    const at = (from + n) * CASE_SIZE;
    writeCase(input, at, codes[n % encodings], random, {
      bits,
      unmasked: !isMasked,
      x87Masked: isMasked,
      misaligned,
      // Whether MASKMOVDQU looks at bytes it does not write is each processor's matter.
      crossing: misaligned && !isStoreMasked,
      usesRdi: isStoreMasked,
      sameAgain: random.below(8) === 0,
    });
    if (form.mnemonic === 'ldmxcsr' && random.below(8)) {
      for (let k = at + 672; k < at + 928; k += 4) input.setUint32(k, input.getUint32(k, true) & 0xffff, true);
    }
  }
  return codes;
}

/** A form of which nothing is compared. */
const NOTHING = { mnemonic: 'rcp' };

/** Runs case `n` on the engine; what differs from the native result. */
function compareCase(engine, program, form, input, native, ours, n) {
  try {
    engine.run(input, n * CASE_SIZE, ours, n * RESULT_SIZE);
  } catch (error) {
    return error.message;
  }
  if (APPROXIMATE.test(form.mnemonic)) return undefined;
  if (difference(native, ours, n * RESULT_SIZE) === undefined) return undefined;
  // On loaded virtual machines the native run itself was seen to fail once in a million: ask twice.
  const again = runNative(program, new DataView(input.buffer, n * CASE_SIZE, CASE_SIZE), 1);
  return difference(again, new DataView(ours.buffer, n * RESULT_SIZE, RESULT_SIZE), 0);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [count = '40', seed = '1', filter = '.', hot = '0', bits = '64'] = process.argv.slice(2);
  const program = buildRunner();
  const result = judge({
    count: Number(count),
    seed: Number(seed),
    filter: new RegExp(filter),
    hotThreshold: Number(hot),
    bits: Number(bits),
    program,
    report: (form, code, problem, input, at) => {
      console.log(
        `${form.name} [${code.map((b) => b.toString(16).padStart(2, '0')).join(' ')}]: ${problem} (mxcsr ${input.getUint32(at + 184, true).toString(16)}, fcw ${input.getUint16(at + 160, true).toString(16)} fsw ${input.getUint16(at + 162, true).toString(16)} ftw ${input.getUint8(at + 164).toString(16)})`,
      );
    },
  });
  console.log(result.cases, 'cases,', result.wrong, 'wrong in', result.failing.size, 'forms');
}
