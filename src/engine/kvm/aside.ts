/**
 * A few bytes of real-mode code on a guest's own vCPU: some things in the kernel are told to nobody but the guest. Whatever
 * the code could leave behind is put back; it runs with interrupts off and no breakpoints.
 */
import { TrapezeError } from '../../base/errors.js';
import * as K from './abi.js';
import { needed } from './errors.js';
import * as L from './layout.js';
import { writeSegment } from './registers.js';
import { EINTR, type System } from './system.js';

/** Where the code stands while it runs: in RAM whatever the chipset says. */
const PLACE = 0x1000;
/** out 0x80, al: it is done. */
const DONE_PORT = 0x80;
const DONE = [0xe6, DONE_PORT];
/** Kicks and other exits that come in between. */
const TRIES = 1000;
const CR0_ET = 0x10n;
const RFLAGS_FIXED = 2n;
const SEGMENTS = 8;
/** Data, code; busy TR; no LDT. */
const DATA = { base: 0n, limit: 0xffff, attributes: 0x93, selector: 0 };
const CODE = { base: BigInt(PLACE), limit: 0xffff, attributes: 0x9b, selector: PLACE >> 4 };
const TASK = { ...DATA, attributes: 0x8b };
const NO_LDT = { ...DATA, attributes: 0x10082 };
/** By our order, ES CS SS DS FS GS LDTR TR. */
const REAL_MODE = [DATA, CODE, DATA, DATA, DATA, DATA, NO_LDT, TASK];

export interface AsideParts {
  readonly system: System;
  /** The vCPU's descriptor and kvm_run. Nothing may be owed to it. */
  readonly fd: number;
  readonly view: DataView;
  readonly run: () => number;
  /** GPA 0 first. */
  readonly ram: DataView;
  /** Nanoseconds. */
  readonly now: () => number;
}

/** The code ran between these, as near as can be told. */
export interface AsideTimes {
  readonly beforeNs: number;
  readonly afterNs: number;
}

/** What a short piece of code changes, and what it must not meet. */
const KEPT = [
  [K.IOCTL.GET_MP_STATE, K.IOCTL.SET_MP_STATE, 4],
  [K.IOCTL.GET_REGS, K.IOCTL.SET_REGS, L.REGS_SIZE],
  [K.IOCTL.GET_SREGS, K.IOCTL.SET_SREGS, L.SREGS_SIZE],
  [K.IOCTL.GET_VCPU_EVENTS, K.IOCTL.SET_VCPU_EVENTS, L.EVENTS_SIZE],
  [K.IOCTL.GET_DEBUGREGS, K.IOCTL.SET_DEBUGREGS, L.DEBUGREGS_SIZE],
] as const;

/** Throws TrapezeError where the code does not get to its end. */
export function runAside(parts: AsideParts, code: readonly number[]): AsideTimes {
  const { system, fd, ram } = parts;
  const kept = KEPT.map(([get, set, size]) => {
    const bytes = new Uint8Array(size);
    needed(system.ioctlData(fd, get, bytes), 'the state of a vCPU');
    return { set, bytes };
  });
  const bytes = [...code, ...DONE];
  const under = bytes.map((_, n) => ram.getUint8(PLACE + n));
  const put = (values: readonly number[]): void => {
    for (const [n, value] of values.entries()) ram.setUint8(PLACE + n, value);
  };
  put(bytes);
  const [, , { bytes: sregs }] = kept;
  enterRealMode(parts, sregs);
  try {
    return untilDone(parts);
  } finally {
    put(under);
    for (const { set, bytes: state } of kept) needed(system.ioctlData(fd, set, state), 'the state of a vCPU');
  }
}

function enterRealMode({ system, fd }: AsideParts, before: Uint8Array): void {
  const set = (request: number, view: DataView): number =>
    needed(system.ioctlData(fd, request, new Uint8Array(view.buffer)), 'the state of a vCPU');
  const runnable = new DataView(new ArrayBuffer(4));
  runnable.setUint32(0, K.MP_RUNNABLE, true);
  set(K.IOCTL.SET_MP_STATE, runnable);
  set(K.IOCTL.SET_DEBUGREGS, new DataView(new ArrayBuffer(L.DEBUGREGS_SIZE)));
  const sregs = new DataView(before.slice().buffer);
  for (let n = 0; n < SEGMENTS; n++) {
    writeSegment(sregs, L.SREGS_SEGMENT_ORDER[n] * L.SREGS_SEGMENT_SIZE, REAL_MODE[n]);
  }
  for (const register of [L.SREGS.CR3, L.SREGS.CR4, L.SREGS.EFER]) sregs.setBigUint64(register, 0n, true);
  sregs.setBigUint64(L.SREGS.CR0, CR0_ET, true);
  set(K.IOCTL.SET_SREGS, sregs);
  const registers = new DataView(new ArrayBuffer(L.REGS_SIZE));
  registers.setBigUint64(L.REGS_RFLAGS, RFLAGS_FIXED, true);
  set(K.IOCTL.SET_REGS, registers);
}

function untilDone({ view, run, now }: AsideParts): AsideTimes {
  for (let n = 0; n < TRIES; n++) {
    const beforeNs = now();
    const result = run();
    const afterNs = now();
    view.setUint8(L.RUN.IMMEDIATE_EXIT, 0);
    if (result < 0) {
      if (result === -EINTR) continue;
      break;
    }
    const isOut = view.getUint32(L.RUN.EXIT_REASON, true) === K.EXIT.IO;
    if (!isOut || view.getUint16(L.RUN.IO_PORT, true) !== DONE_PORT) continue;
    // The OUT retires.
    view.setUint8(L.RUN.IMMEDIATE_EXIT, 1);
    run();
    view.setUint8(L.RUN.IMMEDIATE_EXIT, 0);
    return { beforeNs, afterNs };
  }
  throw new TrapezeError('host-unsupported', "this host's KVM does not run the code that reads its 8254");
}
