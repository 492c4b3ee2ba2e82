// Compares the integer definitions, run by the slow evaluator, with this host's processor: random instructions in random
// states, in 64- and 32-bit code. Needs Linux on x86-64 and a C compiler; elsewhere says so and succeeds.
//   node tools/judge-integer.mjs [--count N] [--seed S] [--show N] [--mode 64|32] [--strict] [--record FILE]
// --strict lists undefined flags that differ; --record writes what the processor answered, for hosts without one.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { disassemble } from '../dist/x86/disassemble.js';
import { difference } from '../test/isa/difference.mjs';
import { randomInstruction, randomSource, randomState } from '../test/isa/forms.mjs';
import { START, TestMachine } from '../test/isa/machine.mjs';
import { writeLine } from '../test/isa/recorded.mjs';

const { values: options } = parseArgs({
  options: {
    count: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    show: { type: 'string', default: '20' },
    mode: { type: 'string', default: '' },
    strict: { type: 'boolean', default: false },
    record: { type: 'string', default: '' },
  },
});

if (process.platform !== 'linux' || process.arch !== 'x64' || spawnSync('cc', ['--version']).status !== 0) {
  console.log('judge-integer: skipped, this host is not Linux on x86-64 with a C compiler');
  process.exit(0);
}

const REQUEST = 16 * 8 + 8 + 8 + 16 + 256 + 256;
const ANSWER = 16 * 8 + 5 * 8 + 256 + 256;

function writeRequest(buffer, at, { state, bits, code }) {
  for (let n = 0; n < 16; n++) buffer.writeBigUInt64LE(state.gpr[n], at + 8 * n);
  buffer.writeBigUInt64LE(state.flags, at + 128);
  buffer.writeBigUInt64LE(BigInt(bits), at + 136);
  buffer.fill(0xcc, at + 144, at + 160);
  buffer.set(code, at + 144);
  buffer.set(state.window, at + 160 + 256);
}

function readAnswer(buffer, at) {
  const word = (n) => buffer.readBigUInt64LE(at + n);
  return {
    gpr: Array.from({ length: 16 }, (_, n) => word(8 * n)),
    flags: word(128),
    rip: BigInt.asUintN(64, word(136) + 0x24000000n),
    trap: Number(word(144)),
    window: buffer.subarray(at + 168 + 256, at + ANSWER),
  };
}

const directory = mkdtempSync(join(tmpdir(), 'trapeze-judge-'));
const program = join(directory, 'execute');
const source = fileURLToPath(new URL('native/execute.c', import.meta.url));
const built = spawnSync('cc', ['-O1', '-o', program, source], { encoding: 'utf8' });
if (built.status !== 0) throw new Error(built.stderr);

const r = randomSource(Number(options.seed));
const modes = options.mode === '' ? [64, 64, 32] : [Number(options.mode)];
const cases = Array.from({ length: Number(options.count) }, () => {
  const bits = r.pick(modes);
  const { code, isRepeated } = randomInstruction(r, bits);
  const stateSeed = r.next();
  return { bits, code, stateSeed, isRepeated, state: randomState(randomSource(stateSeed), bits, isRepeated) };
});
const input = Buffer.alloc(cases.length * REQUEST);
for (const [n, c] of cases.entries()) writeRequest(input, n * REQUEST, c);
const { stdout, status, signal } = spawnSync(program, { input, maxBuffer: 1 << 30 });
rmSync(directory, { recursive: true });
if (status !== 0) console.log(`the native side ended with ${status ?? signal}`);

const machine = new TestMachine();
const failures = new Map();
const strictFlags = new Map();
const recorded = [];
let compared = 0;
for (const [n, c] of cases.entries()) {
  if ((n + 1) * ANSWER > stdout.length) break;
  const native = readAnswer(stdout, n * ANSWER);
  // An INT3 after the instruction ends it; RIP is behind that.
  if (native.trap === 3) native.rip -= 1n;
  machine.set(c.state, c.bits);
  let ours;
  try {
    ours = machine.run(c.code, c.bits);
  } catch (e) {
    note(failures, String(e.message).slice(0, 60), c, undefined, native);
    continue;
  }
  if (ours.insn.mnemonic === 'ud') continue;
  compared++;
  const wrong = difference(ours, native, c, (name) => strictFlags.set(name, (strictFlags.get(name) ?? 0) + 1));
  if (wrong === '') recorded.push(writeLine(c, native));
  if (wrong !== '') note(failures, `${ours.insn.mnemonic} ${wrong}`, c, ours, native);
}

function note(map, name, c, ours, native) {
  if (!map.has(name)) map.set(name, []);
  map.get(name).push({ c, ours, native });
}

const hex = (v) => v.toString(16);
let shown = 0;
for (const [name, list] of failures) {
  if (shown++ >= Number(options.show)) break;
  const { c, ours, native } = list[0];
  console.log(
    `${name}: ${list.length}; ${c.bits}-bit ${Buffer.from(c.code).toString('hex')} ${ours ? disassemble(ours.insn, BigInt(START)) : ''}`,
  );
  console.log('  before', c.state.gpr.map(hex).join(' '), hex(c.state.flags));
  if (ours) console.log('  ours  ', ours.gpr.map(hex).join(' '), hex(ours.flags), ours.trap, hex(ours.rip));
  console.log('  native', native.gpr.map(hex).join(' '), hex(native.flags), native.trap, hex(native.rip));
}
if (options.strict)
  console.log('undefined flags that differ:', [...strictFlags].map(([k, v]) => `${k}: ${v}`).join(', '));
if (options.record !== '') writeFileSync(options.record, `${recorded.join('\n')}\n`);
const total = [...failures.values()].reduce((sum, list) => sum + list.length, 0);
console.log(`judge-integer: ${compared} compared, ${total} differ`);
process.exitCode = total > 0 || compared < cases.length * 0.8 ? 1 : 0;
