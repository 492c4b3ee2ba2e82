// The memory images of floating-point state: FXSAVE against the processor, FNSTENV's four formats against the manual.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildNative, loadRuntime, randomSource, runNative } from './native.mjs';

const { program, reason } = buildNative();
const { memory, exports: r } = loadRuntime();
const view = new DataView(memory.buffer);
const bytes = new Uint8Array(memory.buffer);
const CPU = 0x10000;
const SCRATCH = 0x200000;
const MXCSR = CPU + 1184;
const POINTERS = { opcode: CPU + 1158, ip: CPU + 1160, dp: CPU + 1168, cs: CPU + 1176, ds: CPU + 1178 };

function setPointers(opcode, ip, dp, cs, ds) {
  view.setUint16(POINTERS.opcode, opcode, true);
  view.setBigUint64(POINTERS.ip, ip, true);
  view.setBigUint64(POINTERS.dp, dp, true);
  view.setUint16(POINTERS.cs, cs, true);
  view.setUint16(POINTERS.ds, ds, true);
}

const hex = (at, length) => Buffer.from(bytes.subarray(at, at + length)).toString('hex');

test('FXRSTOR64 then FXSAVE64 gives what the processor gives', { skip: reason ?? false }, () => {
  const count = 5000;
  const random = randomSource(0x1234567);
  const input = Buffer.alloc(count * 512);
  for (let i = 0; i < input.length; i += 4) input.writeUInt32LE(random.next(), i);
  for (let i = 0; i < count; i++) {
    const at = i * 512;
    if (random.below(2)) input.writeUInt16LE(0x37f, at);
    input.writeUInt32LE(random.next() & 0xffff, at + 24);
  }
  const output = runNative(program, ['fx'], input);
  for (let i = 0; i < count; i++) {
    bytes.set(input.subarray(i * 512, (i + 1) * 512), SCRATCH);
    assert.equal(r.fxrstor_image(SCRATCH, 1), 1);
    bytes.fill(0, SCRATCH, SCRATCH + 512);
    assert.equal(r.fxsave_image(SCRATCH, 1), 416);
    const theirs = output.subarray(i * 512, i * 512 + 416);
    const ours = Buffer.from(bytes.subarray(SCRATCH, SCRATCH + 416));
    // Some processors keep opcode and pointers only while an exception is pending, and each has its own MXCSR_MASK.
    for (const image of [ours, theirs]) {
      image.fill(0, 6, 24);
      image.fill(0, 28, 32);
    }
    assert.equal(ours.toString('hex'), theirs.toString('hex'), `image ${i}`);
  }
});

test('FXSAVE holds pointers with selectors or of 64 bits, and 8 registers outside of 64-bit mode', () => {
  r.x87_fninit();
  setPointers(0x7abc, 0x1122334455667788n, 0x99aabbccddeeff00n, 0x1234, 0x5678);
  bytes.fill(0xee, SCRATCH, SCRATCH + 512);
  assert.equal(r.fxsave_image(SCRATCH, 0), 288);
  assert.equal(hex(SCRATCH, 24), '7f0300000000bc02887766553412000000ffeedd78560000');
  assert.equal(hex(SCRATCH + 28, 4), 'ffff0000');
  assert.equal(hex(SCRATCH + 288, 2), 'eeee');
  assert.equal(r.fxsave_image(SCRATCH, 1), 416);
  assert.equal(hex(SCRATCH + 6, 18), 'bc02887766554433221100ffeeddccbbaa99');
  assert.equal(r.fxrstor_image(SCRATCH, 1), 1);
  assert.equal(view.getBigUint64(POINTERS.ip, true), 0x1122334455667788n);
});

test('FXRSTOR refuses reserved MXCSR bits and changes nothing', () => {
  r.x87_fninit();
  view.setUint32(MXCSR, 0x1f80, true);
  r.fxsave_image(SCRATCH, 1);
  view.setUint32(SCRATCH + 24, 0x10000, true);
  view.setUint16(SCRATCH, 0x27f, true);
  assert.equal(r.fxrstor_image(SCRATCH, 1), 0);
  assert.equal(view.getUint32(MXCSR, true), 0x1f80);
  assert.equal(r.x87_fnstcw(), 0x37f);
});

test('FNSTENV writes the four formats', () => {
  const rows = [
    // wide, real, bytes
    [1, 0, '7f03ffff0008ffffffffffff887766553412bc0200ffeedd7856ffff'],
    [0, 0, '7f030008ffff8877341200ff7856'],
    [1, 1, '7f03ffff0008ffffffffffffc89a0000bc725605806600000040df0d'],
    [0, 1, '7f030008ffffc89abc7280660040'],
  ];
  for (const [wide, real, expected] of rows) {
    r.x87_fninit();
    r.x87_fincstp();
    // Real mode keeps linear addresses: selector * 16 + offset.
    setPointers(0x2bc, 0x55667788n, 0xddeeff00n, 0x1234, 0x5678);
    const size = wide ? 28 : 14;
    assert.equal(r.fnstenv_image(SCRATCH, wide, real), size);
    assert.equal(hex(SCRATCH, size), expected, `wide ${wide}, real ${real}`);
  }
});

test('FLDENV reads back what FNSTENV wrote', () => {
  for (const [wide, real] of [
    [0, 0],
    [1, 0],
    [0, 1],
    [1, 1],
  ]) {
    r.x87_fninit();
    r.x87_fldcw(0x27f);
    r.x87_fld_const(3);
    setPointers(0x123, 0x8765n, 0x4321n, real ? 0 : 0x10, real ? 0 : 0x18);
    r.fnstenv_image(SCRATCH, wide, real);
    const before = hex(CPU + 1152, 28);
    r.x87_fninit();
    r.fldenv_image(SCRATCH, wide, real);
    // Only the 16-bit protected format has no place for the opcode.
    if (!wide && !real) view.setUint16(POINTERS.opcode, 0x123, true);
    assert.equal(hex(CPU + 1152, 28), before, `wide ${wide}, real ${real}`);
  }
});

test('FNSAVE appends the registers from ST(0) on', () => {
  r.x87_fninit();
  r.x87_fld_const(3);
  r.x87_fld_const(0);
  assert.equal(r.fnsave_image(SCRATCH, 1, 0), 108);
  assert.equal(hex(SCRATCH + 28, 20), '0000000000000080ff3f35c26821a2da0fc90040');
  assert.equal(r.fnsave_image(SCRATCH + 512, 0, 0), 94);
  assert.equal(hex(SCRATCH + 512 + 14, 10), '0000000000000080ff3f');
  r.x87_fninit();
  assert.equal(r.frstor_image(SCRATCH, 1, 0), 108);
  assert.equal(r.x87_fnstsw() >> 11, 6);
  assert.equal(r.x87_tag_word(), 0x0fff);
});
