/**
 * The guest of the nanobenchmarks: a Multiboot image that enters 64-bit mode, measures its time-stamp counter by the ACPI
 * timer, warms every loop up, and runs them in turn, round after round. It asks nothing of its loader but memory, so the
 * same image runs on any PC; results leave by the debug port.
 */
import { PM_BASE, PM_TIMER_BITS, PM_TIMER_HZ, PM_TIMER_OFFSET } from '../spec/acpi.js';
import { MULTIBOOT1 } from '../spec/boot/multiboot.js';
import { CONDITION, Code, REGISTER } from './code.js';
import { CALLEE, type Cost, emitLoop, emitReadTsc } from './costs.js';
import { DEBUG_PORT, EXIT, EXIT_PORT, LAYOUT, PTE, SELECTOR, STREAM } from './costs-layout.js';

export interface CostsGuestOptions {
  readonly costs: readonly Cost[];
  readonly rounds: number;
  /** How long each loop runs before it counts: translators compile meanwhile. */
  readonly warmUpMs: number;
  /** How long a loop runs in a round: short beside a time slice of a busy host. */
  readonly loopMs: number;
}

const { RAX, RCX, RSP, RBP, R8, R9 } = REGISTER;
const PM_TIMER = PM_BASE + PM_TIMER_OFFSET;
const PM_MASK = 2 ** PM_TIMER_BITS - 1;
const CALIBRATION_MS = 40;
/** A multiple of two (costs.ts), which takes no long time whatever one turn costs. */
const FIRST_TURNS = 32;
const WORD = 8;

const VECTORS = 256;
const EXCEPTIONS = 32;
const [DIVIDE_ERROR, INVALID_OPCODE, PAGE_FAULT] = [0, 6, 14];
/** Present, 64-bit interrupt gate. SDM Vol. 3A, "64-Bit Mode IDT". */
const GATE = 0x8en;
const IDT_LIMIT = VECTORS * 16 - 1;

const [EFER, STAR, LSTAR, FMASK] = [0xc000_0080, 0xc000_0081, 0xc000_0082, 0xc000_0084];
const EFER_SCE_LME = 0x101;
const CR0_PG_WP_ET_PE = 0x8001_0011;
const CR4_PAE = 0x20;
/** SYSCALL clears TF, IF and DF. */
const FMASK_VALUE = 0x700;

/** Flat segments of 64-bit code and data for privilege levels 0 and 3, in the order that SYSRET wants. */
const DESCRIPTORS = [
  0n,
  0x00af_9b00_0000_ffffn,
  0x00cf_9300_0000_ffffn,
  0n,
  0x00cf_f300_0000_ffffn,
  0x00af_fb00_0000_ffffn,
];
const GDT_LIMIT = SELECTOR.TSS + 16 - 1;
const TSS_LIMIT = 0x67;
const TSS_AVAILABLE = 0x89n;
const TSS_RSP0 = 4;
const PAGE = 0x1000;
const LARGE_PAGE = 0x20_0000;
const LARGE_PAGES = 4;

export function costsGuest(options: CostsGuestOptions): Uint8Array {
  const code = new Code(LAYOUT.IMAGE);
  emitHeader(code);
  emitEntry(code);
  emitProgram(code, options);
  emitRoutines(code);
  code.fillTo(LAYOUT.LOOPS).label(CALLEE).op('ret', 0xc3);
  for (const [index, cost] of options.costs.entries()) {
    emitLoop(code, `empty ${index}`, cost, false);
    emitLoop(code, `full ${index}`, cost, true);
  }
  code.fillTo(LAYOUT.HANDLERS);
  emitHandlers(code);
  code.fillTo(LAYOUT.GDT);

  const image = new Uint8Array(LAYOUT.STACK_BOTTOM - LAYOUT.IMAGE);
  image.set(code.finish());
  writeTables(new DataView(image.buffer), code);
  return image;
}

/** Multiboot Specification 0.6.96, "The layout of Multiboot header", with addresses: the file is no ELF file. */
function emitHeader(code: Code): void {
  const flags = MULTIBOOT1.FLAG_ADDRESSES;
  code
    .u32(MULTIBOOT1.HEADER_MAGIC)
    .u32(flags)
    .u32(-(MULTIBOOT1.HEADER_MAGIC + flags));
  code.u32(LAYOUT.IMAGE).u32(LAYOUT.IMAGE).u32(LAYOUT.STACK_BOTTOM).u32(LAYOUT.STACK_TOP);
  code.reference('entry', 'absolute32');
}

/** From 32-bit protected mode without paging to 64-bit mode. SDM Vol. 3A, "Initializing IA-32e Mode". */
function emitEntry(code: Code): void {
  code.label('gdtr').u16(GDT_LIMIT).u32(LAYOUT.GDT).u32(0);
  code.label('idtr').u16(IDT_LIMIT).u32(LAYOUT.IDT).u32(0);
  code.label('entry').op('cli', 0xfa).op('lgdt', 0x0f, 0x01, 0x15).reference('gdtr', 'absolute32');
  code.op('mov eax', 0xb8).u32(CR4_PAE).op('mov cr4, eax', 0x0f, 0x22, 0xe0);
  code.op('mov eax', 0xb8).u32(LAYOUT.PML4).op('mov cr3, eax', 0x0f, 0x22, 0xd8);
  emitWrmsr(code, EFER, EFER_SCE_LME, 0);
  code.op('mov eax', 0xb8).u32(CR0_PG_WP_ET_PE).op('mov cr0, eax', 0x0f, 0x22, 0xc0);
  code.op('jmp far', 0xea).reference('long mode', 'absolute32').u16(SELECTOR.CODE);

  code.label('long mode').op('mov eax', 0xb8).u32(SELECTOR.DATA);
  code.op('mov ds, eax', 0x8e, 0xd8).op('mov es, eax', 0x8e, 0xc0).op('mov ss, eax', 0x8e, 0xd0);
  code.mov(RSP, LAYOUT.STACK_TOP).mov(RAX, 'idtr').op('lidt [rax]', 0x0f, 0x01, 0x18);
  code.op('mov eax', 0xb8).u32(SELECTOR.TSS).op('ltr ax', 0x0f, 0x00, 0xd8);
  emitWrmsr(code, STAR, 0, (SELECTOR.SYSRET_BASE << 16) | SELECTOR.CODE);
  emitWrmsr(code, LSTAR, LAYOUT.HANDLERS, 0);
  emitWrmsr(code, FMASK, FMASK_VALUE, 0);
}

function emitWrmsr(code: Code, msr: number, low: number, high: number): void {
  code.op('mov ecx', 0xb9).u32(msr).op('mov eax', 0xb8).u32(low).op('mov edx', 0xba).u32(high);
  code.op('wrmsr', 0x0f, 0x30);
}

function emitProgram(code: Code, { costs, rounds, warmUpMs, loopMs }: CostsGuestOptions): void {
  const emitWord = (value: bigint | number): void => void code.mov(RAX, value).call('put');
  emitWord(STREAM.BEGIN);
  for (let n = 0; n < STREAM.CALIBRATIONS; n++) code.call('calibrate');
  // Ticks of so many milliseconds.
  for (const [ms, where] of [
    [loopMs, LAYOUT.LOOP_TICKS],
    [warmUpMs, LAYOUT.WARM_UP_TICKS],
  ] as const) {
    code.mov(RAX, LAYOUT.CALIBRATION_TICKS).op('mov rax, [rax]', 0x48, 0x8b, 0x00);
    code.mov(RCX, Math.round(ms * 1000)).op('mul rcx', 0x48, 0xf7, 0xe1);
    code.mov(RCX, CALIBRATION_MS * 1000).op('div rcx', 0x48, 0xf7, 0xf1);
    code.mov(RCX, where).op('mov [rcx], rax', 0x48, 0x89, 0x01);
  }
  const select = (index: number): void => {
    code
      .mov(RBP, LAYOUT.TURNS + index * WORD)
      .mov(R8, `empty ${index}`)
      .mov(R9, `full ${index}`);
  };
  for (const index of costs.keys()) {
    select(index);
    code.call('warm up');
  }
  code.mov(REGISTER.R13, rounds).label('round');
  for (const index of costs.keys()) {
    emitWord(index);
    select(index);
    code.call('measure');
  }
  code.op('dec r13', 0x49, 0xff, 0xcd).jcc(CONDITION.NZ, 'round');
  emitWord(STREAM.END);
  code.op('mov al, done', 0xb0, EXIT.DONE).jmp('exit');
}

function emitRoutines(code: Code): void {
  // RAX to the debug port. Changes RAX and RCX.
  code.label('put').op('mov ecx, 8', 0xb9).u32(WORD).label('put byte').op('out 0xe9, al', 0xe6, DEBUG_PORT);
  code.op('shr rax, 8', 0x48, 0xc1, 0xe8, 0x08).op('dec ecx', 0xff, 0xc9).jcc(CONDITION.NZ, 'put byte').op('ret', 0xc3);

  code.label('exit').op('out 0xf4, al', 0xe6, EXIT_PORT).op('cli', 0xfa).op('hlt', 0xf4).jmp('exit');

  // Ticks of the time-stamp counter over CALIBRATION_MS of the ACPI timer,
  const readTimer = (): Code => code.op('mov edx', 0xba).u32(PM_TIMER).op('in eax, dx', 0xed);
  // from the moment when that changes: a timer may be told that was read some time ago.
  code.label('calibrate');
  readTimer().op('mov ebx, eax', 0x89, 0xc3).label('calibrate from here');
  readTimer().op('cmp eax, ebx', 0x39, 0xd8).jcc(CONDITION.Z, 'calibrate from here').op('mov ebx, eax', 0x89, 0xc3);
  emitReadTsc(code).op('mov r12, rax', 0x49, 0x89, 0xc4).label('calibrate again');
  readTimer().op('mov edi, eax', 0x89, 0xc7);
  emitReadTsc(code).op('sub edi, ebx', 0x29, 0xdf).op('and edi', 0x81, 0xe7).u32(PM_MASK);
  code.op('cmp edi', 0x81, 0xff).u32(Math.round((PM_TIMER_HZ * CALIBRATION_MS) / 1000));
  code.jcc(CONDITION.B, 'calibrate again').op('sub rax, r12', 0x4c, 0x29, 0xe0);
  code.mov(RCX, LAYOUT.CALIBRATION_TICKS).op('mov [rcx], rax', 0x48, 0x89, 0x01).call('put');
  code.op('mov eax, edi', 0x89, 0xf8).jmp('put');

  // The loop at R8, as many turns as RBP points to: RAX is its ticks.
  code.label('time').op('mov rsi, [rbp]', 0x48, 0x8b, 0x75, 0x00).op('xor r15d, r15d', 0x45, 0x31, 0xff);
  emitReadTsc(code).op('mov r12, rax', 0x49, 0x89, 0xc4).op('call r8', 0x41, 0xff, 0xd0);
  emitReadTsc(code).op('sub rax, r12', 0x4c, 0x29, 0xe0).op('ret', 0xc3);

  // Both loops again and again until the time is over, with twice the turns wherever they are done too soon.
  code.label('warm up').mov(RCX, FIRST_TURNS).op('mov [rbp], rcx', 0x48, 0x89, 0x4d, 0x00);
  emitReadTsc(code).op('mov r13, rax', 0x49, 0x89, 0xc5).label('warm up again').call('time');
  code.op('xchg r8, r9', 0x4d, 0x87, 0xc8).call('time').op('xchg r8, r9', 0x4d, 0x87, 0xc8);
  code.mov(RCX, LAYOUT.LOOP_TICKS).op('cmp rax, [rcx]', 0x48, 0x3b, 0x01).jcc(CONDITION.AE, 'warm up long');
  code.op('shl qword [rbp], 1', 0x48, 0xd1, 0x65, 0x00).jmp('warm up again').label('warm up long');
  emitReadTsc(code).op('sub rax, r13', 0x4c, 0x29, 0xe8);
  code.mov(RCX, LAYOUT.WARM_UP_TICKS).op('cmp rax, [rcx]', 0x48, 0x3b, 0x01).jcc(CONDITION.B, 'warm up again');
  code.op('ret', 0xc3);

  // The rest of a record: turns, ticks of the empty loop, ticks of the full one, R15.
  code.label('measure').call('time').op('push rax', 0x50);
  code.op('mov r8, r9', 0x4d, 0x89, 0xc8).call('time').op('push rax', 0x50);
  code.op('mov rax, [rbp]', 0x48, 0x8b, 0x45, 0x00).call('put').op('mov rax, [rsp + 8]', 0x48, 0x8b, 0x44, 0x24, 0x08);
  code.call('put').op('pop rax', 0x58).call('put').op('pop rax', 0x58).op('mov rax, r15', 0x4c, 0x89, 0xf8).jmp('put');
}

/** The least that a handler can do: count, and go on behind the two bytes of what faulted. */
function emitHandlers(code: Code): void {
  code.label('system call').op('inc r15', 0x49, 0xff, 0xc7).op('sysretq', 0x48, 0x0f, 0x07);
  code.align(64).label('page fault').op('inc r15', 0x49, 0xff, 0xc7).op('add rsp, 8', 0x48, 0x83, 0xc4, 0x08);
  code.op('add qword [rsp], 2', 0x48, 0x83, 0x04, 0x24, 0x02).op('iretq', 0x48, 0xcf);
  code.align(64).label('divide error').op('inc r15', 0x49, 0xff, 0xc7);
  code.op('add qword [rsp], 2', 0x48, 0x83, 0x04, 0x24, 0x02).op('iretq', 0x48, 0xcf);
  code.align(64).label('user loop end').op('mov rsp, r14', 0x4c, 0x89, 0xf4).op('mov eax', 0xb8).u32(SELECTOR.DATA);
  code.op('mov ss, eax', 0x8e, 0xd0).op('ret', 0xc3);

  for (let vector = 0; vector < EXCEPTIONS; vector++) {
    code.label(`vector ${vector}`).op('push vector', 0x6a, vector).jmp('fault');
  }
  code.label('fault').mov(RAX, STREAM.FAULT).call('put');
  for (let n = 0; n < STREAM.FAULT_WORDS; n++) code.op('pop rax', 0x58).call('put');
  code.op('mov al, fault', 0xb0, EXIT.FAULT).jmp('exit');
}

function writeTables(view: DataView, code: Code): void {
  const u64 = (address: number, value: bigint | number): void =>
    view.setBigUint64(address - LAYOUT.IMAGE, BigInt(value), true);

  for (const [index, descriptor] of DESCRIPTORS.entries()) u64(LAYOUT.GDT + index * WORD, descriptor);
  // SDM Vol. 3A, "TSS Descriptor in 64-bit mode"; the base is below 16 MiB.
  u64(LAYOUT.GDT + SELECTOR.TSS, BigInt(TSS_LIMIT) | (BigInt(LAYOUT.TSS) << 16n) | (TSS_AVAILABLE << 40n));
  u64(LAYOUT.TSS + TSS_RSP0, LAYOUT.INTERRUPT_STACK_TOP);

  const gate = (vector: number, handler: string): void => {
    const target = code.addressOf(handler);
    const [low, high] = [target & 0xffff, target >>> 16];
    const at = LAYOUT.IDT + vector * 16;
    u64(at, BigInt(low) | (BigInt(SELECTOR.CODE) << 16n) | (GATE << 40n) | (BigInt(high) << 48n));
  };
  for (let vector = 0; vector < EXCEPTIONS; vector++) gate(vector, `vector ${vector}`);
  gate(DIVIDE_ERROR, 'divide error');
  gate(PAGE_FAULT, 'page fault');
  gate(INVALID_OPCODE, 'user loop end');

  u64(LAYOUT.PML4, LAYOUT.PDPT | PTE.PRESENT_WRITABLE_USER);
  u64(LAYOUT.PDPT, LAYOUT.PD | PTE.PRESENT_WRITABLE_USER);
  for (let n = 0; n < LARGE_PAGES; n++) {
    u64(LAYOUT.PD + n * WORD, (n * LARGE_PAGE) | PTE.PRESENT_WRITABLE | PTE.LARGE);
  }
  u64(LAYOUT.PD + (LAYOUT.USER_ALIAS / LARGE_PAGE) * WORD, PTE.PRESENT_WRITABLE_USER | PTE.LARGE);
  u64(LAYOUT.PD + LARGE_PAGES * WORD, LAYOUT.PT | PTE.PRESENT_WRITABLE_USER);
  u64(LAYOUT.PT + ((LAYOUT.TURN_PAGE / PAGE) % 512) * WORD, LAYOUT.FRAME_A | PTE.PRESENT_WRITABLE_USER);
  u64(LAYOUT.FRAME_B, 2);
}
