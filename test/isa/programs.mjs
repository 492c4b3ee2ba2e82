// Random programs in any mode: straight lines of random instructions of every family, with branches, calls and a loop around
// them. A few registers point into the data and are left alone.
import { decode } from '../../dist/x86/decode/decoder.js';
import { NO_REGISTER } from '../../dist/x86/insn.js';
import { encode, formsOf } from '../instruction/forms.mjs';
import { codeOffset, DATA, dataOffset, ENTRY, WINDOW } from './worlds.mjs';

/** RBX RSP RBP RSI RDI. */
const POINTERS = new Set([3, 4, 5, 6, 7]);
/** What leaves user code, moves a pointer, or answers by the host's clock. */
const LEFT_OUT =
  /^(j|call|ret|loop|iret|int|into|sys|ud|hlt|in$|out$|ins|outs|push|pop|enter|leave|lds|les|lss|lfs|lgs|lar|lsl|ver|l[dgi]dt|lldt|ltr|lmsw|clts|cli|sti|std|rd|wr|vm|inv|wbinvd|mon|mwait|cpuid|xchg|cmpxchg|xadd|bound|arpl|xsave|xrstor|fxrstor|fldenv|frstor|fldcw|ldmxcsr|maskmov|sgdt|sidt|sldt|str$|smsw|swapgs|xsetbv|xgetbv|clac|stac|retf|salc|xlat|clflush|clwb|bsw)/;
/** They fault often: now and then only. */
const RISKY = /^(i?div|fnstenv|fnsave|fxsave|aam|movs|cmps|stos|lods|scas|aad|popf)/;
const LINE = 40;
const LOOPS = 30;

const bytes = (v, size) => Array.from({ length: size }, (_, n) => (v >>> (8 * n)) & 255);
const byBits = new Map();

function candidates(bits) {
  let list = byBits.get(bits);
  if (list === undefined) {
    list = formsOf(bits).filter(({ mnemonic }) => !LEFT_OUT.test(mnemonic));
    byBits.set(bits, list);
  }
  return list;
}

function isTame(insn, form, addressSize, world, r) {
  if (LEFT_OUT.test(insn.mnemonic) || (RISKY.test(insn.mnemonic) && r.below(60) !== 0)) return false;
  for (const [n, op] of insn.operands.entries()) {
    if (op.kind === 'reg' && (op.file === 'seg' || op.file === 'cr' || op.file === 'dr')) return false;
    if (n === 0 && op.kind === 'reg' && op.file === 'gpr' && !op.high && POINTERS.has(op.index)) return false;
    if (op.kind !== 'mem') continue;
    if (!POINTERS.has(op.base) || op.index !== NO_REGISTER || op.seg === 1) return false;
    // Misaligned ones fault.
    if (op.size === 16 && r.below(40) !== 0) return false;
    // 16 bits do not reach the data of a flat world.
    if (addressSize === 2 && !world.segmented) return false;
    if (addressSize === 2 && op.disp > 0xff && op.disp < 0xff00) return false;
    if (/^bt[src]?$/.test(insn.mnemonic) && insn.operands[1].kind === 'reg') return false;
  }
  return !insn.lock || form.row.lock;
}

/** So many random instructions that fall through. */
function line(r, world, length) {
  const { bits } = world;
  const code = [];
  for (let n = 0; n < length; ) {
    const form = r.pick(candidates(bits));
    const encoded = encode(form, bits, r);
    if (encoded === undefined || encoded.patch !== undefined) continue;
    if (!isTame(encoded.insn, form, encoded.addressSize, world, r)) continue;
    code.push(...encoded.code);
    n++;
  }
  return code;
}

/** A near branch with a displacement of 4 bytes in every mode. */
const wide = (bits) => (bits === 16 ? [0x66] : []);
function branch(r, bits, skipped) {
  return [...wide(bits), 0x0f, 0x80 | r.below(16), ...bytes(skipped.length, 4), ...skipped];
}

/** A call of the function at the front: relative, or through a register. */
function call(r, bits, world, at) {
  const front = codeOffset(world, ENTRY) + 3 + wide(bits).length + 2;
  if (r.below(2)) {
    const length = 5 + wide(bits).length;
    return [...wide(bits), 0xe8, ...bytes(front - codeOffset(world, ENTRY) - (at + length), 4)];
  }
  return [...wide(bits), 0xb8, ...bytes(front, 4), ...wide(bits), 0xff, 0xd0];
}

/** A relative jump or call (`opcode`) from one offset in the program to another, of 64-bit code. */
const far = (opcode, at, to) => [...opcode, ...bytes(to - (at + opcode.length + 4), 4)];
const [JMP, CALL, RET, INT3] = [0xe9, 0xe8, 0xc3, 0xcc];

/** The end of a loop that began at an offset: counts at the end of the data. */
function turn(world, program, loop) {
  const { bits } = world;
  const counter = bytes(dataOffset(world, DATA + 0x1ff0), 4);
  // 32-bit addresses: in 64-bit code by SIB without base and index, else by ModRM.
  const at = bits === 64 ? [0x04, 0x25, ...counter] : [0x05, ...counter];
  const prefix = bits === 16 ? [0x67] : [];
  program.push(...prefix, 0x83, at[0], ...at.slice(1), 1);
  program.push(...prefix, 0x83, at[0] | 0x38, ...at.slice(1), LOOPS);
  const end = program.length + 6 + wide(bits).length;
  program.push(...wide(bits), 0x0f, 0x85, ...bytes(loop - end, 4));
}

/**
 *   jmp loop; function: ... ret; loop: lines, branches, calls; add counter; cmp; jnz loop
 * `world` tells the mode; the counter lies at the end of the data.
 */
export function randomProgram(r, world) {
  const { bits } = world;
  const body = line(r, world, 3);
  const called = [...body, ...wide(bits), RET];
  const program = [...wide(bits), JMP, ...bytes(called.length, 4), ...called];
  const loop = program.length;
  for (let n = 0; n < LINE; n += 5) {
    program.push(...line(r, world, 4));
    const what = r.below(4);
    if (what === 0) program.push(...branch(r, bits, line(r, world, 2)));
    else if (what === 1) program.push(...call(r, bits, world, program.length));
    else program.push(...line(r, world, 1));
  }
  turn(world, program, loop);
  return Uint8Array.from(program);
}

/** Where the pages of a program begin. */
const PAGES = [5, 0xc00, 0x1c00];
const FUNCTIONS = 5;

/**
 * 64-bit code in three pages: the loop in the middle, functions around it that call each other, jump to each other or return, and
 * parts of the loop that lie in other pages.
 */
export function spreadProgram(r, world) {
  const { bits } = world;
  const ends = [...PAGES];
  const pieces = [];
  /** `write` gives the code at an offset, in the first or the last page. */
  const put = (write) => {
    const page = 2 * r.below(2);
    const at = ends[page];
    const code = write(at);
    pieces.push([at, code]);
    ends[page] += code.length;
    return at;
  };
  const functions = [];
  for (let n = 0; n < FUNCTIONS; n++) {
    const known = [...functions];
    const write = (at) => {
      const code = line(r, world, 1 + r.below(3));
      if (known.length > 0 && r.below(2)) code.push(...far([CALL], at + code.length, r.pick(known)));
      if (r.below(2)) code.push(...branch(r, bits, line(r, world, 2)), ...line(r, world, 1));
      if (known.length > 0 && r.below(4) === 0) code.push(...far([JMP], at + code.length, r.pick(known)));
      else code.push(RET);
      return code;
    };
    functions.push(put(write));
  }
  const loop = PAGES[1];
  const body = [];
  for (let n = 0; n < LINE; n += 5) {
    body.push(...line(r, world, 3));
    const at = loop + body.length;
    const what = r.below(4);
    if (what === 0) body.push(...branch(r, bits, line(r, world, 2)));
    else if (what < 3) body.push(...far([CALL], at, r.pick(functions)));
    else {
      const opcode = r.below(2) ? [JMP] : [0x0f, 0x80 | r.below(16)];
      const back = at + opcode.length + 4;
      const part = put((here) => {
        const code = line(r, world, 2);
        return [...code, ...far([JMP], here + code.length, back)];
      });
      body.push(...far(opcode, at, part));
    }
  }
  const program = new Array(loop).fill(INT3);
  program.push(...body);
  turn(world, program, loop);
  while (program.length < ends[2]) program.push(INT3);
  for (const [at, code] of [[0, far([JMP], 0, loop)], ...pieces]) program.splice(at, code.length, ...code);
  return Uint8Array.from(program);
}

/** Registers for a program: the pointers into the data, the rest anything. */
export function pointTo(gpr, world, r) {
  for (const n of POINTERS) gpr[n] = BigInt(dataOffset(world, WINDOW + 0x100 + 16 * r.below(48)));
  if (world.bits !== 64) for (let n = 0; n < 16; n++) gpr[n] = n < 8 ? gpr[n] & 0xffffffffn : 0n;
}

/** The instructions of a program as far as they follow each other. */
export function listing(program, bits, disassemble) {
  const lines = [];
  for (let at = 0; at < program.length; ) {
    if (program[at] === INT3) {
      at++;
      continue;
    }
    const insn = decode(program, at, program.length - at, bits);
    if (insn === 'truncated') break;
    lines.push(disassemble(insn, BigInt(at)));
    at += insn.length;
  }
  return lines.join('; ');
}
