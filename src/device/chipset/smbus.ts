/**
 * The PIIX4's SMBus host controller with nothing on the bus: every transaction ends at once with "device error" (no
 * acknowledge). Intel 82371AB data sheet, "SMBus I/O Space Registers". Drivers probe it and find no memory modules.
 */
import type { PioHandler } from '../../base/io.js';
import { checkState, list, type StateOf, stateKind, u8 } from '../../base/state.js';
import { SMBUS_SIZE } from '../../spec/pci.js';
import type { Device } from '../device.js';

const STATE = stateKind('smbus', 1, { registers: list(u8, SMBUS_SIZE) });
export type SmbusState = StateOf<typeof STATE>;

const HOST_STATUS = 0;
const HOST_CONTROL = 2;
const STATUS_DEVICE_ERROR = 0x04;
const STATUS_CLEARABLE = 0x1e;
const CONTROL_START = 0x40;

export class Smbus implements Device<SmbusState>, PioHandler {
  readonly #registers = new Uint8Array(SMBUS_SIZE);

  reset(): void {
    this.#registers.fill(0);
  }

  read(offset: number): number {
    return this.#registers[offset];
  }

  write(offset: number, _size: number, value: number): void {
    if (offset === HOST_STATUS) {
      this.#registers[HOST_STATUS] &= ~(value & STATUS_CLEARABLE);
    } else if (offset === HOST_CONTROL) {
      this.#registers[HOST_CONTROL] = value & ~CONTROL_START;
      if ((value & CONTROL_START) !== 0) this.#registers[HOST_STATUS] |= STATUS_DEVICE_ERROR;
    } else {
      this.#registers[offset] = value;
    }
  }

  save(): SmbusState {
    return { kind: 'smbus', version: 1, registers: [...this.#registers] };
  }

  restore(state: SmbusState): void {
    checkState(state, STATE);
    this.#registers.set(state.registers);
  }
}
