// The translating engine with the address space of machine.mjs: CPL 3 under 4-level paging, every exception handler is a
// HLT on a stack of its own, so that its frame tells where and how the guest stopped.
import { createVmMemory, DbtEngine } from '../../dist/engine/dbt/engine.js';
import * as S from '../../dist/x86/state.js';
import { CODE, DATA, loadModule, START, WINDOW, WINDOW_SIZE } from './machine.mjs';

const RAM_BYTES = 16 << 20;
const [PML4, PDPT, PD, CODE_PT, DATA_PT] = [0x1000, 0x2000, 0x3000, 0x4000, 0x5000];
const [GDT, IDT, TSS, STUBS] = [0x6000, 0x7000, 0x8000, 0x9000];
const FRAME_TOP = 0xb000;
const CODE_GPA = 0x200000;
const DATA_GPA = 0x300000;
const HLT = 0xf4;
/** Vectors whose frame begins with an error code. */
const WITH_ERROR = new Set([8, 10, 11, 12, 13, 14, 17]);

export class EngineMachine {
  /** `hotThreshold` 0: only the interpreter. */
  constructor(hotThreshold) {
    const memory = createVmMemory(RAM_BYTES);
    let time = 0;
    const host = { now: () => (time += 1e7), tsc: () => 0, random: () => 0 };
    this.vcpu = new DbtEngine(memory, RAM_BYTES, loadModule(), { hotThreshold }, host).createVcpu(0);
    this.view = new DataView(memory.buffer);
    this.bytes = new Uint8Array(memory.buffer, S.RAM, RAM_BYTES);
    this.ram = new DataView(memory.buffer, S.RAM, RAM_BYTES);
    this.tables();
  }

  tables() {
    const put = (at, v) => this.ram.setBigUint64(at, BigInt(v), true);
    put(PML4, PDPT | 7);
    put(PDPT, PD | 7);
    put(PD, 0x83);
    put(PD + 8 * (CODE >> 21), CODE_PT | 7);
    put(PD + 8 * (DATA >> 21), DATA_PT | 7);
    for (const n of [0, 1]) {
      put(CODE_PT + 8 * n, (CODE_GPA + n * 4096) | 7);
      put(DATA_PT + 8 * n, BigInt((DATA_GPA + n * 4096) | 7) | (1n << 63n));
    }
    put(GDT + 8, 0x00af9b000000ffffn);
    put(GDT + 16, 0x00cf93000000ffffn);
    for (let n = 0; n < 32; n++) {
      const stub = STUBS + 16 * n;
      this.bytes[stub] = HLT;
      // Present, DPL 3, interrupt gate, interrupt stack 1.
      put(IDT + 16 * n, BigInt(stub) | (8n << 16n) | (0xee01n << 32n));
    }
    put(TSS + 36, FRAME_TOP);
  }

  /** As TestMachine.set; `program` is put at START, INT3s around it. */
  set(state, bits, program) {
    const code = new Uint8Array(8192).fill(0xcc);
    code.set(program, START - CODE);
    if (Buffer.compare(code, this.bytes.subarray(CODE_GPA, CODE_GPA + 8192)) !== 0) {
      this.vcpu.cache.invalidate(CODE_GPA, 4096);
      this.vcpu.cache.invalidate(CODE_GPA + 4096, 4096);
      this.bytes.set(code, CODE_GPA);
    }
    this.bytes.fill(0, DATA_GPA, DATA_GPA + 8192);
    this.bytes.set(state.window, DATA_GPA + WINDOW - DATA);
    const data = { base: 0n, limit: 0xffffffff, attributes: 0xc0f3, selector: 0x2b };
    const code64 = { base: 0n, limit: 0xffffffff, attributes: 0xa0fb, selector: 0x33 };
    const code32 = { base: 0n, limit: 0xffffffff, attributes: 0xc0fb, selector: 0x23 };
    const none = { base: 0n, limit: 0, attributes: 0x10000, selector: 0 };
    this.vcpu.load({
      gpr: [...state.gpr],
      rip: BigInt(START),
      rflags: state.flags | 2n,
      segments: [
        data,
        bits === 64 ? code64 : code32,
        data,
        data,
        none,
        none,
        none,
        { base: BigInt(TSS), limit: 0x67, attributes: 0x8b, selector: 0x40 },
      ],
      gdtr: { base: BigInt(GDT), limit: 0x1f },
      idtr: { base: BigInt(IDT), limit: 0x1ff },
      cr0: 0x80010033n,
      cr2: 0n,
      cr3: BigInt(PML4),
      cr4: 0x620n,
      cr8: 0n,
      efer: 0xd00n,
      xcr0: 3n,
      dr: [0n, 0n, 0n, 0n, 0n, 0n, 0xffff0ff0n, 0x400n],
      msrs: new Map(),
      fxsave: new Uint8Array(512),
      halted: false,
      interruptShadow: false,
      nmiBlocked: false,
    });
  }

  /** Runs to the first exception; the state there. */
  run() {
    const entry = { answer: 0n, vector: undefined, requestInterruptWindow: false, sliceNs: 1e6 };
    // What is hot is compiled now, however short the time was.
    this.vcpu.translator.advance(Infinity);
    let exit = this.vcpu.run(entry);
    for (let n = 0; n < 1000 && exit.kind === 'preempted'; n++) exit = this.vcpu.run(entry);
    if (exit.kind !== 'hlt') throw new Error(`exit ${exit.kind}`);
    const stopped = Number(this.view.getBigUint64(S.CPU_BASE + S.RIP, true)) - 1;
    const trap = (stopped - STUBS) >> 4;
    if (trap < 0 || trap > 31) throw new Error(`halted at ${stopped.toString(16)}`);
    // RIP CS RFLAGS RSP SS, and an error code below.
    const frame = FRAME_TOP - 40;
    const word = (n) => this.ram.getBigUint64(frame + 8 * n, true);
    const gpr = Array.from({ length: 16 }, (_, n) => this.view.getBigUint64(S.CPU_BASE + S.GPR + 8 * n, true));
    gpr[4] = word(3);
    return {
      gpr,
      trap,
      // An INT3 after the instruction ends it; RIP is behind that.
      rip: trap === 3 ? BigInt.asUintN(64, word(0) - 1n) : word(0),
      flags: word(2),
      error: WITH_ERROR.has(trap) ? Number(this.ram.getBigUint64(frame - 8, true)) : undefined,
      window: this.bytes.slice(DATA_GPA + WINDOW - DATA, DATA_GPA + WINDOW - DATA + WINDOW_SIZE),
    };
  }
}
