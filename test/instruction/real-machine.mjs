// Our processor in real mode. What an instruction does there is what it does in 16-bit protected code with segments of the
// same base and limit, unless it looks at selectors, privilege or pages: where the host's 16-bit code went through, it judges
// real mode as well. A HLT behind the instruction ends it, so that nothing is pushed.
import * as S from '../../dist/x86/state.js';
import { CODE_SIZE, RECORD } from './layout.mjs';
import { CODE_GPA, DATA_GPA, STUBS, UserMachine } from './machine.mjs';
import { isSameInVirtual } from './virtual-machine.mjs';

const HLT = 0xf4;
const BREAKPOINT = 3;
const TF = 0x100;
const SEGMENTS = 6;

/** Whether the answer of 16-bit protected code holds in real mode. */
export function isSameInReal(c, before, host, at) {
  if (!isSameInVirtual(c) || host.getUint32(at + RECORD.TRAP, true) !== BREAKPOINT) return false;
  return (before.getUint32(at + RECORD.FLAGS, true) & TF) === 0;
}

export class RealMachine extends UserMachine {
  get filler() {
    return HLT;
  }

  tables() {
    this.stubs((n, stub) => this.ram.setUint32(4 * n, stub, true));
    this.fillReadOnly();
  }

  state() {
    const segment = (base, attributes) => ({
      base: BigInt(base),
      limit: 0xffff,
      attributes,
      selector: (base >> 4) & 0xffff,
    });
    const data = segment(DATA_GPA, 0x93);
    const none = { base: 0n, limit: 0xffff, attributes: 0x82, selector: 0 };
    return {
      ...super.state(),
      segments: [data, segment(CODE_GPA, 0x9b), data, data, data, data, none, { ...none, attributes: 0x8b }],
      gdtr: { base: 0n, limit: 0 },
      idtr: { base: 0n, limit: 0x3ff },
      // NE, ET, MP
      cr0: 0x32n,
      cr3: 0n,
      cr4: 0x40600n,
      efer: 0n,
    };
  }

  setMode(input, at) {
    const { view } = this;
    const cpu = S.CPU_BASE;
    const flags = input.getUint32(at + RECORD.FLAGS, true);
    this.runtime.setFlags(flags & 0x8d5);
    view.setBigUint64(cpu + S.RFLAGS, BigInt((flags & ~0x8d5) | 2), true);
    const { segments } = this.state();
    for (let n = 0; n < SEGMENTS; n++) this.setSegment(n, segments[n]);
    view.setUint32(cpu + S.MXCSR, input.getUint32(at + RECORD.FX + 24, true), true);
    view.setInt32(cpu + S.CPL, 0, true);
    this.runtime.updateKey();
  }

  /** The vector of the handler that was reached, or that of the INT3 that the host had in place of the HLT. */
  vectorAt(stopped) {
    const code = this.view.getUint32(S.CPU_BASE + S.SEGMENT + S.SEG_CS * S.SEGMENT_STRIDE + S.SEGMENT_BASE, true);
    return code === CODE_GPA && stopped < CODE_SIZE ? BREAKPOINT : (stopped - STUBS) >> 4;
  }

  get kernel() {
    return 0n;
  }

  answerFrame(output, at) {
    const { view } = this;
    const flags = view.getBigUint64(S.CPU_BASE + S.RFLAGS, true) & ~0x8d5n;
    output.setBigUint64(at + RECORD.FLAGS, flags | BigInt(this.runtime.computeFlags()), true);
    output.setBigUint64(at + RECORD.RIP, view.getBigUint64(S.CPU_BASE + S.RIP, true), true);
    output.setUint32(at + RECORD.ERROR, 0, true);
  }

  /** They are not those of the records. */
  answerSegments() {}
}
