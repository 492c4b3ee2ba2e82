/**
 * The vCPU loop: timers, interrupts, entry, exit, bus. Everything an engine asks of the machine is answered here.
 *
 *   timers due -> interrupt pending? -> VM entry -> VM exit -> bus, port or MSR -> answer with the next entry
 */
import type { Clock } from '../base/clock.js';
import type { CpuState, Vcpu, VmEntry, VmExit, VmExitKind } from '../engine/engine.js';
import type { Chipset } from './chipset.js';
import { DirectDevices } from './direct-devices.js';

export type LoopEnd = 'stopped' | 'shutdown';

export interface VcpuLoopOptions {
  readonly vcpu: Vcpu;
  readonly chipset: Chipset;
  readonly clock: Clock;
  /** Sleeps until `ns` of virtual time have passed or somebody wakes the machine. Infinity: until woken. */
  readonly wait: (ns: number) => void;
  /** Looks for work from outside (input, stop requests) between two entries; true ends the loop. */
  readonly poll: (nowNs: number) => boolean;
  /** Somebody wants the guest to stand still. */
  readonly holdWanted?: () => boolean;
  /** Called between two instructions, with nothing owed to the vCPU: returns when the guest may go on. */
  readonly hold?: () => void;
  /** The vCPU waits in HLT already. */
  readonly halted?: boolean;
  /** Measure host time per exit kind. */
  readonly timed?: (() => number) | undefined;
}

const MAX_SLICE_NS = 500_000;
const MIN_SLICE_NS = 5_000;
/** Where HLT waits inside of the engine, each slice wakes an idle host. */
const MAX_INSIDE_SLICE_NS = 4_000_000;

export interface ExitCount {
  count: number;
  ns: number;
}

export class VcpuLoop {
  readonly exits = new Map<VmExitKind, ExitCount>();
  interrupts = 0;
  /** Nanoseconds spent asleep in HLT. */
  haltedNs = 0;
  /** What was answered without an exit. */
  readonly direct: DirectDevices;
  private current: Vcpu;
  private readonly options: VcpuLoopOptions;
  private answer: bigint | 'refused' = 0n;
  private answered = false;
  /** No answer is owed, and no event that was injected is still on its way. */
  private settled = false;
  /** What the local APIC was told last. */
  private tscOffset = Number.NaN;
  /** The vCPU waits in HLT. */
  halted: boolean;

  constructor(options: VcpuLoopOptions) {
    this.options = options;
    this.current = options.vcpu;
    this.halted = options.halted ?? false;
    this.direct = new DirectDevices(
      options.chipset,
      options.clock,
      () => this.current,
      () => {
        this.followTsc();
        this.followTpr();
      },
    );
    this.vcpu = options.vcpu;
  }

  /** May be another one after a hold. */
  get vcpu(): Vcpu {
    return this.current;
  }
  set vcpu(vcpu: Vcpu) {
    this.current = vcpu;
    vcpu.answerBy?.(this.direct);
  }

  run(): LoopEnd {
    const { chipset, clock, poll } = this.options;
    for (;;) {
      const now = clock.now();
      if (poll(now)) return 'stopped';
      const isHeld = this.options.holdWanted?.() ?? false;
      if (isHeld && !this.answered && (this.settled || this.halted)) {
        this.options.hold?.();
        continue;
      }
      if (this.halted && this.vcpu.lapic === undefined) {
        this.sleep();
        continue;
      }
      chipset.timers.runDue(now);
      const exit = this.vcpu.run(isHeld ? this.settling() : this.entry(now));
      this.followTpr();
      this.settled = isHeld && exit.kind === 'preempted';
      const started = this.options.timed?.() ?? 0;
      if (exit.kind === 'shutdown') {
        this.count('shutdown', started);
        return 'shutdown';
      }
      this.handle(exit);
      this.count(exit.kind, started);
    }
  }

  /** The vCPU starts afresh; whatever it was owed is forgotten. */
  restart(state: CpuState): void {
    this.answered = false;
    this.halted = state.halted;
    this.vcpu.load(state);
  }

  private entry(now: number): VmEntry {
    const { vcpu } = this;
    const { chipset } = this.options;
    const { irqchip } = chipset;
    this.followTsc();
    const pending = irqchip.pendingVector(0) !== undefined;
    // While an answer is owed the guest's instruction comes first; the window opens after it.
    const isBetween = !this.answered;
    const nmi = isBetween && irqchip.nmiPending(0) && vcpu.nmiInterruptible === true && irqchip.takeNmi(0);
    const inject = pending && isBetween && !nmi && vcpu.interruptible;
    const untilDeadline = chipset.timers.nextDeadline() - now;
    const longest = vcpu.lapic === undefined ? MAX_SLICE_NS : MAX_INSIDE_SLICE_NS;
    const entry: VmEntry = {
      answer: this.answer,
      vector: inject ? irqchip.acknowledge(0) : undefined,
      requestInterruptWindow: inject ? irqchip.pendingVector(0) !== undefined : pending,
      sliceNs: Math.max(MIN_SLICE_NS, Math.min(longest, untilDeadline)),
      nmi,
      requestNmiWindow: irqchip.nmiPending(0),
      tprThreshold: irqchip.tprThreshold(0),
    };
    if (inject || nmi) this.interrupts++;
    this.direct.enter({
      untilNs: now + entry.sliceNs,
      requestInterruptWindow: entry.requestInterruptWindow,
      requestNmiWindow: entry.requestNmiWindow === true,
      tprThreshold: entry.tprThreshold ?? 0,
    });
    this.answer = 0n;
    this.answered = false;
    return entry;
  }

  /** MOV to CR8 tells nobody. What the local APIC was told of its low bits stays while the class does. */
  private followTpr(): void {
    const { irqchip } = this.options.chipset;
    const { tpr } = this.vcpu;
    if (tpr >> 4 !== irqchip.getTpr(0) >> 4) irqchip.setTpr(0, tpr);
  }

  /** Deadlines of the local APIC's timer are readings of the guest's TSC. */
  private followTsc(): void {
    const { tscOffset = 0 } = this.vcpu;
    if (tscOffset === this.tscOffset) return;
    this.tscOffset = tscOffset;
    this.options.chipset.irqchip.setTscOffset(0, tscOffset);
  }

  /** Brings the owed answer, if any, and nothing else. */
  private settling(): VmEntry {
    const entry = { answer: this.answer, vector: undefined, requestInterruptWindow: false, sliceNs: 0, settle: true };
    this.answer = 0n;
    this.answered = false;
    return entry;
  }

  private handle(exit: VmExit): void {
    const { bus, irqchip } = this.options.chipset;
    switch (exit.kind) {
      case 'pio-in':
        this.reply(BigInt(bus.pio.read(exit.port, exit.size) >>> 0));
        return;
      case 'pio-out':
        bus.pio.write(exit.port, exit.size, exit.value);
        this.reply(0n);
        return;
      case 'mmio-read':
        this.reply(bus.mmio.read(exit.gpa, exit.size));
        return;
      case 'mmio-write':
        bus.mmio.write(exit.gpa, exit.size, exit.value);
        // The local APIC's task priority and CR8 are one register.
        this.vcpu.tpr = irqchip.getTpr(0);
        this.reply(0n);
        return;
      case 'rdmsr':
        this.reply(bus.msr.read(exit.msr) ?? 'refused');
        return;
      case 'wrmsr':
        this.reply(bus.msr.write(exit.msr, exit.value) ? 0n : 'refused');
        return;
      case 'hypercall':
        this.reply('refused');
        return;
      case 'eoi':
        irqchip.endOfInterrupt(exit.vector);
        return;
      case 'hlt':
        this.halted = true;
        return;
      default:
    }
  }

  private reply(answer: bigint | 'refused'): void {
    this.answer = answer;
    this.answered = true;
  }

  /** An interrupt that ends HLT: one that the vCPU would take. SDM Vol. 2A, "HLT—Halt". */
  private get isWoken(): boolean {
    const { vcpu } = this;
    const { irqchip } = this.options.chipset;
    if (irqchip.nmiPending(0) && vcpu.nmiInterruptible === true) return true;
    return irqchip.pendingVector(0) !== undefined && vcpu.interruptible;
  }

  /** In HLT: sleeps until an interrupt is there or somebody outside wants something. */
  private sleep(): void {
    const { chipset, clock, wait, poll, holdWanted } = this.options;
    const started = clock.now();
    for (;;) {
      const now = clock.now();
      chipset.timers.runDue(now);
      if (this.isWoken) {
        this.halted = false;
        break;
      }
      wait(Math.max(0, chipset.timers.nextDeadline() - now));
      if (poll(clock.now()) || holdWanted?.() === true) break;
    }
    this.haltedNs += clock.now() - started;
  }

  private count(kind: VmExitKind, started: number): void {
    let counter = this.exits.get(kind);
    if (counter === undefined) {
      counter = { count: 0, ns: 0 };
      this.exits.set(kind, counter);
    }
    counter.count++;
    if (this.options.timed !== undefined) counter.ns += this.options.timed() - started;
  }
}
