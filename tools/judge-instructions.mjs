// Compares every form of every instruction with this host's processor in user mode: 64-bit code in a 64-bit process,
// 32-bit and 16-bit code (by the local descriptor table) in a 32-bit one. Needs Linux on x86-64 and gcc with its 32-bit
// target; elsewhere says so and succeeds. A 64-bit kernel offers no virtual-8086 mode (vm86 answers ENOSYS): the answers to
// 16-bit code judge our virtual-8086 and real mode, for instructions that look at neither selectors nor privilege.
//   node tools/judge-instructions.mjs [--count CASES] [--seed S] [--show N] [--mode 64|32|16] [--only REGEX]
//     [--tier translator] [--write] [--list]
// --write: what was judged also into test/instruction/judged.json, for the reference. --list: the forms nobody judged.
import { parseArgs } from 'node:util';
import { disassemble } from '../dist/x86/disassemble.js';
import { formsOf } from '../test/instruction/forms.mjs';
import { Judge } from '../test/instruction/judge.mjs';
import { MODES, REAL, RECORD, VIRTUAL } from '../test/instruction/layout.mjs';
import { hostFlags, hostModel, hostVendor } from '../test/instruction/native.mjs';
import { rowKey, unjudgedForms, writeSummary } from '../test/instruction/summary.mjs';

const { values: options } = parseArgs({
  options: {
    count: { type: 'string', default: '1200000' },
    seed: { type: 'string', default: '1' },
    show: { type: 'string', default: '20' },
    mode: { type: 'string', default: '' },
    only: { type: 'string', default: '.' },
    tier: { type: 'string', default: 'interpreter' },
    write: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
});

const judge = new Judge({ hotThreshold: options.tier === 'translator' ? 1 : 0 });
if (judge.reason !== undefined) {
  console.log(`judge-instructions: skipped, ${judge.reason}`);
  process.exit(0);
}
const modes = Object.values(MODES).filter(({ bits }) => options.mode === '' || bits === Number(options.mode));
const only = new RegExp(options.only);
const LOOKS = 'looks at selectors, privilege or the mode: 16-bit protected code cannot tell';
for (const mode of modes) {
  const started = performance.now();
  judge.run(mode, Math.ceil(Number(options.count) / modes.length), Number(options.seed), only);
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  for (const counted of mode.bits === 16 ? [mode, VIRTUAL, REAL] : [mode]) tell(counted, seconds);
}
function tell(mode, seconds) {
  const { forms, cases, explained, wrong } = judge.counts(mode);
  console.log(
    `${mode.name}: ${forms} forms, ${cases} cases, ${explained} differ as explained, ${wrong} unexpectedly (${seconds} s)`,
  );
}

function show(name, { count, c, text, record, trap }) {
  const view = new DataView(record.buffer, record.byteOffset, RECORD.SIZE);
  const word = (at) => view.getBigUint64(at, true).toString(16);
  const half = (at) => view.getUint16(at, true).toString(16);
  const selectors = Array.from({ length: 6 }, (_, n) => half(RECORD.SELECTOR + 2 * n));
  const operands = c.addresses.map((address) => address.toString(16)).join(' ');
  console.log(`${name}: ${count}`);
  console.log(`  ${Buffer.from(c.code).toString('hex')}  ${disassemble(c.insn, BigInt(c.place))}  ${text}`);
  console.log(`  ${Array.from({ length: 16 }, (_, n) => word(8 * n)).join(' ')} flags ${word(RECORD.FLAGS)}`);
  console.log(`  at ${word(RECORD.RIP)} segments ${selectors.join(' ')} operands ${operands} vector ${trap}`);
  const [fcw, fsw, ftw] = [RECORD.FX, RECORD.FX + 2, RECORD.FX + 4].map(half);
  console.log(`  fcw ${fcw} fsw ${fsw} ftw ${ftw} mxcsr ${view.getUint32(RECORD.FX + 24, true).toString(16)}`);
}
for (const [name, failure] of [...judge.failures].slice(0, Number(options.show))) show(name, failure);

const traps = [...judge.traps].sort(([a], [b]) => a - b).map(([vector, count]) => `${vector}: ${count}`);
console.log(`vectors: ${traps.join(', ')} (3 is the INT3 behind the instruction)`);
for (const [why, count] of judge.explained) console.log(`explained: ${why}: ${count}`);
const undefinedFlags = [...judge.undefinedFlags].sort().map(([name, flags]) => `${name} ${flags.toString(16)}`);
console.log(`undefined flags that ${hostModel} sets otherwise: ${undefinedFlags.join(', ')}`);

const unjudged = {};
for (const mode of modes) {
  for (const [why, forms] of unjudgedForms(mode, hostFlags, hostVendor)) {
    const list = [...new Set(forms.map(({ mnemonic }) => mnemonic))];
    unjudged[mode.name] = { ...unjudged[mode.name], [why]: list };
    console.log(`without an outside judge, ${mode.name}: ${forms.length} forms (${why}): ${list.join(' ')}`);
    if (options.list) for (const form of forms) console.log(`  ${form.name}`);
  }
}

for (const mode of [VIRTUAL, REAL]) {
  const seen = judge.formsOf(mode);
  if (seen.size === 0) continue;
  const left = formsOf(mode.bits).filter((form) => ![...seen.keys()].some(({ name }) => name === form.name));
  const list = [...new Set(left.map(({ mnemonic }) => mnemonic))];
  unjudged[mode.name] = { [LOOKS]: list };
  console.log(`without an outside judge here, ${mode.name}: ${left.length} forms (${LOOKS}): ${list.join(' ')}`);
}
console.log(
  'virtual-8086 and real mode: a 64-bit kernel does not offer them (vm86 answers ENOSYS); judged by the answers to 16-bit ' +
    'code where those hold, else by QEMU (npm run judge -- system)',
);

const judged = [...modes, VIRTUAL, REAL].filter((mode) => judge.formsOf(mode).size > 0);
const totals = judged.map((mode) => judge.counts(mode));
const sum = (field) => totals.reduce((total, counts) => total + counts[field], 0);
if (options.write) {
  const counts = {};
  for (const mode of judged) {
    for (const [form, cases] of judge.formsOf(mode)) {
      const key = rowKey(form.row);
      counts[key] ??= {};
      const row = counts[key];
      row[mode.key] = (row[mode.key] ?? 0) + cases;
    }
  }
  writeSummary({
    host: hostModel,
    date: new Date().toISOString().slice(0, 10),
    seed: Number(options.seed),
    modes: Object.fromEntries(judged.map((mode, n) => [mode.name, { forms: totals[n].forms, cases: totals[n].cases }])),
    counts,
    unjudged,
    explained: Object.fromEntries([...judge.explained].sort()),
    undefinedFlags: Object.fromEntries([...judge.undefinedFlags].sort().map(([k, v]) => [k, `0x${v.toString(16)}`])),
  });
}
console.log(
  `judge-instructions: ${sum('cases')} cases of ${sum('forms')} forms in ${judged.length} modes compared, ` +
    `${sum('explained')} differ as explained, ${sum('wrong')} unexpectedly`,
);
process.exitCode = sum('wrong') === 0 ? 0 : 1;
