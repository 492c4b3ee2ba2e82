/** What the system routines offer to the evaluators and the engine; signatures are listed in runtime/index.ts. */

export { checkCpl0, clts, lmsw, readCr, writeCr } from './control';
export { cpuid } from './cpuid';
export { checkCodeBreakpoint, debugTrap, dropPendingDebug, matchDataBreakpoint, readDr, writeDr } from './debug';
export { checkFsgsbase, lgdt, lidt, readSegmentBase, writeSegmentBase } from './descriptor-table';
export { rdrand } from './entropy';
export { deliverException, deliverInterrupt, deliverNmi, int1, int3, into, softwareInterrupt } from './exception';
export { answer, request } from './exit';
export { farCall, farJump, farReturn } from './far';
export { computeFlags, condition, evaluateCondition, evaluateFlags, getRflags, setFlags, setRflags } from './flags';
export { enter } from './frame';
export { hlt, monitor, mwait, rdpmc, wbinvd } from './idle';
export { invlpg, invpcid } from './invalidate';
export { checkIoPermission, lastIn, portIn, portOut } from './io';
export { iret } from './iret';
export { updateKey } from './key';
export { rdmsr, wrmsr } from './msr';
export { raise, raiseDebug, raiseError } from './raise';
export { checkPushf, clac, cli, popf, pushfValue, stac, sti } from './rflags-access';
export {
  arpl,
  checkProtected,
  lar,
  lldt,
  loadSegmentRegister,
  lsl,
  ltr,
  queriedValue,
  systemSelector,
  verr,
  verw,
} from './segment';
export { swapgs, syscall, sysenter, sysexit, sysret } from './syscall';
export { rdpid, rdtsc, rdtscp, tscValue } from './tsc';
export { fxrstor, fxsave, ldmxcsr, xgetbv, xrstor, xsave, xsavec, xsetbv } from './xstate';
