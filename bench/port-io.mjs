// What a port-I/O exit of the kvm engine costs, beside the same loop around KVM_RUN in C: on the same vCPU; with a VM of C's own
// in the same thread, which need not be able to leave KVM_RUN; and in a program of its own.
//   node bench/port-io.mjs [--exits N] [--rounds N] [--json]
// A busy host makes exits dearer for all of them. So rounds are short and take turns, and what counts is CPU time: the median
// of the differences between neighbours. That C differs from itself by nothing shows what the method is worth. The program
// may run on another processor, with other neighbours: it is shown, and judged is what runs in this thread.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { kvm, makeEngine } from '../test/engine/engines.mjs';
import { initialState } from '../test/engine/guest.mjs';

const RAM_BYTES = 512 << 10;
const CODE = 0x7c00;
/** mov dx, 0x3f8; again: out dx, al; jmp again */
const GUEST = Uint8Array.of(0xba, 0xf8, 0x03, 0xee, 0xeb, 0xfd);
/** What the TypeScript side may cost more, nanoseconds of CPU time. */
const GOAL_NS = 500;
/** The compiler has seen everything after these. */
const WARM_ROUNDS = 100;

const { values: options } = parseArgs({
  options: {
    exits: { type: 'string', default: '200' },
    rounds: { type: 'string', default: '1000' },
    json: { type: 'boolean', default: false },
  },
});
if (!kvm.usable) {
  console.log(`port-io: skipped, ${kvm.problem}`);
  process.exit(0);
}
const exits = Number(options.exits);

function realModeGuest() {
  const guest = makeEngine('kvm', RAM_BYTES);
  guest.ram.set(GUEST, CODE);
  const state = initialState('real');
  state.rip = BigInt(CODE);
  state.segments[1] = { base: 0n, limit: 0xffff, attributes: 0x9b, selector: 0 };
  guest.vcpu.load(state);
  return guest;
}

const entry = { answer: 0n, vector: undefined, requestInterruptWindow: false, sliceNs: 5e8 };

function typescriptLoop({ vcpu }, count) {
  let sum = 0;
  for (let n = 0; n < count; ) {
    const exit = vcpu.run(entry);
    if (exit.kind === 'preempted') continue;
    if (exit.kind !== 'pio-out') throw new Error(`exit ${exit.kind}`);
    sum += exit.value + exit.port;
    n++;
  }
  return sum;
}

/** The loop of the library, over the engine's own vCPU. */
function cLoop(library, { vcpu }) {
  const loop = library.func('long port_io_loop(int vcpu, void *run, long exits)');
  const run = new Uint8Array(vcpu.view.buffer);
  return (count) => {
    for (let left = count; left > 0; ) {
      left = loop(vcpu.fd, run, left);
      if (left < 0) throw new Error('an exit that is none of port I/O');
      // The slice is over: the engine takes note of that, or runs to the next exit.
      if (left > 0 && vcpu.run(entry).kind === 'pio-out') left--;
    }
  };
}

/** The same with a VM that the library has made. */
function ownLoop(library) {
  const shared = new BigUint64Array(1);
  const vcpu = library.func('int port_io_open(void *shared)')(shared);
  const loop = library.func('long port_io_loop(int vcpu, uintptr_t run, long exits)');
  return (count) => {
    for (let left = count; left > 0; ) {
      left = loop(vcpu, shared[0], left);
      if (left < 0) throw new Error('an exit that is none of port I/O');
    }
  };
}

/** CPU time is that of the whole process, its collector included. */
function timed(loop) {
  loop(exits / 10);
  const cpu = process.cpuUsage();
  const started = performance.now();
  loop(exits);
  const { user, system } = process.cpuUsage(cpu);
  return { cpu: ((user + system) * 1e3) / exits, wall: ((performance.now() - started) * 1e6) / exits };
}

function compile(directory, name, ...flags) {
  const output = join(directory, name);
  const source = fileURLToPath(new URL('kvm/port-io.c', import.meta.url));
  const built = spawnSync('cc', ['-O2', ...flags, '-o', output, source], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(built.stderr || 'there is no C compiler');
  return output;
}

/** The C program, one round at a time. */
function startProgram(directory) {
  const child = spawn(compile(directory, 'port-io'), [String(exits)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async round() {
      child.stdin.write('.');
      const { value } = await lines.next();
      const [cpu, wall] = value.split(' ').map(Number);
      return { cpu, wall };
    },
    async end() {
      child.stdin.end();
      await once(child, 'exit');
    },
  };
}

function median(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

const directory = mkdtempSync(join(tmpdir(), 'trapeze-port-io-'));
try {
  const program = startProgram(directory);
  const guest = realModeGuest();
  const koffi = createRequire(import.meta.url)('koffi');
  const library = koffi.load(compile(directory, 'port-io.so', '-shared', '-fPIC'));
  const inC = cLoop(library, guest);
  const own = ownLoop(library);
  const sides = {
    program: { title: 'C, a program of its own', round: () => program.round() },
    own: { title: 'C, a VM of its own', round: () => timed(own) },
    again: { title: 'the same again', round: () => timed(own) },
    c: { title: 'C, on the same vCPU', round: () => timed(inC) },
    typescript: { title: 'TypeScript', round: () => timed((count) => typescriptLoop(guest, count)) },
  };
  const order = Object.values(sides);
  for (const side of order) side.results = [];
  for (let n = 0; n < WARM_ROUNDS; n++) for (const { round } of order) await round();
  // Who comes first has no advantage.
  for (let n = 0; n < Number(options.rounds); n++) {
    for (const side of n % 2 === 0 ? order : order.toReversed()) side.results.push(await side.round());
  }
  guest.close();
  await program.end();
  const more = (side, than) => median(side.results.map(({ cpu }, n) => cpu - than.results[n].cpu));
  const report = {
    ...Object.fromEntries(
      Object.entries(sides).map(([name, { results }]) => [
        name,
        { cpu: median(results.map(({ cpu }) => cpu)), wall: median(results.map(({ wall }) => wall)) },
      ]),
    ),
    moreThanC: more(sides.typescript, sides.c),
    moreThanOwn: more(sides.typescript, sides.own),
    moreThanProgram: more(sides.typescript, sides.program),
    noise: more(sides.again, sides.own),
    goal: GOAL_NS,
  };
  if (options.json) {
    console.log(JSON.stringify(report));
  } else {
    for (const [name, { title }] of Object.entries(sides)) {
      const { cpu, wall } = report[name];
      console.log(
        `${title.padEnd(24)} ${cpu.toFixed(0).padStart(6)} ns of CPU time, ${wall.toFixed(0).padStart(6)} ns`,
      );
    }
    const ns = (value) => value.toFixed(0);
    console.log(
      `TypeScript costs ${ns(report.moreThanC)} ns more than C on the same vCPU, ${ns(report.moreThanOwn)} more than C with a VM ` +
        `of its own (that against itself: ${ns(report.noise)}), ${ns(report.moreThanProgram)} more than the C program; ` +
        `the goal is at most ${GOAL_NS}`,
    );
  }
} finally {
  rmSync(directory, { recursive: true });
}
