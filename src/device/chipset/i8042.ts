/**
 * The keyboard controller: one output buffer shared by controller, keyboard and mouse, each byte announced on IRQ 1 or
 * 12. Commands take no time (the input buffer is never full). Left out: passwords, the keylock switch, port timing.
 */
import type { PioHandler } from '../../base/io.js';
import { checkState, flag, list, orNull, part, type StateOf, stateKind, u8 } from '../../base/state.js';
import type { IrqLine } from '../../irqchip/line.js';
import * as spec from '../../spec/i8042.js';
import type { Device } from '../device.js';
import { Ps2Keyboard, type Ps2KeyboardState } from './ps2-keyboard.js';
import { Ps2Mouse, type Ps2MouseState } from './ps2-mouse.js';

const RAM_SIZE = 32;

const STATE = stateKind('i8042', 1, {
  ram: list(u8, RAM_SIZE),
  command: u8,
  lastWasCommand: flag,
  output: u8,
  buffer: orNull(u8),
  bufferIsAux: flag,
  data: u8,
  replies: list(u8, 0, RAM_SIZE),
  breakPrefix: flag,
  keyboard: part<Ps2KeyboardState>(),
  mouse: part<Ps2MouseState>(),
});
export type I8042State = StateOf<typeof STATE>;

export interface I8042Options {
  readonly keyboardIrq: IrqLine;
  readonly mouseIrq: IrqLine;
  readonly requestReset: () => void;
  readonly setA20: (enabled: boolean) => void;
  readonly a20: () => boolean;
}

const DEFAULT_CONFIG = spec.CONFIG_KEYBOARD_IRQ | spec.CONFIG_SYSTEM | spec.CONFIG_TRANSLATE;

export class I8042 implements Device<I8042State> {
  readonly keyboard = new Ps2Keyboard();
  readonly mouse = new Ps2Mouse();
  readonly #options: I8042Options;
  /** Byte 0 is the command byte. */
  readonly #ram = new Uint8Array(RAM_SIZE);
  /** The controller command whose parameter comes at port 0x60, or 0. */
  #command = 0;
  #lastWasCommand = false;
  #output = 0;
  /** The output buffer, undefined when empty. */
  #buffer: number | undefined;
  #bufferIsAux = false;
  /** What port 0x60 reads when the buffer is empty. */
  #data = 0;
  /** The controller's own answers, before any device's bytes. */
  #replies: number[] = [];
  /** A translated break prefix was swallowed. */
  #breakPrefix = false;

  constructor(options: I8042Options) {
    this.#options = options;
    this.reset();
  }

  reset(): void {
    this.#ram.fill(0);
    this.#ram[0] = DEFAULT_CONFIG;
    this.#command = 0;
    this.#lastWasCommand = false;
    this.#output = spec.OUTPUT_IDLE;
    this.#buffer = undefined;
    this.#bufferIsAux = false;
    this.#data = 0;
    this.#replies = [];
    this.#breakPrefix = false;
    this.keyboard.reset();
    this.mouse.reset();
    this.#updateLines();
  }

  /** After a host event was queued at the keyboard or the mouse. */
  poll(): void {
    this.#fill();
  }

  /** Port 0x60. */
  readonly dataPort: PioHandler = {
    read: () => {
      if (this.#buffer !== undefined) {
        this.#data = this.#buffer;
        this.#buffer = undefined;
        this.#updateLines();
        this.#fill();
      }
      return this.#data;
    },
    write: (_offset, _size, value) => {
      this.#lastWasCommand = false;
      const command = this.#command;
      this.#command = 0;
      if (command !== 0) this.#parameter(command, value);
      else {
        // Talking to the keyboard switches it on.
        this.#ram[0] &= ~spec.CONFIG_KEYBOARD_OFF;
        this.keyboard.receive(value);
      }
      this.#fill();
    },
  };

  /** Port 0x64. */
  readonly commandPort: PioHandler = {
    read: () =>
      (this.#buffer !== undefined ? spec.STATUS_OBF : 0) |
      (this.#buffer !== undefined && this.#bufferIsAux ? spec.STATUS_AUX_OBF : 0) |
      (this.#ram[0] & spec.STATUS_SYSTEM) |
      (this.#lastWasCommand ? spec.STATUS_COMMAND : 0) |
      spec.STATUS_UNLOCKED,
    write: (_offset, _size, value) => {
      this.#lastWasCommand = true;
      this.#command = 0;
      this.#execute(value);
      this.#updateLines();
      this.#fill();
    },
  };

  save(): I8042State {
    return {
      kind: 'i8042',
      version: 1,
      ram: [...this.#ram],
      command: this.#command,
      lastWasCommand: this.#lastWasCommand,
      output: this.#output,
      buffer: this.#buffer ?? null,
      bufferIsAux: this.#bufferIsAux,
      data: this.#data,
      replies: [...this.#replies],
      breakPrefix: this.#breakPrefix,
      keyboard: this.keyboard.save(),
      mouse: this.mouse.save(),
    };
  }

  restore(state: I8042State): void {
    checkState(state, STATE);
    this.#ram.set(state.ram);
    this.#command = state.command;
    this.#lastWasCommand = state.lastWasCommand;
    this.#output = state.output;
    this.#buffer = state.buffer ?? undefined;
    this.#bufferIsAux = state.bufferIsAux;
    this.#data = state.data;
    this.#replies = [...state.replies];
    this.#breakPrefix = state.breakPrefix;
    this.keyboard.restore(state.keyboard);
    this.mouse.restore(state.mouse);
    this.#updateLines();
  }

  #execute(command: number): void {
    if (command >= spec.KBC_READ_RAM && command < spec.KBC_READ_RAM + RAM_SIZE) {
      this.#reply(this.#ram[command & 31]);
      return;
    }
    if (command >= spec.KBC_WRITE_RAM && command < spec.KBC_WRITE_RAM + RAM_SIZE) {
      this.#command = command;
      return;
    }
    if (command >= spec.KBC_PULSE) {
      if ((command & spec.OUTPUT_NOT_RESET) === 0) this.#options.requestReset();
      return;
    }
    switch (command) {
      case spec.KBC_AUX_OFF:
        this.#ram[0] |= spec.CONFIG_AUX_OFF;
        break;
      case spec.KBC_AUX_ON:
        this.#ram[0] &= ~spec.CONFIG_AUX_OFF;
        break;
      case spec.KBC_AUX_TEST:
      case spec.KBC_KEYBOARD_TEST:
        this.#reply(0);
        break;
      case spec.KBC_SELF_TEST:
        this.#ram[0] |= spec.CONFIG_SYSTEM;
        this.#reply(spec.SELF_TEST_PASSED);
        break;
      case spec.KBC_KEYBOARD_OFF:
        this.#ram[0] |= spec.CONFIG_KEYBOARD_OFF;
        break;
      case spec.KBC_KEYBOARD_ON:
        this.#ram[0] &= ~spec.CONFIG_KEYBOARD_OFF;
        break;
      case spec.KBC_READ_INPUT:
        // Keyboard not locked, colour display.
        this.#reply(0x80);
        break;
      case spec.KBC_READ_OUTPUT:
        this.#reply(this.#outputPort());
        break;
      case spec.KBC_WRITE_OUTPUT:
      case spec.KBC_WRITE_KEYBOARD_BUFFER:
      case spec.KBC_WRITE_AUX_BUFFER:
      case spec.KBC_WRITE_AUX:
        this.#command = command;
        break;
      case spec.KBC_A20_OFF:
      case spec.KBC_A20_ON:
        this.#options.setA20(command === spec.KBC_A20_ON);
        break;
      case spec.KBC_READ_TEST:
        this.#reply(0);
        break;
    }
  }

  #parameter(command: number, value: number): void {
    switch (command) {
      case spec.KBC_WRITE_OUTPUT:
        this.#output = value;
        this.#options.setA20((value & spec.OUTPUT_A20) !== 0);
        if ((value & spec.OUTPUT_NOT_RESET) === 0) this.#options.requestReset();
        break;
      case spec.KBC_WRITE_KEYBOARD_BUFFER:
        this.#load(value, false);
        break;
      case spec.KBC_WRITE_AUX_BUFFER:
        this.#load(value, true);
        break;
      case spec.KBC_WRITE_AUX:
        this.#ram[0] &= ~spec.CONFIG_AUX_OFF;
        this.mouse.receive(value);
        break;
      default:
        this.#ram[command & 31] = value;
        this.#updateLines();
    }
  }

  #outputPort(): number {
    const pins = this.#output & ~(spec.OUTPUT_A20 | 0x30);
    const requests = this.#buffer === undefined ? 0 : this.#bufferIsAux ? 0x20 : 0x10;
    return pins | spec.OUTPUT_NOT_RESET | (this.#options.a20() ? spec.OUTPUT_A20 : 0) | requests;
  }

  #reply(byte: number): void {
    if (this.#replies.length < RAM_SIZE) this.#replies.push(byte);
  }

  #load(byte: number, aux: boolean): void {
    this.#buffer = byte;
    this.#bufferIsAux = aux;
    this.#updateLines();
  }

  /** Takes the next byte into an empty output buffer. */
  #fill(): void {
    while (this.#buffer === undefined) {
      const reply = this.#replies.shift();
      if (reply !== undefined) {
        this.#load(reply, false);
        return;
      }
      const config = this.#ram[0];
      const key = (config & spec.CONFIG_KEYBOARD_OFF) === 0 ? this.keyboard.queue.shift() : undefined;
      if (key !== undefined) {
        const code = this.#translate(key);
        if (code === undefined) continue;
        this.#load(code, false);
        return;
      }
      const motion = (config & spec.CONFIG_AUX_OFF) === 0 ? this.mouse.queue.shift() : undefined;
      if (motion === undefined) return;
      this.#load(motion, true);
    }
  }

  /** Set 2 to set 1: the break prefix 0xf0 becomes bit 7 of the next code. */
  #translate(code: number): number | undefined {
    if ((this.#ram[0] & spec.CONFIG_TRANSLATE) === 0) return code;
    if (code === spec.SET2_BREAK) {
      this.#breakPrefix = true;
      return undefined;
    }
    const translated = code < spec.SET2_TO_SET1.length ? spec.SET2_TO_SET1[code] : code;
    const released = this.#breakPrefix;
    this.#breakPrefix = false;
    return released ? translated | 0x80 : translated;
  }

  #updateLines(): void {
    const config = this.#ram[0];
    const full = this.#buffer !== undefined;
    this.#options.keyboardIrq.set(full && !this.#bufferIsAux && (config & spec.CONFIG_KEYBOARD_IRQ) !== 0);
    this.#options.mouseIrq.set(full && this.#bufferIsAux && (config & spec.CONFIG_AUX_IRQ) !== 0);
  }
}
