/**
 * SYSCALL on hosts whose KVM leaves ring 3 in name only: RCX, R11, RIP and RFLAGS are as after SYSCALL, but the processor is
 * still in ring 3 and faults at the first instruction of the kernel's entry. The page fault handler runs in ring 0, which such
 * hosts emulate, and there a breakpoint of ours is seen: the fault that SYSCALL made is taken back, and what SYSCALL leaves
 * undone is done. Other faults go on into the handler. SDM Vol. 2B, "SYSCALL—Fast System Call".
 */
import * as K from './abi.js';
import { needed } from './errors.js';
import * as L from './layout.js';
import * as R from './registers.js';
import type { System } from './system.js';

const STAR = 0xc0000081;
const LSTAR = 0xc0000082;
export const SYSCALL_MSRS: readonly [number, number] = [STAR, 2];
const PAGE_FAULT = 14;
/** Of a page fault's error code: ring 3. SDM Vol. 3A, "Page-Fault Exceptions". */
const USER = 4n;
const RF = 0x10000n;
const EFER_SCE = 1n;
/** KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_USE_HW_BP; DR7: breakpoint 0, global, at instructions. */
const DEBUG_BREAKPOINT = 0x20001;
const DR7_BREAKPOINT = 0x402n;
/** Page table entries. SDM Vol. 3A, "4-Level Paging". */
const [PRESENT, LARGE, FRAME] = [1n, 0x80n, 0x000ffffffffff000n];
/** 64-bit code and data of ring 0 as SYSCALL loads them: type, DPL, DB, L. */
const [CODE, DATA] = [11, 3];
const [RSP_PLACE, RCX_PLACE] = [6, 2];
const [CS_PLACE, SS_PLACE] = [0, 5];

export class SyscallRepair {
  private readonly system: System;
  private readonly fd: number;
  private readonly view: DataView;
  /** Guest memory, GPA 0 first. */
  private readonly ram: DataView;
  private star = 0n;
  private lstar = 0n;
  private handler = 0n;
  repaired = 0;

  constructor(system: System, fd: number, view: DataView, ram: DataView) {
    this.system = system;
    this.fd = fd;
    this.view = view;
    this.ram = ram;
  }

  /** The guest has written one of SYSCALL_MSRS, or a load has. */
  written(msr: number, value: bigint): void {
    if (msr === STAR) this.star = value;
    else if (msr === LSTAR) this.lstar = value;
  }

  /** Looks where the page fault handler is; kvm_run holds all registers. */
  follow(): void {
    const u64 = (offset: number): bigint => this.view.getBigUint64(L.RUN.SREGS + offset, true);
    if (this.lstar === 0n || (u64(L.SREGS.EFER) & EFER_SCE) === 0n) return;
    const gate = this.peek(u64(L.SREGS.IDT) + BigInt(16 * PAGE_FAULT), 16);
    if (gate === undefined) return;
    const low = BigInt(gate.getUint16(0, true)) | (BigInt(gate.getUint16(6, true)) << 16n);
    const handler = low | (BigInt(gate.getUint32(8, true)) << 32n);
    if (handler === this.handler) return;
    this.handler = handler;
    const debug = new DataView(new ArrayBuffer(L.GUEST_DEBUG_SIZE));
    debug.setUint32(0, DEBUG_BREAKPOINT, true);
    debug.setBigUint64(L.GUEST_DEBUG_REGISTERS, handler, true);
    debug.setBigUint64(L.GUEST_DEBUG_REGISTERS + 8 * 7, DR7_BREAKPOINT, true);
    const bytes = new Uint8Array(debug.buffer);
    needed(this.system.ioctlData(this.fd, K.IOCTL.SET_GUEST_DEBUG, bytes), 'KVM_SET_GUEST_DEBUG');
  }

  /**
   * The guest stands before the first instruction of its page fault handler, and kvm_run holds all registers. True: it was
   * SYSCALL, and the registers in kvm_run are now those behind it.
   */
  repair(): boolean {
    const { view } = this;
    const register = (place: number): bigint => view.getBigUint64(L.RUN.REGS + 8 * place, true);
    const frame = this.peek(register(RSP_PLACE), 48);
    if (frame === undefined) return false;
    const [error, rip, cs, rflags, rsp] = [0, 8, 16, 24, 32].map((at) => frame.getBigUint64(at, true));
    const cr2 = view.getBigUint64(L.RUN.SREGS + L.SREGS.CR2, true);
    const isFetch = rip === this.lstar && cr2 === this.lstar && (error & USER) !== 0n && (cs & 3n) === 3n;
    if (!isFetch || this.peek(register(RCX_PLACE) - 2n, 2)?.getUint16(0, true) !== 0x050f) return false;
    view.setBigUint64(L.RUN.REGS + 8 * RSP_PLACE, rsp, true);
    view.setBigUint64(L.RUN.REGS + L.REGS_RIP, this.lstar, true);
    view.setBigUint64(L.RUN.REGS + L.REGS_RFLAGS, rflags & ~RF, true);
    const selector = Number((this.star >> 32n) & 0xfffcn);
    this.segment(CS_PLACE, selector, CODE);
    this.segment(SS_PLACE, selector + 8, DATA);
    this.repaired++;
    return true;
  }

  private segment(place: number, selector: number, type: number): void {
    const attributes = type | 0x8090 | (type === CODE ? 0x2000 : 0x4000);
    const at = L.RUN.SREGS + place * L.SREGS_SEGMENT_SIZE;
    R.writeSegment(this.view, at, { base: 0n, limit: 0xffffffff, attributes, selector });
  }

  /** Guest memory at a linear address, within one page and whoever may read it; undefined where it is not mapped. */
  private peek(linear: bigint, length: number): DataView | undefined {
    const { ram } = this;
    if (Number(linear & 0xfffn) + length > 0x1000) return undefined;
    let entry = this.view.getBigUint64(L.RUN.SREGS + L.SREGS.CR3, true);
    for (let shift = 39n; shift >= 12n; shift -= 9n) {
      const at = (entry & FRAME) + ((linear >> shift) & 511n) * 8n;
      if (at + 8n > BigInt(ram.byteLength)) return undefined;
      entry = ram.getBigUint64(Number(at), true);
      if ((entry & PRESENT) === 0n) return undefined;
      const isLast = shift === 12n || (shift < 39n && (entry & LARGE) !== 0n);
      if (!isLast) continue;
      const inside = (1n << shift) - 1n;
      const gpa = (entry & FRAME & ~inside) | (linear & inside);
      if (gpa + BigInt(length) > BigInt(ram.byteLength)) return undefined;
      return new DataView(ram.buffer, ram.byteOffset + Number(gpa), length);
    }
    return undefined;
  }
}
