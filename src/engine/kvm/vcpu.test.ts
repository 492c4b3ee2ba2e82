// The vCPU against a KVM that is played here: what a host must not be trusted with, and what hosts are too fast to show.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VmEntry, VmExit } from '../engine.js';
import * as K from './abi.js';
import { InterruptPace } from './interrupt-pace.js';
import { EVENTS, RUN, SREGS } from './layout.js';
import type { SyscallRepair } from './syscall-repair.js';
import { EINTR, type System } from './system.js';
import { KvmVcpu } from './vcpu.js';

const RUN_SIZE = 0x1000;
const VECTOR = 0xec;
const entry: VmEntry = { answer: 0n, vector: undefined, requestInterruptWindow: false, sliceNs: 1e6 };

/** A vCPU whose KVM_RUN is `kvmRun`. */
function played(kvmRun: (view: DataView) => number, setTimer: System['setTimer'] = () => undefined): KvmVcpu {
  const unused = (): never => assert.fail('not expected here');
  const run = new ArrayBuffer(RUN_SIZE);
  const view = new DataView(run);
  const system: System = {
    open: unused,
    close: unused,
    ioctl: unused,
    caller: () => () => kvmRun(view),
    ioctlData: () => 0,
    map: unused,
    unmap: unused,
    addressOf: unused,
    threadId: unused,
    kick: unused,
    admitKickSignal: () => undefined,
    poke: unused,
    createTimer: () => 1,
    setTimer,
    deleteTimer: unused,
    monotonicTime: unused,
    threadCpuTime: unused,
  };
  return new KvmVcpu(
    3,
    run,
    system,
    () => 0,
    () => 0,
    undefined,
  );
}

function exit(view: DataView, reason: number): number {
  view.setUint32(RUN.EXIT_REASON, reason, true);
  return 0;
}

test('an interrupt that KVM once had in flight is not injected again with the segment registers', () => {
  const bitmap = RUN.SREGS + SREGS.INTERRUPT_BITMAP + (VECTOR >> 3);
  let told = -1;
  let first = true;
  const vcpu = played((view) => {
    if (view.getUint8(RUN.IMMEDIATE_EXIT) === 1) {
      view.setUint8(bitmap, 1 << (VECTOR & 7));
      return -EINTR;
    }
    if (first) {
      first = false;
      return exit(view, K.EXIT.DEBUG);
    }
    assert.notEqual(Number(view.getBigUint64(RUN.DIRTY_REGS, true)) & K.SYNC_SREGS, 0);
    told = view.getUint8(bitmap);
    return exit(view, K.EXIT.HLT);
  });
  vcpu.syscall = { repair: () => true } as SyscallRepair;
  assert.deepEqual(vcpu.run(entry), { kind: 'hlt' });
  assert.equal(told, 0);
});

test('after an interrupt a slow guest gets three times as long as its handler took', () => {
  let cpuNs = 0;
  const requests: number[] = [];
  let reason: number = K.EXIT.IRQ_WINDOW_OPEN;
  const vcpu = played((view) => {
    requests.push(view.getUint8(RUN.REQUEST_INTERRUPT_WINDOW));
    view.setUint8(RUN.READY_FOR_INTERRUPT, 1);
    view.setUint8(RUN.EVENTS + EVENTS.INTERRUPT_INJECTED, 0);
    if (reason === K.EXIT.INTR) return -EINTR;
    const now = reason;
    reason = K.EXIT.INTR;
    cpuNs += 2e6;
    return exit(view, now);
  });
  vcpu.pace = new InterruptPace(() => cpuNs);
  // Nobody else asks for the window, but its opening is when the handler has ended.
  assert.equal(vcpu.run({ ...entry, vector: VECTOR }).kind, 'preempted');
  assert.deepEqual(requests, [1, 0]);
  assert.equal(vcpu.interruptible, false);
  assert.equal(vcpu.run({ ...entry, requestInterruptWindow: true }).kind, 'preempted');
  assert.equal(requests.at(-1), 0);
  cpuNs += 6e6 - 1;
  assert.equal(vcpu.interruptible, false);
  cpuNs += 1;
  assert.equal(vcpu.interruptible, true);
  reason = K.EXIT.IRQ_WINDOW_OPEN;
  assert.equal(vcpu.run({ ...entry, requestInterruptWindow: true }).kind, 'interrupt-window');
  assert.equal(requests.at(-1), 1);
});

test('a guest that halts takes its next interrupt at once', () => {
  let cpuNs = 0;
  const pace = new InterruptPace(() => cpuNs);
  pace.injected();
  assert.equal(pace.isMeasuring, true);
  cpuNs += 1e6;
  pace.windowOpened();
  assert.equal(pace.isMeasuring, false);
  assert.equal(pace.isHeld, true);
  pace.idle();
  assert.equal(pace.isHeld, false);
  // Somebody has kept interrupts disabled for long: not all of that was the handler.
  pace.injected();
  cpuNs += 1e9;
  pace.windowOpened();
  cpuNs += 15e6;
  assert.equal(pace.isHeld, false);
});

test('an entry after a byte out looks at nothing that has not changed, and at all that has', () => {
  const seen: string[] = [];
  let next: () => number = () => -EINTR;
  const vcpu = played(
    (view) => {
      seen.push(`run ${view.getUint8(RUN.REQUEST_INTERRUPT_WINDOW)} ${view.getBigUint64(RUN.DIRTY_REGS, true)}`);
      view.setBigUint64(RUN.DIRTY_REGS, 0n, true);
      view.setUint32(RUN.IO_DIRECTION, (0x3f8 << 16) | (1 << 8) | K.IO_OUT, true);
      view.setUint32(RUN.IO_COUNT, 1, true);
      view.setUint32(RUN.IO_DATA_OFFSET, 0x800, true);
      view.setUint8(0x800, 0x41);
      return next();
    },
    (_timer, ns) => void seen.push(`timer ${ns}`),
  );
  const run = (changes: Partial<VmEntry>, result: () => number): VmExit => {
    next = result;
    return vcpu.run({ ...entry, ...changes });
  };
  const out = (): number => exit(vcpu.view, K.EXIT.IO);
  const byte = { kind: 'pio-out', port: 0x3f8, size: 1, value: 0x41 };
  assert.deepEqual(run({}, out), byte);
  assert.deepEqual(run({}, out), byte);
  assert.deepEqual(run({ sliceNs: 1.5e6 }, out), byte);
  assert.deepEqual(run({ sliceNs: 5e5 }, out), byte);
  assert.deepEqual(run({ requestInterruptWindow: true }, out), byte);
  assert.deepEqual(run({}, out), byte);
  assert.deepEqual(run({ vector: VECTOR }, out), byte);
  assert.deepEqual(seen, [
    ...['timer 1000000', 'run 0 0', 'run 0 0', 'run 0 0', 'timer 500000', 'run 0 0'],
    ...['run 1 0', 'run 0 0', `run 0 ${K.SYNC_EVENTS}`],
  ]);
  seen.length = 0;
  // Other exits are answered, and one that a kick has brought clears its mark and arms the timer again.
  assert.equal(run({}, () => exit(vcpu.view, K.EXIT.HLT)).kind, 'hlt');
  assert.deepEqual(run({}, out), byte);
  vcpu.view.setUint8(RUN.IMMEDIATE_EXIT, 1);
  assert.equal(run({}, () => -EINTR).kind, 'preempted');
  assert.equal(vcpu.view.getUint8(RUN.IMMEDIATE_EXIT), 0);
  assert.deepEqual(run({}, out), byte);
  assert.deepEqual(seen, ['run 0 0', 'timer 0', 'timer 1000000', 'run 0 0', 'run 0 0', 'timer 1000000', 'run 0 0']);
  assert.deepEqual(vcpu.statistics()['KVM exits'], { IO: 9, HLT: 1, INTR: 1 });
});
