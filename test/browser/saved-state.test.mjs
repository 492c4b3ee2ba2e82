// Saved machines in a page: saved and loaded there, and a file that was written under Node goes on in the browser.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startServer } from '../../dist/cli/serve.js';
import { Machine } from '../../dist/node.js';
import { bzImage, ENTRY_64 } from '../guest/small-kernels.mjs';
import { findChromium, launchChromium } from './chromium.mjs';

const PAGE_MS = 60_000;
const executable = findChromium();
const skip = executable === undefined ? 'no Chromium on this host; install one or name it in $CHROMIUM' : false;

// mov ecx, 60000; xor ebx, ebx; l: mov eax, ebx; out 0xe9, al; inc ebx; in al, 0x61; dec ecx; jnz l; mov al, 42; out 0xf4, al; hlt
const PROGRAM = 'b960ea0000 31db 89d8 e6e9 ffc3 e461 ffc9 75f4 b02a e6f4 f4';
const BYTES = 60_000;
const payload = new Uint8Array(0x1000);
payload.set(Buffer.from(PROGRAM.replaceAll(' ', ''), 'hex'), ENTRY_64);
const kernel = bzImage(payload);
const options = { kernel, memoryBytes: 32 << 20, debugcon: 0xe9, debugExit: true, noReboot: true, timeoutMs: 50_000 };

/** Runs in the page: both files are hexadecimal. */
async function inPage({ kernelHex, stateHex }) {
  const { Machine } = await import('/dist/browser.js');
  const bytes = (hex) => Uint8Array.from(hex.match(/../g), (pair) => Number.parseInt(pair, 16));
  const settings = { memoryBytes: 32 << 20, debugcon: 0xe9, debugExit: true, noReboot: true, timeoutMs: 50_000 };
  let seen = [];
  const run = (machine) => {
    machine.on('debugcon', (piece) => seen.push(...piece));
    return machine.run();
  };
  const inOrder = () => seen.every((byte, n) => byte === (n & 255));
  const first = new Machine({ kernel: bytes(kernelHex), ...settings });
  const ended = run(first);
  await new Promise((resolve) => first.on('debugcon', resolve));
  await first.pause();
  const state = await first.save();
  first.close();
  const { reason } = await ended;
  const here = await run(await Machine.load(state));
  const own = [reason, here.reason, here.exitCode, seen.length, inOrder()];
  const before = Number(stateHex.slice(0, 8));
  seen = Array.from({ length: before }, (_, n) => n & 255);
  const other = await run(await Machine.load(bytes(stateHex.slice(8))));
  let refused;
  await Machine.load(bytes(stateHex.slice(8, -10))).catch((error) => {
    refused = error.code;
  });
  return { own, fromNode: [other.reason, other.exitCode, seen.length, inOrder()], refused };
}

test('a machine is saved and loaded in a page, and a file from Node goes on there', {
  skip,
  timeout: 180_000,
}, async () => {
  const machine = new Machine(options);
  let written = 0;
  machine.on('debugcon', (bytes) => {
    written += bytes.length;
  });
  const ended = machine.run();
  await new Promise((resolve) => machine.on('debugcon', resolve));
  await machine.pause();
  const state = await machine.save();
  machine.close();
  await ended;
  assert.ok(written > 0 && written < BYTES, `${written} bytes before it was saved`);

  const guest = { kernel, kernelName: 'small', modules: [], append: '', hasDefaultInit: false, title: 'small' };
  const server = await startServer(guest, { host: '127.0.0.1', port: 0, memory: 32 << 20 });
  const browser = await launchChromium(executable);
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(PAGE_MS);
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    const stateHex = String(written).padStart(8, '0') + Buffer.from(state).toString('hex');
    const result = await page.evaluate(inPage, { kernelHex: Buffer.from(kernel).toString('hex'), stateHex });
    assert.deepEqual(result, {
      own: ['closed', 'debug-exit', 85, BYTES, true],
      fromNode: ['debug-exit', 85, BYTES, true],
      refused: 'bad-state',
    });
  } finally {
    await browser.close();
    server.close();
    server.closeAllConnections();
  }
});
