// Runs the same cases on the slow evaluator, the interpreter and the translator, and names what differs.
import { decode } from '../../dist/x86/decode/decoder.js';
import { disassemble } from '../../dist/x86/disassemble.js';
import { EngineMachine } from './engine.mjs';
import { randomInstruction, randomSource, randomState } from './forms.mjs';
import { DOES_NOT_END, START, TestMachine } from './machine.mjs';

function difference(x, y, bits) {
  if (x.trap !== y.trap) return `trap ${x.trap} ${y.trap}`;
  if (x.rip !== y.rip) return `rip ${x.rip.toString(16)} ${y.rip.toString(16)}`;
  const mask = bits === 32 ? 0xffffffffn : 0xffffffffffffffffn;
  for (let n = 0; n < (bits === 32 ? 8 : 16); n++) {
    if ((x.gpr[n] & mask) !== (y.gpr[n] & mask)) return `r${n} ${x.gpr[n].toString(16)} ${y.gpr[n].toString(16)}`;
  }
  // RF is set in the frame of a fault.
  const flags = (x.flags ^ y.flags) & 0xcd5n;
  if (flags !== 0n) return `flags ${(x.flags & 0xcd5n).toString(16)} ${(y.flags & 0xcd5n).toString(16)}`;
  return Buffer.compare(x.window, y.window) === 0 ? '' : 'memory';
}

const isAccessFault = (trap) => trap === 12 || trap === 13 || trap === 14 || trap === -2;

export function compareCases(count, seed) {
  const r = randomSource(seed);
  const slow = new TestMachine();
  const engines = [
    ['interpreter', new EngineMachine(0), 1],
    ['translator', new EngineMachine(1), 3],
  ];
  const wrong = [];
  let compared = 0;
  for (let n = 0; n < count; n++) {
    const bits = r.pick([64, 64, 32]);
    const { code: program, isRepeated } = randomInstruction(r, bits);
    const state = randomState(r, bits, isRepeated);
    slow.set(state, bits);
    const expected = endOf(() => slow.runProgram(program, bits, 1));
    if (expected === undefined) continue;
    // The slow evaluator sees addresses, the engine pages and privilege: which access fault it is, is not compared.
    const fold = (s) => ({ ...s, trap: isAccessFault(s.trap) ? 14 : s.trap });
    if (expected.trap === 3 && expected.rip > BigInt(START) && expected.rip < BigInt(START + program.length)) continue;
    for (const [name, machine, runs] of engines) {
      let what = '';
      try {
        for (let k = 0; k < runs && what === ''; k++) {
          machine.set(state, bits, program);
          const got = machine.run();
          // A jump away faults at its target; a bit string may reach a page that only the engine has.
          if (expected.trap === 3 && isAccessFault(got.trap) && got.rip === expected.rip) got.trap = 3;
          what = difference(fold(expected), fold(got), bits);
          if (what !== '') what += ` (run ${k + 1})`;
        }
      } catch (e) {
        what = String(e.message ?? e).slice(0, 200);
      }
      compared++;
      if (what !== '') wrong.push(describe(name, what, program, bits, state));
    }
  }
  return { compared, wrong };
}

/** Undefined: a random program need not end, or went to where there are too few bytes for an instruction. */
function endOf(run) {
  try {
    return run();
  } catch (error) {
    if (error.message === DOES_NOT_END || error.message === 'truncated') return undefined;
    throw error;
  }
}

function describe(name, what, program, bits, state) {
  const lines = [];
  for (let at = 0; at < program.length; ) {
    const insn = decode(program, at, program.length - at, bits);
    if (insn === 'truncated') break;
    lines.push(`${disassemble(insn, BigInt(START + at))}`);
    at += insn.length;
  }
  const registers = state.gpr.map((v) => v.toString(16)).join(' ');
  return `${name}: ${what}; ${bits}-bit ${Buffer.from(program).toString('hex')} ${lines.join('; ')}\n  before ${registers} ${state.flags.toString(16)}`;
}
