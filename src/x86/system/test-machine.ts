/**
 * For tests of the runtime: its WebAssembly with a memory, a few MiB of guest RAM, and hand-made page tables, descriptor
 * tables and task state. Layout of the guest's RAM:
 *
 *   0x1000 page tables  0x4000 GDT  0x5000 IDT  0x7000 TSS  0x10000 kernel stack (grows down)  0x20000 interrupt stack
 *   0x200000-0x3fffff pages of CPL 3; everything below belongs to CPL 0
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import * as S from '../state.js';
import { writeCpuidTable } from './cpuid-profile.js';

export const GDT = 0x4000;
export const IDT = 0x5000;
export const TSS = 0x7000;
export const KERNEL_STACK = 0x10000;
export const INTERRUPT_STACK = 0x20000;
export const USER = 0x200000;

/** Selectors of the table `long()` and `flat32()` make. */
export const KERNEL_CS = 0x10;
export const KERNEL_DS = 0x18;
export const USER_CS32 = 0x23;
export const USER_DS = 0x2b;
export const USER_CS64 = 0x33;
export const TSS_SELECTOR = 0x40;
export const KERNEL_CS32 = 0x50;

const RAM_BYTES = 0x400000;

const code = readFileSync(process.env.TRAPEZE_RUNTIME ?? new URL('../../runtime.wasm', import.meta.url));
const module = new WebAssembly.Module(code);

type Routine = (...values: (number | bigint)[]) => number;
type WideRoutine = (...values: (number | bigint)[]) => bigint;

export interface Gate {
  readonly type: number;
  readonly selector: number;
  readonly offset: bigint;
  readonly dpl: number;
  readonly ist?: number;
  readonly absent?: boolean;
}

export class TestMachine {
  readonly memory = new WebAssembly.Memory({ initial: 1024 + RAM_BYTES / 65536, maximum: 65536, shared: true });
  readonly view = new DataView(this.memory.buffer);
  /** What `env.clock` answers next. */
  ticks = 0;
  /** What a device answers at once, while DIRECT is set; negative: it declines. */
  answer = 0;
  readonly #exports: Record<string, unknown>;

  constructor() {
    const declined = (): number => 0;
    const direct = {
      portRead: () => this.answer,
      portWrite: declined,
      busRead: () => this.answer,
      busWrite: declined,
      msrWrite: declined,
    };
    const env = { memory: this.memory, clock: () => this.ticks, random: () => 0x12345678, ...direct };
    this.#exports = new WebAssembly.Instance(module, { env }).exports;
    this.put32(S.RAM_SIZE, RAM_BYTES);
    writeCpuidTable(this.view);
    this.routine('flushAll')();
    this.reset();
  }

  routine(name: string): Routine {
    const found = this.#exports[name];
    if (typeof found !== 'function') throw new Error(`the runtime has no ${name}`);
    return found as Routine;
  }

  wide(name: string): WideRoutine {
    return this.routine(name) as unknown as WideRoutine;
  }

  call(name: string, ...values: (number | bigint)[]): number {
    this.put32(S.STATUS, 0);
    this.routine('updateKey')();
    const result = this.routine(name)(...values);
    // Whatever a routine did, it left the key that the whole state gives.
    const key = this.get32(S.BLOCK_KEY);
    this.routine('updateKey')();
    assert.equal(key, this.get32(S.BLOCK_KEY), `block key after ${name}`);
    return result;
  }

  get32(offset: number): number {
    return this.view.getUint32(S.CPU_BASE + offset, true);
  }

  put32(offset: number, value: number): void {
    this.view.setUint32(S.CPU_BASE + offset, value, true);
  }

  get64(offset: number): bigint {
    return this.view.getBigUint64(S.CPU_BASE + offset, true);
  }

  put64(offset: number, value: bigint): void {
    this.view.setBigUint64(S.CPU_BASE + offset, value, true);
  }

  gpr(n: number): bigint {
    return this.get64(S.GPR + n * 8);
  }

  setGpr(n: number, value: bigint): void {
    this.put64(S.GPR + n * 8, value);
  }

  get rip(): bigint {
    return this.get64(S.RIP);
  }

  get rsp(): bigint {
    return this.gpr(4);
  }

  get rflags(): bigint {
    return BigInt.asUintN(64, this.wide('getRflags')());
  }

  get cpl(): number {
    return this.get32(S.CPL);
  }

  selector(seg: number): number {
    return this.get32(S.SEGMENT + seg * S.SEGMENT_STRIDE + S.SEGMENT_SELECTOR);
  }

  attributes(seg: number): number {
    return this.get32(S.SEGMENT + seg * S.SEGMENT_STRIDE + S.SEGMENT_ATTRIBUTES);
  }

  base(seg: number): bigint {
    return this.get64(S.SEGMENT + seg * S.SEGMENT_STRIDE + S.SEGMENT_BASE);
  }

  limit(seg: number): number {
    return this.get32(S.SEGMENT + seg * S.SEGMENT_STRIDE + S.SEGMENT_LIMIT);
  }

  setSegment(seg: number, selector: number, base: bigint, limit: number, attributes: number): void {
    const at = S.SEGMENT + seg * S.SEGMENT_STRIDE;
    this.put64(at + S.SEGMENT_BASE, base);
    this.put32(at + S.SEGMENT_LIMIT, limit);
    this.put32(at + S.SEGMENT_ATTRIBUTES, attributes);
    this.put32(at + S.SEGMENT_SELECTOR, selector);
  }

  /** The exception recorded: vector, and the error code where there is one. */
  exception(): string {
    const error = this.get32(S.EXCEPTION_HAS_ERROR) === 1 ? `(${this.get32(S.EXCEPTION_ERROR).toString(16)})` : '';
    return `${this.get32(S.EXCEPTION_VECTOR)}${error}`;
  }

  // ---- guest RAM ----
  ram64(gpa: number): bigint {
    return this.view.getBigUint64(S.RAM + gpa, true);
  }

  setRam64(gpa: number, value: bigint): void {
    this.view.setBigUint64(S.RAM + gpa, value, true);
  }

  ram32(gpa: number): number {
    return this.view.getUint32(S.RAM + gpa, true);
  }

  setRam32(gpa: number, value: number): void {
    this.view.setUint32(S.RAM + gpa, value, true);
  }

  ram16(gpa: number): number {
    return this.view.getUint16(S.RAM + gpa, true);
  }

  setRam16(gpa: number, value: number): void {
    this.view.setUint16(S.RAM + gpa, value, true);
  }

  ram8(gpa: number): number {
    return this.view.getUint8(S.RAM + gpa);
  }

  setRam8(gpa: number, value: number): void {
    this.view.setUint8(S.RAM + gpa, value);
  }

  setDescriptor(selector: number, base: number, limit: number, attributes: number): void {
    const at = GDT + (selector & 0xfff8);
    const raw = attributes & 0x8000 ? limit >>> 12 : limit;
    this.setRam32(at, ((base << 16) | (raw & 0xffff)) >>> 0);
    const high = (base & 0xff000000) | ((base >>> 16) & 0xff) | (raw & 0xf0000) | (attributes << 8);
    this.setRam32(at + 4, high >>> 0);
  }

  /** A gate of IA-32e mode. */
  setGate64(vector: number, gate: Gate): void {
    const { type, selector, offset, dpl, ist = 0, absent = false } = gate;
    const word = BigInt(ist | (type << 8) | (dpl << 13) | (absent ? 0 : 0x8000));
    const first = (offset & 0xffffn) | (BigInt(selector) << 16n) | (word << 32n) | (((offset >> 16n) & 0xffffn) << 48n);
    this.setRam64(IDT + vector * 16, first);
    this.setRam64(IDT + vector * 16 + 8, offset >> 32n);
  }

  setGate32(vector: number, gate: Gate): void {
    const { type, selector, offset, dpl, absent = false } = gate;
    const word = BigInt((type << 8) | (dpl << 13) | (absent ? 0 : 0x8000));
    const entry = (offset & 0xffffn) | (BigInt(selector) << 16n) | (word << 32n) | (((offset >> 16n) & 0xffffn) << 48n);
    this.setRam64(IDT + vector * 8, entry);
  }

  // ---- modes ----
  /** Power-up values that the routines read; real mode. */
  reset(): void {
    for (let n = 0; n < 16; n++) this.setGpr(n, 0n);
    this.put64(S.CR0, 0x10n);
    for (const offset of [S.CR2, S.CR3, S.CR4, S.CR8, S.EFER, S.TSC_OFFSET, S.TSC_ADJUST]) this.put64(offset, 0n);
    this.put64(S.XCR0, 1n);
    this.put64(S.RFLAGS, 2n);
    this.put64(S.DR + 48, 0xffff0ff0n);
    this.put64(S.DR + 56, 0x400n);
    this.put32(S.MXCSR, 0x1f80);
    this.put32(S.CPL, 0);
    for (let seg = 0; seg < 6; seg++) this.setSegment(seg, 0, 0n, 0xffff, 0x93);
    this.setSegment(S.SEG_CS, 0, 0n, 0xffff, 0x9b);
    this.setSegment(S.SEG_LDTR, 0, 0n, 0xffff, 0x82);
    this.setSegment(S.SEG_TR, 0, 0n, 0xffff, 0x8b);
    this.put64(S.IDTR_BASE, 0n);
    this.put32(S.IDTR_LIMIT, 0x3ff);
    this.setGpr(4, 0x8000n);
    this.put64(S.RIP, 0x1000n);
    this.routine('updateKey')();
  }

  #tables(): void {
    this.setDescriptor(KERNEL_CS, 0, 0xffffffff, 0xa09b);
    this.setDescriptor(KERNEL_DS, 0, 0xffffffff, 0xc093);
    this.setDescriptor(USER_CS32, 0, 0xffffffff, 0xc0fb);
    this.setDescriptor(USER_DS, 0, 0xffffffff, 0xc0f3);
    this.setDescriptor(USER_CS64, 0, 0xffffffff, 0xa0fb);
    this.setDescriptor(TSS_SELECTOR, TSS, 0xfff, 0x8b);
    this.setRam64(GDT + TSS_SELECTOR + 8, 0n);
    this.setDescriptor(KERNEL_CS32, 0, 0xffffffff, 0xc09b);
    this.put64(S.GDTR_BASE, BigInt(GDT));
    this.put32(S.GDTR_LIMIT, 0xff);
    this.put64(S.IDTR_BASE, BigInt(IDT));
    this.put32(S.IDTR_LIMIT, 0xfff);
    this.setSegment(S.SEG_TR, TSS_SELECTOR, BigInt(TSS), 0xfff, 0x8b);
    this.setSegment(S.SEG_LDTR, 0, 0n, 0, 0x10000);
  }

  /** 64-bit mode at `cpl`, identity-mapped, interrupts on. */
  long(cpl: number): this {
    this.reset();
    this.#tables();
    // Page tables: two 2 MiB pages, the second for everyone.
    this.setRam64(0x1000, 0x2007n);
    this.setRam64(0x2000, 0x3007n);
    this.setRam64(0x3000, 0x0000e3n);
    this.setRam64(0x3008, 0x2000e7n);
    this.put64(S.CR0, 0x80050033n);
    this.put64(S.CR3, 0x1000n);
    this.put64(S.CR4, 0x6b0n);
    this.put64(S.EFER, 0xd01n);
    this.setRam64(TSS + 4, BigInt(KERNEL_STACK));
    this.setRam64(TSS + 36, BigInt(INTERRUPT_STACK));
    this.#level(cpl, cpl === 0 ? [KERNEL_CS, 0xa09b] : [USER_CS64, 0xa0fb]);
    return this;
  }

  /** Compatibility mode of CPL 3. */
  compatibility(): this {
    this.long(3);
    this.setSegment(S.SEG_CS, USER_CS32, 0n, 0xffffffff, 0xc0fb);
    this.routine('updateKey')();
    return this;
  }

  /** 32-bit protected mode without paging, flat segments. */
  flat32(cpl: number): this {
    this.reset();
    this.#tables();
    this.put64(S.CR0, 0x31n);
    this.setRam32(TSS + 4, KERNEL_STACK);
    this.setRam32(TSS + 8, KERNEL_DS);
    this.#level(cpl, cpl === 0 ? [KERNEL_CS32, 0xc09b] : [USER_CS32, 0xc0fb]);
    return this;
  }

  #level(cpl: number, [cs, attributes]: readonly [number, number]): void {
    this.put32(S.CPL, cpl);
    this.setSegment(S.SEG_CS, cs, 0n, 0xffffffff, attributes);
    const data = cpl === 0 ? KERNEL_DS : USER_DS;
    for (const seg of [S.SEG_ES, S.SEG_SS, S.SEG_DS]) {
      this.setSegment(seg, data, 0n, 0xffffffff, cpl === 0 ? 0xc093 : 0xc0f3);
    }
    this.put64(S.RFLAGS, 0x202n);
    this.put32(S.CC_OP, S.CC_FLAGS);
    this.put64(S.CC_SRC, 0n);
    this.setGpr(4, BigInt(cpl === 0 ? 0x18000 : USER + 0x8000));
    this.put64(S.RIP, BigInt(cpl === 0 ? 0x30000 : USER + 0x1000));
    this.routine('flushAll')();
    this.routine('updateKey')();
  }
}
