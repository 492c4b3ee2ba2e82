/**
 * The small ports of a PC: POST code 0x80, system control port A 0x92 (fast A20, fast reset), reset control 0xcf9.
 * Intel 82371SB (PIIX3) data sheet, "Reset Control Register"; IBM PS/2 Hardware Interface Technical Reference.
 * The A20 gate is one: the keyboard controller's output port opens and closes the same as port 0x92. It is open at reset.
 */
import type { PioHandler } from '../../base/io.js';
import { bits, checkState, flag, type StateOf, stateKind, u8 } from '../../base/state.js';
import { RESET_RCPU } from '../../spec/acpi.js';
import type { Device } from '../device.js';

const STATE = stateKind('system-control', 1, { post: u8, a20: flag, resetControl: bits(0x02) });
export type SystemControlState = StateOf<typeof STATE>;

export const POST_PORT = 0x80;
export const SYSTEM_CONTROL_A_PORT = 0x92;
const FAST_RESET = 0x01;
const FAST_A20 = 0x02;

export class SystemControl implements Device<SystemControlState> {
  readonly #requestReset: () => void;
  readonly #onA20: (isOpen: boolean) => void;
  /** Last POST code. */
  post = 0;
  #a20 = true;
  #resetControl = 0;

  constructor(requestReset: () => void, onA20: (isOpen: boolean) => void = () => {}) {
    this.#requestReset = requestReset;
    this.#onA20 = onA20;
  }

  get a20(): boolean {
    return this.#a20;
  }

  set a20(isOpen: boolean) {
    if (isOpen === this.#a20) return;
    this.#a20 = isOpen;
    this.#onA20(isOpen);
  }

  reset(): void {
    this.post = 0;
    this.a20 = true;
    this.#resetControl = 0;
  }

  readonly postPort: PioHandler = {
    read: () => this.post,
    write: (_offset, _size, value) => {
      this.post = value;
    },
  };

  readonly portA: PioHandler = {
    read: () => (this.a20 ? FAST_A20 : 0),
    write: (_offset, _size, value) => {
      this.a20 = (value & FAST_A20) !== 0;
      if ((value & FAST_RESET) !== 0) this.#requestReset();
    },
  };

  /** Port 0xcf9: the reset happens on the rising edge of RCPU. */
  readonly resetPort: PioHandler = {
    read: () => this.#resetControl,
    write: (_offset, _size, value) => {
      const rising = (value & ~this.#resetControl & RESET_RCPU) !== 0;
      this.#resetControl = value & 0x02;
      if (rising) this.#requestReset();
    },
  };

  save(): SystemControlState {
    return { kind: 'system-control', version: 1, post: this.post, a20: this.a20, resetControl: this.#resetControl };
  }

  restore(state: SystemControlState): void {
    checkState(state, STATE);
    this.post = state.post;
    this.a20 = state.a20;
    this.#resetControl = state.resetControl;
  }
}
