/**
 * Asking the machine, with a replay log. An instruction that needs the machine records its request and leaves with
 * STATUS_EXIT before it has changed anything; the machine answers, the answer is appended to the log, and the same
 * instruction runs again from its start, taking the answers it already has in the same order.
 */
import {
  CPU_BASE,
  DIRECT,
  EXIT_ADDRESS,
  EXIT_KIND,
  EXIT_SIZE,
  EXIT_VALUE,
  LOG,
  LOG_CAPACITY,
  LOG_COUNT,
  LOG_CURSOR,
  STATUS,
  STATUS_EXIT,
} from '../../src/x86/state';

let lastAnswer: u64 = 0;

/**
 * The machine may be asked at once, by `env`. Only where nothing of the log is of this access: whether one is declined
 * does not depend on when it is made, so an instruction that runs again asks in the same way.
 */
// @ts-ignore: decorator
@inline export function isDirect(): bool {
  return load<i32>(CPU_BASE + DIRECT) != 0;
}

/**
 * 1 when the log holds the answer (then `answer()` tells it), 0 when the machine must be asked first: STATUS is then
 * STATUS_EXIT and the caller returns it.
 */
export function request(kind: i32, address: u64, size: i32, value: u64): i32 {
  const cursor = load<i32>(CPU_BASE + LOG_CURSOR);
  if (cursor >= LOG_CAPACITY) {
    // No sane instruction makes so many device accesses (an XSAVE into a device window would): reads see an open bus.
    lastAnswer = u64.MAX_VALUE;
    return 1;
  }
  if (cursor < load<i32>(CPU_BASE + LOG_COUNT)) {
    lastAnswer = load<u64>(CPU_BASE + LOG + (cursor << 3));
    store<i32>(CPU_BASE + LOG_CURSOR, cursor + 1);
    return 1;
  }
  store<i32>(CPU_BASE + EXIT_KIND, kind);
  store<i32>(CPU_BASE + EXIT_SIZE, size);
  store<u64>(CPU_BASE + EXIT_ADDRESS, address);
  store<u64>(CPU_BASE + EXIT_VALUE, value);
  store<i32>(CPU_BASE + STATUS, STATUS_EXIT);
  return 0;
}

/** What the machine answered to the last request that returned 1. */
export function answer(): u64 {
  return lastAnswer;
}
