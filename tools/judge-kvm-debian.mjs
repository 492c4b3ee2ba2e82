// Debian's cloud kernel and busybox under engine kvm: to the shell, some commands, power off.
//   node tools/judge-kvm-debian.mjs [--slow] [--irqchip machine|split|kernel] [--minutes N] [--log]
// Where the host's KVM emulates ring 0 this takes many minutes; there the kernel is told to leave away what such a host gets
// wrong (a processor's features that CPUID shows although the guest was to have none of them) or what takes longest.
import { parseArgs } from 'node:util';
import { inspectEngines, Machine } from '../dist/node.js';
import { openGuestFile } from '../test/guest/files.mjs';

const COMMANDS = [
  ['echo $((6*7))ok', '42ok'],
  ['uname -r | cut -d. -f1', '6'],
  ['cat /proc/self/status | grep -c ^Name', '1'],
  ['seq 1 200 | tail -n 1', '200'],
];
/** CPUID bits by the kernel's numbers: SMAP POPCNT CLWB INVPCID ERMS FSRM CX16 PCID SSSE3 AVX AVX2 SHA AES PCLMUL SSE4 BMI ... */
const HIDDEN = '308,151,312,298,297,580,141,145,137,156,293,317,153,129,147,148,291,296,304,150,534';
/**
 * Without XSAVE the kernel does not keep wide vectors apart for processes. Ring 3 may use them all the same, since the
 * processor's CPUID says so there: the C library must be told, by a variable that the kernel hands on to init.
 */
const NARROW =
  'GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX512CD,-ERMS,-FSRM';
const EMULATED = [
  ...['earlyprintk=ttyS0', 'nokaslr', 'noxsave', 'nopti', 'mitigations=off', 'io_delay=none', 'no_timer_check'],
  ...[
    'tsc=reliable',
    'nowatchdog',
    'audit=0',
    'cryptomgr.notests=1',
    'random.trust_cpu=on',
    `clearcpuid=${HIDDEN}`,
    NARROW,
  ],
];

const { values: options } = parseArgs({
  options: {
    irqchip: { type: 'string', default: 'machine' },
    minutes: { type: 'string', default: '60' },
    log: { type: 'boolean', default: false },
    slow: { type: 'boolean', default: false },
  },
});
const kvm = inspectEngines().engines.find(({ name }) => name === 'kvm');
if (!kvm.usable) {
  console.log(`kvm-debian: skipped, ${kvm.problem}`);
  process.exit(0);
}
const has = (name) => kvm.capabilities.find((capability) => capability.name === name).has;
const isNative = has('ring0Native') && has('cpuidMasking');
if (!isNative && !options.slow) {
  console.log('kvm-debian: skipped, this host lacks "ring 0 runs natively"; --slow runs it all the same');
  process.exit(0);
}

const machine = new Machine({
  kernel: await openGuestFile('vmlinux'),
  kernelName: 'vmlinux',
  modules: [{ data: await openGuestFile('initrd.cpio'), args: '', name: 'initrd' }],
  append: ['console=ttyS0', 'panic=-1', ...(isNative ? [] : EMULATED)].join(' '),
  memoryBytes: 128 << 20,
  engine: 'kvm',
  irqchip: options.irqchip,
  noReboot: true,
  timeoutMs: Number(options.minutes) * 60_000,
  stats: true,
});
let text = '';
let wake = () => undefined;
const started = performance.now();
const seconds = () => ((performance.now() - started) / 1000).toFixed(0);
machine.on('serial', (bytes) => {
  const piece = Buffer.from(bytes).toString('latin1');
  text += piece;
  if (options.log) process.stdout.write(piece);
  wake();
});
const ended = machine.run();
let result;
ended.then(
  (value) => {
    result = value;
    wake();
  },
  (error) => {
    result = error;
    wake();
  },
);

/** True when the guest has said it. */
async function says(pattern) {
  while (!pattern.test(text)) {
    if (result !== undefined) return false;
    await new Promise((resolve) => {
      wake = resolve;
    });
  }
  return true;
}

let wrong = 0;
const check = (isRight, what) => {
  if (!isRight) wrong++;
  console.log(`${isRight ? 'right' : 'WRONG'} after ${seconds()} s: ${what}`);
};
// busybox asks where the cursor is.
const PROMPT = '# (\\x1b\\[6n)?$';
check(await says(new RegExp(PROMPT)), 'the shell is there');
for (const [command, answer] of COMMANDS) {
  if (result !== undefined) break;
  text = '';
  machine.write(Buffer.from(`${command}\r`));
  check(await says(new RegExp(`\\n${answer}\\r?\\n[^]*${PROMPT}`)), command);
}
if (result === undefined) machine.write(Buffer.from('poweroff -f\r'));
await ended.catch(() => undefined);
check(result?.reason === 'power-off', `the end: ${result?.reason ?? result?.message}`);
console.log(JSON.stringify({ ...result?.statistics?.['VM exits'], ...result?.statistics?.fallback }));
console.log(`${wrong} wrong, irqchip ${options.irqchip}, ${seconds()} s`);
process.exitCode = wrong === 0 ? 0 : 1;
