/** HLT and its kin. SDM Vol. 2, "HLT", "MONITOR", "MWAIT", "RDPMC", "WBINVD". */
import { CPU_BASE, HALTED, STATUS_HALT } from '../../src/x86/state';
import { cpl, setRip } from './cpu';
import { raise, raiseGp0, UD } from './raise';

/** HLT retires and the vCPU waits: STATUS_HALT. */
export function hlt(next: u64): i32 {
  if (cpl() != 0) return raiseGp0();
  setRip(next);
  store<i32>(CPU_BASE + HALTED, 1);
  return STATUS_HALT;
}

/** MONITOR and MWAIT: not offered. */
export function monitor(): i32 {
  return raise(UD);
}

export function mwait(): i32 {
  return raise(UD);
}

/** RDPMC: there are no counters, so every number is out of range. */
export function rdpmc(): i32 {
  return raiseGp0();
}

/** WBINVD and INVD: caches are not modelled. */
export function wbinvd(): i32 {
  return cpl() != 0 ? raiseGp0() : 0;
}
