/**
 * A vCPU of the translating engine: the run loop around compiled code. Everything rare happens here: blocks that are
 * not known yet, exceptions to deliver, single steps, exits to the machine.
 */

import { decode } from '../../x86/decode/decoder.js';
import type { Insn } from '../../x86/insn.js';
import * as S from '../../x86/state.js';
import type { AccessSize, CpuState, DirectAccess, SteppingVcpu, VmEntry, VmExit } from '../engine.js';
import { type Block, BlockCache, LOOKUP_RECORD } from './block-cache.js';
import { readCounters } from './counters.js';
import { loadCpuState, saveCpuState } from './cpu-state.js';
import type { DirectAnswers } from './direct-answers.js';
import { Duty } from './duty.js';
import { explain, type TranslationReport } from './explain.js';
import { RuntimeImports } from './imports.js';
import { Interpreter } from './interpreter.js';
import * as R from './record.js';
import { provideWays } from './region-ways.js';
import { isStackAccess } from './stack-fault.js';
import type { Compiler } from './translation.js';
import { type DbtOptions, Translator } from './translator.js';

/** The runtime's exports that the run loop itself calls. */
export interface RuntimeExports extends WebAssembly.Exports {
  arrive(header: number): void;
  codeRoom(): number;
  fetchHere(): number;
  fetchHost(linear: bigint): number;
  fetchNextPage(): number;
  remembered(): number;
  deliverException(): number;
  deliverInterrupt(vector: number): number;
  deliverNmi(): number;
  raise(vector: number): number;
  raiseError(vector: number, error: number): number;
  checkCodeBreakpoint(): number;
  debugTrap(wasTrapped: number): number;
  dropPendingDebug(): void;
  forgetHandlerEntry(): void;
  updateKey(): void;
  dropWrites(host: number): void;
  flushAll(): void;
  computeFlags(): number;
  tscValue(): bigint;
  loadSlow(linear: bigint, size: number): bigint;
}

const IF = 0x200;
const UD = 6;
const SS = 12;
const GP = 13;
const MAX_INSTRUCTION = 15;
/** Values of CR8. */
const PRIORITY_CLASSES = 16;
const PAGE = 4096;
/**
 * Instructions until the first of some hot blocks is submitted, half a millisecond where they are interpreted. A slice is measured
 * for translated code: interpreted it lasts ten times as long.
 */
const SOON = 50_000;
/** What gets hot while the guest runs less than this part of its time took many seconds for that: to interpret it costs less. */
const IDLE = 0.05;
/** Modes in which every instruction is stepped. */
const TRACED = S.KEY_TRAP | S.KEY_CODE_BREAKPOINT | S.KEY_DATA_BREAKPOINT;
/** fetchHost's answer for memory that is not RAM. */
const NOT_RAM = 1;
/** What a fetch that faults writes. */
const EXCEPTION_STATE = [S.EXCEPTION_VECTOR, S.EXCEPTION_ERROR, S.EXCEPTION_HAS_ERROR, S.CR2, S.CR2 + 4, S.STATUS];
const NO_MORE = { kind: 'preempted' } as const;
const MASK32 = 0xffffffffn;

export class DbtVcpu implements SteppingVcpu {
  private readonly memory: WebAssembly.Memory;
  private readonly runtime: RuntimeExports;
  private readonly i32: Int32Array;
  private readonly view: DataView;
  readonly interpreter: Interpreter;
  readonly cache: BlockCache;
  readonly translator: Translator;
  /** Kind of the exit whose answer the next entry brings. */
  private owed: 'nothing' | 'data' | 'msr' = 'nothing';
  /** Instructions per nanosecond, measured, for turning slices into budgets. */
  private rate = 0.1;
  private readonly now: () => number;
  private readonly duty = new Duty(false);
  private readonly answers: DirectAnswers | undefined;
  private runs = 0;
  /** What was taken from this slice's budget so that it ends sooner. */
  private cut = 0;
  /** Instructions retired in both tiers. */
  private retired = 0;
  /** An exception was delivered since this was cleared. */
  private delivered = false;
  /** Steps for another engine's vCPU. */
  private isStepper = false;
  /** Changes of the physical map that wait, by what they change: a guest cannot make them many. */
  private readonly remappings = new Map<string, () => void>();
  /** The delivery that waits for the machine's answer. */
  private delivery: (() => number) | undefined;

  constructor(
    memory: WebAssembly.Memory,
    runtime: WebAssembly.Exports,
    options: DbtOptions,
    startCompiler: () => Compiler,
    now: () => number,
    answers?: DirectAnswers,
  ) {
    this.memory = memory;
    this.runtime = runtime as RuntimeExports;
    this.now = now;
    this.answers = answers;
    this.i32 = new Int32Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    const imports = new RuntimeImports(memory, runtime);
    this.interpreter = new Interpreter(imports);
    provideWays(imports, this.interpreter.table);
    this.cache = new BlockCache(memory, this.interpreter, this.runtime);
    this.translator = new Translator(imports, this.interpreter.table, this.cache, startCompiler, options);
    this.setWord(S.HOT_THRESHOLD, options.hotThreshold);
    this.runtime.flushAll();
  }

  private word(offset: number): number {
    return this.i32[(S.CPU_BASE + offset) >> 2] as number;
  }
  private setWord(offset: number, value: number): void {
    this.i32[(S.CPU_BASE + offset) >> 2] = value;
  }

  private get interruptsEnabled(): boolean {
    return (this.word(S.RFLAGS) & IF) !== 0;
  }
  get interruptible(): boolean {
    return this.interruptsEnabled && this.word(S.INTERRUPT_SHADOW) === 0;
  }

  get nmiInterruptible(): boolean {
    return this.word(S.NMI_BLOCKED) === 0 && this.word(S.INTERRUPT_SHADOW) === 0;
  }

  get tscOffset(): number {
    return this.word(S.TSC_OFFSET + 4) * 2 ** 32 + (this.word(S.TSC_OFFSET) >>> 0);
  }

  get tpr(): number {
    return this.word(S.CR8) << 4;
  }
  set tpr(value: number) {
    this.setWord(S.CR8, (value >> 4) & 15);
  }

  /** Changes the physical map, once the instruction that asked for it has retired. */
  remapBy(what: string, change: () => void): void {
    this.remappings.set(what, change);
    if (this.owed === 'nothing') this.remap();
  }
  private remap(): void {
    if (this.remappings.size === 0) return;
    for (const change of this.remappings.values()) change();
    this.remappings.clear();
    this.runtime.flushAll();
  }

  /** A device wrote guest memory: what was decoded from there is stale. */
  written(gpa: number, sizeBytes: number): void {
    this.cache.invalidate(gpa, sizeBytes);
  }

  get progress(): number {
    return this.word(S.LONG_WORK) - this.word(S.BUDGET);
  }

  answerBy(direct: DirectAccess): void {
    this.answers?.answerBy(direct);
  }

  /** Asks the vCPU to leave at its next block; may be called from any thread that shares the memory. */
  kick(): void {
    Atomics.store(this.i32, (S.CPU_BASE + S.EXIT_REQUEST) >> 2, S.EXIT_REQUESTED);
  }

  run(entry: VmEntry): VmExit {
    if (this.duty.isAsleep) this.duty.wake(this.now());
    if (this.owed !== 'nothing') {
      const exit = this.replay(entry.answer);
      if (exit !== undefined) return exit;
      this.remap();
    }
    if (entry.settle === true) return NO_MORE;
    const { vector, nmi } = entry;
    if (vector !== undefined || nmi === true) {
      this.setWord(S.HALTED, 0);
      const exit = this.deliverBy(() =>
        vector === undefined ? this.runtime.deliverNmi() : this.runtime.deliverInterrupt(vector),
      );
      if (exit !== undefined) return exit;
    }
    this.setWord(S.INTERRUPT_WANTED, entry.requestInterruptWindow ? 1 : 0);
    this.setWord(S.TPR_THRESHOLD, entry.tprThreshold ?? PRIORITY_CLASSES);
    this.setWord(S.NMI_WANTED, entry.requestNmiWindow === true ? 1 : 0);
    const budget = Math.max(1000, Math.min(1e9, Math.floor(entry.sliceNs * this.rate)));
    this.setWord(S.BUDGET, budget);
    this.setWord(S.CLOCK_BUDGET, S.CLOCK_UNREAD);
    // Reading the clock costs as much as a short slice: one run of eight is timed.
    const isTimed = (this.runs++ & 7) === 0 || this.translator.isWaiting;
    const started = isTimed ? this.now() : 0;
    if (isTimed) this.translator.advance(started);
    this.cut = 0;
    const exit = this.loop(entry.requestInterruptWindow);
    if (exit.kind === 'preempted' && this.word(S.BUDGET) < 0) this.translator.sample();
    const retired = budget - this.cut - this.word(S.BUDGET);
    this.retired += retired;
    if (isTimed && exit.kind === 'preempted') {
      const elapsed = this.now() - started;
      if (elapsed > 1000 && retired >= budget) this.rate = this.rate * 0.8 + (retired / elapsed) * 0.2;
    }
    return exit;
  }

  /** Nothing that was decoded is remembered: memory changes behind this vCPU's back. */
  stepOne(entry: VmEntry): VmExit {
    this.setWord(S.BUDGET, 1000);
    this.setWord(S.CLOCK_BUDGET, S.CLOCK_UNREAD);
    this.isStepper = true;
    this.answers?.enable(false);
    const exit = this.owed === 'nothing' ? this.again() : this.replay(entry.answer);
    this.isStepper = false;
    this.answers?.enable(true);
    if (exit === undefined) this.remap();
    return exit ?? NO_MORE;
  }

  flushTlb(): void {
    this.runtime.flushAll();
  }

  /** Guest memory has changed behind this vCPU's back. */
  forget(): void {
    this.cache.flush();
    this.runtime.flushAll();
  }

  /** The engine goes: no region is made any more. */
  close(): void {
    this.translator.close();
  }

  private loop(windowWanted: boolean): VmExit {
    for (;;) {
      const nmiWanted = this.word(S.NMI_WANTED) !== 0 && this.word(S.NMI_BLOCKED) === 0;
      if (nmiWanted || (windowWanted && this.interruptsEnabled)) {
        if (this.word(S.INTERRUPT_SHADOW) === 0) return { kind: 'interrupt-window' };
        this.setWord(S.INTERRUPT_SHADOW, 0);
        const exit = this.step();
        if (exit !== undefined) return exit;
        continue;
      }
      if (this.word(S.EXIT_REQUEST) !== 0) {
        this.setWord(S.EXIT_REQUEST, 0);
        return NO_MORE;
      }
      if (this.word(S.BUDGET) < 0) return NO_MORE;
      if (this.isTraced) {
        const exit = this.stepTraced();
        if (exit !== undefined) return exit;
        this.setWord(S.BUDGET, this.word(S.BUDGET) - 1);
        continue;
      }
      const exit = this.settle(this.enter(LOOKUP_RECORD));
      if (exit !== undefined) return exit;
    }
  }

  private enter(record: number): number {
    this.setWord(S.STATUS, S.STATUS_OK);
    this.setWord(S.LEFT_TALLY, 0);
    return this.interpreter.run(record);
  }

  /** Acts on a status; an exit where the machine is needed, undefined where the guest goes on. */
  private settle(status: number): VmExit | undefined {
    switch (status) {
      case S.STATUS_OK:
      case S.STATUS_BUDGET:
      case S.STATUS_STEPPED:
        return undefined;
      case S.STATUS_MISS:
        return this.miss();
      case S.STATUS_FAULT:
        return this.deliver();
      case S.STATUS_EXIT:
        return this.exit();
      case S.STATUS_CODE_WRITE:
        this.invalidateWritten();
        return this.step(true);
      case S.STATUS_HOT:
        this.hot(this.cache.byHeader(this.word(S.RECORD)), this.now());
        return undefined;
      case S.STATUS_HALT:
        this.setWord(S.INTERRUPT_SHADOW, 0);
        this.duty.sleep(this.now());
        return { kind: 'hlt' };
      case S.STATUS_SHUTDOWN:
        return { kind: 'shutdown' };
      default:
        throw new Error(`compiled code returned status ${status}`);
    }
  }

  /** Ends this slice after so many instructions, if it is not to end sooner. */
  private endSlice(instructions: number): void {
    const rest = this.word(S.BUDGET) - instructions;
    if (rest <= 0) return;
    this.cut += rest;
    this.setWord(S.BUDGET, instructions);
    this.setWord(S.CLOCK_BUDGET, S.CLOCK_UNREAD);
  }

  private hot(block: Block, nowNs: number): void {
    if (this.duty.share(nowNs) < IDLE) this.cache.cool(block.gpa, block.key);
    else if (this.translator.request(block, nowNs)) this.endSlice(SOON);
  }

  private deliver(): VmExit | undefined {
    this.delivered = true;
    this.setWord(S.LOG_COUNT, 0);
    this.setWord(S.INTERRUPT_SHADOW, 0);
    this.tellStackFault();
    return this.deliverBy(() => this.runtime.deliverException());
  }

  /** #GP(0) for an address that is not canonical is #SS(0) where the address was the stack's. */
  private tellStackFault(): void {
    const address = this.view.getBigUint64(S.CPU_BASE + S.NOT_CANONICAL, true);
    if (address === 0n) return;
    this.view.setBigUint64(S.CPU_BASE + S.NOT_CANONICAL, 0n, true);
    if (this.word(S.EXCEPTION_VECTOR) !== GP || (this.word(S.BLOCK_KEY) & S.KEY_CODE64) === 0) return;
    const rip = this.view.getBigUint64(S.CPU_BASE + S.RIP, true);
    const host = this.runtime.fetchHost(BigInt.asIntN(64, rip)) >>> 0;
    // Where RIP itself is the address, that look told of it once more: not to be found by the next fault.
    this.view.setBigUint64(S.CPU_BASE + S.NOT_CANONICAL, 0n, true);
    if (host <= NOT_RAM) return;
    const insn = this.decodeHere(host);
    if (insn === 'truncated') return;
    const gpr = (n: number): bigint => this.view.getBigUint64(S.CPU_BASE + S.GPR + 8 * n, true);
    if (isStackAccess(insn, gpr, address)) this.setWord(S.EXCEPTION_VECTOR, SS);
  }

  /** The instruction at RIP, which lies at `host`; it has been executed, so all of it is there. */
  private decodeHere(host: number): Insn | 'truncated' {
    const first = Math.min(MAX_INSTRUCTION, PAGE - (host & (PAGE - 1)));
    const bytes = new Uint8Array(MAX_INSTRUCTION);
    bytes.set(new Uint8Array(this.view.buffer, host, first));
    const insn = decode(bytes, 0, first, 64);
    if (insn !== 'truncated') return insn;
    const before = EXCEPTION_STATE.map((o) => this.word(o));
    const second = this.runtime.fetchNextPage() >>> 0;
    for (const [n, o] of EXCEPTION_STATE.entries()) this.setWord(o, before[n] as number);
    if (second <= NOT_RAM) return 'truncated';
    bytes.set(new Uint8Array(this.view.buffer, second, MAX_INSTRUCTION - first), first);
    return decode(bytes, 0, MAX_INSTRUCTION, 64);
  }

  /** Delivers an event. Nothing of it has happened while it needs an answer or its frame lies on translated code. */
  private deliverBy(delivery: () => number): VmExit | undefined {
    for (;;) {
      this.setWord(S.STATUS, S.STATUS_OK);
      this.setWord(S.LOG_CURSOR, 0);
      const status = delivery();
      if (status === S.STATUS_CODE_WRITE) {
        this.invalidateWritten();
        continue;
      }
      if (status === S.STATUS_EXIT) {
        this.delivery = delivery;
        return this.exit();
      }
      this.delivery = undefined;
      this.setWord(S.LOG_COUNT, 0);
      return status === S.STATUS_MISS ? undefined : this.settle(status);
    }
  }
  private invalidateWritten(): void {
    this.cache.invalidate(
      Number(this.view.getBigUint64(S.CPU_BASE + S.CODE_WRITE_GPA, true)),
      this.word(S.CODE_WRITE_SIZE),
    );
  }

  /** No block is known at RIP: finds or makes it, and notes it in the jump cache. */
  private miss(): VmExit | undefined {
    const header = this.blockHere(this.word(S.BLOCK_KEY));
    if (header === 0) return this.settle(S.STATUS_FAULT);
    // A block that runs over the end of its code segment is gone through until the instruction that does.
    return this.codeRoom < this.cache.lengthOf(header) ? this.step(true) : undefined;
  }
  private get codeRoom(): number {
    return this.runtime.codeRoom() >>> 0;
  }

  /** Header of the block at RIP, or 0 with an exception recorded. `transient`: one instruction, not remembered. */
  private blockHere(key: number, transient = false): number {
    this.setWord(S.STATUS, S.STATUS_OK);
    const room = this.codeRoom;
    if (room === 0) return this.outsideOfCode();
    const host = this.runtime.fetchHere() >>> 0;
    if (host === 0) return 0;
    if (host === NOT_RAM) {
      this.runtime.raise(UD);
      return 0;
    }
    const gpa = host - S.RAM;
    let header = transient ? 0 : this.cache.headerAt(gpa, key);
    if (header !== 0 && this.cache.secondPageOf(header) !== 0) {
      const second = this.runtime.fetchNextPage() >>> 0;
      if (second === 0) return 0;
      if (second !== this.cache.secondPageOf(header)) {
        this.cache.drop(header);
        header = 0;
      }
    }
    if (header === 0) {
      header = this.make(gpa, key, 0, transient);
      if (header === 0) {
        if (room <= PAGE - (gpa & (PAGE - 1))) return this.outsideOfCode();
        const second = this.runtime.fetchNextPage() >>> 0;
        if (second === 0) return 0;
        if (second === NOT_RAM) {
          this.runtime.raise(UD);
          return 0;
        }
        header = this.make(gpa, key, second, transient);
      }
    }
    this.runtime.arrive(header);
    return header;
  }
  private make(gpa: number, key: number, second: number, transient: boolean): number {
    return transient ? this.cache.makeTransient(gpa, key, second) : this.cache.make(gpa, key, second);
  }
  /** #GP(0): the instruction does not end within its code segment. */
  private outsideOfCode(): 0 {
    this.runtime.raiseError(GP, 0);
    return 0;
  }

  /** Runs the one instruction at RIP. An exit is answered by the next entry and then stepped again. */
  private step(transient = this.isStepper): VmExit | undefined {
    const header = this.blockHere(this.word(S.BLOCK_KEY) | S.KEY_SINGLE, transient);
    if (header === 0) return this.settle(S.STATUS_FAULT);
    if (this.codeRoom < this.cache.lengthOf(header)) {
      this.outsideOfCode();
      return this.settle(S.STATUS_FAULT);
    }
    this.setWord(S.LOG_CURSOR, 0);
    this.setWord(S.STEP, 1);
    // Past the header: neither budget nor exit requests stop it.
    const status = this.enter(header + R.RECORD_SIZE);
    this.setWord(S.STEP, 0);
    if (status === S.STATUS_STEPPED || status === S.STATUS_HALT) this.setWord(S.LOG_COUNT, 0);
    // What comes next is not looked at: fetching it may fault, after the trap of this instruction.
    return status === S.STATUS_MISS ? undefined : this.settle(status);
  }

  /**
   * One instruction under RFLAGS.TF or an armed breakpoint: faults before it, traps after it.
   * SDM Vol. 3B, "Debug Exceptions (#DB)".
   */
  private stepTraced(): VmExit | undefined {
    const key = this.word(S.BLOCK_KEY);
    if ((key & S.KEY_CODE_BREAKPOINT) !== 0) {
      const status = this.runtime.checkCodeBreakpoint();
      if (status !== S.STATUS_OK) return this.settle(status);
    }
    const rip = this.view.getBigUint64(S.CPU_BASE + S.RIP, true);
    this.delivered = false;
    this.runtime.forgetHandlerEntry();
    this.setWord(S.INTERRUPT_SHADOW, 0);
    const exit = this.step();
    if (this.word(S.INTERRUPT_SHADOW) === S.SHADOW_OF_SS) return exit;
    const moved = this.view.getBigUint64(S.CPU_BASE + S.RIP, true) !== rip;
    if (exit !== undefined || this.delivered || !moved) {
      this.runtime.dropPendingDebug();
      return exit;
    }
    return this.settle(this.runtime.debugTrap((key & S.KEY_TRAP) !== 0 ? 1 : 0));
  }
  private get isTraced(): boolean {
    return (this.word(S.BLOCK_KEY) & TRACED) !== 0;
  }

  private replay(answer: bigint | 'refused'): VmExit | undefined {
    const refused = answer === 'refused';
    this.owed = 'nothing';
    const count = this.word(S.LOG_COUNT);
    this.setWord(S.LOG_REFUSED, refused ? 1 : 0);
    this.view.setBigUint64(S.CPU_BASE + S.LOG + 8 * count, refused ? 0n : BigInt.asUintN(64, answer), true);
    this.setWord(S.LOG_COUNT, count + 1);
    const exit = this.again();
    this.setWord(S.LOG_REFUSED, 0);
    return exit;
  }

  /** What needed the machine's answer, once more: an instruction, or the delivery of an interrupt to a stack in a device. */
  private again(): VmExit | undefined {
    const { delivery } = this;
    if (delivery !== undefined) return this.deliverBy(delivery);
    return this.isTraced ? this.stepTraced() : this.step();
  }

  private exit(): VmExit {
    const kind = this.word(S.EXIT_KIND);
    const size = this.word(S.EXIT_SIZE) as AccessSize;
    const address = Number(this.view.getBigUint64(S.CPU_BASE + S.EXIT_ADDRESS, true));
    const value = this.view.getBigUint64(S.CPU_BASE + S.EXIT_VALUE, true);
    this.owed = kind === S.EXIT_RDMSR || kind === S.EXIT_WRMSR ? 'msr' : 'data';
    switch (kind) {
      case S.EXIT_PIO_IN:
        return { kind: 'pio-in', port: address, size: size as 1 | 2 | 4 };
      case S.EXIT_PIO_OUT:
        return { kind: 'pio-out', port: address, size: size as 1 | 2 | 4, value: Number(value & MASK32) };
      case S.EXIT_MMIO_READ:
        return { kind: 'mmio-read', gpa: address, size };
      case S.EXIT_MMIO_WRITE:
        return { kind: 'mmio-write', gpa: address, size, value };
      case S.EXIT_RDMSR:
        return { kind: 'rdmsr', msr: address };
      case S.EXIT_WRMSR:
        return { kind: 'wrmsr', msr: address, value };
      case S.EXIT_HYPERCALL:
        return { kind: 'hypercall' };
      default:
        throw new Error(`exit request ${kind}`);
    }
  }

  save(): CpuState {
    return saveCpuState(this.view, this.runtime);
  }
  load(state: CpuState): void {
    loadCpuState(this.view, state, this.runtime);
    this.runtime.updateKey();
    this.runtime.flushAll();
    this.setWord(S.LOG_COUNT, 0);
    this.owed = 'nothing';
    this.delivery = undefined;
    this.remap();
  }

  /**
   * The translation of the code at a linear address: undefined while the address is not mapped (or, with `executed`,
   * while no block starts there).
   */
  inspect(address: bigint, executed: boolean): TranslationReport | undefined {
    const before = EXCEPTION_STATE.map((o) => this.word(o));
    this.setWord(S.STATUS, S.STATUS_OK);
    const host = this.runtime.fetchHost(BigInt.asIntN(64, address)) >>> 0;
    for (const [n, o] of EXCEPTION_STATE.entries()) this.setWord(o, before[n] as number);
    this.setWord(S.STATUS, S.STATUS_OK);
    if (host <= NOT_RAM) return undefined;
    const gpa = host - S.RAM;
    const key = this.word(S.BLOCK_KEY);
    const known = this.cache.headerAt(gpa, key);
    const header = known !== 0 || executed ? known : this.cache.make(gpa, key);
    return header === 0 ? undefined : explain(this.memory, this.cache, this.cache.byHeader(header), address & ~0xfffn);
  }

  /** Guest code at a linear address, as far as it is mapped; for a dump of a guest that has ended. */
  peek(linear: bigint, length: number): Uint8Array {
    const out: number[] = [];
    for (let n = 0; n < length; n++) {
      this.setWord(S.STATUS, S.STATUS_OK);
      const byte = this.runtime.loadSlow(BigInt.asIntN(64, linear + BigInt(n)), 1);
      if (this.word(S.STATUS) !== S.STATUS_OK) break;
      out.push(Number(byte & 255n));
    }
    return Uint8Array.from(out);
  }

  statistics(): Record<string, Record<string, number>> {
    const { interpreted, ...counted } = readCounters(this.view);
    return {
      instructions: { interpreted, translated: Math.max(0, this.retired - interpreted) },
      ...counted,
      interpreter: {
        'instruction forms': this.interpreter.formCount,
        'handler modules': this.interpreter.modules,
        'blocks decoded': this.cache.made,
        'blocks invalidated': this.cache.invalidated,
        'block cache flushes': this.cache.flushes,
        'block cache bytes': this.cache.bytesUsed,
      },
      translator: this.translator.statistics(),
    };
  }
}
