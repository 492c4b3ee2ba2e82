/**
 * The machine's answers at once, as functions that the runtime imports (runtime/system/env.ts). The runtime asks only while
 * DIRECT is set in the vCPU's state.
 */
import * as S from '../../x86/state.js';
import type { DirectAccess } from '../engine.js';

type Size = 1 | 2 | 4;

export class DirectAnswers {
  private readonly words: Int32Array;
  private access: DirectAccess | undefined;

  constructor(memory: WebAssembly.Memory) {
    this.words = new Int32Array(memory.buffer);
  }

  answerBy(access: DirectAccess): void {
    this.access = access;
    this.enable(true);
  }

  /** Off while the vCPU steps for another engine's, whose run loop would not hear of what an answer changes. */
  enable(on: boolean): void {
    this.words[(S.CPU_BASE + S.DIRECT) >> 2] = on && this.access !== undefined ? 1 : 0;
  }

  readonly imports = {
    portRead: (port: number, size: number): number => (this.access as DirectAccess).readPort(port, size as Size),
    portWrite: (port: number, size: number, value: number): number =>
      (this.access as DirectAccess).writePort(port, size as Size, value >>> 0) ? 1 : 0,
    busRead: (gpa: number, size: number): number => (this.access as DirectAccess).readMemory(gpa, size as Size),
    busWrite: (gpa: number, size: number, value: number): number =>
      (this.access as DirectAccess).writeMemory(gpa, size as Size, value >>> 0) ? 1 : 0,
    msrWrite: (msr: number, value: bigint): number =>
      (this.access as DirectAccess).writeMsr(msr >>> 0, value) ? 1 : 0,
  };
}
