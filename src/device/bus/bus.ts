/** The three address spaces through which a vCPU reaches the devices. */
import { MmioBus } from './mmio.js';
import { MsrBus } from './msr.js';
import { PioBus } from './pio.js';

export class Bus {
  readonly pio = new PioBus();
  readonly mmio = new MmioBus();
  readonly msr = new MsrBus();
}
