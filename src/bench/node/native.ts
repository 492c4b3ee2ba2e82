/**
 * The loops that a process may run itself, on the host's processor; and how fast its time-stamp counter goes by the host's
 * clock. Machine code in memory of our own, called through koffi, which is optional.
 */
import { createRequire } from 'node:module';
import { Code } from '../code.js';
import { CALLEE, type Cost, emitNativeLoop, emitReadTsc } from '../costs.js';

interface Koffi {
  load(path: string | null): { func(prototype: string): unknown };
  proto(prototype: string): unknown;
  call(pointer: bigint, type: unknown, ...values: readonly (number | bigint)[]): number | bigint;
  view(address: bigint, size: number): ArrayBuffer;
}

type Int = number | bigint;

const [PROT_READ_WRITE, PROT_READ_EXEC] = [3, 5];
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_FAILED = 0xffffffffffffffffn;
const PAGE = 4096;

export interface Native {
  tsc(): bigint;
  /** Ticks of the loop, the empty one or the measured one. */
  run(name: string, withOperation: boolean, turns: number): number;
}

/** Undefined where the host is not Linux on x86-64, or lacks koffi, or refuses memory for code. */
export function openNative(costs: readonly Cost[]): Native | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  let koffi: Koffi;
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi;
  } catch {
    return undefined;
  }
  const library = koffi.load(null);
  const mmap = library.func('uintptr_t mmap(uintptr_t at, size_t size, int prot, int flags, int fd, long offset)') as (
    ...values: readonly Int[]
  ) => Int;
  const mprotect = library.func('int mprotect(uintptr_t at, size_t size, int prot)') as (
    ...values: readonly Int[]
  ) => number;

  const code = new Code(0);
  emitReadTsc(code.label('tsc')).op('ret', 0xc3);
  code.align(16).label(CALLEE).op('ret', 0xc3);
  for (const cost of costs) {
    if (cost.native === undefined) continue;
    emitNativeLoop(code, `${cost.name} empty`, cost, false);
    emitNativeLoop(code, `${cost.name} full`, cost, true);
  }
  const bytes = code.finish();
  const codeSize = Math.ceil(bytes.length / PAGE) * PAGE;
  const base = BigInt(mmap(0, codeSize + PAGE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0));
  if (BigInt.asUintN(64, base) === MAP_FAILED) return undefined;
  new Uint8Array(koffi.view(base, codeSize)).set(bytes);
  if (mprotect(base, codeSize, PROT_READ_EXEC) !== 0) return undefined;
  const memory = base + BigInt(codeSize);
  const readTsc = koffi.proto('uint64_t trapeze_tsc(void)');
  const loop = koffi.proto('uint64_t trapeze_loop(uint64_t turns, uintptr_t memory)');
  const at = (label: string): bigint => base + BigInt(code.addressOf(label));
  return {
    tsc: () => BigInt(koffi.call(at('tsc'), readTsc)),
    run: (name, withOperation, turns) =>
      Number(koffi.call(at(`${name} ${withOperation ? 'full' : 'empty'}`), loop, turns, memory)),
  };
}
