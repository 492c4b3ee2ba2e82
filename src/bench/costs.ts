/**
 * The nanobenchmarks of virtualization: one privileged or trapping operation each. After Adams and Agesen, "A Comparison
 * of Software and Hardware Techniques for x86 Virtualization", ASPLOS 2006, "Nanobenchmarks".
 */
import { PM_BASE, PM_TIMER_OFFSET } from '../spec/acpi.js';
import { CONDITION, type Code, REGISTER } from './code.js';
import { LAYOUT, PTE } from './costs-layout.js';

/** Cycles of a Pentium 4 of 3.8 GHz, as cited by others; absent where no citation was found. */
export interface PaperFigures {
  readonly native?: number;
  /** Binary translation. */
  readonly software?: number;
  /** The first VT-x. */
  readonly hardware?: number;
}

export interface Cost {
  readonly name: string;
  readonly title: string;
  readonly paper: PaperFigures;
  /** Host cycles that this project wants it to stay below. */
  readonly must?: number;
  readonly aim?: number;
  /** Operations in one turn of the loop: cheap ones are repeated, so that the loop itself weighs less. */
  readonly unroll: number;
  /** Runs at privilege level 3. */
  readonly user?: boolean;
  /** How the loop runs in a process of the host, RBX pointing to memory; absent where it cannot. */
  readonly native?: { prologue?(code: Code): void; base?(code: Code): void };
  /** R15 ends as the number of operations: each is seen to have happened. */
  readonly counted: boolean;
  /** Before the loop. RSI counts its turns; RBP, R8 to R10 and R12 to R14 belong to the caller. */
  prologue?(code: Code): void;
  /** In the measured loop and in the empty one. */
  base?(code: Code): void;
  /** The n-th of a turn. */
  operation(code: Code, n: number): void;
}

/** Rounds of the guest where nobody says how many. */
export const DEFAULT_COSTS_ROUNDS = 31;

const { RAX, RBX, RDX, RDI } = REGISTER;
/** Port of the first 8259A's mask register. */
const PIC_MASK = 0x21;
const PM_TIMER = PM_BASE + PM_TIMER_OFFSET;
/** The host's least system call: nothing is remembered of earlier ones. syscalls(2). */
const SYS_GETPPID = 110;
const TURN_PTE_VALUE = LAYOUT.FRAME_A | PTE.PRESENT_WRITABLE_USER;
const FRAME_TURN = LAYOUT.FRAME_A ^ LAYOUT.FRAME_B;

export const COSTS: readonly Cost[] = [
  {
    name: 'syscall',
    title: 'SYSCALL and SYSRET',
    paper: { native: 242, software: 2308 },
    must: 500,
    aim: 242,
    unroll: 1,
    user: true,
    native: { base: (code) => code.op('mov eax, getppid', 0xb8).u32(SYS_GETPPID) },
    counted: true,
    operation: (code) => code.op('syscall', 0x0f, 0x05),
  },
  {
    name: 'in',
    title: 'IN from the 8259A',
    paper: { native: 3209, hardware: 15826 },
    unroll: 1,
    counted: false,
    operation: (code) => code.op('in al, 0x21', 0xe4, PIC_MASK),
  },
  {
    name: 'in-timer',
    title: 'IN from the ACPI timer',
    paper: {},
    unroll: 1,
    counted: false,
    prologue: (code) => code.mov(RDX, PM_TIMER),
    operation: (code) => code.op('in eax, dx', 0xed),
  },
  {
    name: 'cr8',
    title: 'MOV to CR8',
    paper: { software: 35 },
    unroll: 8,
    counted: false,
    prologue: (code) => code.mov(RAX, 0),
    base: (code) => code.op('xor eax, 1', 0x83, 0xf0, 0x01),
    operation: (code) => code.op('mov cr8, rax', 0x44, 0x0f, 0x22, 0xc0),
  },
  {
    name: 'call',
    title: 'CALL and RET',
    paper: { native: 11, software: 51, hardware: 11 },
    unroll: 8,
    native: {},
    counted: false,
    operation: (code) => code.call(CALLEE),
  },
  {
    name: 'page-fault',
    title: '#PF, handler, IRET',
    paper: { native: 1093, software: 3927, hardware: 11242 },
    unroll: 1,
    counted: true,
    prologue: (code) => code.mov(RBX, LAYOUT.ABSENT_PAGE),
    operation: (code) => code.op('mov eax, [rbx]', 0x8b, 0x03),
  },
  {
    name: 'divide-fault',
    title: '#DE, handler, IRET',
    paper: { native: 889, software: 3223, hardware: 1014 },
    unroll: 1,
    counted: true,
    prologue: (code) => code.op('xor ecx, ecx', 0x31, 0xc9),
    operation: (code) => code.op('div ecx', 0xf7, 0xf1),
  },
  {
    name: 'pte',
    title: 'PTE modify',
    paper: { native: 1, software: 391, hardware: 12733 },
    unroll: 8,
    native: { prologue: (code) => code.mov(RAX, 0).mov(RDX, 1) },
    counted: false,
    prologue: (code) =>
      code
        .mov(RAX, TURN_PTE_VALUE)
        .mov(RDX, TURN_PTE_VALUE | PTE.AVAILABLE)
        .mov(RBX, LAYOUT.TURN_PTE),
    // Two values by turns.
    operation: (code, n) =>
      n % 2 === 0 ? code.op('mov [rbx], rax', 0x48, 0x89, 0x03) : code.op('mov [rbx], rdx', 0x48, 0x89, 0x13),
  },
  {
    name: 'pte-invlpg',
    title: 'PTE modify, INVLPG, touch',
    paper: {},
    unroll: 1,
    // The two frames hold 0 and 2: a stale translation would spoil the sum.
    counted: true,
    prologue: (code) => code.mov(RAX, TURN_PTE_VALUE).mov(RBX, LAYOUT.TURN_PTE).mov(RDI, LAYOUT.TURN_PAGE),
    base: (code) => code.op('xor eax, the difference of the frames', 0x35).u32(FRAME_TURN),
    operation: (code) =>
      code
        .op('mov [rbx], rax', 0x48, 0x89, 0x03)
        .op('invlpg [rdi]', 0x0f, 0x01, 0x3f)
        .op('add r15, [rdi]', 0x4c, 0x03, 0x3f),
  },
];

/** Of the loops' callees; one for all, on the page of the loops. */
export const CALLEE = 'callee';

/** The loop of RSI turns, ending with RET; without `withOperation` the empty one. Labels begin with `name`. */
export function emitLoop(code: Code, name: string, cost: Cost, withOperation: boolean): void {
  const turn = `${name} turn`;
  const isUser = withOperation && cost.user === true;
  code.align(64).label(name);
  cost.prologue?.(code);
  if (isUser) {
    // SYSRET to privilege level 3; the handler of #UD returns to the loop's caller.
    code.op('mov r14, rsp', 0x49, 0x89, 0xe6);
    code.mov(REGISTER.RCX, turn).op('add rcx, USER_ALIAS', 0x48, 0x81, 0xc1).u32(LAYOUT.USER_ALIAS);
    code.mov(REGISTER.R11, 2).op('sysretq', 0x48, 0x0f, 0x07);
  }
  emitTurns(code, turn, cost.unroll, (n) => {
    cost.base?.(code);
    if (withOperation) cost.operation(code, n);
  });
  if (isUser) code.op('ud2', 0x0f, 0x0b);
  else code.op('ret', 0xc3);
}

/**
 * The same loop as a function of the host's calling convention: (turns, memory) to ticks of the time-stamp counter.
 * System V ABI for AMD64, "The Calling Sequence".
 */
export function emitNativeLoop(code: Code, name: string, cost: Cost, withOperation: boolean): void {
  code.align(64).label(name);
  code.op('push rbx', 0x53).op('mov rbx, rsi', 0x48, 0x89, 0xf3).op('mov rsi, rdi', 0x48, 0x89, 0xfe);
  emitReadTsc(code).op('mov r10, rax', 0x49, 0x89, 0xc2);
  cost.native?.prologue?.(code);
  const base = cost.native?.base ?? cost.base;
  emitTurns(code, `${name} turn`, cost.unroll, (n) => {
    base?.(code);
    if (withOperation) cost.operation(code, n);
  });
  emitReadTsc(code).op('sub rax, r10', 0x4c, 0x29, 0xd0).op('pop rbx', 0x5b).op('ret', 0xc3);
}

function emitTurns(code: Code, label: string, unroll: number, body: (n: number) => void): void {
  code.label(label);
  for (let n = 0; n < unroll; n++) body(n);
  code.op('dec rsi', 0x48, 0xff, 0xce).jcc(CONDITION.NZ, label);
}

/** The time-stamp counter into RAX. */
export function emitReadTsc(code: Code): Code {
  return code.op('rdtsc', 0x0f, 0x31).op('shl rdx, 32', 0x48, 0xc1, 0xe2, 0x20).op('or rax, rdx', 0x48, 0x09, 0xd0);
}
