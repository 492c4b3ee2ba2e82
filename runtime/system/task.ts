/**
 * Hardware task switching. SDM Vol. 3A, "Task Management".
 */
import { CPU_BASE, STATUS, STATUS_SHUTDOWN } from '../../src/x86/state';

export const TASK_JUMP: i32 = 0;
export const TASK_CALL: i32 = 1;

/** JMP or CALL to a TSS or task gate. */
export function switchTask(selector: u32, reason: i32, next: u64): i32 {
  return unsupported();
}

/** An interrupt or exception through a task gate. */
export function switchThroughGate(
  selector: u32,
  returnRip: u64,
  imageFlags: u64,
  hasError: boolean,
  error: u32,
  external: u32,
): i32 {
  return unsupported();
}

/** IRET with NT set outside IA-32e mode: back to the task named in the TSS's link. */
export function returnFromTask(): i32 {
  return unsupported();
}

/** @deviation not there yet: the vCPU shuts down, because any other answer would let the guest go on in a wrong state. */
function unsupported(): i32 {
  store<i32>(CPU_BASE + STATUS, STATUS_SHUTDOWN);
  return STATUS_SHUTDOWN;
}
