import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../base/clock.js';
import { StateError } from '../base/errors.js';
import type { CpuState } from '../engine/engine.js';
import { protectedModeState } from './boot/initial-state.js';
import { createChipset } from './chipset.js';
import type { MachineOptions } from './machine.js';
import { loadCpu, type SavedCpu, saveCpu } from './saved-cpu.js';
import {
  checkFits,
  joined,
  type MachineState,
  openState,
  readFiles,
  readRam,
  readState,
  writeState,
} from './saved-state.js';
import { json, readJson, readSections, type Section, section } from './saved-state-file.js';

const MIB = 2 ** 20;
const RAM_BYTES = 9 * MIB;
const SAVED_AT = Date.UTC(2026, 1, 3);

/** xorshift32: the same run every time. */
function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

function makeRam(): Uint8Array {
  const ram = new Uint8Array(RAM_BYTES);
  const random = makeRandom(99);
  for (const page of [0, 1, 7, 8, 255, 1023, 1024, 2303]) {
    for (let n = 0; n < 4096; n += 1 + (random() % 200)) ram[page * 4096 + n] = random();
  }
  return ram;
}

function makeCpu(): CpuState {
  const cpu = protectedModeState(new Uint8Array(0x2000), 0x1000, { rip: 0x100000, rbx: 0x1234 });
  cpu.gpr[15] = 0xffff_ffff_ffff_fff0n;
  cpu.msrs.set(0x10, 123456789n);
  cpu.msrs.set(0x3b, 0xffff_ffff_ffff_fffen);
  cpu.fxsave[40] = 0xff;
  cpu.fpuCs = 0x33;
  cpu.pendingDebug = 1;
  cpu.interruptShadow = true;
  return cpu;
}

function makeState(): MachineState {
  const chipset = createChipset({
    clock: new ManualClock(),
    vcpus: 1,
    ramSizeBytes: RAM_BYTES,
    wallClockMs: SAVED_AT,
    events: { powerOff() {}, reset() {}, debugExit() {} },
    serial: [],
  });
  return {
    clockNs: 12.5e9,
    tscHz: 1e9,
    memoryBytes: RAM_BYTES,
    features: ['fpu', 'sse4_2'],
    cpu: makeCpu(),
    chipset: chipset.save(),
  };
}

const OPTIONS: MachineOptions = {
  kernel: Uint8Array.from({ length: 5 * MIB }, (_, n) => n >> 3),
  kernelName: 'vmlinuz',
  modules: [
    { data: new Uint8Array(0), args: '', name: 'empty' },
    { data: new TextEncoder().encode('initrd'), args: 'a b', name: 'initrd' },
  ],
  append: 'console=ttyS0',
  memoryBytes: RAM_BYTES,
  debugcon: 0xe9,
};

async function makeFile(): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of writeState(makeState(), makeRam(), OPTIONS, SAVED_AT)) pieces.push(piece);
  return joined(pieces);
}

const FILE = await makeFile();

/** The same file with the JSON of one section changed, checksums right. */
function withJson(tag: string, change: (value: Record<string, unknown>) => void): Uint8Array {
  const sections = readSections(FILE).map((item): Uint8Array => {
    if (item.tag !== tag) return section(item.tag, item.payload);
    const value = readJson(item) as Record<string, unknown>;
    change(value);
    return section(item.tag, json(value));
  });
  return joined([FILE.subarray(0, 12), ...sections]);
}

async function loadAll(file: Uint8Array): Promise<void> {
  const opened = openState(file);
  readState(opened);
  await readFiles(opened);
  await readRam(opened, new Uint8Array(opened.head.memoryBytes));
}

test('what is written is read again', async () => {
  const opened = openState(FILE);
  const state = readState(opened);
  assert.deepEqual(state.cpu, loadCpu(saveCpu(makeCpu())));
  assert.deepEqual([...state.cpu.msrs].slice(-2), [
    [0x10, 123456789n],
    [0x3b, 0xffff_ffff_ffff_fffen],
  ]);
  assert.equal(state.cpu.gpr[15], 0xffff_ffff_ffff_fff0n);
  assert.deepEqual(state.chipset, makeState().chipset);
  assert.deepEqual([state.clockNs, state.tscHz, state.features], [12.5e9, 1e9, ['fpu', 'sse4_2']]);
  const ram = new Uint8Array(RAM_BYTES);
  await readRam(opened, ram);
  assert.equal(Buffer.compare(ram, makeRam()), 0);
  assert.deepEqual(await readFiles(opened), { ...OPTIONS, cpus: 1, debugExit: false });
  assert.equal(opened.head.savedAtMs, SAVED_AT);
  assert.ok(FILE.length < 200_000, `zero pages are left out: ${FILE.length} bytes`);
});

test('a guest of zeroes and one of noise keep their length', async () => {
  const noise = new Uint8Array(2 * MIB);
  const random = makeRandom(5);
  for (let n = 0; n < noise.length; n++) noise[n] = random();
  for (const ram of [new Uint8Array(2 * MIB), noise]) {
    const pieces: Uint8Array[] = [];
    for await (const piece of writeState({ ...makeState(), memoryBytes: ram.length }, ram, { kernel: ram }, 0)) {
      pieces.push(piece);
    }
    const again = new Uint8Array(ram.length);
    await readRam(openState(joined(pieces)), again);
    assert.equal(Buffer.compare(again, ram), 0);
  }
});

test('other files are refused with one sentence', () => {
  const cases: [RegExp, Uint8Array][] = [
    [/not a saved state/, new Uint8Array(0)],
    [/not a saved state/, new TextEncoder().encode('#!/bin/sh\n'.repeat(10))],
    [/not a saved state/, FILE.map((byte, n) => (n === 5 ? 0x0d : byte))],
    [/version 7/, FILE.map((byte, n) => (n === 8 ? 7 : byte))],
    [/truncated/, FILE.subarray(0, 12)],
    [/truncated/, FILE.subarray(0, FILE.length - 1)],
    [/truncated/, FILE.subarray(0, FILE.length - 16)],
    [/wrong checksum/, FILE.map((byte, n) => (n === 100 ? byte ^ 1 : byte))],
    [/out of place/, joined([FILE, section('END ', new Uint8Array(4))])],
    [/unknown section/, joined([FILE.subarray(0, 12), new TextEncoder().encode('EVIL'), new Uint8Array(8)])],
    [/out of place/, joined([FILE.subarray(0, 12), section('CHIP', json({}))])],
    [/not JSON/, joined([FILE.subarray(0, 12), ...replaced('HEAD', new TextEncoder().encode('{"a":'))])],
    [/not JSON/, joined([FILE.subarray(0, 12), ...replaced('HEAD', Uint8Array.of(0xff, 0xfe))])],
  ];
  for (const [expected, file] of cases) {
    assert.throws(() => openState(file), isStateError(expected));
  }
});

function replaced(tag: string, payload: Uint8Array): Uint8Array[] {
  return readSections(FILE).map((item) => section(item.tag, item.tag === tag ? payload : item.payload));
}

function isStateError(expected: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof StateError, String(error));
    assert.equal(error.code, 'bad-state');
    assert.equal(error.exitCode, 2);
    assert.match(error.message, expected);
    assert.match(error.message, /^[^\n]{10,400}$/);
    return true;
  };
}

test('heads that promise what cannot be', async () => {
  const cases: [RegExp, (head: Record<string, unknown>) => void][] = [
    [/memoryBytes/, (head) => Object.assign(head, { memoryBytes: 2 ** 33 })],
    [/whole pages/, (head) => Object.assign(head, { memoryBytes: RAM_BYTES + 1 })],
    [/clockNs/, (head) => Object.assign(head, { clockNs: -1 })],
    [/clockNs/, (head) => Object.assign(head, { clockNs: null })],
    [/version 2/, (head) => Object.assign(head, { version: 2 })],
    [/expected/, (head) => Object.assign(head, { kind: 'car' })],
    [/features/, (head) => Object.assign(head, { features: ['\n'] })],
    [/role/, (head) => Object.assign(head, { files: [{ role: 'virus', name: '', args: '', sizeBytes: 1 }] })],
    [/fit into no guest/, (head) => Object.assign(head, { files: new Array(3).fill(file(2 ** 31)) })],
    [/not complete/, (head) => Object.assign(head, { files: [file(6 * MIB), ...(head.files as unknown[]).slice(1)] })],
    [/piece of no file/, (head) => Object.assign(head, { files: [file(4 * MIB)] })],
    [/nothing to start/, (head) => Object.assign(head, { files: asModules(head) })],
  ];
  function asModules(head: Record<string, unknown>): unknown[] {
    return (head.files as object[]).map((about) => ({ ...about, role: 'module' }));
  }
  function file(sizeBytes: number): unknown {
    return { role: 'kernel', name: '', args: '', sizeBytes };
  }
  for (const [expected, change] of cases) {
    await assert.rejects(loadAll(withJson('HEAD', change)), isStateError(expected));
  }
});

test('memory that does not fit', async () => {
  const first = readSections(FILE).find(({ tag }) => tag === 'RAM ') as Section;
  const change = (edit: (view: DataView) => void): Section => {
    const payload = first.payload.slice();
    edit(new DataView(payload.buffer));
    return { tag: first.tag, payload };
  };
  const cases: [RegExp, Section[]][] = [
    [/no memory/, [first, first]],
    [/no memory/, [change((view) => view.setUint32(0, 0xffffffff, true))]],
    [/no memory/, [change((view) => view.setUint32(0, RAM_BYTES / 4096 - 1, true))]],
    [/no memory/, [change((view) => view.setUint32(4, 0xffffffff, true))]],
    [/no memory/, [change((view) => view.setUint32(4, 0, true))]],
    [/wrong length/, [change((view) => view.setUint8(8, 0xff))]],
    [/wrong length/, [change((view) => view.setUint8(8, 0x01))]],
    [/cannot be unpacked|wrong length/, [change((view) => view.setUint32(8 + 128, 0xffffffff, true))]],
    [/too short/, [{ tag: 'RAM ', payload: first.payload.subarray(0, 20) }]],
    [/too short/, [{ tag: 'RAM ', payload: first.payload.subarray(0, 3) }]],
  ];
  for (const [expected, sections] of cases) {
    const { head } = openState(FILE);
    await assert.rejects(readRam({ head, sections }, new Uint8Array(RAM_BYTES)), isStateError(expected));
  }
});

test('a processor that cannot be is refused', () => {
  const good = JSON.stringify(saveCpu(makeCpu()));
  const cases: [RegExp, (cpu: Record<string, unknown>) => void][] = [
    [/gpr/, (cpu) => Object.assign(cpu, { gpr: [] })],
    [/gpr/, (cpu) => Object.assign(cpu, { gpr: new Array(16).fill('10000000000000000') })],
    [/rip/, (cpu) => Object.assign(cpu, { rip: 7 })],
    [/RIP/, (cpu) => Object.assign(cpu, { rip: '100000000' })],
    [/CR0/, (cpu) => Object.assign(cpu, { cr0: '80000010' })],
    [/CR0/, (cpu) => Object.assign(cpu, { cr0: '20000011' })],
    [/CR0/, (cpu) => Object.assign(cpu, { cr0: '100000011' })],
    [/CR4/, (cpu) => Object.assign(cpu, { cr4: '20000' })],
    [/CR8/, (cpu) => Object.assign(cpu, { cr8: '10' })],
    [/EFER/, (cpu) => Object.assign(cpu, { efer: '1000' })],
    [/XCR0/, (cpu) => Object.assign(cpu, { xcr0: '7' })],
    [/XCR0/, (cpu) => Object.assign(cpu, { xcr0: '2' })],
    [/RFLAGS/, (cpu) => Object.assign(cpu, { rflags: '0' })],
    [/privilege/, (cpu) => Object.assign(cpu, { rflags: '20002' })],
    [/privilege/, (cpu) => Object.assign(cpu, { cr0: '10', segments: segmentsWith({ attributes: 0xf3 }) })],
    [/base address/, (cpu) => Object.assign(cpu, { segments: segmentsWith({ base: '800000000000' }) })],
    [/attributes/, (cpu) => Object.assign(cpu, { segments: segmentsWith({ attributes: 0x20000 }) })],
    [/selector/, (cpu) => Object.assign(cpu, { segments: segmentsWith({ selector: -1 }) })],
    [/limit/, (cpu) => Object.assign(cpu, { gdtr: { base: '0', limit: 65536 } })],
    [/MSR 0x277/, (cpu) => Object.assign(cpu, { msrs: [{ msr: 0x277, value: '2' }] })],
    [/MSR 0x1b/, (cpu) => Object.assign(cpu, { msrs: [{ msr: 0x1b, value: '0' }] })],
    [/MSR 0xc0000082/, (cpu) => Object.assign(cpu, { msrs: [{ msr: 0xc0000082, value: '8000000000000000' }] })],
    [/MXCSR/, (cpu) => Object.assign(cpu, { fxsave: 'ff'.repeat(512) })],
    [/fxsave/, (cpu) => Object.assign(cpu, { fxsave: '00' })],
    [/halted/, (cpu) => Object.assign(cpu, { halted: 1 })],
    [/pendingDebug/, (cpu) => Object.assign(cpu, { pendingDebug: 0x4000 })],
  ];
  function segmentsWith(change: object): unknown[] {
    const { segments } = JSON.parse(good) as { segments: object[] };
    return segments.map((segment, n) => (n === 2 ? { ...segment, ...change } : segment));
  }
  for (const [expected, change] of cases) {
    const cpu = JSON.parse(good) as Record<string, unknown>;
    change(cpu);
    assert.throws(() => loadCpu(cpu as unknown as SavedCpu), isStateError(expected), expected.source);
  }
  for (const key of Object.keys(JSON.parse(good) as object)) {
    const cpu = JSON.parse(good) as Record<string, unknown>;
    delete cpu[key];
    assert.throws(() => loadCpu(cpu as unknown as SavedCpu), StateError, key);
  }
});

test('another machine than the one asked for is refused with what differs', () => {
  const { head } = openState(FILE);
  checkFits(head, {});
  checkFits(head, { memoryBytes: RAM_BYTES, cpus: 1, debugcon: 0xe9, debugExit: false });
  assert.throws(() => checkFits(head, { memoryBytes: MIB }), isStateError(/has 9 MiB of memory, not 1 MiB/));
  assert.throws(() => checkFits(head, { cpus: 2 }), isStateError(/1 processor, not 2/));
  assert.throws(() => checkFits(head, { debugcon: 0x402 }), isStateError(/0xe9, not .*0x402/));
  assert.throws(() => checkFits(head, { debugExit: true }), isStateError(/debug-exit/));
});
