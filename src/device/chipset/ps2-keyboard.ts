/** PS/2 keyboard: 101 keys, scan code set 2 on the wire. Answers at once; the controller paces the bytes. */
import { bits, checkState, flag, integer, type StateOf, stateKind, u8 } from '../../base/state.js';
import * as spec from '../../spec/i8042.js';
import { type Ps2Device, Ps2Queue, QUEUED_BYTES } from './ps2-device.js';

const STATE = stateKind('ps2-keyboard', 1, {
  queue: QUEUED_BYTES,
  command: u8,
  enabled: flag,
  leds: bits(7),
  scancodeSet: integer(1, 3),
  last: u8,
});
export type Ps2KeyboardState = StateOf<typeof STATE>;

export class Ps2Keyboard implements Ps2Device {
  readonly queue = new Ps2Queue();
  /** The command whose parameter comes next, or 0. */
  #command = 0;
  #enabled = true;
  /** Scroll lock, num lock, caps lock. */
  leds = 0;
  #scancodeSet = 2;
  #last = 0;

  reset(): void {
    this.queue.clear();
    this.#command = 0;
    this.#setDefaults();
    this.leds = 0;
    this.#last = 0;
  }

  /** A key event in scan code set 2 (0xf0 before a break code, 0xe0 before an extended key). */
  sendScancode(...bytes: number[]): void {
    if (this.#enabled) this.queue.push(...bytes);
  }

  receive(byte: number): void {
    const command = this.#command;
    this.#command = 0;
    if (command !== 0 && byte < spec.KEYBOARD_SET_LEDS) this.#parameter(command, byte);
    else this.#execute(byte);
  }

  save(): Ps2KeyboardState {
    return {
      kind: 'ps2-keyboard',
      version: 1,
      queue: this.queue.save(),
      command: this.#command,
      enabled: this.#enabled,
      leds: this.leds,
      scancodeSet: this.#scancodeSet,
      last: this.#last,
    };
  }

  restore(state: Ps2KeyboardState): void {
    checkState(state, STATE);
    this.queue.restore(state.queue);
    this.#command = state.command;
    this.#enabled = state.enabled;
    this.leds = state.leds;
    this.#scancodeSet = state.scancodeSet;
    this.#last = state.last;
  }

  #setDefaults(): void {
    this.#enabled = true;
    this.#scancodeSet = 2;
  }

  #answer(...bytes: number[]): void {
    this.queue.clear();
    this.queue.push(...bytes);
    this.#last = bytes[bytes.length - 1];
  }

  #parameter(command: number, byte: number): void {
    if (command === spec.KEYBOARD_SET_LEDS) this.leds = byte & 7;
    if (command === spec.KEYBOARD_SCANCODE_SET) {
      if (byte === 0) {
        this.#answer(spec.PS2_ACK, this.#scancodeSet);
        return;
      }
      if (byte <= 3) this.#scancodeSet = byte;
    }
    this.#answer(spec.PS2_ACK);
  }

  #execute(byte: number): void {
    switch (byte) {
      case spec.KEYBOARD_SET_LEDS:
      case spec.KEYBOARD_SCANCODE_SET:
      case spec.PS2_SET_RATE:
        this.#command = byte;
        this.#answer(spec.PS2_ACK);
        break;
      case spec.KEYBOARD_ECHO:
        this.#answer(spec.KEYBOARD_ECHO);
        break;
      case spec.PS2_IDENTIFY:
        this.#answer(spec.PS2_ACK, ...spec.KEYBOARD_ID);
        break;
      case spec.PS2_ENABLE:
        this.#enabled = true;
        this.#answer(spec.PS2_ACK);
        break;
      case spec.PS2_DISABLE:
        this.#setDefaults();
        this.#enabled = false;
        this.#answer(spec.PS2_ACK);
        break;
      case spec.PS2_SET_DEFAULTS:
        this.#setDefaults();
        this.#answer(spec.PS2_ACK);
        break;
      case spec.PS2_RESEND:
        this.#answer(this.#last);
        break;
      case spec.PS2_RESET:
        this.reset();
        this.#answer(spec.PS2_ACK, spec.PS2_TEST_PASSED);
        break;
      default:
        // 0xf7-0xfd set key types of scan code set 3; everything else is unknown.
        this.#answer(byte >= 0xf7 ? spec.PS2_ACK : spec.PS2_RESEND);
    }
  }
}
