/**
 * What the system routines offer to the evaluators and the engine. "status" is an i32: 0 done, STATUS_MISS RIP is set and
 * the next block is to be looked up, anything else stops the instruction (STATUS_FAULT, STATUS_EXIT, STATUS_CODE_WRITE,
 * STATUS_HALT, STATUS_SHUTDOWN). Before a call RIP holds the current instruction and every register is in memory.
 * K: the block key may have changed after a return of 0.
 *
 *   flags         computeFlags(): u32  evaluateFlags(op, dst, src, src2): u32  condition(cc): i32
 *                 evaluateCondition(cc, op, dst, src, src2): i32  setFlags(u32)  getRflags(): u64  setRflags(u64)  K
 *   key           updateKey()
 *   exceptions    raise(vector)  raiseError(vector, code)  raiseDebug(dr6): status
 *                 deliverException()  deliverInterrupt(vector)  deliverNmi(): STATUS_MISS when delivered; STATUS_FAULT of
 *                 the last two: deliverException is due; STATUS_EXIT, STATUS_CODE_WRITE: act, call the same again
 *   software      softwareInterrupt(vector, next)  int1(next)  int3(next)  into(next)  iret(size): status
 *   far           farJump(selector, offset: u64, size, next)  farCall(same)  farReturn(size, release): status
 *   segments      loadSegmentRegister(seg, selector)  lldt(selector)  ltr(selector)  checkProtected(): status
 *                 lar, lsl, verr, verw(selector): status, ZF set; queriedValue(): u32  arpl(dst, src): i32
 *                 lgdt(limit, base: u64)  lidt(same): status  checkFsgsbase(): status
 *                 readSegmentBase(seg): u64  writeSegmentBase(seg, u64): status
 *   control       checkCpl0()  writeCr(n, u64) K  lmsw(value) K  clts() K: status  readCr(n): u64
 *   debug         readDr(n): u64, STATUS set when it faults  writeDr(n, u64): status K
 *                 checkCodeBreakpoint(): status, before an instruction under KEY_CODE_BREAKPOINT
 *                 debugTrap(wasTrapped): status, after one retired under KEY_TRAP or a breakpoint key
 *                 matchDataBreakpoint(gva: u64, size, isWrite)  dropPendingDebug()
 *   MSRs          rdmsr()  wrmsr() K: status
 *   system calls  syscall(next)  sysret(size)  sysenter()  sysexit(size): status  swapgs(): status
 *   identity      cpuid()  rdtsc()  rdtscp(): status  tscValue(): u64  rdpid(): u64  rdrand(size): u64
 *   ports         checkIoPermission(port, size)  portIn(port, size)  portOut(port, size, value): status
 *   RFLAGS        cli()  sti()  checkPushf(size)  checkPopf(image: u64, size)  popf(image: u64, size) K  clac() K  stac() K: status  pushfValue(): u64
 *   idle, caches  hlt(next)  monitor()  mwait()  rdpmc()  wbinvd()  invlpg(gva: u64)  invpcid(type: u64, gva: u64): status
 *   frames        enter(size, allocation, level): status
 *   x87, SSE      fxsave, fxrstor K, xsave, xsavec, xrstor K(gva: u64, wide)  xgetbv()  xsetbv()  ldmxcsr(value) K: status
 *   machine       request(kind, address: u64, size, value: u64): i32  answer(): u64
 */

export { matchDataBreakpoint } from './breakpoint';
export { checkCpl0, clts, lmsw, readCr, writeCr } from './control';
export { cpuid } from './cpuid';
export { checkCodeBreakpoint, debugTrap, dropPendingDebug, forgetHandlerEntry, readDr, writeDr } from './debug';
export { checkFsgsbase, lgdt, lidt, readSegmentBase, writeSegmentBase } from './descriptor-table';
export { rdrand } from './entropy';
export { deliverException, deliverInterrupt, deliverNmi, int1, int3, into, softwareInterrupt } from './exception';
export { answer, request } from './exit';
export { farCall, farJump, farReturn } from './far';
export { computeFlags, condition, evaluateCondition, evaluateFlags, getRflags, setFlags, setRflags } from './flags';
export { enter } from './frame';
export { hlt, monitor, mwait, rdpmc, wbinvd } from './idle';
export { invlpg, invpcid } from './invalidate';
export { checkIoPermission, portIn, portOut } from './io';
export { iret } from './iret';
export { updateKey } from './key';
export { rdmsr, wrmsr } from './msr';
export { raise, raiseDebug, raiseError } from './raise';
export { checkPopf, checkPushf, clac, cli, popf, pushfValue, stac, sti } from './rflags-access';
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
