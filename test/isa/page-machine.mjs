// The translating engine with pages of code wherever a test wants them, in user or supervisor mode of 64-bit code under 4-level
// paging, and an assembler that knows labels of other pages.
import { DirectCompiler } from '../../dist/engine/dbt/direct-compiler.js';
import { createVmMemory, DbtEngine } from '../../dist/engine/dbt/engine.js';
import * as S from '../../dist/x86/state.js';
import { loadModule } from './machine.mjs';

const RAM_BYTES = 16 << 20;
/** The first 2 MiB are mapped as they are, for the supervisor; tables are taken from FIRST_TABLE on. */
export const PML4 = 0x10000;
const FIRST_TABLE = 0x11000;
const [GDT, IDT, TSS, STUBS] = [0x6000, 0x7000, 0x8000, 0x9000];
const [IST_TOP, KERNEL_TOP] = [0xb000, 0xd000];
const FIRST_FRAME = 0x200000;
const PAGE = 4096;
const HLT = 0xf4;
const NX = 1n << 63n;
const WITH_ERROR = new Set([8, 10, 11, 12, 13, 14, 17]);
/** Bits of a page table's entry. */
export const PTE = { present: 1, writable: 2, user: 4, global: 0x100 };

/** Linear address of the data and the stack below it; four pages. */
export const DATA = 0x30000000n;
export const DATA_BYTES = 4 * PAGE;
export const STACK = DATA + 0x3000n;

export class PageMachine {
  /**
   * `hotThreshold` 0: only the interpreter. `archive`: where regions are kept; what it has is `known`. `startCompiler`: another compiler than
   * that of the vCPU's thread.
   */
  constructor(hotThreshold, user = true, { archive, known, startCompiler } = {}) {
    const memory = createVmMemory(RAM_BYTES);
    let time = 0;
    const ownThread = (memory) => new DirectCompiler(memory, archive, known);
    const host = {
      now: () => (time += 1e7),
      tsc: () => 0,
      random: () => 0,
      startCompiler: startCompiler ?? ownThread,
    };
    this.vcpu = new DbtEngine(memory, RAM_BYTES, loadModule(), { hotThreshold }, host).createVcpu(0);
    this.view = new DataView(memory.buffer);
    this.bytes = new Uint8Array(memory.buffer, S.RAM, RAM_BYTES);
    this.ram = new DataView(memory.buffer, S.RAM, RAM_BYTES);
    this.user = user;
    this.nextTable = FIRST_TABLE;
    this.nextFrame = FIRST_FRAME;
    this.frames = new Map();
    this.tables();
    for (let at = 0n; at < DATA_BYTES; at += 4096n) this.map(DATA + at, this.newFrame(DATA + at), 7n | NX);
  }

  put(at, v) {
    this.ram.setBigUint64(at, BigInt.asUintN(64, BigInt(v)), true);
  }
  tables() {
    this.entries(PML4, 0n);
    this.put(GDT + 8, 0x00af9b000000ffffn);
    this.put(GDT + 16, 0x00cf93000000ffffn);
    this.put(GDT + 24, 0x00cff3000000ffffn);
    this.put(GDT + 32, 0x00affb000000ffffn);
    for (let n = 0; n < 256; n++) {
      this.bytes[STUBS + 16 * n] = HLT;
      this.gate(n, STUBS + 16 * n, 1n);
    }
    this.put(TSS + 4, KERNEL_TOP);
    this.put(TSS + 36, IST_TOP);
  }
  /** A present interrupt gate that user code may use. */
  gate(vector, handler, stack = 0n) {
    const at = BigInt(handler);
    this.put(
      IDT + 16 * vector,
      (at & 0xffffn) | (8n << 16n) | (stack << 32n) | (0xee00n << 32n) | ((at >> 16n) << 48n),
    );
    this.put(IDT + 16 * vector + 8, at >> 32n);
  }
  /** Where the page tables of `root` have the entry of a page. */
  entries(root, linear) {
    let table = root;
    for (const shift of [39n, 30n, 21n]) {
      const at = table + 8 * Number((BigInt.asUintN(64, linear) >> shift) & 511n);
      let entry = this.ram.getBigUint64(at, true);
      if (entry === 0n && shift === 21n && linear < 0x200000n) {
        // The first 2 MiB.
        this.put(at, 0x183n);
        return at;
      }
      if (entry === 0n) {
        entry = BigInt(this.nextTable | 7);
        this.put(at, entry);
        this.nextTable += PAGE;
      }
      table = Number(entry & 0xffffff000n);
    }
    return table + 8 * Number((linear >> 12n) & 511n);
  }
  newFrame(linear) {
    const frame = this.nextFrame;
    this.nextFrame += PAGE;
    if (linear !== undefined) this.frames.set(linear, frame);
    return frame;
  }
  map(linear, gpa, flags, root = PML4) {
    const at = this.entries(root, linear);
    this.put(at, BigInt(gpa) | BigInt(flags));
    return at;
  }

  /** Assembles sections, each from a linear address on, into pages that are made for them. Gives the labels. */
  load(sections, flags = this.user ? 7 : 3) {
    this.labels = new Map();
    const list = [...sections].map(([linear, items]) => [BigInt(linear), items.flat(9)]);
    for (const [linear, items] of list) {
      let at = linear;
      for (const item of items) {
        if (typeof item === 'string') this.labels.set(item, at);
        else at += BigInt(typeof item === 'number' ? 1 : item.size);
      }
    }
    for (const [linear, items] of list) {
      let at = linear;
      for (const item of items) {
        if (typeof item === 'string') continue;
        const code = typeof item === 'number' ? [item] : item.emit(at, (name) => this.address(name));
        for (const byte of code) this.bytes[this.gpaOf(at++, flags)] = byte;
      }
    }
    return this.labels;
  }
  address(name) {
    if (typeof name !== 'string') return BigInt(name);
    const [label, plus] = name.split('+');
    const at = this.labels.get(label);
    if (at === undefined) throw new Error(`no label ${label}`);
    return at + BigInt(plus ?? 0);
  }
  /** Guest physical address of code, whose page is made for it, filled with INT3. */
  gpaOf(linear, flags) {
    const page = linear & ~4095n;
    let frame = this.frames.get(page);
    if (frame === undefined) {
      frame = this.newFrame(page);
      this.bytes.fill(0xcc, frame, frame + PAGE);
      this.map(page, frame, flags);
    }
    return frame + Number(linear & 4095n);
  }

  /** The state before a run: data zeroed, but for what `data` says by offset. */
  start({ rip = 'main', gpr = {}, flags = 0x202n, cr4 = 0n, cr0 = 0n, data = {}, dr } = {}) {
    for (let at = 0n; at < DATA_BYTES; at += 4096n) {
      const frame = this.frames.get(DATA + at);
      this.bytes.fill(0, frame, frame + PAGE);
      for (const [offset, value] of Object.entries(data)) {
        if (BigInt(offset) >> 12n === at >> 12n) this.put(frame + (Number(offset) & 4095), this.address(value));
      }
    }
    this.bytes.fill(0, 0xa000, KERNEL_TOP);
    const registers = new Array(16).fill(0n);
    registers[4] = STACK;
    registers[7] = DATA;
    for (const [n, value] of Object.entries(gpr)) registers[n] = BigInt.asUintN(64, this.address(value));
    const none = { base: 0n, limit: 0, attributes: 0x10000, selector: 0 };
    const segment = (attributes, selector) => ({ base: 0n, limit: 0xffffffff, attributes, selector });
    const code = this.user ? segment(0xa0fb, 0x23) : segment(0xa09b, 0x08);
    const rest = this.user ? segment(0xc0f3, 0x1b) : segment(0xc093, 0x10);
    this.vcpu.load({
      gpr: registers,
      rip: BigInt.asUintN(64, this.address(rip)),
      rflags: flags,
      segments: [
        rest,
        code,
        rest,
        rest,
        none,
        none,
        none,
        { base: BigInt(TSS), limit: 0x67, attributes: 0x8b, selector: 0x40 },
      ],
      gdtr: { base: BigInt(GDT), limit: 0x3f },
      idtr: { base: BigInt(IDT), limit: 0xfff },
      cr0: 0x80010033n ^ cr0,
      cr2: 0n,
      cr3: BigInt(PML4),
      cr4: 0x6a0n | cr4,
      cr8: 0n,
      efer: 0xd00n,
      xcr0: 3n,
      dr: dr ?? [0n, 0n, 0n, 0n, 0n, 0n, 0xffff0ff0n, 0x400n],
      msrs: new Map(),
      fxsave: new Uint8Array(512),
      halted: false,
      interruptShadow: false,
      nmiBlocked: false,
    });
  }

  /** A short slice; what is hot is compiled before it, however short the time was. */
  slice(entry = {}) {
    this.vcpu.translator.advance(Infinity);
    return this.vcpu.run({ answer: 0n, vector: undefined, requestInterruptWindow: false, sliceNs: 1e4, ...entry });
  }
  /** Runs to a HLT; `between` is called after each slice, and may say how the next one is entered. */
  run(between = () => ({})) {
    let exit = this.slice();
    for (let n = 0; n < 2000 && exit.kind === 'preempted'; n++) exit = this.slice(between(n));
    if (exit.kind !== 'hlt') throw new Error(`exit ${exit.kind} at ${this.vcpu.save().rip.toString(16)}`);
    return this.seen();
  }
  /** How and where the guest stopped: vector and frame of the stub whose HLT it is; all that programs can change. */
  seen() {
    const { gpr, rip, cr2 } = this.vcpu.save();
    const vector = (Number(rip) - 1 - STUBS) >> 4;
    const word = (n) => this.ram.getBigUint64(IST_TOP - 40 + 8 * n, true);
    return {
      vector,
      rip: word(0),
      cs: word(1),
      flags: word(2),
      error: WITH_ERROR.has(vector) ? this.ram.getBigUint64(IST_TOP - 48, true) : undefined,
      cr2,
      gpr: gpr.map((value, n) => (n === 4 ? word(3) : value)),
      data: Buffer.concat(
        [0n, 1n, 2n, 3n].map((n) =>
          this.bytes.slice(this.frames.get(DATA + 4096n * n), this.frames.get(DATA + 4096n * n) + PAGE),
        ),
      ).toString('latin1'),
    };
  }
  get regions() {
    return this.vcpu.statistics().translator;
  }
}

// ---- the assembler: instructions are bytes, labels are strings ----
export const le = (value, size) => {
  const v = BigInt.asUintN(8 * size, BigInt(value));
  return Array.from({ length: size }, (_, n) => Number((v >> BigInt(8 * n)) & 255n));
};
/** An opcode and the distance to a label. */
const relative = (opcode, to) => ({
  size: opcode.length + 4,
  emit: (at, address) => [...opcode, ...le(address(to) - at - BigInt(opcode.length + 4), 4)],
});
export const call = (to) => relative([0xe8], to);
export const jmp = (to) => relative([0xe9], to);
/** By number of the condition: 2 B, 3 AE, 4 E, 5 NE, 8 S, C L. */
export const jcc = (cond, to) => relative([0x0f, 0x80 | cond], to);
/** LEA of a label, RIP-relative. */
export const lea = (reg, to) => relative([0x48 | ((reg >> 3) << 2), 0x8d, ((reg & 7) << 3) | 5], to);
/** MOV of a label's address or of a number. */
export const mov = (reg, value) => ({
  size: 10,
  emit: (_, address) => [0x48 | (reg >> 3), 0xb8 | (reg & 7), ...le(address(value), 8)],
});
