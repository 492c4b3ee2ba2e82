// A guest that sleeps nearly all of its time is not translated, and gets on all the same.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CC, RCX } from './code.mjs';
import { SmallGuest } from './guest.mjs';

/** Long enough for the average of Duty to forget that the guest ever ran. */
const SLEEP_MS = 1200;

test('dbt: what gets hot in a sleeping guest is interpreted', { timeout: 60_000 }, async () => {
  // hlt; 300 times: add rbx, rcx; hlt; the same, for ever
  const loop = (code, again) => code.mov32(RCX, 300).label(again).b('4801cb ffc9').jcc(CC.nz, again);
  const guest = new SmallGuest(
    'dbt',
    'long0',
    (code) => {
      loop(code.b(0xf4), 'once').b(0xf4);
      loop(code, 'forever').b('ebe9');
    },
    undefined,
    { hotThreshold: 100 },
  );
  const untilHalt = () => {
    for (let n = 0; n < 1000; n++) if (guest.enter({ sliceNs: 1e9 }).kind === 'hlt') return true;
    return false;
  };
  const translated = () => guest.vcpu.statistics().translator.regions;
  assert.equal(untilHalt(), true, 'it comes to its first HLT');
  await sleep(SLEEP_MS);
  const before = translated();
  assert.equal(untilHalt(), true, 'it gets through the loop');
  assert.equal(guest.vcpu.save().gpr[3], 45150n);
  assert.equal(translated(), before);
  for (let n = 0; n < 1000 && translated() === before; n++) {
    guest.enter({ sliceNs: 1e6 });
  }
  assert.ok(translated() > before, 'at work it is translated');
  guest.close();
});
