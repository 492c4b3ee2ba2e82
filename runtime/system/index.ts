/** What the system routines offer to the evaluators and the engine; signatures are listed in runtime/index.ts. */
export { computeFlags, condition, evaluateCondition, evaluateFlags, getRflags, setFlags, setRflags } from './flags';
export { updateKey } from './key';
export { answer, request } from './exit';
export { raise, raiseDebug, raiseError } from './raise';
export { deliverException, deliverInterrupt, deliverNmi, int1, int3, into, softwareInterrupt } from './exception';
export { iret } from './iret';
export { farCall, farJump, farReturn } from './far';
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
export { checkFsgsbase, lgdt, lidt, readSegmentBase, writeSegmentBase } from './descriptor-table';
export { checkCpl0, clts, lmsw, readCr, writeCr } from './control';
export { checkCodeBreakpoint, debugTrap, dropPendingDebug, matchDataBreakpoint, readDr, writeDr } from './debug';
export { rdmsr, wrmsr } from './msr';
export { swapgs, syscall, sysenter, sysexit, sysret } from './syscall';
export { cpuid } from './cpuid';
export { rdtsc, rdtscp, tscValue } from './tsc';
export { checkIoPermission, lastIn, portIn, portOut } from './io';
export { checkPushf, clac, cli, popf, pushfValue, stac, sti } from './rflags-access';
export { hlt, monitor, mwait, rdpmc, wbinvd } from './idle';
export { invlpg, invpcid } from './invalidate';
export { rdrand } from './entropy';
export { enter } from './frame';
