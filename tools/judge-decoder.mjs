// Compares the decoder and the disassembler with objdump (GNU binutils): on random and enumerated encodings in 64-, 32-
// and 16-bit code, and on the code of real programs. Needs objdump; without it says so and succeeds.
//   node tools/judge-decoder.mjs [--random N] [--seed S] [--elf FILE]... [--limit N] [--show N]
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { decode } from '../dist/x86/decode/decoder.js';
import { opcodeRows } from '../dist/x86/decode/tables.js';
import { disassemble } from '../dist/x86/disassemble.js';

const { values: options } = parseArgs({
  options: {
    random: { type: 'string', default: '200000' },
    seed: { type: 'string', default: '1' },
    elf: { type: 'string', multiple: true, default: [] },
    limit: { type: 'string', default: '2000000' },
    show: { type: 'string', default: '40' },
  },
});

if (spawnSync('objdump', ['--version']).status !== 0) {
  console.log('judge-decoder: skipped, there is no objdump on this host');
  process.exit(0);
}

const MACHINES = { 64: 'i386:x86-64', 32: 'i386', 16: 'i8086' };
/** Every sample sits in its own slot, filled up with NOPs, so that a disagreement cannot spread. */
const SLOT = 32;

let seed = Number(options.seed) >>> 0 || 1;
function random(below) {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return (seed >>> 0) % below;
}

const LEGACY_PREFIXES = [0x66, 0x66, 0xf2, 0xf3, 0x67, 0xf0, 0x2e, 0x3e, 0x26, 0x36, 0x64, 0x65];
const ESCAPES = [[], [], [], [0x0f], [0x0f], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];
const MAP_BYTES = { '': [], '0f': [0x0f], '0f38': [0x0f, 0x38], '0f3a': [0x0f, 0x3a] };
const MANDATORY = { any: [], np: [], nfx: [], 66: [0x66], f3: [0xf3], f2: [0xf2] };

function tail() {
  return Array.from({ length: 12 }, () => (random(6) === 0 ? [0, 0xff, 0x80, 0x7f][random(4)] : random(256)));
}

/** Any opcode of any map behind up to two prefixes and, in 64-bit code, often REX. */
function randomSample(codeSize) {
  const bytes = [];
  const prefixes = [0, 0, 1, 1, 2][random(5)];
  for (let i = 0; i < prefixes; i++) bytes.push(LEGACY_PREFIXES[random(LEGACY_PREFIXES.length)]);
  if (codeSize === 64 && random(2) === 0) bytes.push(0x40 | random(16));
  return [...bytes, ...ESCAPES[random(ESCAPES.length)], ...tail()];
}

/** Every row of our tables under every prefix that may matter, with several ModRM bytes. */
function rowSamples(codeSize) {
  const samples = [];
  for (const row of opcodeRows) {
    for (let opcode = row.opcode; opcode < row.opcode + row.span; opcode++) {
      for (const prefix of [[], [0x66], [0x67], [0xf0], [0xf2], [0xf3], [0x65]]) {
        for (const rex of codeSize === 64 ? [[], [0x40], [0x41], [0x44], [0x48], [0x4f]] : [[]]) {
          for (const mod of [0, 1, 2, 3]) {
            const reg = row.reg >= 0 ? row.reg : random(8);
            const rm = row.rm >= 0 && mod === 3 ? row.rm : random(8);
            const modrm = (mod << 6) | (reg << 3) | rm;
            samples.push([
              ...prefix,
              ...MANDATORY[row.prefix],
              ...rex,
              ...MAP_BYTES[row.map],
              opcode,
              modrm,
              ...tail(),
            ]);
          }
        }
      }
    }
  }
  return samples;
}

const NOISE =
  /^((?:bnd|notrack|data16|addr32|addr16|cs|ds|es|ss|fs|gs|rex(?:\.[WRXB]+)?|xacquire|xrelease|lock|repz?|repnz) )+/;
const STRING = /^(movs|cmps|stos|lods|scas|ins|outs)\b/;

/** The text, ours or objdump's, without what only tells the encoding. */
function normalise(text) {
  let rest = text
    .replace(/\s*[#<].*$/, '')
    .replace(/\s+/g, ' ')
    .trim();
  const prefixes = NOISE.exec(rest)?.[0] ?? '';
  rest = rest.slice(prefixes.length);
  rest = rest
    .replace(/(^|[[+])[er]iz\*\d\+?/, '$1')
    .replace(/\+[er]iz\*\d/, '')
    // RIP-relative and 16-bit displacements are printed unsigned.
    .replace(/\+0x(f{8}[0-9a-f]{8}|f{4}[0-9a-f]{4}(?=\]))/, (_, digits) => {
      const bits = digits.length * 4;
      return `-0x${((1n << BigInt(bits)) - BigInt(`0x${digits}`)).toString(16)}`;
    })
    .replace(/[-+]0x0\]/, ']')
    .replace(/,1$/, ',0x1')
    .replace(/^xchg ax,ax$/, 'nop')
    .replace(/^(fldenv|fnstenv|frstor|fnsave)w/, '$1');
  if (rest.startsWith('movabs'))
    rest = rest.replace(/\w+ PTR /, '').replace(/(?<=:)0x[0-9a-f]{14,}/, (n) => `${Number(n)}`);
  const [name] = rest.split(' ');
  rest = (ALIASES.get(name) ?? name) + rest.slice(name.length);
  const lock = prefixes.includes('lock') ? 'lock ' : '';
  const repeat = !STRING.test(rest) ? '' : /rep/.exec(prefixes) === null ? '' : repeatName(rest, prefixes);
  return lock + repeat + rest;
}

function repeatName(text, prefixes) {
  const compares = /^(cmps|scas)/.test(text);
  return compares && prefixes.lastIndexOf('repnz') >= prefixes.lastIndexOf('repz') ? 'repnz ' : 'rep ';
}

/** One thing that the two of us name differently: [theirs or the manual's, common]. */
const ALIASES = new Map([
  ['pushfq', 'pushf'],
  ['popfq', 'popf'],
  ['prefetchwt1', 'prefetch'],
  ['pushad', 'pusha'],
  ['popad', 'popa'],
  ['pushfd', 'pushf'],
  ['popfd', 'popf'],
  ['iretd', 'iret'],
]);

function compare(bytes, codeSize, lengthTheirs, textTheirs, address) {
  const insn = decode(Uint8Array.from(bytes), 0, bytes.length, codeSize);
  if (insn === 'truncated') return { kind: 'truncated', ours: '' };
  const ours = disassemble(insn, address);
  if (textTheirs.includes('(bad)'))
    return insn.mnemonic === 'ud' || insn.mnemonic === 'gp' ? undefined : { kind: 'they-bad', ours };
  if (insn.mnemonic === 'ud' || insn.mnemonic === 'gp')
    return { kind: /\block /.test(textTheirs) ? 'lock-not-allowed' : 'we-bad', ours };
  if (insn.length !== lengthTheirs) return { kind: 'length', ours };
  const a = normalise(ours);
  const b = normalise(textTheirs);
  if (a === b) return undefined;
  return { kind: a.split(' ')[0] === b.split(' ')[0] ? 'operands' : 'mnemonic', ours };
}

/** Counts by kind, and shows the first few of every kind and mnemonic. */
class Report {
  counts = new Map();
  seen = new Map();
  total = 0;

  add(result, bytes, codeSize, theirs) {
    this.total++;
    if (result === undefined) return;
    if (result.kind === 'lock-not-allowed')
      return void this.counts.set(result.kind, (this.counts.get(result.kind) ?? 0) + 1);
    this.counts.set(result.kind, (this.counts.get(result.kind) ?? 0) + 1);
    const name = `${codeSize} ${result.kind} ${(result.kind === 'we-bad' ? theirs : result.ours).replace(NOISE, '').split(/\s/)[0]}`;
    const entry = this.seen.get(name) ?? { count: 0, first: '' };
    if (entry.count++ === 0)
      entry.first = `${Buffer.from(bytes).toString('hex')}  ours: ${result.ours}  theirs: ${theirs}`;
    this.seen.set(name, entry);
  }

  print(title) {
    console.log(`${title}: ${this.total} instructions, ${JSON.stringify(Object.fromEntries(this.counts))}`);
    const shown = [...this.seen].sort((a, b) => b[1].count - a[1].count).slice(0, Number(options.show));
    for (const [name, { count, first }] of shown)
      console.log(`  ${String(count).padStart(6)} ${name}\n         ${first}`);
  }
}

async function* lines(args) {
  const child = spawn('objdump', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  yield* createInterface({ input: child.stdout });
}

async function judgeSamples(samples, codeSize, title) {
  const directory = mkdtempSync(join(tmpdir(), 'judge-decoder-'));
  const image = Buffer.alloc(samples.length * SLOT, 0x90);
  for (const [index, sample] of samples.entries()) image.set(sample.slice(0, SLOT), index * SLOT);
  const file = join(directory, 'samples.bin');
  writeFileSync(file, image);
  const report = new Report();
  // objdump runs on through the filler: the next line's address gives the length of the sample.
  let pending;
  const args = [
    '-D',
    '-b',
    'binary',
    '-m',
    MACHINES[codeSize],
    '-M',
    'intel,intel64',
    '-w',
    '--no-show-raw-insn',
    file,
  ];
  for await (const line of lines(args)) {
    const match = /^\s*([0-9a-f]+):\t(.*)$/.exec(line);
    if (match === null) continue;
    const address = Number.parseInt(match[1], 16);
    if (pending !== undefined) {
      const bytes = image.subarray(pending.address, pending.address + SLOT);
      const result = compare(bytes, codeSize, address - pending.address, pending.text, BigInt(pending.address));
      report.add(result, bytes.subarray(0, 15), codeSize, pending.text);
      pending = undefined;
    }
    if (address % SLOT === 0) pending = { address, text: match[2] };
  }
  report.print(title);
  rmSync(directory, { recursive: true });
}

/** Every instruction that objdump finds in a program's code. */
async function judgeElf(file) {
  const report = new Report();
  const header = Buffer.alloc(20);
  readSync(openSync(file, 'r'), header, 0, 20, 0);
  const codeSize = header[4] === 2 ? 64 : 32;
  let left = Number(options.limit);
  for await (const line of lines(['-d', '-w', '-M', 'intel,intel64', file])) {
    const match = /^\s*([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*\t?(.*)$/.exec(line);
    if (match === null || match[3] === '') continue;
    if (left-- === 0) break;
    const raw = Buffer.from(match[2].replaceAll(' ', ''), 'hex');
    const bytes = Buffer.concat([raw, Buffer.alloc(16, 0x90)]);
    const rebased = match[3].replace(/ ([0-9a-f]+)(?= <|$)/, ' 0x$1');
    const result = compare(bytes, codeSize, raw.length, rebased, BigInt(`0x${match[1]}`));
    report.add(result, raw, codeSize, match[3]);
  }
  report.print(file);
}

for (const file of options.elf) await judgeElf(file);
if (options.elf.length === 0) {
  for (const codeSize of [64, 32, 16]) {
    await judgeSamples(rowSamples(codeSize), codeSize, `rows, ${codeSize}-bit`);
    const samples = Array.from({ length: Number(options.random) }, () => randomSample(codeSize));
    await judgeSamples(samples, codeSize, `random, ${codeSize}-bit`);
  }
}
