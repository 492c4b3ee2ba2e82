/**
 * UART 16550A. PC16550D data sheet. Transmission is immediate whatever the divisor; the host's side is always a
 * connected modem (CTS, DSR, DCD on). OUT2 gates the interrupt line, as PC boards wire it. Left out: parity and
 * framing errors (a byte stream has none), DMA signals.
 */

import type { Clock } from '../../base/clock.js';
import type { PioHandler } from '../../base/io.js';
import { bits, checkState, deadline, flag, integer, list, type StateOf, stateKind, u8, u16 } from '../../base/state.js';
import type { Timer, TimerQueue } from '../../base/timer-queue.js';
import { type CharBackend, type CharReceiver, NULL_BACKEND } from '../../char/char.js';
import type { IrqLine } from '../../irqchip/line.js';
import * as spec from '../../spec/uart-16550.js';
import type { Device } from '../device.js';

/** Reads of the line status in a row after which the guest is taken to poll for input ... */
const POLLING_READS = 256;
/** ... and those that are enough where they are spread over a time: firmware looks at every tick of its clock. */
const PATIENT_READS = 8;
const PATIENT_NS = 200e6;
/** A driver that enables the receiver's interrupt goes on setting the port up, and may clear the FIFOs once more. */
const SETTLING_NS = 20e6;

const STATE = stateKind('uart-16550', 2, {
  divisor: u16,
  ier: bits(0x0f),
  fcr: u8,
  lcr: u8,
  mcr: bits(0x1f),
  lineErrors: bits(spec.LSR_ERRORS),
  modemStatus: u8,
  scratch: u8,
  received: list(u8, 0, spec.UART_FIFO_SIZE),
  lastByte: u8,
  thrEmptyPending: flag,
  timeoutPending: flag,
  timeoutNs: deadline,
  settlingNs: deadline,
  lineStatusReads: integer(0, POLLING_READS),
});
export type UartState = StateOf<typeof STATE>;

export interface UartOptions {
  readonly clock: Clock;
  readonly timers: TimerQueue;
  readonly irq: IrqLine;
  readonly backend?: CharBackend;
  /** The receiver has room again after being full. */
  readonly onReceiverReady?: () => void;
}

const CONNECTED = spec.MSR_CTS | spec.MSR_DSR | spec.MSR_DCD;
/** The timeout is four characters; at slow divisors nobody wants to wait that long. */
const LONGEST_TIMEOUT_NS = 4_000_000;

export class Uart16550 implements Device<UartState>, PioHandler, CharReceiver {
  readonly #clock: Clock;
  readonly #irq: IrqLine;
  readonly #timeout: Timer;
  /** While it is armed the driver may still be setting the port up. When it fires the machine looks for input. */
  readonly #settling: Timer;
  readonly #onReceiverReady: () => void;
  backend: CharBackend;
  readonly #byte = new Uint8Array(1);
  #divisor = 12;
  #ier = 0;
  /** Reads of the line status in a row, nothing written meanwhile. */
  #lineStatusReads = 0;
  /** When the first of them was. */
  #pollingSinceNs = 0;
  #fcr = 0;
  #lcr = 0;
  #mcr = 0;
  /** LSR bits 4:1, until read. */
  #lineErrors = 0;
  #modemStatus = CONNECTED;
  #scratch = 0;
  #received: number[] = [];
  #lastByte = 0;
  /** The transmitter became empty since IIR or THR was last touched. */
  #thrEmptyPending = false;
  #timeoutPending = false;

  constructor(options: UartOptions) {
    this.#clock = options.clock;
    this.#irq = options.irq;
    this.backend = options.backend ?? NULL_BACKEND;
    this.#onReceiverReady = options.onReceiverReady ?? (() => {});
    this.#timeout = options.timers.create(() => {
      this.#timeoutPending = this.#received.length > 0;
      this.#update();
    });
    this.#settling = options.timers.create(() => {});
  }

  reset(): void {
    this.#divisor = 12;
    this.#ier = 0;
    this.#lineStatusReads = 0;
    this.#fcr = 0;
    this.#lcr = 0;
    this.#mcr = 0;
    this.#lineErrors = 0;
    this.#modemStatus = CONNECTED;
    this.#scratch = 0;
    this.#received = [];
    this.#lastByte = 0;
    this.#thrEmptyPending = false;
    this.#timeoutPending = false;
    this.#timeout.disarm();
    this.#settling.disarm();
    this.#update();
    this.#onReceiverReady();
  }

  // ---- the host's side ----

  canReceive(): number {
    // In loopback the receiver is cut off from the line: what the host sends waits.
    if (this.#loopback) return 0;
    return Math.max(0, this.#capacity - this.#received.length);
  }

  receive(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.canReceive());
    for (let i = 0; i < count; i++) this.#received.push(bytes[i]);
    if (count > 0) this.#armTimeout();
    this.#update();
    return count;
  }

  /** The host sends a break condition: a zero byte with BI. */
  receiveBreak(): void {
    if (this.canReceive() > 0) this.#received.push(0);
    this.#lineErrors |= spec.LSR_BI;
    this.#update();
  }

  // ---- the guest's side ----

  /**
   * Somebody in the guest waits for input: by interrupt, or by reading the line status over and over. A driver that is
   * still setting the port up would throw away what comes now.
   */
  get isListening(): boolean {
    if (this.#settling.deadline !== Infinity) return false;
    if ((this.#ier & spec.IER_RDA) !== 0 || this.#lineStatusReads >= POLLING_READS) return true;
    return this.#lineStatusReads >= PATIENT_READS && this.#clock.now() - this.#pollingSinceNs >= PATIENT_NS;
  }

  read(offset: number): number {
    switch (offset) {
      case spec.UART_DATA:
        return this.#dlab ? this.#divisor & 0xff : this.#readData();
      case spec.UART_IER:
        return this.#dlab ? this.#divisor >> 8 : this.#ier;
      case spec.UART_IIR_FCR: {
        const cause = this.#cause();
        if (cause === spec.IIR_THRE) {
          this.#thrEmptyPending = false;
          this.#update();
        }
        return cause | (this.#fifosEnabled ? spec.IIR_FIFOS_ENABLED : 0);
      }
      case spec.UART_LCR:
        return this.#lcr;
      case spec.UART_MCR:
        return this.#mcr;
      case spec.UART_LSR: {
        if (this.#lineStatusReads === 0) this.#pollingSinceNs = this.#clock.now();
        this.#lineStatusReads = Math.min(this.#lineStatusReads + 1, POLLING_READS);
        const status = spec.LSR_THRE | spec.LSR_TEMT | this.#lineErrors | (this.#received.length > 0 ? spec.LSR_DR : 0);
        if (this.#lineErrors !== 0) {
          this.#lineErrors = 0;
          this.#update();
        }
        return status;
      }
      case spec.UART_MSR: {
        const status = this.#modemStatus;
        if ((status & spec.MSR_DELTA) !== 0) {
          this.#modemStatus &= ~spec.MSR_DELTA;
          this.#update();
        }
        return status;
      }
      default:
        return this.#scratch;
    }
  }

  write(offset: number, _size: number, value: number): void {
    this.#lineStatusReads = 0;
    switch (offset) {
      case spec.UART_DATA:
        if (this.#dlab) this.#divisor = (this.#divisor & 0xff00) | value;
        else this.#transmit(value);
        break;
      case spec.UART_IER:
        if (this.#dlab) {
          this.#divisor = (this.#divisor & 0xff) | (value << 8);
          break;
        }
        // Enabling THRE while the transmitter is empty interrupts at once.
        if ((value & ~this.#ier & spec.IER_THRE) !== 0) this.#thrEmptyPending = true;
        if ((value & ~this.#ier & spec.IER_RDA) !== 0) this.#settle();
        this.#ier = value & 0x0f;
        break;
      case spec.UART_IIR_FCR:
        this.#writeFcr(value);
        break;
      case spec.UART_LCR:
        this.#lcr = value;
        break;
      case spec.UART_MCR:
        this.#mcr = value & 0x1f;
        this.#updateModem();
        if (!this.#loopback) this.#onReceiverReady();
        break;
      case spec.UART_SCR:
        this.#scratch = value;
        break;
    }
    this.#update();
  }

  save(): UartState {
    return {
      kind: 'uart-16550',
      version: 2,
      divisor: this.#divisor,
      ier: this.#ier,
      fcr: this.#fcr,
      lcr: this.#lcr,
      mcr: this.#mcr,
      lineErrors: this.#lineErrors,
      modemStatus: this.#modemStatus,
      scratch: this.#scratch,
      received: [...this.#received],
      lastByte: this.#lastByte,
      thrEmptyPending: this.#thrEmptyPending,
      timeoutPending: this.#timeoutPending,
      timeoutNs: this.#timeout.save(),
      settlingNs: this.#settling.save(),
      lineStatusReads: this.#lineStatusReads,
    };
  }

  restore(state: UartState): void {
    checkState(state, STATE);
    this.#divisor = state.divisor;
    this.#ier = state.ier;
    this.#fcr = state.fcr;
    this.#lcr = state.lcr;
    this.#mcr = state.mcr;
    this.#lineErrors = state.lineErrors;
    this.#modemStatus = state.modemStatus;
    this.#scratch = state.scratch;
    this.#received = [...state.received];
    this.#lastByte = state.lastByte;
    this.#thrEmptyPending = state.thrEmptyPending;
    this.#timeoutPending = state.timeoutPending;
    this.#lineStatusReads = state.lineStatusReads;
    this.#pollingSinceNs = this.#clock.now();
    this.#settling.restore(state.settlingNs);
    this.#timeout.restore(state.timeoutNs);
    this.#update();
  }

  get #dlab(): boolean {
    return (this.#lcr & spec.LCR_DLAB) !== 0;
  }

  get #loopback(): boolean {
    return (this.#mcr & spec.MCR_LOOP) !== 0;
  }

  get #fifosEnabled(): boolean {
    return (this.#fcr & spec.FCR_ENABLE) !== 0;
  }

  get #capacity(): number {
    return this.#fifosEnabled ? spec.UART_FIFO_SIZE : 1;
  }

  get #trigger(): number {
    return this.#fifosEnabled ? spec.FCR_TRIGGER_LEVELS[this.#fcr >> 6] : 1;
  }

  #readData(): number {
    const wasFull = this.#received.length >= this.#capacity;
    const value = this.#received.shift() ?? (this.#fifosEnabled ? 0 : this.#lastByte);
    // Without FIFOs the receiver buffer keeps its byte.
    if (!this.#fifosEnabled) this.#lastByte = value;
    this.#timeoutPending = false;
    this.#armTimeout();
    this.#update();
    if (wasFull) this.#onReceiverReady();
    return value;
  }

  #transmit(value: number): void {
    this.#thrEmptyPending = true;
    if (!this.#loopback) {
      this.#byte[0] = value;
      this.backend.write(this.#byte);
      return;
    }
    // Loopback: straight into the receiver. A full FIFO keeps its bytes; a lone buffer is overwritten.
    if (this.#received.length < this.#capacity) this.#received.push(value);
    else {
      this.#lineErrors |= spec.LSR_OE;
      if (!this.#fifosEnabled) this.#received[0] = value;
    }
    this.#armTimeout();
  }

  #writeFcr(value: number): void {
    const toggled = ((this.#fcr ^ value) & spec.FCR_ENABLE) !== 0;
    // "FCR": other bits are programmed only together with the enable bit; changing it clears both FIFOs.
    this.#fcr = (value & spec.FCR_ENABLE) !== 0 ? value & (0xc0 | spec.FCR_ENABLE) : 0;
    if (toggled || (value & spec.FCR_CLEAR_RX) !== 0) {
      this.#received = [];
      this.#timeoutPending = false;
      this.#timeout.disarm();
      this.#settle();
      this.#onReceiverReady();
    }
    if (toggled || (value & spec.FCR_CLEAR_TX) !== 0) this.#thrEmptyPending = true;
  }

  #settle(): void {
    this.#settling.arm(this.#clock.now() + SETTLING_NS);
  }

  /** Below the trigger level the bytes are announced after four characters of silence. */
  #armTimeout(): void {
    if (!this.#fifosEnabled || this.#received.length === 0) {
      this.#timeout.disarm();
      return;
    }
    const characterNs = ((this.#divisor || 1) * 16 * 10 * 1e9) / spec.UART_CLOCK_HZ;
    this.#timeout.arm(this.#clock.now() + Math.min(4 * characterNs, LONGEST_TIMEOUT_NS));
  }

  /** "Modem Control Register", bit 4: in loopback the four outputs feed the four inputs. */
  #updateModem(): void {
    let inputs = CONNECTED;
    if (this.#loopback) {
      inputs = (this.#mcr & spec.MCR_RTS) !== 0 ? spec.MSR_CTS : 0;
      if ((this.#mcr & spec.MCR_DTR) !== 0) inputs |= spec.MSR_DSR;
      if ((this.#mcr & spec.MCR_OUT1) !== 0) inputs |= spec.MSR_RI;
      if ((this.#mcr & spec.MCR_OUT2) !== 0) inputs |= spec.MSR_DCD;
    }
    const changed = (this.#modemStatus ^ inputs) & 0xf0;
    let deltas = (this.#modemStatus & spec.MSR_DELTA) | (changed >> 4);
    // The ring delta marks only the trailing edge.
    if ((changed & spec.MSR_RI) !== 0 && (inputs & spec.MSR_RI) !== 0) deltas &= ~spec.MSR_TERI;
    this.#modemStatus = inputs | deltas;
  }

  #cause(): number {
    if ((this.#ier & spec.IER_LINE_STATUS) !== 0 && this.#lineErrors !== 0) return spec.IIR_LINE_STATUS;
    if ((this.#ier & spec.IER_RDA) !== 0 && this.#received.length > 0) {
      if (this.#received.length >= this.#trigger) return spec.IIR_RDA;
      if (this.#timeoutPending) return spec.IIR_TIMEOUT;
    }
    if ((this.#ier & spec.IER_THRE) !== 0 && this.#thrEmptyPending) return spec.IIR_THRE;
    if ((this.#ier & spec.IER_MODEM_STATUS) !== 0 && (this.#modemStatus & spec.MSR_DELTA) !== 0) {
      return spec.IIR_MODEM_STATUS;
    }
    return spec.IIR_NONE;
  }

  #update(): void {
    this.#irq.set((this.#mcr & spec.MCR_OUT2) !== 0 && this.#cause() !== spec.IIR_NONE);
  }
}
