/** What the engine asks of the operating system: files, ioctl, mapped memory, and signals that end KVM_RUN. */

export interface MappedMemory {
  readonly address: bigint;
  readonly buffer: ArrayBuffer;
}

export interface System {
  /** A file descriptor, or minus the error number. */
  open(path: string): number;
  close(fd: number): void;
  /** The answer, or minus the error number. */
  ioctl(fd: number, request: number, argument: number): number;
  /** The same ioctl with argument 0 again and again, as cheap as can be. */
  caller(fd: number, request: number): () => number;
  ioctlData(fd: number, request: number, argument: Uint8Array): number;
  /** Memory shared with the file's driver. Throws where it cannot be had. */
  map(fd: number, size: number): MappedMemory;
  unmap(address: bigint, size: number): void;
  addressOf(bytes: Uint8Array): bigint;
  /** This thread's own; another thread may ask `kick` for it. */
  threadId(): number;
  /** Sends `KICK_SIGNAL` to a thread of this process. */
  kick(threadId: number): void;
  /** Lets the signal into this thread, where it does nothing but end KVM_RUN. */
  admitKickSignal(): void;
  /** Writes one byte of this process's memory: what another thread has mapped. */
  poke(address: bigint, value: number): void;
  /** A timer that kicks this thread. */
  createTimer(): number;
  /** After so many nanoseconds, and then each `periodNs`; 0: not at all. */
  setTimer(timer: number, ns: number, periodNs: number): void;
  deleteTimer(timer: number): void;
  /** CLOCK_MONOTONIC in nanoseconds: the kernel's own times are on it. */
  monotonicTime(): number;
  /** Nanoseconds that this thread has run. */
  threadCpuTime(): number;
}

/** A real-time signal that neither Node nor its libraries use. signal(7), "Real-time signals". */
export const KICK_SIGNAL = 60;

/** errno(3). */
export const ENOENT = 2;
export const EINTR = 4;
export const EACCES = 13;
export const EPERM = 1;
export const EBUSY = 16;
export const EAGAIN = 11;
