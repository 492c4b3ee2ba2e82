/**
 * The PC's devices, built and wired: every interrupt line, port and register page of the machine is here.
 * Host-neutral; the vCPU loop calls it synchronously.
 */
import type { Clock } from '../base/clock.js';
import type { PioHandler } from '../base/io.js';
import { checkState, list, orNull, part, StateError, type StateOf, stateKind, u32 } from '../base/state.js';
import { TimerQueue } from '../base/timer-queue.js';
import type { CharBackend } from '../char/char.js';
import { Bus } from '../device/bus/bus.js';
import { ANY_SIZE, BYTE } from '../device/bus/pio.js';
import { AcpiPm, type AcpiPmState } from '../device/chipset/acpi-pm.js';
import { DEBUG_EXIT_PORT, debugConsole, debugExit } from '../device/chipset/debug-port.js';
import { FwCfg, type FwCfgState } from '../device/chipset/fw-cfg.js';
import { Hpet, type HpetState } from '../device/chipset/hpet.js';
import { I8042, type I8042State } from '../device/chipset/i8042.js';
import { Pit, type PitState } from '../device/chipset/pit.js';
import { Rtc, type RtcState } from '../device/chipset/rtc.js';
import { Smbus, type SmbusState } from '../device/chipset/smbus.js';
import {
  POST_PORT,
  SYSTEM_CONTROL_A_PORT,
  SystemControl,
  type SystemControlState,
} from '../device/chipset/system-control.js';
import { Uart16550, type UartState } from '../device/chipset/uart-16550.js';
import type { MachineEvents } from '../device/device.js';
import type { DmaMemory } from '../device/dma.js';
import type { PciFunction, PciFunctionState } from '../device/pci/function.js';
import { I440fx } from '../device/pci/i440fx.js';
import { PciBus, swizzle } from '../device/pci/pci-bus.js';
import { Piix3 } from '../device/pci/piix3.js';
import { Piix4Pm } from '../device/pci/piix4-pm.js';
import { assignResources } from '../device/pci/resources.js';
import type { PhysicalMap, VcpuLapic } from '../engine/engine.js';
import { Irqchip, type IrqchipState } from '../irqchip/irqchip.js';
import { GatedLine, type IrqLine } from '../irqchip/line.js';
import * as acpi from '../spec/acpi.js';
import * as apic from '../spec/apic.js';
import { FW_CFG_DMA_PORT, FW_CFG_PORT } from '../spec/fw-cfg.js';
import { HPET_BASE, HPET_SIZE } from '../spec/hpet.js';
import { KBC_COMMAND_PORT, KBC_DATA_PORT, KEYBOARD_IRQ, MOUSE_IRQ } from '../spec/i8042.js';
import { PIT_PORT, SYSTEM_CONTROL_B_PORT } from '../spec/i8254.js';
import { ELCR_PORT, PIC_MASTER_PORT, PIC_SLAVE_PORT } from '../spec/i8259.js';
import { RTC_IRQ, RTC_PORT } from '../spec/mc146818.js';
import { PCI_CONFIG_ADDRESS_PORT, PCI_CONFIG_DATA_PORT, SMBUS_PORT } from '../spec/pci.js';
import { COM_PORTS } from '../spec/uart-16550.js';
import { EngineChips } from './engine-chips.js';
import * as layout from './memory-layout.js';

export interface ChipsetOptions {
  readonly clock: Clock;
  readonly vcpus: number;
  readonly ramSizeBytes: number;
  /** Host wall clock at power-on, milliseconds since 1970 UTC: what the RTC starts with. */
  readonly wallClockMs: number;
  readonly events: MachineEvents;
  /** What happens to processors other than by their own doing. All optional with one vCPU. */
  readonly vcpuEvents?: {
    attention?(vcpu: number): void;
    init?(vcpu: number): void;
    startup?(vcpu: number, vector: number): void;
  };
  /** One backend per serial port, COM1 first. */
  readonly serial: readonly CharBackend[];
  /** A UART that was full can receive again. */
  readonly onSerialReady?: (index: number) => void;
  readonly debugConsole?: { readonly port: number; readonly backend: CharBackend };
  readonly debugExit?: boolean;
  /** Guest RAM for devices that fetch by themselves; without it fw_cfg has no DMA. */
  readonly memory?: DmaMemory;
  /** Follows the host bridge's memory attributes and the A20 gate. */
  readonly physicalMap?: PhysicalMap;
  /** Default true. */
  readonly hpet?: boolean;
  /** Firmware runs first and sets up the chipset itself; otherwise it starts as firmware would leave it. */
  readonly firmware?: boolean;
}

const STATE = stateKind('chipset', 1, {
  irqchip: part<IrqchipState>(),
  pit: part<PitState>(),
  rtc: part<RtcState>(),
  i8042: part<I8042State>(),
  pm: part<AcpiPmState>(),
  smbus: part<SmbusState>(),
  systemControl: part<SystemControlState>(),
  fwCfg: part<FwCfgState>(),
  /** null: the machine has none. */
  hpet: orNull(part<HpetState>()),
  uarts: list(part<UartState>(), 0, COM_PORTS.length),
  pciAddress: u32,
  /** By slot * 8 + function. */
  pci: part<Record<string, PciFunctionState>>(),
});
export type ChipsetState = StateOf<typeof STATE>;

export function createChipset(options: ChipsetOptions): Chipset {
  return new Chipset(options);
}

export class Chipset {
  readonly bus = new Bus();
  readonly timers = new TimerQueue();
  readonly irqchip: Irqchip;
  readonly uarts: readonly Uart16550[];
  readonly pci: PciBus;
  readonly pm: AcpiPm;
  readonly i8042: I8042;
  readonly fwCfg: FwCfg;
  readonly events: MachineEvents;
  readonly #options: ChipsetOptions;
  readonly #pit: Pit;
  readonly #rtc: Rtc;
  readonly #hpet: Hpet | undefined;
  readonly #smbus = new Smbus();
  readonly #systemControl: SystemControl;
  readonly #i440fx: I440fx;
  readonly #piix3: Piix3;
  readonly #piix4: Piix4Pm;
  readonly #engineChips: EngineChips;
  #releaseLapicPages: (() => void)[] = [];
  #releaseChips: (() => void)[] = [];

  constructor(options: ChipsetOptions) {
    const { clock, events, vcpuEvents } = options;
    const { bus, timers } = this;
    this.#options = options;
    this.events = events;
    this.irqchip = new Irqchip({
      vcpus: options.vcpus,
      clock,
      timers,
      events: {
        attention: (vcpu) => vcpuEvents?.attention?.(vcpu),
        init: (vcpu) => vcpuEvents?.init?.(vcpu),
        startup: (vcpu, vector) => vcpuEvents?.startup?.(vcpu, vector),
        apicBaseChanged: () => this.#claimLapicPages(),
      },
    });
    const irq = (number: number): IrqLine => this.irqchip.isaLine(number);

    // HPET legacy replacement takes these two wires over.
    const pitLine = new GatedLine(irq(0));
    const rtcLine = new GatedLine(irq(RTC_IRQ));
    this.#pit = new Pit(clock, timers, pitLine);
    this.#rtc = new Rtc({
      clock,
      timers,
      irq: rtcLine,
      wallClockMs: options.wallClockMs,
      ramSizeBytes: options.ramSizeBytes,
    });
    this.#engineChips = new EngineChips({
      clock,
      irqchip: this.irqchip,
      pit: this.#pit,
      map: (isMapped) => this.#mapChips(isMapped),
    });
    if (options.hpet ?? true) {
      this.#hpet = new Hpet({
        clock,
        timers,
        legacyLines: [irq(0), irq(RTC_IRQ)],
        gsiLine: (gsi) => this.irqchip.gsiLine(gsi),
        onLegacyReplacement: (on) => {
          pitLine.open = !on;
          rtcLine.open = !on;
          this.#engineChips.cutPit(on);
        },
      });
      bus.mmio.claim({ base: HPET_BASE, size: HPET_SIZE, handler: this.#hpet, direct: true });
    }
    this.fwCfg = new FwCfg(options.memory);
    this.#systemControl = new SystemControl(
      () => events.reset(),
      (isOpen) => options.physicalMap?.a20(isOpen),
    );
    this.i8042 = new I8042({
      keyboardIrq: irq(KEYBOARD_IRQ),
      mouseIrq: irq(MOUSE_IRQ),
      requestReset: () => events.reset(),
      setA20: (enabled) => {
        this.#systemControl.a20 = enabled;
      },
      a20: () => this.#systemControl.a20,
    });
    this.pm = new AcpiPm(clock, timers, irq(acpi.SCI_IRQ), () => events.powerOff());
    this.uarts = options.serial.slice(0, COM_PORTS.length).map(
      (backend, i) =>
        new Uart16550({
          clock,
          timers,
          irq: irq(COM_PORTS[i].irq),
          backend,
          onReceiverReady: () => options.onSerialReady?.(i),
        }),
    );

    this.#i440fx = new I440fx(bus, (base, sizeBytes, readsRam, writesRam) =>
      options.physicalMap?.shadow(base, sizeBytes, { readsRam, writesRam }),
    );
    this.#piix3 = new Piix3(bus, irq);
    this.#piix4 = new Piix4Pm(bus, this.pm.ports, this.#smbus);
    this.pci = new PciBus((slot, pin) => this.#pciLine(slot, pin));
    this.pci.plug({ slot: 0, function: 0 }, this.#i440fx.function);
    this.pci.plug({ slot: 1, function: 0 }, this.#piix3.function);
    this.pci.plug({ slot: 1, function: 3 }, this.#piix4.function);

    this.#claimPorts();
    this.#mapChips(true);
    this.#claimLapicPages();
    bus.msr.claim(apic.MSR_APIC_BASE, apic.MSR_APIC_BASE, this.irqchip.msrs);
    bus.msr.claim(apic.MSR_TSC_DEADLINE, apic.MSR_TSC_DEADLINE, this.irqchip.msrs, true);
    bus.msr.claim(apic.MSR_X2APIC_FIRST, apic.MSR_X2APIC_LAST, this.irqchip.msrs);
    this.#start();
  }

  /** Plugs a function into the first free slot and returns the slot. Before the guest runs, or by hotplug later. */
  plugPci(pciFunction: PciFunction): number {
    const slot = this.pci.freeSlot();
    if (slot === undefined) throw new RangeError('no free PCI slot');
    this.pci.plug({ slot, function: 0 }, pciFunction);
    if (!this.#options.firmware) this.#assignPci();
    return slot;
  }

  /** Where firmware put the ACPI registers; 0: nowhere. */
  get pmBase(): number {
    return this.#piix4.pmBase;
  }

  /** The host's NMI button, through LINT1 of every local APIC. */
  injectNmi(): void {
    if (this.#rtc.nmiDisabled) return;
    for (const lapic of this.irqchip.lapics) lapic.setLint(1, true);
  }

  /** From now on the local APIC, and what else of the interrupt controllers the engine has; undefined: the models. */
  useLapic(lapic: VcpuLapic | undefined): void {
    this.#engineChips.use(lapic);
  }

  /** What the machine does now that interrupt controllers of an engine cannot take over. */
  missingInEngine(): string[] {
    return this.#engineChips.missing();
  }

  /** The machine is about to stand still; its clock runs yet. */
  hold(): void {
    this.#engineChips.hold();
  }

  /** The machine is about to go on; its clock stands until `thaw`, which may set the processor's own counter back as well. */
  release(thaw: (hostNs?: number) => void): void {
    this.#engineChips.release(thaw);
  }

  reset(): void {
    const lapic = this.#engineChips.abandon();
    this.#pit.reset();
    this.#rtc.reset();
    this.#hpet?.reset();
    this.fwCfg.reset();
    this.i8042.reset();
    this.pm.reset();
    this.#smbus.reset();
    this.#systemControl.reset();
    for (const uart of this.uarts) uart.reset();
    this.pci.reset();
    this.#piix3.update();
    this.#piix4.update();
    this.irqchip.reset();
    this.#start();
    this.useLapic(lapic);
  }

  #start(): void {
    if (this.#options.firmware) this.#i440fx.update();
    else this.#configure();
  }

  save(): ChipsetState {
    const pci: Record<string, PciFunctionState> = {};
    for (const [key, pciFunction] of this.pci.functions()) pci[key] = pciFunction.save();
    const chips = this.#engineChips.save();
    return {
      kind: 'chipset',
      version: 1,
      irqchip: chips?.irqchip ?? this.irqchip.save(),
      pit: chips?.pit ?? this.#pit.save(),
      rtc: this.#rtc.save(),
      i8042: this.i8042.save(),
      pm: this.pm.save(),
      smbus: this.#smbus.save(),
      systemControl: this.#systemControl.save(),
      fwCfg: this.fwCfg.save(),
      hpet: this.#hpet?.save() ?? null,
      uarts: this.uarts.map((uart) => uart.save()),
      pciAddress: this.pci.address,
      pci,
    };
  }

  /** Into a chipset made with the same options. Throws StateError and may leave it half restored: then discard it. */
  restore(state: ChipsetState): void {
    try {
      this.#restore(state);
    } catch (error) {
      // A damaged file: some branch of the state is not what its type says.
      throw error instanceof StateError
        ? error
        : new StateError('the saved state of chipset is damaged', { cause: error });
    }
  }

  #restore(state: ChipsetState): void {
    checkState(state, STATE);
    const functions = this.pci.functions();
    const differences: [string, boolean][] = [
      ['serial ports', state.uarts.length !== this.uarts.length],
      ['HPET', (state.hpet === null) !== (this.#hpet === undefined)],
      [
        'PCI devices',
        Object.keys(state.pci).length !== functions.size ||
          [...functions.keys()].some((key) => !Object.hasOwn(state.pci, key)),
      ],
    ];
    for (const [what, isOther] of differences) {
      if (isOther) throw new StateError(`the saved state is of a machine with another set of ${what} than this one`);
    }
    for (const [key, pciFunction] of functions) pciFunction.restore(state.pci[key]);
    this.pci.address = state.pciAddress;
    this.#i440fx.update();
    this.#piix3.update();
    this.#piix4.update();
    this.#pit.restore(state.pit);
    this.#rtc.restore(state.rtc);
    this.i8042.restore(state.i8042);
    this.pm.restore(state.pm);
    this.#smbus.restore(state.smbus);
    this.#systemControl.restore(state.systemControl);
    this.fwCfg.restore(state.fwCfg);
    if (state.hpet !== null) this.#hpet?.restore(state.hpet);
    for (const [i, uart] of this.uarts.entries()) uart.restore(state.uarts[i]);
    // Last: restored devices drove their lines again, the controllers' own latches win.
    this.irqchip.restore(state.irqchip);
  }

  #claimPorts(): void {
    const { pio } = this.bus;
    pio.claim({ first: KBC_DATA_PORT, count: 1, sizes: BYTE, handler: this.i8042.dataPort });
    pio.claim({ first: KBC_COMMAND_PORT, count: 1, sizes: BYTE, handler: this.i8042.commandPort });
    pio.claim({ first: RTC_PORT, count: 2, sizes: BYTE, handler: this.#rtc, direct: 'all' });
    pio.claim({ first: POST_PORT, count: 1, sizes: BYTE, handler: this.#systemControl.postPort, direct: 'all' });
    pio.claim({ first: SYSTEM_CONTROL_A_PORT, count: 1, sizes: BYTE, handler: this.#systemControl.portA });
    pio.claim({ first: acpi.SMI_COMMAND_PORT, count: 2, sizes: BYTE, handler: this.pm.smiPorts });
    pio.claim({ first: acpi.GPE0_PORT, count: acpi.GPE0_SIZE, sizes: BYTE, handler: this.pm.gpePorts });
    for (const [i, uart] of this.uarts.entries()) {
      pio.claim({ first: COM_PORTS[i].port, count: 8, sizes: BYTE, handler: uart, direct: 'all' });
    }
    // 0xcf8 is the configuration address for dwords only; byte 0xcf9 is the reset control register.
    pio.claim({ first: PCI_CONFIG_ADDRESS_PORT, count: 4, sizes: [4], handler: this.pci.addressPort });
    pio.claim({ first: acpi.RESET_PORT, count: 1, sizes: BYTE, handler: this.#systemControl.resetPort });
    pio.claim({ first: PCI_CONFIG_DATA_PORT, count: 4, sizes: ANY_SIZE, handler: this.pci.dataPort });
    pio.claim({ first: FW_CFG_PORT, count: 2, sizes: [1, 2], handler: this.fwCfg.ports });
    if (this.#options.memory !== undefined) {
      pio.claim({ first: FW_CFG_DMA_PORT, count: 8, sizes: [4], handler: this.fwCfg.dmaPorts });
    }
    const { debugConsole: console } = this.#options;
    if (console !== undefined) {
      pio.claim({ first: console.port, count: 1, sizes: BYTE, handler: debugConsole(console.backend), direct: 'all' });
    }
    if (this.#options.debugExit) {
      const handler = debugExit((code) => this.events.debugExit(code));
      pio.claim({ first: DEBUG_EXIT_PORT, count: 4, sizes: ANY_SIZE, handler });
    }
  }

  /** What an engine may have itself. */
  #mapChips(isMapped: boolean): void {
    for (const release of this.#releaseChips) release();
    this.#releaseChips = [];
    if (!isMapped) return;
    const { pio, mmio } = this.bus;
    const { pic, ioapic } = this.irqchip;
    const ports: readonly (readonly [number, number, PioHandler])[] = [
      [PIC_MASTER_PORT, 2, pic.ports('master')],
      [PIC_SLAVE_PORT, 2, pic.ports('slave')],
      [ELCR_PORT, 2, pic.elcrPorts],
      [PIT_PORT, 4, this.#pit],
      [SYSTEM_CONTROL_B_PORT, 1, this.#pit.portB],
    ];
    this.#releaseChips = [
      mmio.claim({ base: apic.IOAPIC_BASE, size: apic.APIC_PAGE_SIZE, handler: ioapic, direct: true }),
      ...ports.map(([first, count, handler]) => pio.claim({ first, count, sizes: BYTE, handler, direct: 'all' })),
    ];
  }

  #claimLapicPages(): void {
    // The interrupt controllers report their reset before they are a member.
    if (this.irqchip === undefined) return;
    for (const release of this.#releaseLapicPages) release();
    this.#releaseLapicPages = this.irqchip.lapicBases().map((base) =>
      this.bus.mmio.claim({
        base,
        size: apic.APIC_PAGE_SIZE,
        handler: this.irqchip.lapicPage(base),
        direct: true,
        leavesAt: apic.APIC_ICR_LOW << 4,
      }),
    );
  }

  /** An INTx pin pulls an I/O APIC input of its own kind and a PIRQ wire for the 8259As. */
  #pciLine(slot: number, pin: number): IrqLine {
    const wire = swizzle(slot, pin);
    const gsi = this.irqchip.gsiLine(layout.PCI_GSI_BASE + wire);
    const pirq = this.#piix3.pirqLine(wire & 3);
    return {
      set: (asserted) => {
        gsi.set(asserted);
        pirq.set(asserted);
      },
    };
  }

  /** What firmware leaves behind: RAM below 1 MiB, 8259As masked at the usual vectors, levels, PIRQs, ACPI and PCI addresses. */
  #configure(): void {
    const { pio } = this.bus;
    this.#i440fx.openAll();
    for (const [port, vector, cascade] of [
      [PIC_MASTER_PORT, 0x08, 0x04],
      [PIC_SLAVE_PORT, 0x70, 0x02],
    ]) {
      pio.write(port, 1, 0x11);
      for (const word of [vector, cascade, 0x01, 0xff]) pio.write(port + 1, 1, word);
    }
    const levels = [acpi.SCI_IRQ, ...layout.PIRQ_IRQS].reduce((bits, irq) => bits | (1 << irq), 0);
    pio.write(ELCR_PORT, 2, levels);
    this.#piix3.route(layout.PIRQ_IRQS);
    this.#piix4.map(acpi.PM_BASE, SMBUS_PORT);
    this.#assignPci();
  }

  #assignPci(): void {
    assignResources(this.pci, {
      memory: { base: layout.PCI_HOLE_BASE, end: layout.PCI_HOLE_END + 1 },
      io: { base: layout.PCI_IO_BASE, end: layout.PCI_IO_END + 1 },
      // The PM function's pin stands for the SCI.
      interruptLine: (slot, pin) => (slot === 1 ? acpi.SCI_IRQ : layout.PIRQ_IRQS[swizzle(slot, pin) & 3]),
    });
  }
}
