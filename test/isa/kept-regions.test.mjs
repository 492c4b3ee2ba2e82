// Regions that one machine has made are entered in another, where the same code lies at other addresses, as if they had been made
// there; and what an archive gives that is no region of ours does no harm.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isWellFormed } from '../../dist/engine/dbt/archived-region-check.js';
import { KeptRegions } from './kept-regions.mjs';
import { call, jcc, le, mov, PageMachine } from './page-machine.mjs';

const THRESHOLD = 24;
const TURNS = 400;
const [NE, BP] = [5, 3];
const [INC_RBX, DEC_ECX, RET, INT3] = [[0x48, 0xff, 0xc3], [0xff, 0xc9], 0xc3, 0xcc];
/** Where a kernel begins that is not loaded at random, and how far it may be moved. */
const KERNEL = 0xffffffff81000000n;
const SLIDES = [0n, 0x2a00000n, 0x1e000000n];
/** Four bytes of a label's address, as sign-extended immediates and displacements have it. */
const low = (opcode, to, behind = []) => ({
  size: opcode.length + 4 + behind.length,
  emit: (_, address) => [...opcode, ...le(address(to), 4), ...behind],
});
/** An operand relative to RIP that means a small address. */
const fromBase = (opcode, offset) => ({
  size: opcode.length + 4,
  emit: (at) => [...opcode, ...le(offset - at - BigInt(opcode.length + 4), 4)],
});

/** A supervisor's code that says its own addresses in all the ways that compilers of kernels use. */
function kernel(slide) {
  const [home, next, table] = [KERNEL + slide, KERNEL + slide + 0x1000n, KERNEL + slide + 0x5000n];
  return [
    [
      home,
      [
        'main',
        mov(1, TURNS),
        [0x31, 0xdb],
        'loop',
        // MOV RAX, imm32; MOV RDX, [disp32 + RCX & 7 ...]; CMP and ADD with a displacement.
        low([0x48, 0xc7, 0xc0], 'table'),
        [0x48, 0x03, 0x18],
        [0x48, 0x89, 0xca, 0x83, 0xe2, 0x01],
        low([0x48, 0x8b, 0x04, 0xd5], 'table'),
        [0x48, 0x01, 0xc3],
        low([0x48, 0x03, 0x1c, 0x25], 'table+8'),
        low([0x48, 0x81, 0xfb], 'table'),
        [0x0f, 0x97, 0xc0, 0x0f, 0xb6, 0xc0, 0x48, 0x01, 0xc3],
        // PUSH imm32 and POP; INC of what lies at a small address, seen from here.
        low([0x68], 'far'),
        0x58,
        [0x48, 0x29, 0xc3],
        fromBase([0xff, 0x05], 0x9f00n),
        call('far'),
        DEC_ECX,
        jcc(NE, 'loop'),
        INT3,
      ],
    ],
    [next, ['far', INC_RBX, low([0x48, 0x8b, 0x04, 0x25], 'table'), [0x48, 0x01, 0xc3], RET]],
    [table, ['table', le(0x1122334455667788n, 8), le(0x99n, 8)]],
  ];
}

/** The end of the kernel at `slide`, and what translation says of it. */
function runKernel(slide, hotThreshold, kept) {
  const machine = new PageMachine(hotThreshold, false, kept);
  machine.load(kernel(slide));
  machine.ram.setUint32(0x9f00, 0, true);
  machine.start({ rip: 'main' });
  const { gpr, vector } = machine.run();
  return {
    vector,
    rbx: BigInt.asUintN(64, gpr[3]),
    counted: machine.ram.getUint32(0x9f00, true),
    statistics: machine.regions,
  };
}

test('code with its own addresses in it runs where it is loaded, by regions made elsewhere', () => {
  const kept = new KeptRegions();
  const seen = SLIDES.map((slide) => [runKernel(slide, 0, undefined), runKernel(slide, THRESHOLD, kept)]);
  for (const [n, [expected, { statistics, ...translated }]] of seen.entries()) {
    delete expected.statistics;
    assert.deepEqual(translated, expected, `slide ${SLIDES[n].toString(16)}`);
    assert.deepEqual([translated.vector, translated.counted], [BP, TURNS]);
    assert.ok(statistics.regions > 0);
    assert.equal(statistics['regions of earlier runs'] > 0, n > 0, `slide ${SLIDES[n].toString(16)}`);
  }
  assert.equal(new Set(seen.map(([{ rbx }]) => rbx)).size, SLIDES.length, 'the addresses are seen');
});

/** Archives that answer with what `change` makes of the regions of a good one. */
function changed(kept, change) {
  return {
    known: kept.known,
    archive: {
      has: (signature) => kept.has(signature),
      *find(signature) {
        for (const region of kept.find(signature)) yield* change(region);
      },
      add() {},
      weightOf: () => 0,
      noteWeight() {},
    },
  };
}

test('a function that is no WebAssembly is not entered, and the guest runs on', () => {
  const kept = new KeptRegions();
  const { rbx } = runKernel(0n, THRESHOLD, kept);
  const bad = changed(kept, (region) => [{ ...region, code: region.code.map((byte, n) => (n > 8 ? 0xff : byte)) }]);
  const seen = runKernel(SLIDES[1], THRESHOLD, bad);
  assert.equal(seen.rbx, runKernel(SLIDES[1], 0, undefined).rbx);
  assert.notEqual(seen.rbx, rbx);
  assert.ok(seen.statistics.regions > 0);
  assert.equal(seen.statistics['regions of earlier runs'], 0);
});

test('regions of other bytes, other modes and other places are not taken', () => {
  const kept = new KeptRegions();
  runKernel(0n, THRESHOLD, kept);
  const { rbx } = runKernel(SLIDES[1], 0, undefined);
  const first = (bytes) => bytes.map((byte, n) => (n === 0 ? byte ^ 1 : byte));
  const changes = [
    (region) => [{ ...region, key: region.key ^ 0x1000 }],
    (region) => [{ ...region, parts: region.parts.map((part) => ({ ...part, bytes: first(part.bytes) })) }],
    (region) => [{ ...region, entries: region.entries.map((entry) => entry + 1) }],
    () => [],
  ];
  for (const change of changes) {
    const { statistics, ...seen } = runKernel(SLIDES[1], THRESHOLD, changed(kept, change));
    assert.equal(seen.rbx, rbx);
    assert.equal(statistics['regions of earlier runs'], 0);
  }
});

test('what is not well-formed is told, whatever of it is wrong', () => {
  const kept = new KeptRegions();
  runKernel(0n, THRESHOLD, kept);
  const regions = [...kept.regions.keys()].flatMap((signature) => [...kept.find(signature)]);
  assert.ok(regions.length > 0);
  const region = regions.find(({ parts }) => parts.length > 1) ?? regions[0];
  assert.ok(isWellFormed(region));
  for (const name of Object.keys(region)) {
    if (name === 'landings') continue;
    assert.ok(!isWellFormed({ ...region, [name]: undefined }), name);
    assert.ok(!isWellFormed({ ...region, [name]: 'text' }), name);
    assert.ok(!isWellFormed({ ...region, [name]: [null] }), name);
  }
  const [home, other] = region.parts;
  const wrong = {
    'no entries': { entries: [] },
    'a part outside of its page': { parts: [{ ...home, ranges: [[0, 5000]] }] },
    'fewer bytes than its ranges': { parts: [{ ...home, bytes: home.bytes.subarray(1) }] },
    'a page twice': { parts: [home, { ...other, delta: 0 }] },
    'a page that is none': { parts: [home, { ...other, delta: 12 }] },
    'a site behind the code': { addresses: Int32Array.from([region.code.length, 0, 0]) },
    'a symbol that is none': { addresses: Int32Array.from([0, 99_999, 0]) },
    'a slot of another size': { slots: [3] },
    'a function that is none': { calls: { exit: [1] } },
    'a table without room': { landings: [[0, 1]], slots: [8] },
    'a field outside': { fields: [[0, 4095]] },
  };
  for (const [what, change] of Object.entries(wrong)) assert.ok(!isWellFormed({ ...region, ...change }), what);
  for (const nothing of [null, undefined, 1, 'text', [], {}]) assert.ok(!isWellFormed(nothing));
});
