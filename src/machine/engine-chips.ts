/**
 * Interrupt controllers and 8254, where they are the engine's: they change over between the machine's models and the engine,
 * and stand still with the machine. The models are silent meanwhile; what they hold then means nothing.
 */
import type { ChipRegisters } from '../base/chip-registers.js';
import type { Clock } from '../base/clock.js';
import type { Pit, PitState } from '../device/chipset/pit.js';
import { missingInEngine as missingOfPit, pitRegistersOf, pitStateOf } from '../device/chipset/pit-registers.js';
import type { VcpuLapic } from '../engine/engine.js';
import {
  controllerRegistersOf,
  controllerStatesOf,
  missingInEngine as missingOfControllers,
} from '../irqchip/controller-registers.js';
import type { Irqchip, IrqchipState } from '../irqchip/irqchip.js';

export interface EngineChipsParts {
  readonly clock: Clock;
  readonly irqchip: Irqchip;
  readonly pit: Pit;
  /** Lets the models answer their ports and addresses, or not. */
  readonly map: (isMapped: boolean) => void;
}

export class EngineChips {
  private readonly parts: EngineChipsParts;
  private lapic: VcpuLapic | undefined;
  private held: ChipRegisters | undefined;
  private isHeld = false;
  private isCut = false;

  constructor(parts: EngineChipsParts) {
    this.parts = parts;
  }

  /** HPET legacy replacement. */
  cutPit(isCut: boolean): void {
    this.isCut = isCut;
    this.lapic?.chips?.cutPit(isCut);
  }

  /** What the machine does now that the engine's chips cannot; nothing while they do it. */
  missing(): string[] {
    if (this.lapic?.chips !== undefined) return [];
    const { irqchip, pit } = this.parts;
    const states = { pic: irqchip.pic.save(), ioapic: irqchip.ioapic.save() };
    const isPassedOn = irqchip.lapicState().extIntPending;
    return [
      ...missingOfControllers(states),
      ...(isPassedOn ? ['an interrupt of the 8259As that the I/O APIC has passed on'] : []),
      ...missingOfPit(pit.save()),
    ];
  }

  /** From now on this engine's; undefined: the models. */
  use(lapic: VcpuLapic | undefined): void {
    if (lapic === this.lapic) return;
    this.takeBack();
    this.lapic = lapic;
    const { irqchip } = this.parts;
    const registers = lapic?.chips === undefined ? undefined : this.handOver();
    if (this.isHeld) this.held = registers;
    else if (registers !== undefined) lapic?.chips?.load(registers);
    irqchip.useLapic(lapic);
    if (!this.isHeld && registers !== undefined) lapic?.chips?.start();
  }

  /** The models answer again, whatever the engine's chips hold. Returns whose they were. */
  abandon(): VcpuLapic | undefined {
    const { lapic } = this;
    const { irqchip, map } = this.parts;
    this.lapic = undefined;
    this.held = undefined;
    this.isHeld = false;
    irqchip.abandonLapic();
    if (lapic?.chips !== undefined) map(true);
    return lapic;
  }

  /** The machine is about to stand still; its clock runs yet. */
  hold(): void {
    this.held = this.lapic?.chips?.save();
    this.parts.irqchip.hold();
    this.isHeld = true;
  }

  /**
   * The machine is about to go on; its clock stands until `thaw`, from the moment on when the engine's 8254 was where it stopped.
   * `thaw` may load the processor, its counter with it: the local APIC comes after that.
   */
  release(thaw: (hostNs?: number) => void): void {
    const { lapic, held } = this;
    thaw(held === undefined ? undefined : lapic?.chips?.load(held));
    if (!this.isHeld) return;
    this.parts.irqchip.release();
    if (held !== undefined) lapic?.chips?.start();
    this.held = undefined;
    this.isHeld = false;
  }

  /** What is saved of the engine's chips; undefined: the models have it. */
  save(): { irqchip: IrqchipState; pit: PitState } | undefined {
    if (this.lapic?.chips === undefined) return undefined;
    const isHere = this.isHeld;
    if (!isHere) this.hold();
    const saved = this.held === undefined ? undefined : this.statesOf(this.held);
    if (!isHere) this.release(() => undefined);
    return saved;
  }

  private takeBack(): void {
    const { irqchip, pit, map } = this.parts;
    if (this.lapic?.chips === undefined) return;
    const { chips } = this.lapic;
    if (!this.isHeld) this.held = chips.save();
    const saved = this.held === undefined ? undefined : this.statesOf(this.held);
    this.held = undefined;
    this.lapic = undefined;
    irqchip.abandonLapic();
    if (saved === undefined) return;
    map(true);
    pit.restore(saved.pit);
    // After the 8254, which has driven its line: the controllers' own latches win.
    irqchip.restore(saved.irqchip);
  }

  private handOver(): ChipRegisters {
    const { clock, irqchip, pit, map } = this.parts;
    const now = clock.now();
    const registers = pitRegistersOf(pit.save(), now, this.isCut);
    pit.silence();
    map(false);
    const controllers = controllerRegistersOf({ pic: irqchip.pic.save(), ioapic: irqchip.ioapic.save() });
    return { ...controllers, pit: registers, lines: irqchip.lines, atNs: now };
  }

  private statesOf(registers: ChipRegisters): { irqchip: IrqchipState; pit: PitState } {
    const { irqchip } = this.parts;
    const pit = pitStateOf(registers.pit, registers.atNs);
    const controllers = controllerStatesOf(registers, registers.lines, pit.line && !registers.pit.isCut);
    return { irqchip: { kind: 'irqchip', version: 1, ...controllers, lapics: [irqchip.lapicState()] }, pit };
  }
}
