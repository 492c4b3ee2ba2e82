/**
 * Pushing and popping frames: interrupts, far calls, far returns and IRET work on a stack that becomes the guest's only
 * when everything has succeeded. One frame is open at a time.
 */
import { SEG_SS } from '../../src/x86/state';
import { readLinear, writeLinear } from '../mmu/access';
import {
  ATTR_DB,
  ATTR_UNUSABLE,
  attributes,
  baseOf,
  gpr,
  isCanonical,
  isCode64,
  limitOf,
  RSP,
  setGpr,
  status,
} from './cpu';
import { linear } from './descriptor';
import { raiseError, SS } from './raise';

let base: u64 = 0;
let limit: u32 = 0;
let attr: u32 = 0;
let is64: boolean = false;
let mmu: i32 = 0;
let error: u32 = 0;
/** The stack pointer of the open frame; only the bits of its width are meaningful. */
export let pointer: u64 = 0;

/** Opens a stack given by its parts. `errorCode` is that of the #SS which a violated limit raises. */
export function openStack(
  stackBase: u64,
  stackLimit: u32,
  stackAttributes: u32,
  stackPointer: u64,
  wide: boolean,
  mmuIndex: i32,
  errorCode: u32,
): void {
  base = stackBase;
  limit = stackLimit;
  attr = stackAttributes;
  pointer = stackPointer;
  is64 = wide;
  mmu = mmuIndex;
  error = errorCode;
}

/** Opens the guest's present stack. */
export function openCurrentStack(mmuIndex: i32, errorCode: u32): void {
  openStack(baseOf(SEG_SS), limitOf(SEG_SS), attributes(SEG_SS), gpr(RSP), isCode64(), mmuIndex, errorCode);
}

/** SDM Vol. 3A, "Limit Checking": expand-down segments are valid above their limit. */
export function withinLimit(offset: u64, size: i32, segmentLimit: u32, segmentAttributes: u32): boolean {
  const last = offset + (size as u64) - 1;
  if ((segmentAttributes & 0x1c) == 0x14) {
    const top: u64 = segmentAttributes & ATTR_DB ? 0xffffffff : 0xffff;
    return offset > (segmentLimit as u64) && last <= top;
  }
  return last <= (segmentLimit as u64);
}

function mask(): u64 {
  if (is64) return u64.MAX_VALUE;
  return attr & ATTR_DB ? 0xffffffff : 0xffff;
}

/** The linear address of `size` bytes at stack offset `offset`; a status is in STATUS when it faults. */
function address(offset: u64, size: i32): u64 {
  if (is64) {
    if (!isCanonical(offset) || !isCanonical(offset + (size as u64) - 1)) raiseError(SS, error);
    return offset;
  }
  if ((attr & ATTR_UNUSABLE) != 0 || !withinLimit(offset, size, limit, attr)) raiseError(SS, error);
  return linear(base + offset);
}

/** Pushes one item; 0 or a status. */
export function push(value: u64, size: i32): i32 {
  const next = (pointer - (size as u64)) & mask();
  const gva = address(next, size);
  if (status() != 0) return status();
  writeLinear(gva, value, size, mmu);
  if (status() != 0) return status();
  pointer = next;
  return 0;
}

/** Reads the item `offset` bytes above the stack pointer without popping it. Look at STATUS afterwards. */
export function peek(offset: u32, size: i32): u64 {
  const gva = address((pointer + (offset as u64)) & mask(), size);
  if (status() != 0) return 0;
  return readLinear(gva, size, mmu);
}

export function discard(bytes: u32): void {
  pointer = (pointer + (bytes as u64)) & mask();
}

/** Makes the frame's pointer the guest's RSP. 16-bit stacks leave the upper bits alone; 32-bit ones clear them. */
export function commitPointer(): void {
  if (is64) setGpr(RSP, pointer);
  else if (attr & ATTR_DB) setGpr(RSP, pointer & 0xffffffff);
  else setGpr(RSP, (gpr(RSP) & ~(0xffff as u64)) | (pointer & 0xffff));
}
