// The translating engine's processor state: what is loaded is what is saved, to the last bit, and PDPTEs that an engine does
// not tell come from memory.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { protectedModeState } from '../../dist/machine/boot/initial-state.js';
import { loadCpu, saveCpu } from '../../dist/machine/saved-cpu.js';
import { makeEngine } from './engines.mjs';

const RAM_BYTES = 4 << 20;
const TSC = 0x10;
/** MSRs that hold whatever 64 bits they are given, as far as a state may say. */
const FREE_MSRS = [0x3b, 0x8b, 0xc0000081];
const CANONICAL_MSRS = [0x175, 0x176, 0xc0000082, 0xc0000083, 0xc0000102];

/** mulberry32. */
function randomSource(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

/** A processor with something in every register. */
function fullState(seed) {
  const next = randomSource(seed);
  const u64 = () => (BigInt(next()) << 32n) | BigInt(next());
  const canonical = () => BigInt.asUintN(64, BigInt.asIntN(48, u64()));
  const cpu = protectedModeState(new Uint8Array(0x2000), 0x1000, { rip: 0x100000 });
  cpu.gpr = cpu.gpr.map(u64);
  cpu.rflags = (u64() & 0x240dd5n) | 2n;
  cpu.cr2 = u64();
  cpu.cr3 = u64() & 0x7ffffff018n;
  cpu.cr8 = BigInt(next() & 15);
  cpu.xcr0 = 3n;
  cpu.dr = [u64(), u64(), u64(), u64(), 0n, 0n, 0xffff0ff0n | BigInt(next() & 15), 0x400n];
  cpu.pdptes = [1n, 0n, u64() & ~1n, 0x5001n];
  cpu.segments[4].base = canonical();
  cpu.segments[5].base = canonical();
  for (const msr of FREE_MSRS) cpu.msrs.set(msr, u64());
  for (const msr of CANONICAL_MSRS) cpu.msrs.set(msr, canonical());
  for (let n = 0; n < 16; n += 2) cpu.msrs.set(0x200 + n, BigInt(next()) & 0xfffff006n);
  for (let n = 1; n < 16; n += 2) cpu.msrs.set(0x200 + n, (u64() & 0x7ffffff800n) | 0x800n);
  for (const msr of [0x250, 0x258, 0x259, ...Array.from({ length: 8 }, (_, n) => 0x268 + n)]) {
    cpu.msrs.set(msr, 0x0605_0401_0006_0504n);
  }
  cpu.msrs.set(0x17a, BigInt(next() & 7));
  cpu.msrs.set(TSC, u64() >> 1n);
  // ST0-ST7 of 80 bits, XMM0-XMM15, pointers; control, status and tag words that exist.
  for (let n = 8; n < 24; n++) cpu.fxsave[n] = next();
  for (let n = 32; n < 160; n++) if (n % 16 < 10) cpu.fxsave[n] = next();
  for (let n = 160; n < 416; n++) cpu.fxsave[n] = next();
  new DataView(cpu.fxsave.buffer).setUint16(2, (next() & 7) << 11, true);
  cpu.fxsave[4] = next();
  new DataView(cpu.fxsave.buffer).setUint16(6, next() & 0x7ff, true);
  Object.assign(cpu, { fpuCs: next() & 0xffff, fpuDs: next() & 0xffff, pendingDebug: next() & 15 });
  Object.assign(cpu, {
    interruptShadow: (next() & 1) !== 0,
    nmiBlocked: (next() & 1) !== 0,
    halted: (next() & 1) !== 0,
  });
  return cpu;
}

test('what is loaded is saved again, to the last bit', () => {
  const { vcpu } = makeEngine('dbt', RAM_BYTES);
  const defaults = vcpu.save().msrs;
  for (let seed = 1; seed <= 200; seed++) {
    const cpu = fullState(seed);
    const file = JSON.parse(JSON.stringify(saveCpu(cpu)));
    vcpu.load(loadCpu(file));
    const saved = vcpu.save();
    const tsc = saved.msrs.get(TSC) - cpu.msrs.get(TSC);
    assert.ok(tsc >= 0n && tsc < 1_000_000_000n, `seed ${seed}: the TSC goes on from where it was, ${tsc} later`);
    saved.msrs.set(TSC, cpu.msrs.get(TSC));
    const expected = { ...cpu, xstateBv: 3n, msrs: new Map([...defaults, ...cpu.msrs]) };
    const inOrder = (map) => [...map].sort(([a], [b]) => a - b);
    assert.deepEqual(
      { ...saved, msrs: inOrder(saved.msrs) },
      { ...expected, msrs: inOrder(expected.msrs) },
      `seed ${seed}`,
    );
  }
});

test('PDPTEs that are not told come from the table that CR3 names', () => {
  const { vcpu, view } = makeEngine('dbt', RAM_BYTES);
  const cpu = fullState(3);
  delete cpu.pdptes;
  cpu.cr0 |= 1n << 31n;
  cpu.cr4 = 0x20n;
  cpu.cr3 = 0x3020n;
  for (let n = 0; n < 4; n++) view.setBigUint64(0x3020 + 8 * n, BigInt(0x5001 + n * 0x1000), true);
  vcpu.load(loadCpu(JSON.parse(JSON.stringify(saveCpu(cpu)))));
  assert.deepEqual(vcpu.save().pdptes, [0x5001n, 0x6001n, 0x7001n, 0x8001n]);
  cpu.cr3 = 0xfffff000n;
  vcpu.load(cpu);
  assert.deepEqual(vcpu.save().pdptes, [0n, 0n, 0n, 0n], 'outside of memory');
});
