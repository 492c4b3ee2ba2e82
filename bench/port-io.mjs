// What a port-I/O exit of the kvm engine costs, beside the same guest in a C program's loop around KVM_RUN.
//   node bench/port-io.mjs [--exits N] [--rounds N] [--json]
// Rounds are interleaved and the best of each counts: both loops do the same, every difference in time is the host's.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

const { values: options } = parseArgs({
  options: {
    exits: { type: 'string', default: '50000' },
    rounds: { type: 'string', default: '7' },
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

function typescriptRound({ vcpu }) {
  const entry = { answer: 0n, vector: undefined, requestInterruptWindow: false, sliceNs: 5e8 };
  let sum = 0;
  const loop = (count) => {
    for (let n = 0; n < count; ) {
      const exit = vcpu.run(entry);
      if (exit.kind === 'preempted') continue;
      if (exit.kind !== 'pio-out') throw new Error(`exit ${exit.kind}`);
      sum += exit.value + exit.port;
      n++;
    }
  };
  loop(exits / 10);
  const cpu = process.cpuUsage();
  const started = performance.now();
  loop(exits);
  const { user, system } = process.cpuUsage(cpu);
  return { cpu: ((user + system) * 1e3) / exits, wall: ((performance.now() - started) * 1e6) / exits, sum };
}

const directory = mkdtempSync(join(tmpdir(), 'trapeze-port-io-'));
try {
  const program = join(directory, 'port-io');
  const source = fileURLToPath(new URL('kvm/port-io.c', import.meta.url));
  const built = spawnSync('cc', ['-O2', '-o', program, source], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(built.stderr || 'there is no C compiler');
  const guest = realModeGuest();
  const best = { c: { cpu: Infinity, wall: Infinity }, typescript: { cpu: Infinity, wall: Infinity } };
  const note = (side, { cpu, wall }) => {
    best[side] = { cpu: Math.min(best[side].cpu, cpu), wall: Math.min(best[side].wall, wall) };
  };
  for (let n = 0; n < Number(options.rounds); n++) {
    const [cpu, wall] = spawnSync(program, [String(exits)], { encoding: 'utf8' })
      .stdout.split(' ')
      .map(Number);
    note('c', { cpu, wall });
    note('typescript', typescriptRound(guest));
  }
  guest.close();
  const more = best.typescript.cpu - best.c.cpu;
  if (options.json) {
    console.log(JSON.stringify({ ...best, more, goal: GOAL_NS }));
  } else {
    for (const [side, { cpu, wall }] of Object.entries(best)) {
      console.log(
        `${side.padEnd(10)}  ${cpu.toFixed(0).padStart(6)} ns of CPU time, ${wall.toFixed(0).padStart(6)} ns for an exit`,
      );
    }
    console.log(`TypeScript costs ${more.toFixed(0)} ns more; the goal is at most ${GOAL_NS}`);
  }
} finally {
  rmSync(directory, { recursive: true });
}
