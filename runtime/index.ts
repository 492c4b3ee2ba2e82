// The runtime: intricate routines that every evaluator calls, in AssemblyScript without a heap.
export { ping } from './ping';
export { computeFlags, condition, evaluateFlags, getRflags, setFlags, setRflags } from './system/flags';
export { updateKey } from './system/key';
export { answer, request } from './system/exit';
export { raise, raiseDebug, raiseError } from './system/raise';
export * from './float/index';
export {
  deliverException, deliverInterrupt, deliverNmi, int1, int3, into, softwareInterrupt,
} from './system/exception';
export { iret } from './system/iret';
