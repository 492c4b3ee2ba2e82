// A vCPU of the translating engine in 64-bit mode with identity-like paging, to run one instruction at a time.
import { DirectCompiler } from '../../dist/engine/dbt/direct-compiler.js';
import { DbtVcpu } from '../../dist/engine/dbt/vcpu.js';
import * as S from '../../dist/x86/state.js';
import { loadRuntime } from '../float/native.mjs';
import { MEMORY_AT, MEMORY_SIZE } from './state.mjs';

const RAM_BYTES = 64 * 1024 * 1024;
const PML4 = 0x1000;
const PDPT = 0x2000;
const PD = 0x3000;
const IDT = 0x4000;
const STUBS = 0x5000;
const GDT = 0x6000;
const STACK_TOP = 0x9000;
const CODE = 0x100000;
const CODE_END = 0x1f00000;
const HLT = 0xf4;
/** Where the data page of the native judge is in guest-physical memory. */
const DATA_GPA = 0x2010000;
const PT = 0xb000;

export class OneInstruction {
  constructor(hotThreshold) {
    const { memory, exports } = loadRuntime();
    const pages = Math.ceil((S.RAM + RAM_BYTES) / 65536);
    memory.grow(Math.max(0, pages - memory.buffer.byteLength / 65536));
    this.memory = memory;
    this.view = new DataView(memory.buffer);
    this.bytes = new Uint8Array(memory.buffer);
    this.view.setUint32(S.CPU_BASE + S.RAM_SIZE, RAM_BYTES, true);
    this.view.setUint32(S.CPU_BASE + S.PHYSICAL_BITS, 39, true);
    this.runtime = exports;
    // The translator waits a while for other hot blocks: `compileHot` ends the wait.
    this.nanoseconds = 0;
    this.vcpu = new DbtVcpu(
      memory,
      exports,
      { hotThreshold },
      () => new DirectCompiler(memory),
      () => this.nanoseconds,
    );
    this.setUp();
    this.nextCode = CODE;
    this.codes = new Map();
  }

  physical(gpa) {
    return S.RAM + gpa;
  }

  setUp() {
    const put64 = (gpa, v) => this.view.setBigUint64(this.physical(gpa), v, true);
    put64(PML4, BigInt(PDPT | 3));
    put64(PDPT, BigInt(PD | 3));
    for (let n = 0; n < 32; n++) put64(PD + 8 * n, BigInt((n << 21) | 0x83));
    // The data page alone, as in the native judge: around it nothing is mapped.
    put64(PD + 8 * (MEMORY_AT >> 21), BigInt(PT | 3));
    put64(PT + 8 * ((MEMORY_AT >> 12) & 511), BigInt(DATA_GPA | 3));
    for (let n = 0; n < 32; n++) {
      const stub = STUBS + 16 * n;
      this.bytes[this.physical(stub)] = HLT;
      put64(IDT + 16 * n, BigInt(stub) | (8n << 16n) | (0x8e00n << 32n));
      put64(IDT + 16 * n + 8, 0n);
    }
    put64(GDT + 8, 0x00af9b000000ffffn);
    put64(GDT + 16, 0x00cf93000000ffffn);
    put64(GDT + 24, 0x00cf9b000000ffffn);
    const segment = (selector, attributes) => ({ base: 0n, limit: 0xffffffff, attributes, selector });
    const data = segment(16, 0xc093);
    this.vcpu.load({
      gpr: Array(16).fill(0n),
      rip: BigInt(CODE),
      rflags: 2n,
      segments: [data, segment(8, 0xa09b), data, data, data, data, segment(0, 0x10000), segment(0, 0x8b)],
      gdtr: { base: BigInt(GDT), limit: 31 },
      idtr: { base: BigInt(IDT), limit: 511 },
      cr0: 0x80010033n,
      cr2: 0n,
      cr3: BigInt(PML4),
      cr4: 0x620n,
      cr8: 0n,
      efer: 0x500n,
      xcr0: 3n,
      dr: [0n, 0n, 0n, 0n, 0n, 0n, 0xffff0ff0n, 0x400n],
      msrs: new Map(),
      fxsave: new Uint8Array(512),
      halted: false,
      interruptShadow: false,
      nmiBlocked: false,
    });
  }

  /** Address of the instruction in guest memory, each form in a place of its own. */
  place(code) {
    const key = code.join();
    let at = this.codes.get(key);
    if (at === undefined) {
      if (this.nextCode >= CODE_END) throw new Error('no room for more code');
      at = this.nextCode;
      this.nextCode += 32;
      this.bytes.fill(0x90, this.physical(at), this.physical(at) + 32);
      this.bytes.set(code, this.physical(at));
      this.bytes[this.physical(at) + code.length] = HLT;
      this.codes.set(key, at);
    }
    return at;
  }

  /** Runs code in the present state with CR0 and CR4 as given; the vector it raised, or -1. */
  vectorOf(code, cr0, cr4, mxcsr = 0x1f80) {
    const cpu = S.CPU_BASE;
    this.setCodeSegment(64);
    const rip = this.place(code);
    this.view.setBigUint64(cpu + S.GPR + 8 * 4, BigInt(STACK_TOP), true);
    this.view.setBigUint64(cpu + S.GPR + 8 * 6, BigInt(MEMORY_AT), true);
    this.view.setBigUint64(cpu + S.RIP, BigInt(rip), true);
    this.view.setBigUint64(cpu + S.CR0, cr0, true);
    this.view.setBigUint64(cpu + S.CR4, cr4, true);
    this.view.setUint32(cpu + S.MXCSR, mxcsr, true);
    this.runtime.updateKey();
    this.untilHalt(code);
    return this.vector();
  }

  /** Regions compiled so far. */
  get regions() {
    return this.vcpu.translator.statistics().regions;
  }

  /** What has become hot is compiled when the vCPU runs next. */
  compileHot() {
    // The guest does not sleep meanwhile: what gets hot then is not translated.
    this.vcpu.duty.wake(this.nanoseconds);
    this.nanoseconds += 1e9;
  }

  setCodeSegment(bits) {
    const segment = S.CPU_BASE + S.SEGMENT + S.SEG_CS * S.SEGMENT_STRIDE;
    this.view.setUint32(segment + S.SEGMENT_ATTRIBUTES, bits === 32 ? 0xc09b : 0xa09b, true);
    this.view.setUint16(segment + S.SEGMENT_SELECTOR, bits === 32 ? 24 : 8, true);
  }

  untilHalt(code) {
    this.view.setUint32(S.CPU_BASE + S.HALTED, 0, true);
    let exit;
    for (let n = 0; n < 20; n++) {
      exit = this.vcpu.run({ answer: 0n, vector: undefined, requestInterruptWindow: false, sliceNs: 1e6 });
      if (exit.kind !== 'preempted') break;
    }
    if (exit.kind !== 'hlt') throw new Error(`exit ${exit.kind} of ${code.map((b) => b.toString(16))}`);
  }

  /** Which exception handler the processor halted in, or -1. */
  vector() {
    const stop = Number(this.view.getBigUint64(S.CPU_BASE + S.RIP, true)) - 1;
    return stop >= STUBS && stop < STUBS + 512 ? (stop - STUBS) >> 4 : -1;
  }

  /** Runs the case at `at` of `cases`; writes the outcome in the native judge's layout. */
  run(cases, at, results, to) {
    const state = this.view;
    const cpu = S.CPU_BASE;
    const length = cases.getUint32(at + 16, true);
    const bits = cases.getUint32(at + 20, true);
    const code = Array.from({ length }, (_, n) => cases.getUint8(at + n));
    const rip = this.place(code);
    for (let n = 0; n < 16; n++)
      state.setBigUint64(cpu + S.GPR + 8 * n, cases.getBigUint64(at + 24 + 8 * n, true), true);
    state.setBigUint64(cpu + S.GPR + 32, BigInt(STACK_TOP), true);
    state.setBigUint64(cpu + S.RIP, BigInt(rip), true);
    this.setCodeSegment(bits);
    this.runtime.setFlags(Number(cases.getBigUint64(at + 152, true)) & 0x8d5);
    state.setBigUint64(cpu + S.RFLAGS, 2n, true);
    const fx = new Uint8Array(cases.buffer, cases.byteOffset + at + 160, 512);
    const image = this.physical(0xa000);
    this.bytes.set(fx, image);
    this.runtime.fxrstor_image(image, 1);
    this.runtime.updateKey();
    const data = this.physical(DATA_GPA + (MEMORY_AT & 0xfff));
    this.bytes.set(new Uint8Array(cases.buffer, cases.byteOffset + at + 672, MEMORY_SIZE), data);
    this.untilHalt(code);
    const vector = this.vector();
    const stop = Number(state.getBigUint64(cpu + S.RIP, true)) - 1;
    if (vector < 0 && stop !== rip + length)
      throw new Error(`stopped at ${stop.toString(16)}, not after ${rip.toString(16)}`);
    for (let n = 0; n < 16; n++) results.setBigUint64(to + 8 * n, state.getBigUint64(cpu + S.GPR + 8 * n, true), true);
    results.setBigUint64(to + 128, BigInt(this.runtime.computeFlags()), true);
    results.setBigUint64(to + 136, BigInt(vector + 1), true);
    this.bytes.fill(0, image, image + 512);
    this.runtime.fxsave_image(image, 1);
    const out = new Uint8Array(results.buffer, results.byteOffset + to + 144, 512);
    out.set(this.bytes.subarray(image, image + 512));
    new Uint8Array(results.buffer, results.byteOffset + to + 656, MEMORY_SIZE).set(
      this.bytes.subarray(data, data + MEMORY_SIZE),
    );
  }
}
