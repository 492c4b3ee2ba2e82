// Guests of 64-bit code that tell on the debug port what they saw, on each engine and each set of interrupt controllers.
import { test } from 'node:test';
import { Machine } from '../../dist/node.js';
import { bzImage, ENTRY_64 } from '../guest/small-kernels.mjs';
import { IRQCHIP_NEEDS, lacks } from './engines.mjs';

const KINDS = [
  ['dbt', undefined],
  ['kvm', 'machine'],
  ['kvm', 'split'],
  ['kvm', 'kernel'],
];

/** A test for each kind of machine; `check` is given what runs `code` there: the bytes told, and how it ended. */
export function testOnEachIrqchip(what, timeout, code, check) {
  for (const [engine, irqchip] of KINDS) {
    const skip = lacks(engine, IRQCHIP_NEEDS[irqchip ?? 'machine']) ?? false;
    test(`${engine} ${irqchip ?? ''}: ${what}`, { skip, timeout }, async () => {
      const payload = new Uint8Array(0x4000);
      payload.set(code(), ENTRY_64);
      const machine = new Machine({
        kernel: bzImage(payload),
        memoryBytes: 64 << 20,
        engine,
        irqchip,
        debugcon: 0xe9,
        debugExit: true,
        noReboot: true,
        timeoutMs: timeout / 2,
      });
      const told = [];
      machine.on('debugcon', (bytes) => void told.push(...bytes));
      check(told, await machine.run());
    });
  }
}
