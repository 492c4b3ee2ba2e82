/** The PC's pair of 8259As: the slave on the master's IR2, with the edge/level control registers of the PIIX. */
import type { IoSize, PioHandler } from '../base/io.js';
import { checkState, part, type StateOf, stateKind } from '../base/state.js';
import { CASCADE_IRQ } from '../spec/i8259.js';
import { I8259, type I8259State } from './i8259.js';

const STATE = stateKind('pic', 1, { master: part<I8259State>(), slave: part<I8259State>() });
export type PicState = StateOf<typeof STATE>;

const SPURIOUS_IRQ = 7;

export class Pic {
  readonly #master = new I8259(true);
  readonly #slave = new I8259(false);
  /** Level of the master's INT output. */
  #output = false;
  readonly #onOutput: (asserted: boolean) => void;

  /** `onOutput` hears every change of the INT output. */
  constructor(onOutput: (asserted: boolean) => void) {
    this.#onOutput = onOutput;
  }

  get output(): boolean {
    return this.#output;
  }

  setLine(irq: number, asserted: boolean): void {
    if (irq < 8) this.#master.setLine(irq, asserted);
    else this.#slave.setLine(irq - 8, asserted);
    this.#update();
  }

  /** The vector INTA would give; only while `output`. */
  peekVector(): number {
    const irq = this.#master.pending();
    if (irq !== CASCADE_IRQ) return this.#master.vector(irq < 0 ? SPURIOUS_IRQ : irq);
    const slaveIrq = this.#slave.pending();
    return this.#slave.vector(slaveIrq < 0 ? SPURIOUS_IRQ : slaveIrq);
  }

  /** INTA. Without a request the chip answers IR7 and sets no in-service bit ("Interrupt Sequence"). */
  acknowledge(): number {
    const vector = this.peekVector();
    const irq = this.#master.pending();
    if (irq >= 0) {
      this.#master.acknowledge(irq);
      if (irq === CASCADE_IRQ) {
        const slaveIrq = this.#slave.pending();
        if (slaveIrq >= 0) this.#slave.acknowledge(slaveIrq);
      }
    }
    // INT falls with INTA: the next request is an edge again.
    this.#drive(false);
    this.#update();
    return vector;
  }

  /** Two ports of one chip. */
  ports(which: 'master' | 'slave'): PioHandler {
    const chip = which === 'master' ? this.#master : this.#slave;
    return {
      read: (offset: number) => (chip.takePoll() ? this.#poll(chip) : chip.read(offset)),
      write: (offset: number, _size: IoSize, value: number) => {
        chip.write(offset, value);
        this.#update();
      },
    };
  }

  /** Ports 0x4d0 and 0x4d1. */
  readonly elcrPorts: PioHandler = {
    read: (offset) => (offset === 0 ? this.#master : this.#slave).elcr,
    write: (offset, _size, value) => {
      (offset === 0 ? this.#master : this.#slave).writeElcr(value);
      this.#update();
    },
  };

  reset(): void {
    this.#master.reset();
    this.#slave.reset();
    this.#update();
  }

  save(): PicState {
    return { kind: 'pic', version: 1, master: this.#master.save(), slave: this.#slave.save() };
  }

  restore(state: PicState): void {
    checkState(state, STATE);
    this.#master.restore(state.master);
    this.#slave.restore(state.slave);
    this.#update();
  }

  /** "Poll Command": bit 7 and the IRQ, and the request is acknowledged. */
  #poll(chip: I8259): number {
    const irq = chip.pending();
    if (irq < 0) return 0;
    chip.acknowledge(irq);
    this.#update();
    return 0x80 | irq;
  }

  #update(): void {
    this.#master.setCascade(this.#slave.pending() >= 0);
    this.#drive(this.#master.pending() >= 0);
  }

  #drive(output: boolean): void {
    if (output === this.#output) return;
    this.#output = output;
    this.#onOutput(output);
  }
}
