// Code above 2 GiB of guest RAM, where host addresses have bit 31 set.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Machine } from '../../dist/node.js';
import { bzImage, ENTRY_64 } from './small-kernels.mjs';

const HIGH = 0xb0000000n;
// mov edi, 0xb0000000; mov word [rdi], 0xfeeb (jmp $); jmp rdi
const CODE = 'bf000000b066c707ebfeffe7';

test('code runs in the third GiB of RAM', { timeout: 60_000 }, async () => {
  const payload = new Uint8Array(0x1000);
  payload.set(Buffer.from(CODE, 'hex'), ENTRY_64);
  const machine = new Machine({
    kernel: bzImage(payload),
    memoryBytes: 3072 * 2 ** 20,
    noReboot: true,
    timeoutMs: 1500,
  });
  const { reason, cpu } = await machine.run();
  assert.equal(reason, 'timeout');
  assert.equal(cpu?.rip, HIGH);
});
