/** PS/2 mouse with the IntelliMouse wheel (ID 3) and five-button (ID 4) extensions. */
import { bits, checkState, flag, integer, list, oneOf, type StateOf, stateKind, u8 } from '../../base/state.js';
import * as spec from '../../spec/i8042.js';
import { type Ps2Device, Ps2Queue, QUEUED_BYTES } from './ps2-device.js';

/** Movement that waits to be reported: x and y, and the wheel. */
const FARTHEST = 10_000;
const FARTHEST_WHEEL = 100;

const STATE = stateKind('ps2-mouse', 1, {
  queue: QUEUED_BYTES,
  command: u8,
  id: oneOf(0, 3, 4),
  rates: list(u8, 3),
  resolution: bits(3),
  scaling2: flag,
  reporting: flag,
  remote: flag,
  wrap: flag,
  buttons: bits(31),
  dx: integer(-FARTHEST, FARTHEST),
  dy: integer(-FARTHEST, FARTHEST),
  dz: integer(-FARTHEST_WHEEL, FARTHEST_WHEEL),
});
export type Ps2MouseState = StateOf<typeof STATE>;

/** The last three sample rates that unlock the extensions. */
const UNLOCK_WHEEL = [200, 100, 80];
const UNLOCK_BUTTONS = [200, 200, 80];

function clamp(value: number, limit: number): number {
  return Math.max(-limit, Math.min(limit, Math.trunc(value)));
}

export class Ps2Mouse implements Ps2Device {
  readonly queue = new Ps2Queue();
  #command = 0;
  #id: Ps2MouseState['id'] = 0;
  #rates = [0, 0, 100];
  #resolution = 2;
  #scaling2 = false;
  #reporting = false;
  #remote = false;
  #wrap = false;
  #buttons = 0;
  /** Movement not reported yet; y up, z wheel. */
  #dx = 0;
  #dy = 0;
  #dz = 0;

  reset(): void {
    this.queue.clear();
    this.#command = 0;
    this.#id = 0;
    this.#setDefaults();
    this.#wrap = false;
    this.#buttons = 0;
  }

  /** The host's pointer moved. Buttons: 1 left, 2 right, 4 middle, 8 and 16 side. */
  move(dx: number, dy: number, dz: number, buttons: number): void {
    this.#dx = clamp(this.#dx + dx, FARTHEST);
    this.#dy = clamp(this.#dy + dy, FARTHEST);
    this.#dz = clamp(this.#dz + dz, FARTHEST_WHEEL);
    this.#buttons = buttons & 31;
    if (this.#reporting && !this.#remote) this.#queuePacket();
  }

  receive(byte: number): void {
    const command = this.#command;
    this.#command = 0;
    if (this.#wrap && byte !== spec.MOUSE_RESET_WRAP && byte !== spec.PS2_RESET) this.queue.push(byte);
    else if (command !== 0) this.#parameter(command, byte);
    else this.#execute(byte);
  }

  save(): Ps2MouseState {
    return {
      kind: 'ps2-mouse',
      version: 1,
      queue: this.queue.save(),
      command: this.#command,
      id: this.#id,
      rates: [...this.#rates],
      resolution: this.#resolution,
      scaling2: this.#scaling2,
      reporting: this.#reporting,
      remote: this.#remote,
      wrap: this.#wrap,
      buttons: this.#buttons,
      dx: this.#dx,
      dy: this.#dy,
      dz: this.#dz,
    };
  }

  restore(state: Ps2MouseState): void {
    checkState(state, STATE);
    this.queue.restore(state.queue);
    this.#command = state.command;
    this.#id = state.id;
    this.#rates = [...state.rates];
    this.#resolution = state.resolution;
    this.#scaling2 = state.scaling2;
    this.#reporting = state.reporting;
    this.#remote = state.remote;
    this.#wrap = state.wrap;
    this.#buttons = state.buttons;
    this.#dx = state.dx;
    this.#dy = state.dy;
    this.#dz = state.dz;
  }

  #setDefaults(): void {
    this.#rates = [0, 0, 100];
    this.#resolution = 2;
    this.#scaling2 = false;
    this.#reporting = false;
    this.#remote = false;
    this.#dx = 0;
    this.#dy = 0;
    this.#dz = 0;
  }

  #answer(...bytes: number[]): void {
    this.queue.clear();
    this.queue.push(...bytes);
  }

  #parameter(command: number, byte: number): void {
    if (command === spec.MOUSE_SET_RESOLUTION) {
      this.#resolution = byte & 3;
    } else {
      this.#rates = [this.#rates[1], this.#rates[2], byte];
      if (UNLOCK_WHEEL.every((rate, i) => rate === this.#rates[i])) this.#id = 3;
      else if (UNLOCK_BUTTONS.every((rate, i) => rate === this.#rates[i])) this.#id = 4;
    }
    this.#answer(spec.PS2_ACK);
  }

  #execute(byte: number): void {
    switch (byte) {
      case spec.MOUSE_SET_RESOLUTION:
      case spec.PS2_SET_RATE:
        this.#command = byte;
        break;
      case spec.MOUSE_SCALING_1:
      case spec.MOUSE_SCALING_2:
        this.#scaling2 = byte === spec.MOUSE_SCALING_2;
        break;
      case spec.MOUSE_STATUS:
        this.#answer(spec.PS2_ACK, this.#status(), this.#resolution, this.#rates[2]);
        return;
      case spec.MOUSE_READ_DATA:
        this.#answer(spec.PS2_ACK);
        this.#queuePacket();
        return;
      case spec.MOUSE_STREAM:
      case spec.MOUSE_REMOTE:
        this.#remote = byte === spec.MOUSE_REMOTE;
        break;
      case spec.MOUSE_WRAP:
      case spec.MOUSE_RESET_WRAP:
        this.#wrap = byte === spec.MOUSE_WRAP;
        break;
      case spec.PS2_IDENTIFY:
        this.#answer(spec.PS2_ACK, this.#id);
        return;
      case spec.PS2_ENABLE:
      case spec.PS2_DISABLE:
        this.#reporting = byte === spec.PS2_ENABLE;
        break;
      case spec.PS2_SET_DEFAULTS:
        this.#setDefaults();
        break;
      case spec.PS2_RESET:
        this.reset();
        this.#answer(spec.PS2_ACK, spec.PS2_TEST_PASSED, 0);
        return;
      default:
        this.#answer(spec.PS2_RESEND);
        return;
    }
    this.#answer(spec.PS2_ACK);
  }

  #status(): number {
    const buttons = ((this.#buttons & 1) << 2) | ((this.#buttons & 4) >> 1) | ((this.#buttons & 2) >> 1);
    return (this.#remote ? 0x40 : 0) | (this.#reporting ? 0x20 : 0) | (this.#scaling2 ? 0x10 : 0) | buttons;
  }

  /** Three bytes, four with a wheel. Movement that does not fit stays for the next packet. */
  #queuePacket(): void {
    const dx = clamp(this.#dx, 255);
    const dy = clamp(this.#dy, 255);
    const dz = clamp(this.#dz, 7);
    const packet = [8 | (this.#buttons & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0), dx & 0xff, dy & 0xff];
    if (this.#id === 3) packet.push(dz & 0xff);
    if (this.#id === 4) packet.push((dz & 15) | ((this.#buttons & 24) << 1));
    if (!this.queue.push(...packet)) return;
    this.#dx -= dx;
    this.#dy -= dy;
    this.#dz -= dz;
  }
}
