/** ENTER. SDM Vol. 2A, "ENTER—Make Stack Frame for Procedure Parameters". */
import { SEG_SS } from '../../src/x86/state';
import { probeWrite, readLinear, refusesAlignment } from '../mmu/access';
import { ATTR_DB, attributes, baseOf, cpl, gpr, isCanonical, isCode64, limitOf, RBP, RSP, setGpr, status } from './cpu';
import { linear } from './descriptor';
import { mmuIndexOf } from './key';
import { raiseError, SS } from './raise';
import { openCurrentStack, pointer, push, withinLimit } from './stack';

function mask(): u64 {
  if (isCode64()) return u64.MAX_VALUE;
  return attributes(SEG_SS) & ATTR_DB ? 0xffffffff : 0xffff;
}

/** Linear address of `size` bytes at stack offset `offset`; STATUS is set when it lies outside. */
function address(offset: u64, size: i32): u64 {
  if (isCode64()) {
    if (!isCanonical(offset) || !isCanonical(offset + (size as u64) - 1)) raiseError(SS, 0);
    return offset;
  }
  if (!withinLimit(offset, size, limitOf(SEG_SS), attributes(SEG_SS))) raiseError(SS, 0);
  return linear(baseOf(SEG_SS) + offset);
}

/** ENTER allocation, level: `size` is the operand size in bytes (of RBP's pushes). 0 or a status. */
export function enter(size: i32, allocation: i32, level: i32): i32 {
  const mmu = mmuIndexOf(cpl());
  const step = size as u64;
  const nesting = level & 31;
  const width = mask();
  openCurrentStack(mmu, 0);
  if (push(gpr(RBP), size) != 0) return status();
  const frame = pointer;
  if (nesting > 0) {
    let link = gpr(RBP);
    for (let n = 1; n < nesting; n++) {
      link = (link - step) & width;
      const gva = address(link, size);
      if (status() != 0) return status();
      const value = readLinear(gva, size, mmu);
      if (status() != 0) return status();
      if (push(value, size) != 0) return status();
    }
    if (push(frame, size) != 0) return status();
  }
  const top = (pointer - ((allocation & 0xffff) as u64)) & width;
  // The manual tests a write at the final stack pointer before anything changes.
  const gva = address(top, size);
  if (status() != 0) return status();
  if (refusesAlignment(gva, size, mmu)) return status();
  probeWrite(gva, size, mmu);
  if (status() != 0) return status();
  setGpr(RSP, width == 0xffff ? (gpr(RSP) & ~width) | top : top);
  const old = gpr(RBP);
  setGpr(RBP, size == 2 ? (old & ~(0xffff as u64)) | (frame & 0xffff) : size == 4 ? frame & 0xffffffff : frame);
  return 0;
}
