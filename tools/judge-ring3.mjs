// Compares user-mode instructions with this host's processor as a guest under KVM sees it: in ring 3 with page tables and
// handlers of its own, so that exact page-fault addresses and error codes, alignment checks and the state of interrupted
// string instructions can be compared, which a process of the host does not see. Needs /dev/kvm; elsewhere says so and succeeds.
//   node tools/judge-ring3.mjs [--count N] [--seed S] [--show N] [--only REGEX]
// --count: integer cases; each form of the other instructions gets a hundredth of that.
import { parseArgs } from 'node:util';
import { decode } from '../dist/x86/decode/decoder.js';
import { disassemble } from '../dist/x86/disassemble.js';
import { kvm } from '../test/engine/engines.mjs';
import { BATCH, NO_TRAP, READ_ONLY, RECORD, Ring3Runner, START, SUPERVISOR, UNMAPPED } from '../test/engine/ring3.mjs';
import { randomSource as floatSource } from '../test/float/native.mjs';
import { randomInstruction, randomSource, randomState } from '../test/isa/forms.mjs';
import { undefinedFlags } from '../test/isa/undefined-flags.mjs';
import { forms } from '../test/simd/forms.mjs';
import { CASE_SIZE, writeCase } from '../test/simd/state.mjs';

const { values: options } = parseArgs({
  options: {
    count: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    show: { type: 'string', default: '20' },
    only: { type: 'string', default: '' },
  },
});
if (!kvm.usable) {
  console.log(`judge-ring3: skipped, ${kvm.problem}`);
  process.exit(0);
}

/** Their last bits are each processor's own. */
const APPROXIMATE = /^(rcp|rsqrt|f2xm1|fyl2x|fyl2xp1|fptan|fpatan|fsin|fsincos|fcos)/;
/** Not offered to guests, or told apart by the processor's generation only. */
const NOT_OURS = /^(aes|pclmul|sha|fxsave|fxrstor|xsave|xrstor|ud)/;
const JUMPS = /^(j|call|ret|loop|ud|int)/;
/** RFLAGS that user code sees: status flags, DF, AC. */
const FLAGS = 0x40cd5n;
const FX_FIELDS = [
  ['fcw', 0, 2],
  ['fsw', 2, 2],
  ['ftw', 4, 1],
  ['mxcsr', 24, 4],
  ...Array.from({ length: 8 }, (_, n) => [`st${n}`, 32 + 16 * n, 10]),
  ...Array.from({ length: 16 }, (_, n) => [`xmm${n}`, 160 + 16 * n, 16]),
];
const HARD_PLACES = [
  READ_ONLY,
  READ_ONLY + 4090,
  READ_ONLY - 3,
  SUPERVISOR,
  SUPERVISOR + 4093,
  UNMAPPED,
  0x10001ff9,
  0x10001ffc,
  0x0fffffff,
];

const engines = { dbt: new Ring3Runner('dbt'), kvm: new Ring3Runner('kvm') };

function fill(view, at, code, jumps, state) {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, RECORD.SIZE);
  for (let n = 0; n < 16; n++) view.setBigUint64(at + 8 * n, state.gpr[n], true);
  view.setBigUint64(at + RECORD.FLAGS, state.flags, true);
  bytes.set(engines.dbt.slot(code, jumps), RECORD.CODE);
  bytes.set(state.fx, RECORD.FX);
  bytes.set(state.window, RECORD.WINDOW);
  bytes.set(state.memory, RECORD.MEMORY);
}

function plainFx() {
  const fx = new Uint8Array(512);
  new DataView(fx.buffer).setUint16(0, 0x37f, true);
  new DataView(fx.buffer).setUint32(24, 0x1f80, true);
  return fx;
}

const NONE = new Uint8Array(256);
const PLAIN_FX = plainFx();

function integerCase(r) {
  const { code, isRepeated } = randomInstruction(r, 64);
  const state = { ...randomState(r, 64, isRepeated), fx: PLAIN_FX, memory: NONE };
  // Alignment checks, and pointers to where something is in the way.
  if (r.below(6) === 0) state.flags |= 0x40000n;
  for (const n of [3, 4, 5, 6, 7]) {
    if (r.below(10) !== 0) continue;
    state.gpr[n] =
      r.below(3) === 0 ? 0x8000_0000_0000_0000n >> BigInt(r.below(20)) : BigInt(r.pick(HARD_PLACES) + r.below(9) - 4);
  }
  return { code, state };
}

function simdCase(form, random) {
  const view = new DataView(new ArrayBuffer(CASE_SIZE));
  const code = form.encode(random);
  writeCase(view, 0, code, random, {
    bits: 64,
    unmasked: true,
    x87Masked: /^(fu?comip?$|dpp)/.test(form.mnemonic),
    misaligned: true,
    crossing: !form.mnemonic.startsWith('maskmov'),
    usesRdi: form.mnemonic.startsWith('maskmov'),
    sameAgain: random.below(8) === 0,
  });
  if (form.mnemonic === 'ldmxcsr') {
    for (let k = 672; k < 928; k += 4) view.setUint32(k, view.getUint32(k, true) & 0xffff, true);
  }
  const gpr = Array.from({ length: 16 }, (_, n) => view.getBigUint64(24 + 8 * n, true));
  gpr[4] = 0x10000fc0n;
  const bytes = new Uint8Array(view.buffer);
  return {
    code: Uint8Array.from(code),
    state: {
      gpr,
      flags: view.getBigUint64(152, true),
      fx: bytes.slice(160, 672),
      window: NONE,
      memory: bytes.slice(672, 928),
    },
  };
}

function differences(dbt, theirs, at, insn, state) {
  const ours = new DataView(dbt.buffer, dbt.byteOffset + at, RECORD.SIZE);
  const host = new DataView(theirs.buffer, theirs.byteOffset + at, RECORD.SIZE);
  const word = (view, offset) => view.getBigUint64(offset, true);
  const trap = Number(word(ours, RECORD.TRAP));
  const hostTrap = Number(word(host, RECORD.TRAP));
  if (trap !== hostTrap) return `vector ${trap}, host ${hostTrap}`;
  const fields = [['rip', RECORD.RIP]];
  if (trap !== NO_TRAP) fields.push(['error code', RECORD.ERROR]);
  if (trap === 14) fields.push(['cr2', RECORD.CR2]);
  for (let n = 0; n < 16; n++) fields.push([`r${n}`, RECORD.GPR + 8 * n]);
  for (let n = 0; n < 64; n++) fields.push([`memory ${8 * n}`, RECORD.WINDOW + 8 * n]);
  const loose = undefinedFlags(insn, state);
  const isUndefinedShift = /^sh[lr]d$/.test(insn.mnemonic) && loose === 0x8d5n;
  if (!isUndefinedShift) {
    for (const [name, offset] of fields) {
      const [a, b] = [word(ours, offset), word(host, offset)];
      if (a !== b) return `${name} ${a.toString(16)}, host ${b.toString(16)}`;
    }
  }
  const flags = (word(ours, RECORD.FLAGS) ^ word(host, RECORD.FLAGS)) & FLAGS & ~(trap === NO_TRAP ? loose : 0n);
  if (flags !== 0n) {
    return `flags ${word(ours, RECORD.FLAGS).toString(16)}, host ${word(host, RECORD.FLAGS).toString(16)}`;
  }
  if (APPROXIMATE.test(insn.mnemonic)) return '';
  const hex = (view, from, size) =>
    Buffer.from(view.buffer, view.byteOffset + RECORD.FX + from, size)
      .reverse()
      .toString('hex');
  for (const [name, from, size] of FX_FIELDS) {
    const [a, b] = [hex(ours, from, size), hex(host, from, size)];
    if (a !== b) return `${name} ${a}, host ${b}`;
  }
  return '';
}

/** Why this host and the manual (or this host and our profile) part ways, or undefined. */
function known({ insn, state }, what, trap, hostTrap) {
  // Where ring 0 is emulated, KVM looks at the instruction behind a #GP itself: it knows few, and where the target of a jump
  // is not canonical it tells of the jump. As a process of the host, this processor faults at the target (judge-integer).
  const emulates = !kvm.capabilities.ring0Native;
  if (emulates && JUMPS.test(insn.mnemonic) && trap === 13 && hostTrap === 13 && what.startsWith('rip')) {
    return "this host's KVM tells of a jump, not of its target";
  }
  if (emulates && trap === 13 && hostTrap === 6) return "this host's KVM turns #GP into #UD";
  // Which byte of a long operand is looked at first is each processor's matter.
  if (/^(fldenv|fn?stenv|frstor|fn?save)$/.test(insn.mnemonic) && what.startsWith('cr2'))
    return 'x87 environment across a page';
  // Several faults at once: neither manual says which comes first.
  const isAddress = (vector) => [12, 13, 14, 17].includes(vector);
  if (/^(cmps|movs|cmpxchg16b)$/.test(insn.mnemonic) && isAddress(trap) && isAddress(hostTrap)) {
    return 'two faults of one instruction';
  }
  // The first bytes lie in the canonical half, the last do not.
  const isAtEdge = state.gpr.some((value) => value > 0x7fffffffff00n && value < 0x800000000100n);
  if (isAtEdge && isAddress(trap) && isAddress(hostTrap)) return 'an access across the end of the canonical addresses';
  // SDM Vol. 2B, "SCAS": "the EFLAGS value is restored to the state prior to the execution"; this processor leaves the last one's.
  if (/^(cmps|scas)$/.test(insn.mnemonic) && trap !== NO_TRAP && what.startsWith('flags')) {
    return 'flags of a repeated comparison that faults';
  }
  return undefined;
}

const explained = new Map();
const failures = new Map();
const traps = new Map();
const covered = new Set();
let compared = 0;

function judge(cases) {
  const input = new DataView(new ArrayBuffer(cases.length * RECORD.SIZE));
  for (const [n, { code, insn, state }] of cases.entries()) {
    fill(input, n * RECORD.SIZE, code, JUMPS.test(insn.mnemonic), state);
  }
  const bytes = new Uint8Array(input.buffer);
  const ours = engines.dbt.run(bytes, cases.length);
  const host = engines.kvm.run(bytes, cases.length);
  for (const [n, c] of cases.entries()) {
    compared++;
    covered.add(c.form ?? c.insn.mnemonic);
    const vector = Number(new DataView(host.records.buffer).getBigUint64(n * RECORD.SIZE + RECORD.TRAP, true));
    traps.set(vector, (traps.get(vector) ?? 0) + 1);
    const what = differences(ours.records, host.records, n * RECORD.SIZE, c.insn, c.state);
    if (what === '') continue;
    const ourVector = Number(new DataView(ours.records.buffer).getBigUint64(n * RECORD.SIZE + RECORD.TRAP, true));
    const why = known(c, what, ourVector, vector);
    if (why !== undefined) {
      explained.set(why, (explained.get(why) ?? 0) + 1);
      continue;
    }
    const name = `${c.insn.mnemonic}: ${what.replace(/ [0-9a-f]+, host.*| [0-9a-f]{3,}.*/, '')}`;
    failures.set(name, [...(failures.get(name) ?? []), { ...c, what }]);
  }
  // Stray writes show in the pages around the windows.
  if (Buffer.compare(ours.pages, host.pages) !== 0) {
    failures.set('memory beside the windows', [...(failures.get('memory beside the windows') ?? []), undefined]);
  }
}

function* allCases() {
  const only = new RegExp(options.only || '.');
  const r = randomSource(Number(options.seed));
  const wanted = Number(options.count);
  for (let n = 0; n < wanted; n++) {
    const c = integerCase(r);
    const insn = decode(c.code, 0, c.code.length, 64);
    if (insn === 'truncated' || NOT_OURS.test(insn.mnemonic) || !only.test(insn.mnemonic)) continue;
    yield { ...c, insn };
  }
  const random = floatSource(Number(options.seed) + 99);
  for (const form of forms(64)) {
    if (NOT_OURS.test(form.mnemonic) || !only.test(form.mnemonic)) continue;
    for (let n = 0; n < Math.ceil(wanted / 100); n++) {
      const c = simdCase(form, random);
      const insn = decode(c.code, 0, c.code.length, 64);
      if (insn === 'truncated' || NOT_OURS.test(insn.mnemonic)) continue;
      yield { ...c, insn, form: form.name };
    }
  }
}

let batch = [];
for (const c of allCases()) {
  batch.push(c);
  if (batch.length === BATCH) {
    judge(batch);
    batch = [];
  }
}
if (batch.length > 0) judge(batch);

let shown = 0;
for (const [name, list] of failures) {
  if (shown++ >= Number(options.show)) break;
  const c = list[0];
  console.log(`${name}: ${list.length}`);
  if (c === undefined) continue;
  console.log(`  ${Buffer.from(c.code).toString('hex')}  ${disassemble(c.insn, BigInt(START))}  ${c.what}`);
  console.log(`  ${c.state.gpr.map((v) => v.toString(16)).join(' ')} flags ${c.state.flags.toString(16)}`);
}
const faults = [...traps].filter(([vector]) => vector !== NO_TRAP);
console.log(`exceptions: ${faults.map(([vector, count]) => `vector ${vector}: ${count}`).join(', ')}`);
for (const [why, count] of explained) console.log(`explained: ${why}: ${count}`);
const wrong = [...failures.values()].reduce((sum, list) => sum + list.length, 0);
console.log(`${compared} compared, ${covered.size} forms, ${wrong} differ unexpectedly`);
for (const runner of Object.values(engines)) runner.close();
process.exitCode = wrong === 0 ? 0 : 1;
