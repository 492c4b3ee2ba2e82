import { CPU_BASE, STATUS } from '../../src/x86/state';

/** The status that a routine with a value of its own left: asked for right after it. */
export function pendingStatus(): i32 {
  return load<i32>(CPU_BASE + STATUS);
}
