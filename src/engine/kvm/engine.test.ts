// What needs no /dev/kvm: messages where it is missing, parts of exits, the slice timer, the choice of the engine.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TrapezeError } from '../../base/errors.js';
import * as K from './abi.js';
import { openKvm } from './engine.js';
import { OwedAnswer } from './exits.js';
import { RUN } from './layout.js';
import { createLeaseBuffer, Lease } from './lease.js';
import { chooseEngine, type KvmCapabilities } from './probe.js';
import { SliceTimer } from './slice-timer.js';
import { EACCES, EBUSY, ENOENT, type System } from './system.js';

const unused = (): never => assert.fail('not expected here');
const system = (parts: Partial<System>): System => ({
  open: unused,
  close: unused,
  ioctl: unused,
  caller: unused,
  ioctlData: unused,
  map: unused,
  unmap: unused,
  addressOf: unused,
  threadId: unused,
  kick: unused,
  admitKickSignal: unused,
  poke: unused,
  createTimer: unused,
  setTimer: unused,
  deleteTimer: unused,
  monotonicTime: unused,
  threadCpuTime: unused,
  ...parts,
});

test('a missing or unusable /dev/kvm is one sentence and exit code 2', () => {
  for (const [errno, words] of [
    [ENOENT, /has no \/dev\/kvm/],
    [EACCES, /may not open/],
    [EBUSY, /in use/],
    [5, /error 5/],
  ] as const) {
    assert.throws(
      () => openKvm(system({ open: () => -errno })),
      (error) =>
        error instanceof TrapezeError &&
        error.exitCode === 2 &&
        error.code === 'host-unsupported' &&
        words.test(error.message),
    );
  }
  let closed = 0;
  const old = system({
    open: () => 7,
    close: (fd) => {
      closed = fd;
    },
    ioctl: (_fd, request) => (request === K.IOCTL.GET_API_VERSION ? K.KVM_API_VERSION : 1),
  });
  assert.throws(() => openKvm(old), /lacks KVM_CAP_SYNC_REGS/);
  assert.equal(closed, 7);
});

test('one exit with many elements is asked one after the other', () => {
  const view = new DataView(new ArrayBuffer(8192));
  const owed = new OwedAnswer(view);
  view.setUint8(RUN.IO_SIZE, 2);
  view.setUint16(RUN.IO_PORT, 0x1f0, true);
  view.setUint32(RUN.IO_COUNT, 3, true);
  view.setUint32(RUN.IO_DATA_OFFSET, 4096, true);
  const question = { kind: 'pio-in', port: 0x1f0, size: 2 };
  assert.deepEqual(owed.ask(K.EXIT.IO), question);
  assert.deepEqual(owed.settle(0x1111n), question);
  assert.deepEqual(owed.settle(0x12222n), question);
  assert.equal(owed.settle(0x3333n), undefined);
  assert.equal(owed.settle(0x4444n), undefined);
  assert.deepEqual(
    [0, 2, 4, 6].map((n) => view.getUint16(4096 + n, true)),
    [0x1111, 0x2222, 0x3333, 0],
  );
});

test('a memory access of an odd size is asked byte by byte', () => {
  const view = new DataView(new ArrayBuffer(8192));
  const owed = new OwedAnswer(view);
  view.setBigUint64(RUN.MMIO_GPA, 0xd0000ffdn, true);
  view.setUint32(RUN.MMIO_LENGTH, 3, true);
  view.setUint8(RUN.MMIO_IS_WRITE, 1);
  for (let n = 0; n < 3; n++) view.setUint8(RUN.MMIO_DATA + n, 0xa0 + n);
  const asked = [owed.ask(K.EXIT.MMIO), owed.settle(0n), owed.settle(0n)];
  assert.deepEqual(
    asked,
    [0, 1, 2].map((n) => ({ kind: 'mmio-write', gpa: 0xd0000ffd + n, size: 1, value: BigInt(0xa0 + n) })),
  );
  assert.equal(owed.settle(0n), undefined);
});

test('a refused MSR says so to KVM', () => {
  const view = new DataView(new ArrayBuffer(8192));
  const owed = new OwedAnswer(view);
  view.setUint32(RUN.MSR_INDEX, 0x1b, true);
  assert.deepEqual(owed.ask(K.EXIT.X86_RDMSR), { kind: 'rdmsr', msr: 0x1b });
  assert.equal(owed.settle('refused'), undefined);
  assert.equal(view.getUint8(RUN.MSR_ERROR), 1);
});

test('the slice timer is set only where it would fire too late', () => {
  const set: number[] = [];
  let time = 1e9;
  const timer = new SliceTimer(
    system({
      createTimer: () => 3,
      setTimer: (_id, ns, periodNs) => {
        set.push(ns);
        assert.equal(periodNs > 0, ns > 0, 'a kick that is lost is followed by another');
      },
    }),
    () => time,
  );
  timer.arm(500_000);
  time += 100_000;
  timer.arm(500_000);
  assert.deepEqual(set, [500_000], 'it fires within the second slice');
  timer.arm(50_000);
  assert.deepEqual(set, [500_000, 50_000], 'a shorter slice');
  time += 60_000;
  timer.fired();
  assert.equal(timer.arm(500_000.5), 500_000);
  assert.deepEqual(set, [500_000, 50_000, 500_000.5]);
  timer.disarm();
  timer.arm(500_000);
  assert.deepEqual(set, [500_000, 50_000, 500_000.5, 0, 500_000], 'disarmed');
});

test('auto takes KVM where it is correct and native, and says why not elsewhere', () => {
  const good: KvmCapabilities = {
    ring0Ns: 0.3,
    ring3Ns: 0.3,
    compatibilityNs: 0.3,
    ring0Native: true,
    ring0Complete: true,
    syscall: true,
    softwareInterrupts: true,
    debugRegisters: true,
    cpuidMasking: true,
    paging32: true,
    splitIrqchip: true,
    kernelIrqchip: true,
  };
  const choice = (changes: Partial<KvmCapabilities>) =>
    chooseEngine({ usable: true, capabilities: { ...good, ...changes }, cpuid: [] });
  assert.equal(choice({}).engine, 'kvm');
  assert.equal(choice({ syscall: false }).engine, 'dbt');
  assert.match(choice({ syscall: false }).reason, /SYSCALL enters ring 0/);
  assert.match(choice({ ring0Native: false, ring0Ns: 500 }).reason, /500 ns/);
  assert.deepEqual(chooseEngine({ usable: false, problem: 'there is none; use --engine dbt' }), {
    engine: 'dbt',
    reason: 'there is none',
  });
});

test('a kick ends the next KVM_RUN too, and touches no memory that has been given back', () => {
  const done: string[] = [];
  const lease = new Lease(
    system({
      poke: (address, value) => void done.push(`poke ${address} ${value}`),
      kick: (thread) => void done.push(`kick ${thread}`),
      unmap: () => void done.push('unmap'),
    }),
    createLeaseBuffer(),
  );
  lease.kick();
  assert.deepEqual(done, [], 'there is nothing yet');
  lease.mapped(0x7f0000001000n, 0x3000);
  lease.thread = 17;
  lease.kick();
  lease.release();
  lease.kick();
  assert.deepEqual(done, [`poke ${0x7f0000001000n + BigInt(RUN.IMMEDIATE_EXIT)} 1`, 'kick 17', 'unmap']);
});
