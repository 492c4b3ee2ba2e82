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
import { disassemble } from '../dist/x86/disassemble.js';
import { randomSamples, rowSamples } from './decoder-samples.mjs';

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

/** Differences of text or length that are objdump's own, or no difference: [ours, theirs, reason]. */
const EXPECTED = [
  [
    /^nop/,
    /bnd|cldemote|nop|rdssp|endbr|prefetch/,
    'hint no-operations that are named only where their feature is offered',
  ],
  [/^xchg/, /pause/, 'PAUSE with REX.B'],
  [/^wbinvd/, /wbnoinvd/, 'WBNOINVD is WBINVD where it is not offered'],
  [/^vmmcall/, /vmgexit/, 'VMGEXIT is VMMCALL'],
  [/^mov(q2dq|dq2q)/, /mov(q2dq|dq2q)/, 'objdump takes a 66 beside F2 or F3 for the mandatory prefix'],
  [/^fwait/, /^(rep\w* )?f/, 'objdump prints FWAIT and the next instruction as one'],
  [/^movabs/, /movabs/, 'a moffs beyond 2^53 is rounded: it is not canonical'],
  [/^movsxd/, /movsxd/, 'REX.W wins over 66'],
  [
    /^(pcmpestr|p?movmsk|pclmul)/,
    /pcmpestr|p?movmsk|pclmul/,
    'objdump shows REX.W, and reads only two bits of the immediate',
  ],
  [/^(rd|wr)[fg]sbase/, /[fg]sbase/, '66 has no meaning here'],
  [/^(call|jmp)/, /notrack/, 'NOTRACK, which is a DS override'],
  [/.*/, /[er]iz|ds ds|ds:\[[er]bp\*/, 'an absolute address, printed signed'],
];

const NOISE =
  /^((?:bnd|notrack|data16|data32|addr32|addr16|cs|ds|es|ss|fs|gs|rex(?:\.[WRXB]+)?|xacquire|xrelease|lock|repz?|repnz) )+/;
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
    .replace(/\+[er]iz\*\d/, '')
    .replace(/\[[er]iz\*\d\+(0x\w+)\]/, (_, digits) => `[${digits}]`)
    // RIP-relative and 16-bit displacements are printed unsigned.
    .replace(/\+0x(f{8}[0-9a-f]{8}|f{4}[0-9a-f]{4}(?=\]))/, (_, digits) => {
      const bits = digits.length * 4;
      return `-0x${((1n << BigInt(bits)) - BigInt(`0x${digits}`)).toString(16)}`;
    })
    .replace(/[-+]0x0\]/, ']')
    .replace(/,1$/, ',0x1')
    .replace(/^xchg (\w+),\1$/, 'nop')
    .replace(/ only\)$/, '')
    .replace(/^(push|pop)w /, '$1 ')
    .replace(/^(fldenv|fnstenv|frstor|fnsave)[wd]/, '$1');
  if (rest.startsWith('movabs'))
    rest = rest.replace(/\w+ PTR /, '').replace(/(?<=:)0x[0-9a-f]{14,}/, (n) => `${Number(n)}`);
  // What objdump leaves unsized, or sizes by the operand-size prefix where only 16 bits count.
  rest = rest
    .replace(/^((?:lddqu|invpcid|invlpg|bound|movntdqa|s[gi]dt|l[gi]dt|monitor)\b.*?)\w+ PTR /, '$1')
    .replace(/^(mov (?:es|cs|ss|ds|fs|gs|\?),)[er]?([a-d]x|[sd]i|[sb]p|r\d+)[dw]?$/, '$1$2')
    .replace(/^((?:lar|lsl) \w+,)[er]?([a-d]x|[sd]i|[sb]p|r\d+)[dw]?$/, '$1$2')
    .replace(/^((?:lldt|ltr|verr|verw|lmsw) )[er]?([a-d]x|[sd]i|[sb]p|r\d+)[dw]?$/, '$1$2')
    .replace(/(?:ds:)?\[(0x\w+)\]/, 'ds:$1')
    .replace(/([c-g]s):ds:/, '$1:')
    .replace('OWORD PTR', 'XMMWORD PTR')
    .replace('XMMXMMWORD', 'XMMWORD');
  rest = rest
    .replace(
      /^(pusha|popa|pushf|popf|enter|leave|ret|retf|iret|call|jmp|push|pop|[sl][gi]dt|j[a-z]+)[wdl](?= |$)/,
      stackName,
    )
    .replace(/ds:(?=\[(?![er]?[bs]p))/, '')
    .replace(/ss:(?=\[[er]?[bs]p)/, '')
    .replace(/^mov (\w+ PTR )?(.*[de]s:0x|.*[csfg]s:0x)/, 'mov $2')
    .replace(/^(mov [^,]*,)\w+ PTR (?=[a-z]s:0x)/, '$1')
    .replace(/st\(0\)/g, 'st')
    .replace(/^((?:call|jmp|l[defgs]s) .*?)(?:FWORD|TBYTE|DWORD) PTR /, '$1');
  const [name] = rest.split(' ');
  rest = (ALIASES.get(name) ?? name) + rest.slice(name.length);
  const lock = prefixes.includes('lock') ? 'lock ' : '';
  const repeat = !STRING.test(rest) ? '' : /rep/.exec(prefixes) === null ? '' : repeatName(rest, prefixes);
  return lock + repeat + rest;
}

/** Without the size letter that objdump adds to what the stack or the operand size decides; condition codes end so, too. */
function stackName(whole, name) {
  return CONDITIONAL.has(whole) ? whole : name;
}
const CONDITIONAL = new Set(['jl', 'pushad', 'popad', 'pushfd', 'popfd', 'iretd']);

function repeatName(text, prefixes) {
  const compares = /^(cmps|scas)/.test(text);
  return compares && prefixes.lastIndexOf('repnz') >= prefixes.lastIndexOf('repz') ? 'repnz ' : 'rep ';
}

/** One thing that the two of us name differently: [theirs or the manual's, common]. */
const ALIASES = new Map([
  ['sysretd', 'sysret'],
  ['sysretq', 'sysret'],
  ['sysexitd', 'sysexit'],
  ['sysexitq', 'sysexit'],
  ['retfq', 'retf'],
  ['retfw', 'retf'],
  ['fneni(8087', 'fneni'],
  ['fndisi(8087', 'fndisi'],
  ['fnsetpm(287', 'fnsetpm'],
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
  if (/^((data16|data32|addr32|addr16|rex(\.[WRXB]+)?|rep\w*|lock|[cdefgs]s) ?)+$/.test(textTheirs))
    return { kind: 'split', ours: '' };
  if (insn === 'truncated') return { kind: 'truncated', ours: '' };
  const ours = disassemble(insn, address);
  if (textTheirs.includes('(bad)'))
    return insn.mnemonic === 'ud' || insn.mnemonic === 'gp' ? undefined : { kind: 'they-bad', ours };
  if (insn.mnemonic === 'ud' || insn.mnemonic === 'gp')
    return { kind: /\block /.test(textTheirs) ? 'lock-not-allowed' : 'we-bad', ours };
  if (insn.length !== lengthTheirs) return { kind: /^fwait/.test(ours) ? 'expected' : 'length', ours };
  // objdump does not wrap a target at 64 KiB.
  const target = insn.operands[0];
  const wrap = (text) => (target?.kind === 'rel' && target.size === 2 ? text.replace(/0x\w*?(\w{1,4})$/, '$1') : text);
  const a = wrap(normalise(ours)).replace(/ 0+(?=\w)/, ' ');
  const b = wrap(normalise(textTheirs)).replace(/ 0+(?=\w)/, ' ');
  if (a === b) return undefined;
  const known = EXPECTED.find(([mine, other]) => mine.test(a) && other.test(textTheirs));
  if (known !== undefined) return { kind: 'expected', ours };
  return { kind: a.split(' ')[0] === b.split(' ')[0] ? 'operands' : 'mnemonic', ours };
}

/** Whether an encoding is defined is for judge-decoder-native to say: objdump knows all features of all processors. */
const FAILURES = new Set(['length', 'mnemonic', 'operands', 'truncated']);
let failures = 0;

/** Counts by kind, and shows the first few of every kind and mnemonic. */
class Report {
  counts = new Map();
  seen = new Map();
  total = 0;

  add(result, bytes, codeSize, theirs) {
    this.total++;
    if (result === undefined) return;
    this.counts.set(result.kind, (this.counts.get(result.kind) ?? 0) + 1);
    if (!FAILURES.has(result.kind)) return;
    failures++;
    const name = `${codeSize} ${result.kind} ${result.ours.replace(NOISE, '').split(/\s/)[0]}`;
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
  try {
    yield* createInterface({ input: child.stdout });
  } finally {
    child.kill();
  }
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
    await judgeSamples(rowSamples(codeSize, options.seed), codeSize, `rows, ${codeSize}-bit`);
    const samples = randomSamples(codeSize, Number(options.random), options.seed);
    await judgeSamples(samples, codeSize, `random, ${codeSize}-bit`);
  }
}
if (failures > 0) {
  console.log(`${failures} unexpected differences`);
  process.exitCode = 1;
}
