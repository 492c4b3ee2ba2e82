/**
 * Hardware task switching. SDM Vol. 3A, "Task Management".
 */
import { CPU_BASE, STATUS, STATUS_SHUTDOWN } from '../../src/x86/state';

/**
 * An interrupt or exception through a task gate.
 * @deviation not there yet: the vCPU shuts down, because any other answer would let the guest go on in a wrong state.
 */
export function switchThroughGate(
  selector: u32, returnRip: u64, imageFlags: u64, hasError: boolean, error: u32, external: u32,
): i32 {
  store<i32>(CPU_BASE + STATUS, STATUS_SHUTDOWN);
  return STATUS_SHUTDOWN;
}

/**
 * IRET with NT set outside IA-32e mode: back to the task named in the TSS's link.
 * @deviation not there yet, as above.
 */
export function returnFromTask(): i32 {
  store<i32>(CPU_BASE + STATUS, STATUS_SHUTDOWN);
  return STATUS_SHUTDOWN;
}
