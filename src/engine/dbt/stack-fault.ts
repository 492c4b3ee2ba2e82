/**
 * In 64-bit mode an address that is not canonical raises #SS(0) where it refers to the stack segment, #GP(0) elsewhere.
 * SDM Vol. 3A, "Stack Fault Exception (#SS)". Memory accesses do not know why they are made: the instruction is asked afterwards.
 */
import type { Insn } from '../../x86/insn.js';
import { SEG } from '../../x86/insn.js';

const RSP = 4;
const RBP = 5;
/** What an instruction of the stack may move RSP by before it accesses memory: ENTER's frame. */
const REACH = 0x20000n;
const OF_STACK = /^(push|pop|call|ret|enter|leave|iret)/;

/** True where the access to `address` by `insn` is one to the stack segment. */
export function isStackAccess(insn: Insn, gpr: (index: number) => bigint, address: bigint): boolean {
  const hasMemory = insn.operands.some((op) => op.kind === 'mem');
  if (insn.operands.some((op) => op.kind === 'mem' && op.seg === SEG.ss)) return true;
  if (!OF_STACK.test(insn.mnemonic)) return false;
  const top = gpr(insn.mnemonic === 'leave' ? RBP : RSP);
  const distance = BigInt.asIntN(64, address - top);
  return !hasMemory || (distance > -REACH && distance < REACH);
}
