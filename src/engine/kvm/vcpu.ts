/**
 * A vCPU of Linux's KVM: one thread calls KVM_RUN, synchronously; what KVM cannot do itself comes back as an exit.
 * Registers travel in the page shared with the kernel (KVM_CAP_SYNC_REGS): on some hosts an ioctl costs as much as an exit.
 */
import { TrapezeError } from '../../base/errors.js';
import type { CpuState, SteppingVcpu, Vcpu, VmEntry, VmExit } from '../engine.js';
import * as K from './abi.js';
import { type AsideTimes, runAside } from './aside.js';
import { byteOut, OwedAnswer } from './exits.js';
import type { InterruptPace } from './interrupt-pace.js';
import type { KvmLapic } from './lapic.js';
import * as L from './layout.js';
import * as R from './registers.js';
import { lasts, NEVER_NS, SliceTimer } from './slice-timer.js';
import { SYSCALL_MSRS, type SyscallRepair } from './syscall-repair.js';
import { EAGAIN, EINTR, type System } from './system.js';

const IF = 0x200n;
const PREEMPTED = { kind: 'preempted' } as const;
/** XCR0 always has x87, XSTATE_BV both. */
const XCR0_RESET = 1n;
const XSTATE_BOTH = 3n;
/** The way into the guest and out takes some microseconds on slow hosts: a shorter slice might never get anywhere. */
const MIN_SLICE_NS = 50_000;
/** An event that is half delivered gets this long to arrive before the state is told. */
const DELIVERY_NS = 20_000;
/** More than there are reasons; a power of two. */
const EXIT_KINDS = 64;
/** Of so many interrupted entries one looks whether the guest has another page fault handler. */
const FOLLOW_MASK = 15;
const EXIT_NAMES = new Map<number, string>(Object.entries(K.EXIT).map(([name, number]) => [number, name]));

/** What kvm_run does not carry. */
type Outside = Pick<CpuState, 'dr' | 'xcr0' | 'msrs' | 'fxsave' | 'xstateBv'>;

export class KvmVcpu implements Vcpu {
  readonly fd: number;
  /** KVM's own; absent: the machine has it. */
  lapic: KvmLapic | undefined;
  /** Where this host's SYSCALL needs help. */
  syscall: SyscallRepair | undefined;
  /** Where ring 0 is emulated. */
  pace: InterruptPace | undefined;
  private followed = 0;
  /** Takes a write to memory that KVM does not know as such; true: the machine need not hear of it. */
  absorb: (gpa: number, size: number, value: bigint) => boolean = () => false;
  private base = K.APIC_BASE_RESET;
  private readonly system: System;
  /** kvm_run. */
  readonly view: DataView;
  private readonly words: Uint32Array;
  private readonly bytes: Uint8Array;
  private readonly timer: SliceTimer;
  private readonly owed: OwedAnswer;
  /** With slices for which a timer of so many nanoseconds lasts, the next entry is as the last one, which owed nothing. */
  private plainNs = NEVER_NS;
  /** Something may be owed. */
  private asks = false;
  private readonly runKvm: () => number;
  private readonly virtualTicks: () => number;
  private readonly makeStepper: (() => SteppingVcpu) | undefined;
  private stepper: SteppingVcpu | undefined;
  /** The stepper is in the middle of an instruction that asks the machine. */
  private stepping = false;
  /** The state before that instruction. */
  private refused: CpuState | undefined;
  private halted = false;
  /** The machine has asked for the interrupt window. */
  private windowWanted = false;
  /** The guest's TSC minus the virtual clock's, as last read. */
  tscOffset = 0;
  /** A non-maskable interrupt is being taken or handled: every exit brings the event record. */
  private watchesNmi = false;
  /** What a load has said; undefined after an entry, when kvm_run knows. */
  private loadedInterruptible: boolean | undefined;
  /** The state MSRs that this host's KVM has. */
  private msrs: readonly number[] = K.STATE_MSRS;
  private readonly xsave = new Uint8Array(L.XSAVE_SIZE);
  private readonly exits = new Uint32Array(EXIT_KINDS);
  /** Bytes out that are not counted there yet. */
  private ioExits = 0;
  private stepped = 0;

  constructor(
    fd: number,
    run: ArrayBuffer,
    system: System,
    now: () => number,
    virtualTicks: () => number,
    makeStepper: (() => SteppingVcpu) | undefined,
  ) {
    this.fd = fd;
    this.system = system;
    this.view = new DataView(run);
    this.words = new Uint32Array(run);
    this.bytes = new Uint8Array(run);
    this.virtualTicks = virtualTicks;
    this.makeStepper = makeStepper;
    this.owed = new OwedAnswer(this.view);
    this.runKvm = system.caller(fd, K.IOCTL.RUN);
    system.admitKickSignal();
    this.timer = new SliceTimer(system, now);
  }

  get timerId(): number {
    return this.timer.id;
  }

  get interruptible(): boolean {
    if (this.stepping || this.pace?.isHeld === true) return false;
    return this.loadedInterruptible ?? this.view.getUint8(L.RUN.READY_FOR_INTERRUPT) !== 0;
  }

  /** KVM keeps one that comes too early until it can be taken. */
  get nmiInterruptible(): boolean {
    if (this.stepping) return false;
    return !this.watchesNmi || this.view.getUint8(L.RUN.EVENTS + L.EVENTS.NMI_PENDING) === 0;
  }

  get tpr(): number {
    if (this.stepping && this.stepper !== undefined) return this.stepper.tpr;
    return (Number(this.view.getBigUint64(L.RUN.CR8, true)) & 15) << 4;
  }
  set tpr(value: number) {
    if (this.stepping && this.stepper !== undefined) this.stepper.tpr = value;
    else this.view.setBigUint64(L.RUN.CR8, BigInt((value >> 4) & 15), true);
  }

  run(entry: VmEntry): VmExit {
    if (this.isPlain(entry)) {
      const result = this.runKvm();
      const out = result < 0 ? undefined : byteOut(this.words, this.bytes);
      if (out !== undefined) {
        this.ioExits++;
        return out;
      }
      const exit = this.left(result);
      if (exit !== undefined) {
        this.plainNs = NEVER_NS;
        return exit;
      }
    }
    return this.runAny(entry);
  }

  /** Nothing is to be done but KVM_RUN. Each line of code and data that is touched between two of them comes from far. */
  private isPlain(entry: VmEntry): boolean {
    return (
      lasts(this.plainNs, entry.sliceNs) &&
      entry.vector === undefined &&
      !entry.requestInterruptWindow &&
      entry.nmi !== true &&
      entry.requestNmiWindow !== true &&
      entry.settle !== true
    );
  }

  private runAny(entry: VmEntry): VmExit {
    this.plainNs = NEVER_NS;
    if (this.asks || entry.settle === true) {
      const exit = this.answer(entry);
      this.asks = exit !== undefined;
      if (exit !== undefined) return exit;
    }
    if (entry.requestNmiWindow === true && entry.nmi !== true) {
      const exit = this.nmiWindow();
      if (exit !== undefined) return exit;
    }
    if (entry.nmi === true) this.injectNmi();
    else if (entry.vector !== undefined) this.inject(entry.vector);
    this.requestWindow(entry.requestInterruptWindow);
    const armedNs = this.timer.arm(Math.max(MIN_SLICE_NS, entry.sliceNs));
    this.halted = false;
    let exit = this.enter();
    while (exit === undefined) exit = this.enter();
    const isPlain = !this.asks && !this.windowWanted && !this.watchesNmi && this.pace === undefined;
    if (isPlain && exit.kind === 'pio-out') this.plainNs = armedNs;
    return exit;
  }

  private requestWindow(isWanted: boolean): void {
    const { pace } = this;
    this.windowWanted = isWanted;
    const isRequested = pace === undefined ? isWanted : pace.isMeasuring || (isWanted && !pace.isHeld);
    this.view.setUint8(L.RUN.REQUEST_INTERRUPT_WINDOW, isRequested ? 1 : 0);
  }

  /** Undefined: nobody but the pace wanted to know. */
  private windowOpened(): VmExit | undefined {
    this.pace?.windowOpened();
    if (this.windowWanted && this.pace?.isHeld !== true) return { kind: 'interrupt-window' };
    this.requestWindow(this.windowWanted);
    return undefined;
  }

  /** KVM tells of no such window: it takes one interrupt at any time, behind the instruction that waits for its answer. */
  private nmiWindow(): VmExit | undefined {
    const exit = this.settle();
    if (exit.kind !== 'preempted') return exit;
    return this.nmiInterruptible ? { kind: 'interrupt-window' } : undefined;
  }

  /** Takes what the machine has brought. Undefined: the guest can go on. */
  private answer(entry: VmEntry): VmExit | undefined {
    if (this.stepping) {
      const exit = this.step(entry);
      if (exit === undefined && entry.settle === true) return PREEMPTED;
      return exit;
    }
    const next = this.owed.isOpen ? this.unabsorbed(this.owed.settle(entry.answer)) : undefined;
    return next === undefined && entry.settle === true ? this.settle() : next;
  }

  /** One KVM_RUN. Undefined: go on. */
  private enter(): VmExit | undefined {
    return this.left(this.runKvm());
  }

  /** KVM_RUN has returned. */
  private left(result: number): VmExit | undefined {
    this.loadedInterruptible = undefined;
    if (result < 0) return this.interrupted(result);
    const reason = this.words[L.RUN.EXIT_REASON >> 2];
    this.countExit(reason);
    if (this.watchesNmi) this.lookAtNmi();
    const out = byteOut(this.words, this.bytes);
    if (out !== undefined) return out;
    this.asks = true;
    if (reason === K.EXIT.IO) return this.owed.ask(reason);
    return reason === K.EXIT.MMIO ? this.unabsorbed(this.owed.ask(reason)) : this.exitFor(reason);
  }

  /** The first part of an access that is the machine's, if one is. */
  private unabsorbed(exit: VmExit | undefined): VmExit | undefined {
    let part = exit;
    while (part?.kind === 'mmio-write' && this.absorb(part.gpa, part.size, part.value)) part = this.owed.settle(0n);
    return part;
  }

  /** KVM_RUN has returned without an exit of the guest. */
  private interrupted(result: number): VmExit | undefined {
    if (result === -EAGAIN) return undefined;
    if (result !== -EINTR) throw refusesState(result);
    this.view.setUint8(L.RUN.IMMEDIATE_EXIT, 0);
    this.timer.fired();
    this.countExit(K.EXIT.INTR);
    if (this.watchesNmi) this.lookAtNmi();
    if (this.syscall !== undefined && (this.followed++ & FOLLOW_MASK) === 0) this.followSyscall();
    return PREEMPTED;
  }

  private exitFor(reason: number): VmExit | undefined {
    switch (reason) {
      case K.EXIT.X86_RDMSR:
        return this.owed.ask(reason);
      case K.EXIT.DEBUG:
        return this.pageFault();
      case K.EXIT.X86_WRMSR:
        if (this.syscall !== undefined && this.isSyscallMsr()) return undefined;
        // A deadline is a reading of the counter, which the guest may have set.
        if (this.view.getUint32(L.RUN.MSR_INDEX, true) === K.MSR_TSC_DEADLINE) this.readTscOffset();
        return this.owed.ask(reason);
      case K.EXIT.HLT:
        this.halted = true;
        this.pace?.idle();
        return this.leaves({ kind: 'hlt' });
      case K.EXIT.IRQ_WINDOW_OPEN:
        return this.windowOpened();
      case K.EXIT.IOAPIC_EOI:
        return { kind: 'eoi', vector: this.view.getUint8(L.RUN.EOI_VECTOR) };
      case K.EXIT.INTR:
      case K.EXIT.SET_TPR:
        return PREEMPTED;
      case K.EXIT.INTERNAL_ERROR:
        return this.stepRefused();
      default:
        // Triple fault, a state the processor cannot enter, an event KVM could not deliver.
        return this.leaves({ kind: 'shutdown' });
    }
  }

  /** After this exit the machine may let the thread sleep. */
  private leaves(exit: VmExit): VmExit {
    this.timer.disarm();
    return exit;
  }

  /** Finishes the instruction whose answer has been given. */
  private settle(): VmExit {
    this.fetch(K.SYNC_EVENTS);
    let exit = this.enterAtOnce();
    while (exit === undefined && R.isEventInFlight(this.view, L.RUN.EVENTS)) {
      this.fetch(K.SYNC_EVENTS);
      this.timer.arm(DELIVERY_NS);
      const later = this.enter();
      if (later !== undefined && later.kind !== 'preempted') exit = later;
    }
    this.fetchLittle();
    return this.leaves(exit ?? PREEMPTED);
  }

  /** What KVM writes into kvm_run with every exit: as little as can be, it takes its time. */
  private fetch(what: number): void {
    this.view.setBigUint64(L.RUN.VALID_REGS, BigInt(what), true);
  }
  private fetchLittle(): void {
    this.fetch(this.watchesNmi ? K.SYNC_EVENTS : 0);
  }

  /** KVM_RUN without running the guest: takes what is pending both ways. An exit where that asks again. */
  private enterAtOnce(): VmExit | undefined {
    const { view } = this;
    view.setUint8(L.RUN.IMMEDIATE_EXIT, 1);
    const result = this.runKvm();
    view.setUint8(L.RUN.IMMEDIATE_EXIT, 0);
    if (result === -EINTR) return undefined;
    if (result < 0) throw refusesState(result);
    const reason = view.getUint32(L.RUN.EXIT_REASON, true);
    if (reason !== K.EXIT.IO && reason !== K.EXIT.MMIO) return undefined;
    this.asks = true;
    return this.unabsorbed(this.owed.ask(reason));
  }

  /** A little code in real mode; `ram` is GPA 0 first. Nothing may be owed. */
  runAside(code: readonly number[], ram: DataView, now: () => number): AsideTimes {
    // What a load has left in kvm_run goes in first.
    this.enterAtOnce();
    return runAside({ system: this.system, fd: this.fd, view: this.view, run: this.runKvm, ram, now }, code);
  }

  get apicBase(): bigint {
    if (this.lapic !== undefined) this.fetchRegisters();
    return this.base;
  }
  set apicBase(value: bigint) {
    this.fetchRegisters();
    this.base = value;
    this.view.setBigUint64(L.RUN.SREGS + L.SREGS.APIC_BASE, value, true);
    this.markDirty(K.SYNC_SREGS);
    this.enterAtOnce();
  }

  /** KVM has said that it is ready: then nothing else is half delivered, and all there is to tell is NMI blocking. */
  private inject(vector: number): void {
    const { view } = this;
    this.pace?.injected();
    if (this.lapic !== undefined) {
      const number = new Uint8Array(Uint32Array.of(vector).buffer);
      this.ioctl(K.IOCTL.INTERRUPT, number, 'KVM_INTERRUPT');
      return;
    }
    const at = L.RUN.EVENTS;
    // Between a load and the first entry the record is what was loaded.
    if (this.loadedInterruptible === undefined) {
      if (this.watchesNmi) view.setUint32(at + L.EVENTS.FLAGS, 0, true);
      else R.clearEvents(view, at);
    }
    view.setUint8(at + L.EVENTS.INTERRUPT_INJECTED, 1);
    view.setUint8(at + L.EVENTS.INTERRUPT_NUMBER, vector);
    view.setUint8(at + L.EVENTS.INTERRUPT_SOFT, 0);
    this.markDirty(K.SYNC_EVENTS);
  }

  private injectNmi(): void {
    this.need(this.system.ioctl(this.fd, K.IOCTL.NMI, 0), 'KVM_NMI');
    this.watchesNmi = true;
    this.fetchLittle();
  }

  /** After an exit: once the handler has returned there is nothing to look for any more. */
  private lookAtNmi(): void {
    this.watchesNmi = R.isNmiInFlight(this.view, L.RUN.EVENTS);
    this.fetchLittle();
  }

  private markDirty(what: number): void {
    const { view } = this;
    if ((what & K.SYNC_SREGS) !== 0) R.clearInterruptBitmap(view, L.RUN.SREGS);
    view.setBigUint64(L.RUN.DIRTY_REGS, view.getBigUint64(L.RUN.DIRTY_REGS, true) | BigInt(what), true);
  }

  // ---- instructions that KVM refuses ----

  private stepRefused(): VmExit | undefined {
    const isRefusal = this.view.getUint32(L.RUN.SUBERROR, true) === K.INTERNAL_ERROR_EMULATION;
    return isRefusal ? this.stepHere() : { kind: 'shutdown' };
  }

  private stepHere(): VmExit | undefined {
    if (this.makeStepper === undefined) return { kind: 'shutdown' };
    this.stepper ??= this.makeStepper();
    this.refused = this.save();
    this.stepper.load(this.refused);
    this.stepping = true;
    this.stepped++;
    return this.step({ answer: 0n, vector: undefined, requestInterruptWindow: false, sliceNs: 0 });
  }

  /** One instruction, or the rest of one, elsewhere. Undefined: it has retired, and KVM has its outcome. */
  private step(entry: VmEntry): VmExit | undefined {
    const stepper = this.stepper as SteppingVcpu;
    const exit = stepper.stepOne(entry);
    if (exit.kind !== 'preempted' && exit.kind !== 'hlt') return exit;
    this.stepping = false;
    const after = stepper.save();
    after.msrs.delete(K.MSR_TSC);
    this.loadChanges(after, this.refused);
    return exit.kind === 'hlt' ? this.leaves(exit) : undefined;
  }

  // ---- SYSCALL where the host does half of it ----

  private followSyscall(): void {
    this.fetchRegisters();
    this.syscall?.follow();
  }

  /** A write that was filtered only so that we know of it. */
  private isSyscallMsr(): boolean {
    const { view } = this;
    const msr = view.getUint32(L.RUN.MSR_INDEX, true);
    const [first, count] = SYSCALL_MSRS;
    if (msr < first || msr >= first + count) return false;
    const value = view.getBigUint64(L.RUN.MSR_DATA, true);
    const isTaken = this.ioctl(K.IOCTL.SET_MSRS, R.msrList([msr], new Map([[msr, value]])), 'KVM_SET_MSRS') === 1;
    view.setUint8(L.RUN.MSR_ERROR, isTaken ? 0 : 1);
    if (isTaken) this.syscall?.written(msr, value);
    this.followed = 0;
    return true;
  }

  /** At the breakpoint. */
  private pageFault(): VmExit | undefined {
    this.fetchRegisters();
    if (this.syscall?.repair() !== true) return this.stepHere();
    this.markDirty(K.SYNC_REGS | K.SYNC_SREGS);
    return undefined;
  }

  // ---- state in and out ----

  save(): CpuState {
    if (this.stepping) return (this.stepper as SteppingVcpu).save();
    const { view } = this;
    this.fetchRegisters();
    return {
      ...R.readRegs(view, L.RUN.REGS),
      ...R.readSregs(view, L.RUN.SREGS),
      ...R.readEvents(view, L.RUN.EVENTS),
      ...this.saveOutside(),
      cr8: view.getBigUint64(L.RUN.CR8, true),
      halted: this.lapic === undefined ? this.halted : this.isHaltedInside(),
    };
  }

  /** Brings everything into kvm_run that it can carry. */
  private fetchRegisters(): void {
    this.fetch(K.SYNC_ALL);
    this.enterAtOnce();
    this.fetchLittle();
    this.base = this.view.getBigUint64(L.RUN.SREGS + L.SREGS.APIC_BASE, true);
  }

  private isHaltedInside(): boolean {
    const state = new Uint8Array(4);
    this.ioctl(K.IOCTL.GET_MP_STATE, state, 'KVM_GET_MP_STATE');
    return state[0] === K.MP_HALTED;
  }

  private saveOutside(): Outside {
    const debug = new Uint8Array(L.DEBUGREGS_SIZE);
    this.ioctl(K.IOCTL.GET_DEBUGREGS, debug, 'KVM_GET_DEBUGREGS');
    const xcrs = new Uint8Array(L.XCRS_SIZE);
    this.ioctl(K.IOCTL.GET_XCRS, xcrs, 'KVM_GET_XCRS');
    this.ioctl(K.IOCTL.GET_XSAVE, this.xsave, 'KVM_GET_XSAVE');
    return {
      dr: R.readDebugRegisters(new DataView(debug.buffer)),
      xcr0: new DataView(xcrs.buffer).getBigUint64(L.XCRS_FIRST + 8, true),
      msrs: this.readMsrs(),
      fxsave: this.xsave.slice(0, L.XSAVE_LEGACY_SIZE),
      xstateBv: new DataView(this.xsave.buffer).getBigUint64(L.XSAVE_XSTATE_BV, true),
    };
  }

  /** The guest's time-stamp counter now. */
  readTsc(): bigint {
    const list = R.msrList([K.MSR_TSC]);
    this.ioctl(K.IOCTL.GET_MSRS, list, 'KVM_GET_MSRS');
    return R.readMsrList(list, 1).get(K.MSR_TSC) as bigint;
  }

  /** KVM stops at the first MSR it does not have: that one is never asked for again. */
  private readMsrs(): Map<number, bigint> {
    for (;;) {
      const list = R.msrList(this.msrs);
      const count = this.ioctl(K.IOCTL.GET_MSRS, list, 'KVM_GET_MSRS');
      if (count >= this.msrs.length) return R.readMsrList(list, count);
      this.msrs = this.msrs.filter((_, n) => n !== count);
    }
  }

  load(state: CpuState): void {
    this.loadChanges(state, undefined);
  }

  /** An ioctl is slow: what is as KVM has it is not told again. */
  private loadChanges(state: CpuState, known: CpuState | undefined): void {
    const { view } = this;
    this.plainNs = NEVER_NS;
    this.stepping = false;
    this.owed.forget();
    this.halted = state.halted;
    R.writeRegs(view, L.RUN.REGS, state);
    R.writeSregs(view, L.RUN.SREGS, state, this.base);
    R.writeEvents(view, L.RUN.EVENTS, state);
    this.watchesNmi = state.nmiBlocked;
    this.fetchLittle();
    view.setBigUint64(L.RUN.CR8, state.cr8, true);
    this.markDirty(K.SYNC_ALL);
    if (this.lapic !== undefined) {
      const mode = Uint8Array.of(state.halted ? K.MP_HALTED : K.MP_RUNNABLE, 0, 0, 0);
      this.ioctl(K.IOCTL.SET_MP_STATE, mode, 'KVM_SET_MP_STATE');
    }
    this.loadedInterruptible = this.lapic === undefined && (state.rflags & IF) !== 0n && !state.interruptShadow;
    if (known?.dr.every((value, n) => value === state.dr[n]) !== true) this.loadDebugRegisters(state.dr);
    if (known?.xcr0 !== state.xcr0) this.loadXcr0(state.xcr0);
    if (known === undefined || !R.isSameFpu(known.fxsave, state.fxsave)) this.loadFpu(state);
    const msrs = [...state.msrs].filter(([number, value]) => known?.msrs.get(number) !== value);
    if (msrs.length > 0) this.loadMsrs(new Map(msrs));
    if (this.syscall !== undefined && known === undefined) {
      for (const [number, value] of state.msrs) this.syscall.written(number, value);
      this.followSyscall();
    }
    if (state.msrs.has(K.MSR_TSC) || this.tscOffset === 0) this.readTscOffset();
  }

  private readTscOffset(): void {
    this.tscOffset = Number(this.readTsc()) - this.virtualTicks();
  }

  private loadDebugRegisters(dr: readonly bigint[]): void {
    const debug = new DataView(new ArrayBuffer(L.DEBUGREGS_SIZE));
    R.writeDebugRegisters(debug, dr);
    this.ioctl(K.IOCTL.SET_DEBUGREGS, new Uint8Array(debug.buffer), 'KVM_SET_DEBUGREGS');
  }

  private loadXcr0(value: bigint): void {
    const xcrs = new DataView(new ArrayBuffer(L.XCRS_SIZE));
    xcrs.setUint32(0, 1, true);
    xcrs.setBigUint64(L.XCRS_FIRST + 8, value | XCR0_RESET, true);
    this.ioctl(K.IOCTL.SET_XCRS, new Uint8Array(xcrs.buffer), 'KVM_SET_XCRS');
  }

  /** The legacy region; parts that only this host's processor has stay as the last save found them. */
  private loadFpu({ fxsave, xstateBv }: CpuState): void {
    const { xsave } = this;
    xsave.set(fxsave.subarray(0, L.XSAVE_LEGACY_SIZE));
    const header = new DataView(xsave.buffer);
    const beyond = header.getBigUint64(L.XSAVE_XSTATE_BV, true) & ~XSTATE_BOTH;
    const both = (xstateBv ?? XSTATE_BOTH) & XSTATE_BOTH;
    header.setBigUint64(L.XSAVE_XSTATE_BV, beyond | both, true);
    this.ioctl(K.IOCTL.SET_XSAVE, xsave, 'KVM_SET_XSAVE');
  }

  /** One after the other where KVM does not take them all: what it has not, no guest can see on this host. */
  private loadMsrs(values: ReadonlyMap<number, bigint>): void {
    let numbers = this.msrs.filter((number) => values.has(number));
    while (numbers.length > 0) {
      const done = this.ioctl(K.IOCTL.SET_MSRS, R.msrList(numbers, values), 'KVM_SET_MSRS');
      numbers = numbers.slice(done + 1);
    }
  }

  private ioctl(request: number, argument: Uint8Array, what: string): number {
    return this.need(this.system.ioctlData(this.fd, request, argument), what);
  }
  private need(result: number, what: string): number {
    if (result >= 0) return result;
    throw new TrapezeError('host-unsupported', `this host's KVM refused ${what} with error ${-result}`);
  }

  private countExit(reason: number): void {
    this.exits[reason & (EXIT_KINDS - 1)]++;
  }

  statistics(): Record<string, Record<string, number>> {
    const exits: Record<string, number> = {};
    this.exits[K.EXIT.IO] += this.ioExits;
    this.ioExits = 0;
    for (const [reason, count] of this.exits.entries()) {
      if (count > 0) exits[EXIT_NAMES.get(reason) ?? `reason ${reason}`] = count;
    }
    const repaired = this.syscall === undefined ? {} : { 'SYSCALLs finished': this.syscall.repaired };
    return { 'KVM exits': exits, fallback: { 'instructions stepped': this.stepped, ...repaired } };
  }
}

function refusesState(result: number): TrapezeError {
  return new TrapezeError('host-unsupported', `KVM_RUN failed with error ${-result}: this host refuses the state`);
}
