/** What definitions may know of an instruction before it runs: how many operands, their kinds and sizes. */
import type { Insn, MemoryOperand, Operand, RegisterOperand } from '../insn.js';
import type { OperandSize } from '../lift.js';

/** Operand `n`; the decoder promises it is there. */
export function operand(i: Insn, n: number): Operand {
  const op = i.operands[n];
  if (op === undefined) throw new TypeError(`${i.mnemonic} has no operand ${n}`);
  return op;
}

/** Size of an integer operand. */
export function sizeOf(op: Operand): OperandSize {
  if (op.size === 1 || op.size === 2 || op.size === 4 || op.size === 8) return op.size;
  throw new TypeError(`operand of ${op.size} bytes is no integer`);
}

/** Operand `n`, which is in memory. */
export function memory(i: Insn, n: number): MemoryOperand {
  const op = operand(i, n);
  if (op.kind !== 'mem') throw new TypeError(`operand ${n} of ${i.mnemonic} is not in memory`);
  return op;
}

/** Whether `op` is a register of this file. */
export function isFile(op: Operand, file: RegisterOperand['file']): op is RegisterOperand {
  return op.kind === 'reg' && op.file === file;
}
