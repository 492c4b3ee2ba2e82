/**
 * A machine as it runs in its vCPU thread: RAM, chipset, processor, loaded guest, and the loop until the guest or the
 * host ends it. Host-neutral; the worker entries give it an engine, a clock and a way to send messages.
 */
import type { Clock } from '../base/clock.js';
import { EngineSwitchError, EXIT_CODE, StateError, TrapezeError, UsageError } from '../base/errors.js';
import type { CpuState, Engine, PhysicalMap, Vcpu } from '../engine/engine.js';
import { resetState } from './boot/firmware.js';
import { type Chipset, createChipset } from './chipset.js';
import type { ControlBlock } from './control-block.js';
import { guestDma } from './guest-dma.js';
import type { EndReason, MachineOptions, MachineResult, Statistics } from './machine.js';
import { OutputBuffer } from './output-buffer.js';
import { powerOn } from './power-on.js';
import type { TranslationReport } from './protocol.js';
import { type MachineState, openState, readRam, readState } from './saved-state.js';
import { type LoopEnd, VcpuLoop } from './vcpu-loop.js';
import { VirtualClock } from './virtual-clock.js';

export const DEFAULT_MEMORY = 512 * 2 ** 20;
const UARTS = 2;
/** IA32_TIME_STAMP_COUNTER, and how far it may be off after a state was loaded. */
const TSC = 0x10;
const TSC_JUMP_S = 0.5;
const INSPECT_PERIOD_NS = 2e6;

/** An engine with the guest RAM it runs on. */
export interface EngineWithMemory {
  readonly engine: Engine;
  /** The guest's TSC. */
  readonly tscHz: number;
  /** Names of the processor features that the guest sees. */
  readonly features: readonly string[];
  /** GPA 0 first. */
  readonly ram: Uint8Array;
  /** Absent: 0xc0000-0xfffff is always RAM, A20 is always open, and there can be no firmware. */
  readonly map?: PhysicalMap;
  /** A device wrote guest RAM. */
  written?(gpa: number, sizeBytes: number): void;
  /** Guest code around a linear address, for a register dump. */
  peek(linear: bigint, length: number): Uint8Array;
  /** Lets the guest go on under another engine. Throws EngineSwitchError, and leaves it where it is. */
  switchTo?(engine: Engine['name']): Vcpu;
  /** Counters of every engine that has run. */
  statistics?(): Record<string, Record<string, number>>;
  /** The translation of the code at a linear address; `executed`: only where the guest has run it. */
  inspect(linear: bigint, executed: boolean): TranslationReport | undefined;
}

export interface VirtualMachineHost {
  /** Nanoseconds, monotonic. */
  now(): number;
  readonly wallClockMs: number;
  /**
   * `firmware` is a ROM that ends at 4 GiB. `virtualNow`: nanoseconds of the machine's own clock. `tscHz`: what the guest's
   * TSC should run at, if the engine can choose.
   */
  makeEngine(
    ramBytes: number,
    firmware: Uint8Array | undefined,
    virtualNow: () => number,
    tscHz?: number,
  ): EngineWithMemory;
  serial(bytes: Uint8Array): void;
  debugcon(bytes: Uint8Array): void;
  /** The guest stands still for the request of this number; the counters up to here. */
  held(number: number, statistics: Statistics): void;
  state(state: MachineState, ram: Uint8Array): void;
  /** A change of the engine was asked for: what the target lacks, nothing where the guest is there now. */
  engineChanged(engine: Engine['name'], missing: readonly string[]): void;
}

/** What a run starts from instead of power-on. */
interface Loaded {
  readonly memory: EngineWithMemory;
  readonly state: MachineState;
}

interface Parts {
  readonly chipset: Chipset;
  readonly vcpu: Vcpu;
  readonly memory: EngineWithMemory;
  readonly halted: boolean;
}

interface Run {
  readonly reason: EndReason;
  readonly debugExitCode: number;
}

export class VirtualMachine {
  private readonly options: MachineOptions;
  private readonly control: ControlBlock;
  private readonly host: VirtualMachineHost;
  private readonly clock: VirtualClock;
  private loaded: Loaded | undefined;
  /** Requests for a saved state that have been answered. */
  private statesTold: number;
  /** Requests for another engine that have been answered. */
  private enginesTold: number;

  constructor(options: MachineOptions, control: ControlBlock, host: VirtualMachineHost) {
    this.options = options;
    this.control = control;
    this.host = host;
    this.clock = new VirtualClock(() => host.now());
    this.statesTold = control.statesAsked;
    this.enginesTold = control.engineAsked.number;
  }

  get ramBytes(): number {
    return this.options.memoryBytes ?? DEFAULT_MEMORY;
  }

  private makeEngine(tscHz?: number): EngineWithMemory {
    return this.host.makeEngine(this.ramBytes, this.options.firmware, () => this.clock.now(), tscHz);
  }

  /** The next run goes on from a saved state. Throws TrapezeError for one that cannot be loaded. */
  async load(file: Uint8Array): Promise<void> {
    const opened = openState(file);
    const state = readState(opened);
    const memory = this.makeEngine(state.tscHz);
    if (memory.tscHz !== state.tscHz) {
      const mhz = (hz: number): string => `${hz / 1e6} MHz`;
      const problem = `the saved machine's time-stamp counter runs at ${mhz(state.tscHz)}`;
      throw new StateError(`${problem}, this host's with engine ${memory.engine.name} at ${mhz(memory.tscHz)}`);
    }
    const missing = state.features.filter((name) => !memory.features.includes(name));
    if (missing.length > 0) {
      throw new StateError(
        `the saved guest uses processor features that engine ${memory.engine.name} does not offer here: ${missing.slice(0, 9).join(', ')}`,
      );
    }
    await readRam(opened, memory.ram);
    this.loaded = { memory, state };
  }

  /** Loads the guest into fresh memory, or takes up the saved one. Throws TrapezeError for what cannot be loaded. */
  boot(serial: OutputBuffer[], debugcon: OutputBuffer, end: (run: Run) => void): Parts {
    const { options, loaded } = this;
    this.loaded = undefined;
    const memory = loaded?.memory ?? this.makeEngine();
    this.clock.tscHz = memory.tscHz;
    // Until the loop starts: what is restored must find the time at which it was saved.
    if (loaded !== undefined) this.clock.freeze(loaded.state.clockNs);
    if (options.firmware !== undefined && memory.map === undefined) {
      throw new UsageError(`the engine ${memory.engine.name} cannot run firmware; use --engine dbt`);
    }
    const chipset = createChipset({
      clock: this.clock,
      vcpus: 1,
      ramSizeBytes: this.ramBytes,
      wallClockMs: this.host.wallClockMs,
      events: {
        powerOff: () => end({ reason: 'power-off', debugExitCode: 0 }),
        reset: () => end({ reason: 'reset', debugExitCode: 0 }),
        debugExit: (code) => end({ reason: 'debug-exit', debugExitCode: code }),
      },
      serial,
      memory: guestDma(memory.ram, (gpa, sizeBytes) => memory.written?.(gpa, sizeBytes)),
      ...(memory.map === undefined ? {} : { physicalMap: memory.map }),
      firmware: options.firmware !== undefined,
      debugExit: options.debugExit ?? false,
      ...(options.debugcon === undefined ? {} : { debugConsole: { port: options.debugcon, backend: debugcon } }),
    });
    const facts = { vcpus: 1, serialPorts: UARTS };
    let cpu: CpuState;
    if (loaded === undefined) {
      cpu = powerOn(memory.ram, chipset, facts, options);
    } else {
      // Firmware is told again what fw_cfg holds; that does not touch memory.
      if (options.firmware !== undefined) powerOn(memory.ram, chipset, facts, options);
      chipset.restore(loaded.state.chipset);
      cpu = loaded.state.cpu;
    }
    const vcpu = memory.engine.createVcpu(0);
    vcpu.load(cpu);
    if (vcpu.lapic?.chips !== undefined) checkChips(chipset);
    chipset.hold();
    chipset.useLapic(vcpu.lapic);
    if (loaded !== undefined) checkTsc(vcpu, cpu, memory);
    return { chipset, vcpu, memory, halted: cpu.halted };
  }

  /**
   * The translation of a linear address: as the guest is loaded where the address is mapped then, else as soon as the
   * guest has run the code there. Undefined: it ended (or was stopped) before.
   */
  inspect(address: bigint): TranslationReport | undefined {
    let report: TranslationReport | undefined;
    let due = 0;
    let loaded = false;
    this.runOnce((memory) => {
      const now = this.host.now();
      if (now < due) return false;
      due = now + INSPECT_PERIOD_NS;
      report = memory.inspect(address, loaded);
      loaded = true;
      return report !== undefined;
    });
    return report;
  }

  run(): MachineResult {
    for (;;) {
      const result = this.runOnce();
      const restarts = result.reason === 'reset' || result.reason === 'triple-fault';
      if (!restarts || this.options.noReboot === true) return result;
    }
  }

  /** From power-on to power-off, reset or stop. */
  private runOnce(isDone: (memory: EngineWithMemory) => boolean = () => false): MachineResult {
    const { control, host } = this;
    const serial = [new OutputBuffer((b) => host.serial(b)), new OutputBuffer(() => {})].slice(0, UARTS);
    const debugcon = new OutputBuffer((b) => host.debugcon(b));
    let ended: Run | undefined;
    const { chipset, vcpu, memory, halted } = this.boot(serial, debugcon, (run) => {
      ended ??= run;
    });
    const { clock } = this;
    let seen = control.events;
    const outputs = [...serial, debugcon];
    const poll = (now: number): boolean => {
      if (ended !== undefined || isDone(memory)) return true;
      for (const output of outputs) output.flushIfDue(now);
      seen = control.events;
      for (const [ring, uart] of chipset.uarts.entries()) {
        while (control.pending(ring) && uart.isListening && uart.canReceive() > 0)
          uart.receive(control.take(ring, uart.canReceive()));
      }
      return control.stopRequested;
    };
    const loop = new VcpuLoop({
      vcpu,
      chipset,
      clock,
      wait: (ns) => {
        for (const output of outputs) output.flush();
        control.sleep(seen, ns === Infinity ? Infinity : ns / 1e6);
      },
      poll,
      holdWanted: () => control.holdNumber !== 0,
      hold: () => {
        for (const output of outputs) output.flush();
        const { vcpu } = loop;
        const before = memory.engine.name === 'kvm' ? vcpu.save() : undefined;
        const tellState = (): void =>
          host.state(
            {
              clockNs: clock.now(),
              tscHz: clock.tscHz,
              memoryBytes: this.ramBytes,
              features: memory.features,
              cpu: haltedAs(vcpu, loop),
              chipset: chipset.save(),
            },
            memory.ram,
          );
        const statistics = gather(memory.statistics?.() ?? vcpu.statistics(), loop, clock);
        chipset.hold();
        this.hold(chipset, statistics, tellState, () => this.changeEngine(memory, loop, chipset));
        chipset.release((hostNs) => {
          clock.thaw(hostNs);
          // KVM's counter does not stand still with the guest: set back where that can be done, told otherwise.
          if (loop.vcpu === vcpu && before !== undefined) vcpu.load(before);
        });
      },
      halted,
      timed: this.options.stats === true ? () => host.now() : undefined,
    });
    clock.isFresh = () => loop.direct.isFresh();
    chipset.release((hostNs) => clock.thaw(hostNs));
    let end = loop.run();
    while (this.isReset(end, ended)) {
      ended = undefined;
      chipset.reset();
      loop.restart(resetState());
      end = loop.run();
    }
    for (const output of outputs) output.flush();
    const statistics = gather(memory.statistics?.() ?? loop.vcpu.statistics(), loop, clock);
    const cpu = loop.vcpu.save();
    if (end === 'shutdown') {
      const address = BigInt.asUintN(64, cpu.rip + (cpu.segments[1]?.base ?? 0n));
      const bits =
        ((cpu.segments[1]?.attributes ?? 0) & 0x2000) !== 0
          ? 64
          : ((cpu.segments[1]?.attributes ?? 0) & 0x4000) !== 0
            ? 32
            : 16;
      const code = { address, bytes: memory.peek(address, 64), bits } as const;
      return { reason: 'triple-fault', exitCode: EXIT_CODE.RESET, statistics, cpu, code };
    }
    const run: Run = ended ?? { reason: 'closed', debugExitCode: 0 };
    return { reason: run.reason, exitCode: exitCodeOf(run), statistics, cpu };
  }

  /** With firmware a reset is the hardware's: memory and CMOS cells stay as they are, and the firmware starts again. */
  private isReset(end: LoopEnd, run: Run | undefined): boolean {
    if (this.options.firmware === undefined || this.options.noReboot === true) return false;
    return run === undefined ? end === 'shutdown' : run.reason === 'reset';
  }

  private changeEngine(memory: EngineWithMemory, loop: VcpuLoop, chipset: Chipset): void {
    const { engine } = this.control.engineAsked;
    const missing = missingFor(() => {
      if (memory.switchTo === undefined) throw new EngineSwitchError(engine, ['the engine itself']);
      const { halted } = haltedAs(loop.vcpu, loop);
      const missing = engine === 'kvm' && this.options.irqchip === 'kernel' ? chipset.missingInEngine() : [];
      if (missing.length > 0) throw new EngineSwitchError(engine, missing);
      loop.vcpu = memory.switchTo(engine);
      chipset.useLapic(loop.vcpu.lapic);
      loop.halted = halted;
      if (halted && loop.vcpu.lapic !== undefined) loop.vcpu.load({ ...loop.vcpu.save(), halted });
    });
    this.host.engineChanged(engine, missing);
  }

  /** Stands still, virtual time with it, until nobody wants that any more. The caller lets it go on. */
  private hold(chipset: Chipset, statistics: Statistics, tellState: () => void, changeEngine: () => void): void {
    const { control, clock } = this;
    clock.freeze();
    // What is due has happened: nothing that was to come before the saved moment comes after it.
    chipset.timers.runDue(clock.now());
    let answered = 0;
    while (!control.stopRequested) {
      const seen = control.events;
      const number = control.holdNumber;
      if (number === 0) break;
      if (number !== answered) {
        answered = number;
        this.host.held(number, statistics);
      }
      if (this.statesTold !== control.statesAsked) {
        this.statesTold = control.statesAsked;
        tellState();
      }
      if (this.enginesTold !== control.engineAsked.number) {
        this.enginesTold = control.engineAsked.number;
        changeEngine();
      }
      control.sleep(seen, Infinity);
    }
  }
}

/** Not every host's KVM lets a counter be set; a guest whose time runs back waits for it to come round again. */
function checkTsc(vcpu: Vcpu, saved: CpuState, { engine, tscHz }: EngineWithMemory): void {
  const wanted = saved.msrs.get(TSC);
  const found = vcpu.save().msrs.get(TSC);
  if (wanted === undefined || found === undefined) return;
  if (Math.abs(Number(BigInt.asIntN(64, found - wanted))) <= TSC_JUMP_S * tscHz) return;
  throw new StateError(
    `engine ${engine.name} cannot set the time-stamp counter on this host; load it with engine dbt, or where KVM can`,
  );
}

/** A saved machine may do what interrupt controllers of the engine cannot. */
function checkChips(chipset: Chipset): void {
  const missing = chipset.missingInEngine();
  if (missing.length === 0) return;
  throw new StateError(
    `the saved guest uses what the kernel's interrupt controllers do not have: ${missing.join(', ')}; load it with --irqchip machine`,
  );
}

/** HLT is known to the loop, or to the engine where it waits inside. */
function haltedAs(vcpu: Vcpu, loop: VcpuLoop): CpuState {
  const cpu = vcpu.save();
  return vcpu.lapic === undefined ? { ...cpu, halted: loop.halted } : cpu;
}

function missingFor(change: () => void): readonly string[] {
  try {
    change();
    return [];
  } catch (error) {
    if (error instanceof EngineSwitchError) return error.missing;
    if (error instanceof TrapezeError) return [error.message];
    throw error;
  }
}

function exitCodeOf({ reason, debugExitCode }: Run): number {
  switch (reason) {
    case 'debug-exit':
      return debugExitCode;
    case 'reset':
    case 'triple-fault':
      return EXIT_CODE.RESET;
    case 'timeout':
      return EXIT_CODE.TIMEOUT;
    default:
      return EXIT_CODE.POWER_OFF;
  }
}

function gather(counters: Statistics, loop: VcpuLoop, clock: Clock): Statistics {
  const exits: Record<string, number> = {};
  for (const [kind, { count, ns }] of [...loop.exits].sort((a, b) => b[1].count - a[1].count)) {
    exits[kind] = count;
    if (ns > 0) exits[`${kind} ms`] = ns / 1e6;
  }
  const answered = Object.fromEntries(Object.entries(loop.direct.answered).filter(([, count]) => count > 0));
  return {
    'VM exits': exits,
    'answered without an exit': answered,
    time: { 'run s': clock.now() / 1e9, 'halted s': loop.haltedNs / 1e9, 'interrupts injected': loop.interrupts },
    ...counters,
  };
}
