/**
 * What a vCPU thread has taken from the operating system, in words that another thread can read: a thread that is
 * terminated runs no clean-up of its own, so whoever started it gives everything back.
 *
 *   i32 words: 0 /dev/kvm, 1 VM, 2 vCPU (descriptor + 1)   3 timer + 1   4, 5 address of kvm_run   6 its size   7 thread
 *              8 how many threads write into kvm_run just now
 */
import { RUN } from './layout.js';
import type { System } from './system.js';

const DESCRIPTORS = [2, 1, 0] as const;
const KVM = 0;
const VM = 1;
const VCPU = 2;
const TIMER = 3;
const RUN_ADDRESS = 4;
const RUN_SIZE = 6;
const THREAD = 7;
const KICKING = 8;
const WORDS = 10;

export function createLeaseBuffer(): SharedArrayBuffer {
  return new SharedArrayBuffer(WORDS * 4);
}

/** True while something is to be given back. */
export function isLeased(buffer: SharedArrayBuffer): boolean {
  return new Int32Array(buffer, 0, WORDS).some((word) => word !== 0);
}

export class Lease {
  private readonly words: Int32Array;
  private readonly system: System;

  constructor(system: System, buffer: SharedArrayBuffer = createLeaseBuffer()) {
    this.system = system;
    this.words = new Int32Array(buffer, 0, WORDS);
  }

  set kvm(fd: number) {
    Atomics.store(this.words, KVM, fd + 1);
  }
  set vm(fd: number) {
    Atomics.store(this.words, VM, fd + 1);
  }
  set vcpu(fd: number) {
    Atomics.store(this.words, VCPU, fd + 1);
  }
  set timer(id: number) {
    Atomics.store(this.words, TIMER, id + 1);
  }
  set thread(id: number) {
    Atomics.store(this.words, THREAD, id);
  }
  mapped(address: bigint, size: number): void {
    this.address[0] = address;
    Atomics.store(this.words, RUN_SIZE, size);
  }

  /** Ends the thread's KVM_RUN, or the next one: a signal that comes just before it is lost. */
  kick(): void {
    const { words, system } = this;
    Atomics.add(words, KICKING, 1);
    if (Atomics.load(words, RUN_SIZE) !== 0) system.poke(this.address[0] + BigInt(RUN.IMMEDIATE_EXIT), 1);
    Atomics.sub(words, KICKING, 1);
    const thread = Atomics.load(words, THREAD);
    if (thread !== 0) system.kick(thread);
  }

  private get address(): BigUint64Array {
    return new BigUint64Array(this.words.buffer, RUN_ADDRESS * 4, 1);
  }

  /** Gives everything back; once, however often it is called. Not while the thread still runs its vCPU. */
  release(): void {
    const { words, system } = this;
    const timer = Atomics.exchange(words, TIMER, 0);
    if (timer !== 0) system.deleteTimer(timer - 1);
    const size = Atomics.exchange(words, RUN_SIZE, 0);
    // Whoever was quicker has a few instructions left.
    while (Atomics.load(words, KICKING) !== 0);
    if (size !== 0) system.unmap(this.address[0], size);
    this.address[0] = 0n;
    for (const word of DESCRIPTORS) {
      const fd = Atomics.exchange(words, word, 0);
      if (fd !== 0) system.close(fd - 1);
    }
    Atomics.store(words, THREAD, 0);
  }
}
