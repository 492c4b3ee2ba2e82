// Compares the decoder with this host's processor: length and #UD of random and enumerated encodings in 64-, 32- and
// 16-bit code. Needs Linux on x86-64 and a C compiler; elsewhere says so and succeeds.
//   node tools/judge-decoder-native.mjs [--random N] [--seed S] [--show N] [--mode 64|32|16]
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { decode } from '../dist/x86/decode/decoder.js';
import { disassemble } from '../dist/x86/disassemble.js';
import { randomSamples, rowSamples } from './decoder-samples.mjs';

const { values: options } = parseArgs({
  options: {
    random: { type: 'string', default: '200000' },
    seed: { type: 'string', default: '1' },
    show: { type: 'string', default: '40' },
    mode: { type: 'string', default: '' },
  },
});

if (process.platform !== 'linux' || process.arch !== 'x64' || spawnSync('cc', ['--version']).status !== 0) {
  console.log('judge-decoder-native: skipped, this host is not Linux on x86-64 with a C compiler');
  process.exit(0);
}

/** Known differences: [pattern of the name, reason]. Anything else fails the run. */
const EXPECTED = [
  [/^they-ud ud[012]$/, 'UD0, UD1 and UD2 have mnemonics of their own'],
  [/^(they-ud|length) (syscall|sysenter|int)$/, 'a system call of the host'],
  [/^they-ud (clac|stac|monitor|mwait)$/, '#UD outside ring 0, and not for the decoder to say'],
  [/^(they-ud|length) (sldt|str|smsw|sgdt|sidt)$/, 'the host has UMIP'],
  [/^they-ud nop$/, '0F 0D with a register: a no-operation on Intel processors, #UD on AMD'],
  [
    /^length (jcc|jmp|call|loop\w*|j\w*cxz|ret)$/,
    '66 on a near branch in 64-bit mode: ignored by Intel, obeyed by AMD',
  ],
  [/^we-ud .* ?(c4|c5|62) /, 'VEX and EVEX: not offered'],
  [/^we-ud .*0f01 \/[03567] reg/, 'SVM, RDPRU, MCOMMIT, CLZERO, PKU: not offered'],
  [/^we-ud .*0f(2b|78|79) /, 'SSE4A: not offered'],
  [/^we-ud .*(0f38cf|0f3ace|0f3acf) /, 'GFNI: not offered'],
  [/^we-ud .*(0f38f[589]|0f09|0fc7) /, 'MOVDIRI, CET and other later features: not offered'],
  [/^we-ud lock .*0f00 /, 'LOCK on VERW and its like: the probe host emulates these'],
  [/^we-ud lock .*0f2[02] /, "AMD's MOV CR8 by LOCK: not offered"],
];

const UNDEFINED_OPCODE = 6;
const SKIPPED = 0xff;
const FILLER = 0x90;

const directory = mkdtempSync(join(tmpdir(), 'judge-decoder-'));
const probe = join(directory, 'decode-probe');
const source = fileURLToPath(new URL('native/decode-probe.c', import.meta.url));
const compiled = spawnSync('cc', ['-O1', '-fno-stack-protector', '-Wl,-z,now', '-o', probe, source], {
  stdio: 'inherit',
});
if (compiled.status !== 0) process.exit(1);

let unexpected = 0;

function judge(samples, codeSize, title) {
  const records = Buffer.alloc(samples.length * 16, FILLER);
  for (const [index, sample] of samples.entries()) {
    records[index * 16] = codeSize;
    records.set(sample.slice(0, 15), index * 16 + 1);
  }
  const { stdout, status, signal } = spawnSync(probe, { input: records, maxBuffer: 1 << 28 });
  if (status !== 0 || stdout.length !== samples.length * 2) throw new Error(`probe failed: ${status ?? signal}`);
  const seen = new Map();
  const expected = new Map();
  let agree = 0;
  for (let index = 0; index < samples.length; index++) {
    const bytes = records.subarray(index * 16 + 1, index * 16 + 16);
    const length = stdout[index * 2];
    const vector = stdout[index * 2 + 1];
    if (vector === SKIPPED) {
      console.log(`  skipped: ${bytes.toString('hex')}`);
      continue;
    }
    const insn = decode(bytes, 0, 15, codeSize);
    const text = disassemble(insn, 0n);
    const ud = insn.mnemonic === 'ud';
    const theirsUd = vector === UNDEFINED_OPCODE;
    const kind = ud && theirsUd ? '' : ud ? 'we-ud' : theirsUd ? 'they-ud' : insn.length !== length ? 'length' : '';
    if (kind === '') {
      agree++;
      continue;
    }
    const name = ud ? `${kind} ${opcodeText(bytes, codeSize)}` : `${kind} ${insn.mnemonic}`;
    const known = EXPECTED.find(([pattern]) => pattern.test(name));
    if (known !== undefined) {
      expected.set(known[1], (expected.get(known[1]) ?? 0) + 1);
      continue;
    }
    unexpected++;
    const entry = seen.get(name) ?? { count: 0, first: '' };
    if (entry.count++ === 0) {
      entry.first = `${bytes.toString('hex')} ours: ${text} (${insn.length}) theirs: ${length} vector ${vector}`;
    }
    seen.set(name, entry);
  }
  console.log(`${title}: ${samples.length} samples, ${agree} agree`);
  for (const [reason, n] of expected) console.log(`  ${String(n).padStart(6)} expected: ${reason}`);
  const sorted = [...seen].sort((a, b) => b[1].count - a[1].count).slice(0, Number(options.show));
  for (const [name, { count, first }] of sorted)
    console.log(`  ${String(count).padStart(6)} ${name}\n         ${first}`);
}

/** Opcode bytes and ModRM.reg behind the prefixes, to group what we call undefined. */
function opcodeText(bytes, codeSize) {
  let at = 0;
  const isPrefix = (b) =>
    [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65].includes(b) || (codeSize === 64 && b >> 4 === 4);
  let mandatory = '';
  let lock = '';
  while (isPrefix(bytes[at])) {
    if ([0x66, 0xf2, 0xf3].includes(bytes[at])) mandatory += bytes[at].toString(16);
    if (bytes[at] === 0xf0) lock = 'lock ';
    at++;
  }
  const length = bytes[at] !== 0x0f ? 1 : bytes[at + 1] === 0x38 || bytes[at + 1] === 0x3a ? 3 : 2;
  const modrm = bytes[at + length];
  const opcode = bytes.subarray(at, at + length).toString('hex');
  return `${lock}${mandatory} ${opcode} /${(modrm >> 3) & 7} ${modrm >= 0xc0 ? 'reg' : 'mem'}`;
}

for (const codeSize of options.mode === '' ? [64, 32, 16] : [Number(options.mode)]) {
  judge(rowSamples(codeSize, options.seed), codeSize, `rows, ${codeSize}-bit`);
  judge(randomSamples(codeSize, Number(options.random), options.seed), codeSize, `random, ${codeSize}-bit`);
}
rmSync(directory, { recursive: true });
if (unexpected > 0) {
  console.log(`${unexpected} unexpected differences`);
  process.exitCode = 1;
}
