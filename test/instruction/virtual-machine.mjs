// Our processor in virtual-8086 mode, in the world of layout.mjs. The host cannot run that mode by itself, but what an
// instruction does there is what it does in 16-bit protected code with segments of the same base and limit, unless it looks
// at selectors or privilege: the processor's answers to 16-bit code judge it as well.
import * as S from '../../dist/x86/state.js';
import { CODE, CODE_SIZE, DATA, DATA_SIZE, READ_ONLY, RECORD, SEL } from './layout.mjs';
import { CODE_GPA, DATA_GPA, FRAME_TOP, TABLES, UserMachine, WITH_ERROR } from './machine.mjs';

const PD = 0x1000;
const LOW_PT = 0x2000;
const { CODE_PT, DATA_PT, GDT_AT, IDT, TSS, TSS_SELECTOR } = TABLES;
const VM_IOPL3 = 0x23000;
const SEGMENTS = 6;

/** What looks at selectors, privilege or the mode. */
const ELSEWHERE =
  /^(lds|les|lss|lfs|lgs|callf|jmpf|retf|iret|arpl|lar|lsl|ver|sldt|str|lldt|ltr|int|cli|sti|pushf|popf|fn?stenv|fn?save|fldenv|frstor|fxsave|xsave|ud$)/;

/** Whether the answer of 16-bit protected code holds in virtual-8086 mode. */
export function isSameInVirtual(c) {
  const { insn, sel } = c;
  if (ELSEWHERE.test(insn.mnemonic)) return false;
  if (sel.slice(0, 4).some((selector, n) => selector !== (n === 1 ? SEL.code16 : SEL.data16))) return false;
  return insn.operands.every((op) => {
    if (op.kind === 'reg') return op.file !== 'seg';
    // A store through CS is allowed there.
    return op.kind !== 'mem' || (op.seg !== 1 && sel[op.seg] === (op.seg === 1 ? SEL.code16 : SEL.data16));
  });
}

export class Virtual8086Machine extends UserMachine {
  tables() {
    const put = (at, v) => this.ram.setUint32(at, v, true);
    put(PD, LOW_PT | 3);
    put(PD + 4 * (CODE >>> 22), CODE_PT | 7);
    put(PD + 4 * (DATA >>> 22), DATA_PT | 7);
    for (let n = 0; n < 32; n++) put(LOW_PT + 4 * n, (n << 12) | 3);
    for (let n = 0; n < CODE_SIZE >> 12; n++) put(CODE_PT + 4 * n, (CODE_GPA + n * 4096) | 5);
    for (let n = 0; n < DATA_SIZE >> 12; n++) put(DATA_PT + 4 * n, (DATA_GPA + n * 4096) | 7);
    put(DATA_PT + 4 * ((READ_ONLY - DATA) >> 12), (DATA_GPA + READ_ONLY - DATA) | 5);
    this.fillReadOnly();
    this.ram.setBigUint64(GDT_AT + 8, 0x00cf9b000000ffffn, true);
    this.ram.setBigUint64(GDT_AT + 16, 0x00cf93000000ffffn, true);
    this.stubs((n, stub, isForUsers) =>
      this.ram.setBigUint64(
        IDT + 8 * n,
        BigInt(stub) | (8n << 16n) | (isForUsers ? 0xee00n << 32n : 0x8e00n << 32n),
        true,
      ),
    );
    put(TSS + 4, FRAME_TOP);
    put(TSS + 8, 0x10);
    this.ram.setUint16(TSS + 0x66, 0x68, true);
  }

  state() {
    const system = { base: BigInt(TSS), limit: 0x67, attributes: 0x8b, selector: TSS_SELECTOR };
    const none = { base: 0n, limit: 0, attributes: 0x10000, selector: 0 };
    const segment = (base) => ({ base: BigInt(base), limit: 0xffff, attributes: 0xf3, selector: base >>> 16 });
    const data = segment(DATA);
    return {
      ...super.state(),
      rflags: BigInt(VM_IOPL3 | 2),
      segments: [data, segment(CODE), data, data, data, data, none, system],
      gdtr: { base: BigInt(GDT_AT), limit: 0x7f },
      idtr: { base: BigInt(IDT), limit: 0xff },
      cr3: BigInt(PD),
      // OSFXSR, OSXMMEXCPT, OSXSAVE
      cr4: 0x40600n,
      efer: 0n,
    };
  }

  setMode(input, at) {
    const { view } = this;
    const cpu = S.CPU_BASE;
    const flags = input.getUint32(at + RECORD.FLAGS, true);
    this.runtime.setFlags(flags & 0x8d5);
    view.setBigUint64(cpu + S.RFLAGS, BigInt((flags & ~0x8d5) | 2 | VM_IOPL3), true);
    const { segments } = this.state();
    for (let n = 0; n < SEGMENTS; n++) this.setSegment(n, segments[n]);
    view.setUint32(cpu + S.MXCSR, input.getUint32(at + RECORD.FX + 24, true), true);
    view.setInt32(cpu + S.CPL, 3, true);
    this.runtime.updateKey();
  }

  get kernel() {
    return 0n;
  }

  /** EIP CS EFLAGS ESP SS ES DS FS GS, and an error code below. */
  answerFrame(output, at, trap) {
    const frame = FRAME_TOP - 36;
    const word = (n) => this.ram.getUint32(frame + 4 * n, true);
    output.setBigUint64(at + RECORD.RIP, BigInt(word(0)), true);
    output.setBigUint64(at + RECORD.FLAGS, BigInt(word(2) & ~VM_IOPL3), true);
    output.setBigUint64(at + 32, BigInt(word(3)), true);
    output.setUint32(at + RECORD.ERROR, WITH_ERROR.has(trap) ? this.ram.getUint32(frame - 4, true) : 0, true);
  }

  /** They are not those of the records. */
  answerSegments() {}
}
