// Machines that end while their threads still load leave no file open.
import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Machine } from '../../dist/node.js';
import { bzImage, ENTRY_64 } from '../guest/small-kernels.mjs';

const DIST = fileURLToPath(new URL('../../dist', import.meta.url));

function openModules() {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(DIST);
    } catch {
      return false;
    }
  }).length;
}

test('machines that run for some milliseconds leave no file open', {
  skip: process.platform === 'linux' ? false : 'open files are found in /proc',
  timeout: 120_000,
}, async () => {
  for (let n = 0; n < 30; n++) {
    const payload = new Uint8Array(0x1000);
    const turns = n * 400_000;
    // mov ecx, turns; again: dec ecx; jnz again; mov dx, 0xf4; out dx, al
    payload.set(
      [0xb9, turns & 255, (turns >> 8) & 255, turns >> 16, 0, 0xff, 0xc9, 0x75, 0xfc, 0x66, 0xba, 0xf4, 0, 0xee],
      ENTRY_64,
    );
    const machine = new Machine({ kernel: bzImage(payload), memoryBytes: 64 << 20, engine: 'dbt', debugExit: true });
    assert.equal((await machine.run()).reason, 'debug-exit');
    machine.close();
  }
  for (let n = 0; openModules() > 0 && n < 50; n++) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(openModules(), 0);
});
