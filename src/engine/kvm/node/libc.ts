/**
 * The C library of this process through koffi. Loaded only when the engine is asked for; a host without koffi or of
 * another kind never gets here. Raw system calls where C libraries differ; their numbers are x86-64's.
 */
import { createRequire } from 'node:module';
import { TrapezeError } from '../../../base/errors.js';
import { KICK_SIGNAL, type System } from '../system.js';

const SYS = {
  RT_SIGPROCMASK: 14,
  GETTID: 186,
  TIMER_CREATE: 222,
  TIMER_SETTIME: 223,
  TIMER_DELETE: 226,
  CLOCK_GETTIME: 228,
  TGKILL: 234,
} as const;
/** open(2), mmap(2), rt_sigprocmask(2), timer_create(2). */
const O_RDWR_CLOEXEC = 0x80002;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const SIG_UNBLOCK = 1;
/** A function of the C library that takes a number and does nothing: what a kick runs. */
const NO_OPERATION = 'abs';
const CLOCK_MONOTONIC = 1;
const CLOCK_THREAD_CPUTIME_ID = 3;
const SIGEV_THREAD_ID = 4;
const SIGSET_SIZE = 8;
const MAP_FAILED = 0xffffffffffffffffn;

type Int = number | bigint;
type Pointer = bigint | Uint8Array | null;

/** The parts of koffi that are used. */
interface Koffi {
  load(path: string | null): { func(prototype: string): unknown };
  address(buffer: Uint8Array): bigint;
  view(address: bigint, size: number): ArrayBuffer;
  errno(): number;
}

let loaded: System | undefined;

/** The host's libc; throws TrapezeError with one sentence where there is none. One for all: V8 then knows whom it calls. */
export function loadSystem(): System {
  loaded ??= load();
  return loaded;
}

function load(): System {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw unsupported(`the kvm engine needs Linux on x86-64, this is ${process.platform} on ${process.arch}`);
  }
  let koffi: Koffi;
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi;
  } catch (cause) {
    throw unsupported('the kvm engine needs the optional package koffi, which is not installed', cause);
  }
  return systemOf(koffi);
}

function unsupported(what: string, cause?: unknown): TrapezeError {
  return new TrapezeError('host-unsupported', `${what}; use --engine dbt`, undefined, { cause });
}

function systemOf(koffi: Koffi): System {
  const library = koffi.load(null);
  // Prototypes without `...`: the same registers on this processor's calling convention, and cheaper.
  const f = {
    open: library.func('int open(const char *path, int flags)') as (path: string, flags: number) => number,
    close: library.func('int close(int fd)') as (fd: number) => number,
    ioctl: library.func('int ioctl(int fd, unsigned long request, uintptr_t argument)') as (
      fd: number,
      request: number,
      argument: number,
    ) => number,
    // The same where everything fits, which is cheaper.
    ioctlSmall: library.func('int ioctl(int fd, int request, int argument)') as (
      fd: number,
      request: number,
      argument: number,
    ) => number,
    ioctlData: library.func('int ioctl(int fd, unsigned long request, void *argument)') as (
      fd: number,
      request: number,
      argument: Uint8Array,
    ) => number,
    mmap: library.func('uintptr_t mmap(uintptr_t at, size_t size, int prot, int flags, int fd, long offset)') as (
      at: Int,
      size: number,
      prot: number,
      flags: number,
      fd: number,
      offset: number,
    ) => Int,
    munmap: library.func('int munmap(uintptr_t at, size_t size)') as (at: Int, size: number) => number,
    dlsym: library.func('uintptr_t dlsym(uintptr_t library, const char *name)') as (
      library: number,
      name: string,
    ) => Int,
    signal: library.func('uintptr_t signal(int number, uintptr_t handler)') as (number: number, handler: Int) => Int,
    call: library.func('long syscall(long number, long a, long b, long c, long d)') as (
      number: number,
      a: Int,
      b: Int,
      c: Int,
      d: Int,
    ) => Int,
    callPointers: library.func('long syscall(long number, long a, void *b, void *c, long d)') as (
      number: number,
      a: Int,
      b: Pointer,
      c: Pointer,
      d: Int,
    ) => Int,
    setTimer: library.func('long syscall(long number, long a, long b, void *c, void *d)') as (
      number: number,
      timer: number,
      flags: number,
      time: Uint8Array,
      old: null,
    ) => Int,
    clock: library.func('long syscall(long number, long clock, void *time)') as (
      number: number,
      clock: number,
      time: Uint8Array,
    ) => Int,
    memset: library.func('uintptr_t memset(uintptr_t at, int value, size_t size)') as (
      at: bigint,
      value: number,
      size: number,
    ) => Int,
  };
  const signalSet = new Uint8Array(new BigUint64Array([1n << BigInt(KICK_SIGNAL - 1)]).buffer);
  // struct itimerspec: period, then time, each of seconds and nanoseconds as u64: here as low and high halves.
  const time = new Uint32Array(8);
  const timeBytes = new Uint8Array(time.buffer);
  // struct timespec: seconds, nanoseconds.
  const clockTime = new BigInt64Array(2);
  const clockBytes = new Uint8Array(clockTime.buffer);
  const read = (clock: number): number => {
    f.clock(SYS.CLOCK_GETTIME, clock, clockBytes);
    return Number(clockTime[0]) * 1e9 + Number(clockTime[1]);
  };
  const answer = (value: number): number => (value < 0 ? -koffi.errno() : value);

  return {
    open: (path) => answer(f.open(path, O_RDWR_CLOEXEC)),
    close: (fd) => void f.close(fd),
    ioctl: (fd, request, argument) => answer(f.ioctl(fd, request, argument)),
    caller(fd, request) {
      const ioctl = f.ioctlSmall;
      return () => {
        const value = ioctl(fd, request, 0);
        return value < 0 ? -koffi.errno() : value;
      };
    },
    ioctlData: (fd, request, argument) => answer(f.ioctlData(fd, request, argument)),
    map(fd, size) {
      const address = BigInt(f.mmap(0, size, PROT_READ_WRITE, MAP_SHARED, fd, 0));
      if (BigInt.asUintN(64, address) === MAP_FAILED) throw unsupported(`mmap failed with error ${koffi.errno()}`);
      return { address, buffer: koffi.view(address, size) };
    },
    unmap: (address, size) => void f.munmap(address, size),
    addressOf: (bytes) => koffi.address(bytes),
    threadId: () => Number(f.call(SYS.GETTID, 0, 0, 0, 0)),
    kick: (threadId) => void f.call(SYS.TGKILL, process.pid, threadId, KICK_SIGNAL, 0),
    admitKickSignal() {
      // A signal that is ignored ends no system call. What signal() sets goes on with most others by itself; KVM_RUN always ends.
      f.signal(KICK_SIGNAL, f.dlsym(0, NO_OPERATION));
      f.callPointers(SYS.RT_SIGPROCMASK, SIG_UNBLOCK, signalSet, null, SIGSET_SIZE);
    },
    poke: (address, value) => void f.memset(address, value, 1),
    createTimer() {
      // struct sigevent: value u64, signal i32, kind i32, thread i32.
      const event = new Int32Array(16);
      event[2] = KICK_SIGNAL;
      event[3] = SIGEV_THREAD_ID;
      event[4] = Number(f.call(SYS.GETTID, 0, 0, 0, 0));
      const id = new Int32Array(1);
      const done = f.callPointers(
        SYS.TIMER_CREATE,
        CLOCK_MONOTONIC,
        new Uint8Array(event.buffer),
        new Uint8Array(id.buffer),
        0,
      );
      if (Number(done) < 0) throw unsupported(`timer_create failed with error ${koffi.errno()}`);
      return id[0];
    },
    setTimer(timer, ns, periodNs) {
      time[0] = Math.floor(periodNs / 1e9);
      time[2] = Math.floor(periodNs % 1e9);
      time[4] = Math.floor(ns / 1e9);
      time[6] = Math.floor(ns % 1e9);
      f.setTimer(SYS.TIMER_SETTIME, timer, 0, timeBytes, null);
    },
    monotonicTime: () => read(CLOCK_MONOTONIC),
    threadCpuTime: () => read(CLOCK_THREAD_CPUTIME_ID),
    deleteTimer: (timer) => void f.call(SYS.TIMER_DELETE, timer, 0, 0, 0),
  };
}
