// Runs the same cases on the slow evaluator, the interpreter and the translator, and names what differs.
import { decode } from '../../dist/x86/decode/decoder.js';
import { disassemble } from '../../dist/x86/disassemble.js';
import { EngineMachine } from './engine.mjs';
import { randomInstruction, randomSource, randomState } from './forms.mjs';
import { DATA, DOES_NOT_END, START, TestMachine } from './machine.mjs';

/** Registers that point into memory: programs leave them alone, but for what string and stack instructions do. */
const POINTERS = new Set([3, 4, 5, 6, 7, 12]);
const PROGRAM_LENGTH = 12;
const LOOPS = 4;

function keepsPointers(code, bits) {
  const insn = decode(code, 0, code.length, bits);
  if (insn === 'truncated' || insn.mnemonic === 'ud') return false;
  if (/^(j|loop|call|ret|enter|leave|pop|xchg|xadd|cmpxchg|mul|div|push)/.test(insn.mnemonic)) {
    if (!/^(mul|div|push[fdq]*)$/.test(insn.mnemonic)) return false;
  }
  const dst = insn.operands[0];
  return !(dst?.kind === 'reg' && dst.file === 'gpr' && POINTERS.has(dst.high ? -1 : dst.index));
}

const bytes4 = (v) => [v & 255, (v >> 8) & 255, (v >> 16) & 255, (v >>> 24) & 255];

/** May move the stack or change what lies on it: a return address is no random value. */
const touchesStack = (insn) =>
  insn.operands[0]?.kind === 'mem' || /^(push|stos|movs|ins|xadd|cmpxchg|bt[src])/.test(insn.mnemonic);

/** So many random instructions that leave the pointers alone; `isCalled`: and the stack. */
function randomBody(r, bits, length, isCalled = false) {
  const body = [];
  for (let n = 0; n < length; ) {
    const { code, isRepeated } = randomInstruction(r, bits);
    if (isRepeated || !keepsPointers(code, bits)) continue;
    if (isCalled && touchesStack(decode(code, 0, code.length, bits))) continue;
    body.push(...code);
    n++;
  }
  return body;
}

/** Control flow around random code: a diamond, a call or a jump whose target is in the instruction or in a register. */
function randomTurn(r, bits, functionAt, at) {
  const part = randomBody(r, bits, 2);
  switch (r.pick(['branch', 'call', 'callRegister', 'jumpRegister'])) {
    case 'branch':
      return [0x0f, 0x80 | r.below(16), ...bytes4(part.length), ...part];
    case 'call':
      return [0xe8, ...bytes4(functionAt - (at + 5))];
    case 'callRegister':
      // mov eax, function; call rax
      return [0xb8, ...bytes4(START + functionAt), 0xff, 0xd0];
    default:
      // mov eax, behind the part; jmp rax
      return [0xb8, ...bytes4(START + at + 7 + part.length), 0xff, 0xe0, ...part];
  }
}

/**
 * A loop around random instructions, branches and calls; its counter is the last 4 bytes of the data pages. The function
 * that it calls lies in front:   jmp loop;  function: ... ret;  loop: ... jnz loop
 */
function randomProgram(r, bits) {
  const called = [...randomBody(r, bits, 3, true), 0xc3];
  const program = [0xe9, ...bytes4(called.length), ...called];
  const loop = program.length;
  for (let n = 0; n < PROGRAM_LENGTH; n += 4) {
    program.push(...randomBody(r, bits, 3));
    program.push(...randomTurn(r, bits, 5, program.length));
  }
  // add dword [counter], 1; cmp dword [counter], LOOPS; jnz to the loop; the counter below 2 GiB by SIB without base.
  const counter = bytes4(DATA + 0x1ff0);
  program.push(0x83, 0x04, 0x25, ...counter, 1);
  program.push(0x83, 0x3c, 0x25, ...counter, LOOPS);
  program.push(0x0f, 0x85, ...bytes4(loop - (program.length + 6)));
  return Uint8Array.from(program);
}

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

export function compareCases(count, seed, programs) {
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
    const single = programs ? undefined : randomInstruction(r, bits);
    const program = single === undefined ? randomProgram(r, bits) : single.code;
    const state = randomState(r, bits, single?.isRepeated);
    slow.set(state, bits);
    const expected = endOf(() => slow.runProgram(program, bits, programs ? 400 : 1));
    if (expected === undefined) continue;
    // The slow evaluator sees addresses, the engine pages and privilege: which access fault it is, is not compared.
    const fold = (s) => ({ ...s, trap: isAccessFault(s.trap) ? 14 : s.trap });
    if (expected.trap === 3 && expected.rip > BigInt(START) && expected.rip < BigInt(START + program.length)) continue;
    // A function that spoiled its return address went where only the engine has memory.
    const isInside = expected.rip >= BigInt(START) && expected.rip <= BigInt(START + program.length);
    if (programs && isAccessFault(expected.trap) && !isInside) continue;
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
  return { compared, wrong, regions: engines[1][1].vcpu.statistics().translator.regions };
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
