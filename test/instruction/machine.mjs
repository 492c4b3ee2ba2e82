// Our processor in the world of layout.mjs: the translating engine in user mode under 4-level paging, with the descriptors
// that a process of the host has. Every exception handler is a HLT on a stack of its own, whose frame tells what happened.
import { readFileSync } from 'node:fs';
import { createVmMemory, DbtEngine } from '../../dist/engine/dbt/engine.js';
import * as S from '../../dist/x86/state.js';
import {
  CODE,
  CODE_BYTES,
  CODE_SIZE,
  DATA,
  DATA_SIZE,
  descriptorOf,
  FX,
  GDT,
  HIGH,
  LDT,
  LOW,
  READ_ONLY,
  RECORD,
  USER_CS64,
  WINDOW_SIZE,
} from './layout.mjs';

const RAM_BYTES = 16 << 20;
const [PML4, PDPT, PD, CODE_PT, DATA_PT] = [0x1000, 0x2000, 0x3000, 0x4000, 0x5000];
export const STUBS = 0x9000;
const [GDT_AT, IDT, TSS, LDT_AT, IMAGE] = [0x6000, 0x7000, 0x8000, 0xb000, 0xc000];
export const FRAME_TOP = 0xb000;
/** Where our kernel's first 2 MiB are in linear memory: user code must not find them. */
const KERNEL = 0xffff_8000_0000_0000n;
const KERNEL_PDPT = 0xd000;
const KERNEL_PD = 0xe000;
export const CODE_GPA = 0x200000;
export const DATA_GPA = 0x300000;
const HLT = 0xf4;
const INT3 = 0xcc;
const GDT_LIMIT = 0x7f;
const TSS_SELECTOR = 0x40;
export const TABLES = { CODE_PT, DATA_PT, GDT_AT, IDT, TSS, TSS_SELECTOR };
const NX = 1n << 63n;
export const WITH_ERROR = new Set([8, 10, 11, 12, 13, 14, 17]);
/** Gates that user code may call: INT3 and INTO, as the host's. */
const USER_GATES = new Set([3, 4]);
const FAR_FUTURE = 1e15;
/** Of the 4096 that an interpreter can have. */
const MANY_FORMS = 1500;

const runtimeFile = process.env.TRAPEZE_RUNTIME ?? new URL('../../dist/runtime.wasm', import.meta.url);

export class UserMachine {
  /** `hotThreshold` 0: only the interpreter; 1: everything is translated when it is met again. */
  constructor(hotThreshold = 0) {
    const memory = createVmMemory(RAM_BYTES);
    const module = new WebAssembly.Module(readFileSync(runtimeFile));
    const host = { now: () => 0, tsc: () => 0, random: () => 7 };
    this.vcpu = new DbtEngine(memory, RAM_BYTES, module, { hotThreshold }, host).createVcpu(0);
    this.runtime = this.vcpu.runtime;
    this.view = new DataView(memory.buffer);
    this.bytes = new Uint8Array(memory.buffer, S.RAM, RAM_BYTES);
    this.ram = new DataView(memory.buffer, S.RAM, RAM_BYTES);
    this.dataWords = new Uint32Array(memory.buffer, S.RAM + DATA_GPA, DATA_SIZE / 4);
    this.tables();
    this.bytes.fill(this.filler, CODE_GPA, CODE_GPA + CODE_SIZE + 4096);
    this.load();
  }

  tables() {
    const put = (at, v) => this.ram.setBigUint64(at, BigInt(v), true);
    put(PML4, PDPT | 7);
    put(PDPT, PD | 7);
    put(PML4 + 8 * 256, KERNEL_PDPT | 3);
    put(KERNEL_PDPT, KERNEL_PD | 3);
    put(KERNEL_PD, 0x83);
    put(PD + 8 * (CODE >> 21), CODE_PT | 7);
    put(PD + 8 * (DATA >> 21), DATA_PT | 7);
    for (let n = 0; n < CODE_SIZE >> 12; n++) put(CODE_PT + 8 * n, (CODE_GPA + n * 4096) | 5);
    for (let n = 0; n < DATA_SIZE >> 12; n++) put(DATA_PT + 8 * n, BigInt((DATA_GPA + n * 4096) | 7) | NX);
    put(DATA_PT + 8 * ((READ_ONLY - DATA) >> 12), BigInt((DATA_GPA + READ_ONLY - DATA) | 5) | NX);
    this.fillReadOnly();
    put(GDT_AT + 8, 0x00af9b000000ffffn);
    put(GDT_AT + 16, 0x00cf93000000ffffn);
    for (const { selector, raw } of GDT) put(GDT_AT + (selector & ~7), raw);
    put(GDT_AT + TSS_SELECTOR, 0x00008b0000000067n | (BigInt(TSS) << 16n));
    put(GDT_AT + TSS_SELECTOR + 8, KERNEL >> 32n);
    for (const { index, raw } of LDT) put(LDT_AT + 8 * index, raw);
    this.stubs((n, stub, isForUsers) => {
      // Present, interrupt gate, interrupt stack 1.
      put(IDT + 16 * n, BigInt(stub) | (8n << 16n) | (isForUsers ? 0xee01n << 32n : 0x8e01n << 32n));
      put(IDT + 16 * n + 8, KERNEL >> 32n);
    });
    put(TSS + 36, KERNEL + BigInt(FRAME_TOP));
    // No I/O permission map.
    this.ram.setUint16(TSS + 0x66, 0x68, true);
  }

  fillReadOnly() {
    for (let n = 0; n < 4096; n++) this.bytes[DATA_GPA + READ_ONLY - DATA + n] = n * 37;
  }

  /** A HLT for each vector; `gate` enters it into the table. */
  stubs(gate) {
    for (let n = 0; n < 32; n++) {
      const stub = STUBS + 16 * n;
      this.bytes[stub] = HLT;
      gate(n, stub, USER_GATES.has(n));
    }
  }

  /** The vector whose handler halted. */
  vectorAt(stopped) {
    return (stopped - STUBS) >> 4;
  }

  /** What ends the instruction: its exception reports the state. */
  get filler() {
    return INT3;
  }

  /** Linear address of our kernel's memory. */
  get kernel() {
    return KERNEL;
  }

  load() {
    this.vcpu.load(this.state());
  }

  state() {
    const none = { base: 0n, limit: 0, attributes: 0x10000, selector: 0 };
    const data = descriptorOf(0x2b);
    return {
      gpr: Array(16).fill(0n),
      rip: BigInt(CODE),
      rflags: 2n,
      segments: [
        data,
        descriptorOf(USER_CS64),
        data,
        data,
        none,
        none,
        { base: KERNEL + BigInt(LDT_AT), limit: LDT.length * 8 - 1, attributes: 0x82, selector: 0x48 },
        { base: KERNEL + BigInt(TSS), limit: 0x67, attributes: 0x8b, selector: TSS_SELECTOR },
      ],
      gdtr: { base: KERNEL + BigInt(GDT_AT), limit: GDT_LIMIT },
      idtr: { base: KERNEL + BigInt(IDT), limit: 0x1ff },
      // PG, AM, WP, NE, ET, MP, PE
      cr0: 0x80050033n,
      cr2: 0n,
      cr3: BigInt(PML4),
      // PAE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE
      cr4: 0x50620n,
      cr8: 0n,
      efer: 0xd01n,
      xcr0: 3n,
      dr: [0n, 0n, 0n, 0n, 0n, 0n, 0xffff0ff0n, 0x400n],
      msrs: new Map(),
      fxsave: new Uint8Array(512),
      halted: false,
      interruptShadow: false,
      nmiBlocked: false,
    };
  }

  setSegment(index, { base, limit, attributes, selector }) {
    const at = S.CPU_BASE + S.SEGMENT + index * S.SEGMENT_STRIDE;
    this.view.setBigUint64(at + S.SEGMENT_BASE, base, true);
    this.view.setUint32(at + S.SEGMENT_LIMIT, limit, true);
    this.view.setUint32(at + S.SEGMENT_ATTRIBUTES, attributes, true);
    this.view.setUint32(at + S.SEGMENT_SELECTOR, selector, true);
  }

  /** Runs the request at `at` of `input` and writes its answer to the same place of `output`. */
  run(input, output, at, length) {
    const place = input.getUint32(at + RECORD.PLACE, true) - CODE + CODE_GPA;
    const request = new Uint8Array(input.buffer, input.byteOffset + at, RECORD.SIZE);
    this.vcpu.cache.invalidate(place, CODE_BYTES);
    const code = request.slice(RECORD.CODE, RECORD.CODE + CODE_BYTES);
    if (this.filler !== INT3) code.fill(this.filler, length);
    this.bytes.set(code, place);
    this.set(input, at, request);
    const end = this.untilHalt();
    this.answer(output, at, end);
    this.vcpu.cache.invalidate(place, CODE_BYTES);
    this.bytes.fill(this.filler, place, place + CODE_BYTES);
  }

  /** Makes the handlers of many instructions at once: a module for each of them would take a hundred times as long. */
  prepare(input, cases) {
    const { interpreter, cache } = this.vcpu;
    if (interpreter.formCount > MANY_FORMS) {
      cache.flush();
      interpreter.forget();
    }
    for (const [n, { insn }] of cases.entries()) {
      this.setMode(input, n * RECORD.SIZE);
      interpreter.handler(insn, this.view.getInt32(S.CPU_BASE + S.BLOCK_KEY, true));
    }
    interpreter.flush();
  }

  /** RFLAGS, segments, MXCSR: what decides how instructions are decoded and executed. */
  setMode(input, at) {
    const { view } = this;
    const cpu = S.CPU_BASE;
    const flags = input.getUint32(at + RECORD.FLAGS, true);
    this.runtime.setFlags(flags & 0x8d5);
    view.setBigUint64(cpu + S.RFLAGS, BigInt((flags & ~0x8d5) | 2), true);
    for (let n = 0; n < 6; n++) this.setSegment(n, descriptorOf(input.getUint16(at + RECORD.SELECTOR + 2 * n, true)));
    view.setUint32(cpu + S.MXCSR, input.getUint32(at + RECORD.FX + FX.MXCSR, true), true);
    view.setInt32(cpu + S.CPL, 3, true);
    this.runtime.updateKey();
  }

  set(input, at, request) {
    const { view } = this;
    this.setMode(input, at);
    const cpu = S.CPU_BASE;
    this.dataWords.fill(0);
    this.bytes.set(request.subarray(RECORD.LOW, RECORD.LOW + WINDOW_SIZE), DATA_GPA + LOW - DATA);
    this.bytes.set(request.subarray(RECORD.HIGH, RECORD.HIGH + WINDOW_SIZE), DATA_GPA + HIGH - DATA);
    for (let n = 0; n < 16; n++) view.setBigUint64(cpu + S.GPR + 8 * n, input.getBigUint64(at + 8 * n, true), true);
    view.setBigUint64(cpu + S.RIP, input.getBigUint64(at + RECORD.RIP, true), true);
    if (input.getUint16(at + RECORD.SELECTOR + 2, true) === USER_CS64) {
      for (const [n, from] of [
        [S.SEG_FS, RECORD.FS_BASE],
        [S.SEG_GS, RECORD.GS_BASE],
      ]) {
        const base = input.getBigUint64(at + from, true);
        view.setBigUint64(cpu + S.SEGMENT + n * S.SEGMENT_STRIDE + S.SEGMENT_BASE, base, true);
      }
    }
    this.bytes.set(request.subarray(RECORD.FX, RECORD.FX + 512), IMAGE);
    this.runtime.fxrstor_image(S.RAM + IMAGE, 1);
    view.setBigUint64(cpu + S.CR2, 0n, true);
    view.setInt32(cpu + S.HALTED, 0, true);
    view.setInt32(cpu + S.INTERRUPT_SHADOW, 0, true);
    view.setBigUint64(cpu + S.DR + 48, 0xffff0ff0n, true);
    this.runtime.updateKey();
  }

  /** Runs to the first exception; its vector. */
  untilHalt() {
    const entry = { answer: 0n, vector: undefined, requestInterruptWindow: false, sliceNs: 1e6 };
    this.vcpu.translator.advance(FAR_FUTURE);
    let exit = this.vcpu.run(entry);
    for (let n = 0; n < 100 && exit.kind === 'preempted'; n++) exit = this.vcpu.run(entry);
    if (exit.kind !== 'hlt') {
      this.load();
      throw new Error(`exit ${exit.kind}`);
    }
    const stopped = Number(this.view.getBigUint64(S.CPU_BASE + S.RIP, true) - this.kernel) - 1;
    return this.vectorAt(stopped);
  }

  answer(output, at, trap) {
    const { view } = this;
    const cpu = S.CPU_BASE;
    for (let n = 0; n < 16; n++) output.setBigUint64(at + 8 * n, view.getBigUint64(cpu + S.GPR + 8 * n, true), true);
    this.answerFrame(output, at, trap);
    this.answerSegments(output, at);
    output.setUint32(at + RECORD.TRAP, trap, true);
    output.setBigUint64(at + RECORD.CR2, trap === 14 ? view.getBigUint64(cpu + S.CR2, true) : 0n, true);
    this.bytes.fill(0, IMAGE, IMAGE + 512);
    this.runtime.fxsave_image(S.RAM + IMAGE, 1);
    const bytes = new Uint8Array(output.buffer, output.byteOffset + at, RECORD.SIZE);
    bytes.set(this.bytes.subarray(IMAGE, IMAGE + 512), RECORD.FX);
    bytes.set(this.bytes.subarray(DATA_GPA + LOW - DATA, DATA_GPA + LOW - DATA + WINDOW_SIZE), RECORD.LOW);
    bytes.set(this.bytes.subarray(DATA_GPA + HIGH - DATA, DATA_GPA + HIGH - DATA + WINDOW_SIZE), RECORD.HIGH);
    let sum = 0;
    for (const word of this.dataWords) sum = (Math.imul(sum, 31) + word) | 0;
    output.setUint32(at + RECORD.SUM, sum >>> 0, true);
  }

  /** RIP CS RFLAGS RSP SS, and an error code below. */
  answerFrame(output, at, trap) {
    const { ram } = this;
    const frame = FRAME_TOP - 40;
    output.setBigUint64(at + 32, ram.getBigUint64(frame + 24, true), true);
    output.setBigUint64(at + RECORD.RIP, ram.getBigUint64(frame, true), true);
    output.setBigUint64(at + RECORD.FLAGS, ram.getBigUint64(frame + 16, true), true);
    output.setUint16(at + RECORD.SELECTOR + 2, ram.getUint16(frame + 8, true), true);
    output.setUint16(at + RECORD.SELECTOR + 4, ram.getUint16(frame + 32, true), true);
    output.setUint32(at + RECORD.ERROR, WITH_ERROR.has(trap) ? ram.getUint32(frame - 8, true) : 0, true);
  }

  answerSegments(output, at) {
    const { view } = this;
    for (const n of [S.SEG_ES, S.SEG_DS, S.SEG_FS, S.SEG_GS]) {
      const segment = S.CPU_BASE + S.SEGMENT + n * S.SEGMENT_STRIDE;
      output.setUint16(at + RECORD.SELECTOR + 2 * n, view.getUint16(segment + S.SEGMENT_SELECTOR, true), true);
      if (n < S.SEG_FS) continue;
      const to = n === S.SEG_FS ? RECORD.FS_BASE : RECORD.GS_BASE;
      output.setBigUint64(at + to, view.getBigUint64(segment + S.SEGMENT_BASE, true), true);
    }
  }
}
