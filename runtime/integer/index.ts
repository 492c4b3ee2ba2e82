// Routines of integer instructions.
export { executeCpuid } from './cpuid';
export { crc32c } from './crc32c';
export { divideS128, divideU128, quotientFitsS128 } from './divide';
export { enter as enterFrame } from '../system/frame';
export { codeCheck, segmentCheck, segmentCheckWrite } from './segment-check';
export { pendingStatus } from './status';
