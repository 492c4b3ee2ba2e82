import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import test, { after } from 'node:test';
import { TrapezeError } from '../base/errors.js';
import type { CpuState } from '../engine/engine.js';
import type {
  LoadOptions,
  Machine,
  MachineEvents,
  MachineOptions,
  MachineResult,
  Statistics,
} from '../machine/machine.js';
import type { CommandHost } from './product.js';
import { runCommand } from './program.js';

const directory = mkdtempSync(join(tmpdir(), 'trapeze-run-'));
after(() => rmSync(directory, { recursive: true }));
const kernel = join(directory, 'vmlinuz');
writeFileSync(kernel, 'kernel');
writeFileSync(join(directory, 'a'), 'aa');
writeFileSync(join(directory, 'b'), 'bbb');

type Script = (machine: FakeMachine) => Partial<MachineResult>;

/** A machine that does what the test says, then ends. */
class FakeMachine implements Machine {
  static script: Script = () => ({});
  static last: FakeMachine | undefined;
  readonly options: MachineOptions;
  readonly written: string[] = [];
  closed = 0;
  paused = false;
  private readonly listeners = new Map<string, ((value: never) => void)[]>();

  constructor(options: MachineOptions) {
    this.options = options;
    FakeMachine.last = this;
  }
  static async load(state: Uint8Array, options: LoadOptions = {}): Promise<FakeMachine> {
    return new FakeMachine({ ...options, kernel: state, kernelName: 'saved' });
  }
  on<K extends keyof MachineEvents>(event: K, listener: (value: MachineEvents[K]) => void): this {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
    return this;
  }
  off(): this {
    return this;
  }
  emit<K extends keyof MachineEvents>(event: K, value: MachineEvents[K]): void {
    for (const listener of this.listeners.get(event) ?? []) (listener as (value: MachineEvents[K]) => void)(value);
  }
  write(bytes: Uint8Array): void {
    this.written.push(new TextDecoder().decode(bytes));
  }
  resize(): void {}
  async pause(): Promise<void> {
    this.paused = true;
  }
  resume(): void {}
  async save(): Promise<Uint8Array> {
    return new TextEncoder().encode('state');
  }
  async switchEngine(): Promise<void> {}
  async statistics(): Promise<Statistics> {
    return {};
  }
  async run(): Promise<MachineResult> {
    return { reason: 'power-off', exitCode: 0, statistics: {}, ...FakeMachine.script(this) };
  }
  close(): void {
    this.closed++;
  }
}

async function command(args: readonly string[], script: Script = () => ({})) {
  FakeMachine.script = script;
  FakeMachine.last = undefined;
  const streams = [new PassThrough(), new PassThrough(), new PassThrough()];
  const host = {
    input: streams[0],
    output: streams[1],
    errors: streams[2],
    environment: { TERM: 'xterm' },
    product: async () => ({
      Machine: FakeMachine,
      prepare() {},
      inspectTranslation: async () => ({ assembly: 'nop', ir: 'ir', wasm: '(func)' }),
    }),
  } as unknown as CommandHost;
  const read = (stream: PassThrough): string => {
    let text = '';
    for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) text += chunk;
    return text;
  };
  try {
    const code = await runCommand(args, '9.9.9', host);
    return {
      code,
      output: read(streams[1]),
      errors: read(streams[2]),
      machine: FakeMachine.last as FakeMachine | undefined,
    };
  } catch (error) {
    assert.ok(error instanceof TrapezeError, `${error instanceof Error ? error.stack : error}`);
    return { code: error.exitCode, output: read(streams[1]), errors: error.message, machine: undefined };
  }
}

test('options reach the machine', async () => {
  const { code, machine } = await command([
    ...[
      'run',
      '--kernel',
      kernel,
      '--initrd',
      `${directory}/a one,${directory}/b`,
      '--append',
      'x y',
      '--translations',
      'none',
      '--memory',
      '64M',
    ],
    ...['--debugcon', `0xe9=file:${directory}/debug`, '--debug-exit', '--no-reboot', '--timeout', '2', '--stats'],
  ]);
  assert.equal(code, 0);
  assert.equal(machine?.closed, 1);
  const { modules, kernel: bytes, ...rest } = machine?.options ?? assert.fail('no machine');
  assert.equal(bytes?.length, 6);
  assert.deepEqual(
    modules?.map((module) => [module.data.length, module.args, module.name]),
    [
      [2, 'one', `${directory}/a`],
      [3, '', `${directory}/b`],
    ],
  );
  assert.deepEqual(rest, {
    kernelName: kernel,
    append: 'x y',
    memoryBytes: 64 * 2 ** 20,
    cpus: 1,
    engine: 'auto',
    debugcon: 0xe9,
    debugExit: true,
    noReboot: true,
    timeoutMs: 2000,
    stats: true,
  });
});

test('firmware goes to the machine, with a kernel or without', async () => {
  const alone = await command(['run', '--firmware', `${directory}/b`]);
  assert.equal(alone.code, 0);
  const options = alone.machine?.options ?? assert.fail('no machine');
  assert.deepEqual([options.firmware?.length, options.firmwareName], [3, `${directory}/b`]);
  assert.deepEqual([options.kernel, options.modules, options.append], [undefined, [], '']);

  const both = await command(['run', '--firmware', `${directory}/b`, '--kernel', kernel, '--append', 'x']);
  assert.deepEqual([both.machine?.options.kernel?.length, both.machine?.options.append], [6, 'x']);

  for (const [option, value] of [
    ['--initrd', `${directory}/a`],
    ['--append', 'x'],
  ] as const) {
    const { code, errors } = await command(['run', '--firmware', `${directory}/b`, option, value]);
    assert.deepEqual([code, errors.includes(`${option} needs a kernel`)], [2, true], errors);
  }
  const missing = await command(['run', '--firmware', `${directory}/nothing`]);
  assert.equal(missing.code, 2);
  assert.match(missing.errors, /--firmware .* cannot be read: there is no such file/);
});

test('serial output goes to standard output, a file or nowhere', async () => {
  const script: Script = (machine) => {
    machine.emit('serial', Buffer.from('hello\n'));
    machine.emit('debugcon', Buffer.from('debug\n'));
    return {};
  };
  assert.equal((await command(['run', '--kernel', kernel], script)).output, 'hello\n');
  assert.equal(
    (await command(['run', '--kernel', kernel, '--serial', 'none', '--debugcon', '0xe9=stdio'], script)).output,
    'debug\n',
  );
  assert.equal((await command(['run', '--kernel', kernel, '--serial', `file:${directory}/log`], script)).output, '');
  assert.equal(readFileSync(join(directory, 'log'), 'utf8'), 'hello\n');
});

test('piped input goes to the guest', async () => {
  const streams = { input: new PassThrough(), output: new PassThrough(), errors: new PassThrough() };
  class Waiting extends FakeMachine {
    override async run(): Promise<MachineResult> {
      streams.input.write('\u0001x');
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
      return await super.run();
    }
  }
  FakeMachine.script = () => ({});
  const host = {
    ...streams,
    environment: {},
    product: async () => ({ Machine: Waiting, prepare() {} }),
  } as unknown as CommandHost;
  await runCommand(['run', '--kernel', kernel], '0', host);
  assert.deepEqual(FakeMachine.last?.written, ['\u0001x']);
});

test('--save writes the machine when it is ended from outside', async () => {
  const state = join(directory, 'machine.state');
  const ends: [string[], () => void, number, string][] = [
    [[], () => process.emit('SIGTERM', 'SIGTERM'), 143, 'closed'],
    [['--timeout', '0.05'], () => {}, 124, 'timeout'],
  ];
  for (const [args, end, exitCode, reason] of ends) {
    rmSync(state, { force: true });
    const streams = { input: new PassThrough(), output: new PassThrough(), errors: new PassThrough() };
    class Endless extends FakeMachine {
      override async run(): Promise<MachineResult> {
        setImmediate(end);
        while (this.closed === 0) await new Promise((resolve) => setTimeout(resolve, 5));
        return { reason: 'closed', exitCode: 0, statistics: {} };
      }
    }
    const host = {
      ...streams,
      environment: {},
      product: async () => ({ Machine: Endless, prepare() {} }),
    } as unknown as CommandHost;
    const code = await runCommand(['run', '--kernel', kernel, '--save', state, '--json', ...args], '0', host);
    assert.equal(code, exitCode);
    assert.equal(readFileSync(state, 'utf8'), 'state');
    assert.match(String(streams.errors.read()), /^trapeze: saved to .*machine\.state \(0\.0 MiB\)\n/);
    const result = JSON.parse(String(streams.output.read())) as Record<string, unknown>;
    assert.deepEqual([result.reason, result.saved], [reason, state]);
    assert.equal(FakeMachine.last?.paused, true, 'it must not go on after what was saved');
    assert.equal(FakeMachine.last?.options.timeoutMs, undefined);
  }
});

test('--save leaves nothing behind when the guest ends by itself', async () => {
  const state = join(directory, 'unused.state');
  const got = await command(['run', '--kernel', kernel, '--save', state]);
  assert.deepEqual([got.code, got.errors, existsSync(state), existsSync(`${state}.part`)], [0, '', false, false]);
});

test('--load goes on from a file, and says only what was given', async () => {
  const state = join(directory, 'loaded.state');
  writeFileSync(state, 'saved machine');
  const plain = await command(['run', '--load', state, '--engine', 'dbt', '--no-reboot']);
  const { kernel: bytes, ...rest } = plain.machine?.options ?? assert.fail('no machine');
  assert.equal(Buffer.from(bytes ?? []).toString(), 'saved machine');
  assert.deepEqual(rest, { kernelName: 'saved', engine: 'dbt', noReboot: true, stats: false });
  const asked = await command(['run', '--load', state, '--memory', '64M', '--cpus', '1', '--debugcon', '0xe9=stdio']);
  const { memoryBytes, cpus, debugcon } = asked.machine?.options ?? assert.fail('no machine');
  assert.deepEqual([memoryBytes, cpus, debugcon], [64 * 2 ** 20, 1, 0xe9]);
});

test('exit codes and the word that goes with them', async () => {
  const ends: [Partial<MachineResult>, number, RegExp][] = [
    [{ reason: 'power-off', exitCode: 0 }, 0, /^$/],
    [{ reason: 'reset', exitCode: 4 }, 4, /asked for a reset/],
    [{ reason: 'timeout', exitCode: 124 }, 124, /still running after 7 seconds/],
    [{ reason: 'debug-exit', exitCode: 85 }, 85, /^$/],
    [{ reason: 'closed', exitCode: 0 }, 0, /^$/],
  ];
  for (const [result, expected, errors] of ends) {
    const got = await command(['run', '--kernel', kernel, '--no-reboot', '--timeout', '7'], () => result);
    assert.equal(got.code, expected);
    assert.match(got.errors, errors);
  }
});

function cpu(): CpuState {
  const segment = { base: 0n, limit: 0xffffffff, attributes: 0xa09b, selector: 0x10 };
  return {
    gpr: Array.from({ length: 16 }, (_, index) => BigInt(index)),
    rip: 0x1000n,
    rflags: 0x246n,
    segments: new Array(8).fill(segment),
    gdtr: { base: 0x5000n, limit: 0x27 },
    idtr: { base: 0n, limit: 0 },
    cr0: 0x80000011n,
    cr2: 0xdeadn,
    cr3: 0x2000n,
    cr4: 0x20n,
    cr8: 0n,
    efer: 0x500n,
    xcr0: 1n,
    dr: [0n, 0n, 0n, 0n, 0n, 0n, 0xffff0ff0n, 0x400n],
    msrs: new Map(),
    fxsave: new Uint8Array(512),
    halted: false,
    interruptShadow: false,
    nmiBlocked: false,
  };
}

test('a triple fault ends with 4, a register dump and the code there', async () => {
  const code = { address: 0xfffn, bytes: Uint8Array.of(0x90, 0x0f, 0x0b, 0x48, 0x89, 0xd8), bits: 64 } as const;
  const got = await command(['run', '--kernel', kernel, '--no-reboot', '--json'], () => ({
    reason: 'triple-fault',
    exitCode: 4,
    cpu: cpu(),
    code,
  }));
  assert.equal(got.code, 4);
  assert.match(got.errors, /ended with a triple fault\nRAX 0000000000000000 {2}RCX 0000000000000001/);
  assert.match(got.errors, /RIP 0000000000001000 {2}RFLAGS 0000000000000246 \[IF ZF PF\] {2}CPL 0/);
  assert.match(got.errors, /CR2 000000000000dead/);
  assert.match(got.errors, /=> 0000000000001000 {2}0f 0b .*ud2\n/);
  assert.match(got.errors, / {3}0000000000001002 {2}48 89 d8 .*mov +rax, ?rbx/);
  const json = JSON.parse(got.output) as { reason: string; exitCode: number; cpu: { rip: string } };
  assert.deepEqual([json.reason, json.exitCode, json.cpu.rip], ['triple-fault', 4, '0x1000']);
});

test('statistics go to standard error or a file', async () => {
  const script: Script = () => ({ statistics: { exits: { 'pio-in': 1234567, hlt: 3 }, time: { 'compile ms': 1.5 } } });
  const shown = await command(['run', '--kernel', kernel, '--stats'], script);
  assert.match(shown.errors, /exits\n {2}pio-in +1 234 567\n {2}hlt +3\ntime\n {2}compile ms +1\.500\n/);
  const file = join(directory, 'stats.json');
  assert.equal((await command(['run', '--kernel', kernel, `--stats=${file}`], script)).errors, '');
  assert.equal((JSON.parse(readFileSync(file, 'utf8')) as { exits: { hlt: number } }).exits.hlt, 3);
});

test('bad usage and unreadable files end with 2 and one sentence', async () => {
  const cases: [RegExp, ...string[]][] = [
    [/unknown command 'fly'/, 'fly'],
    [/unknown option '--fly'/, 'run', '--fly'],
    [/too many arguments for 'run'/, 'run', 'vmlinuz'],
    [/from 4M to 3G/, 'run', '--memory', '1T'],
    [/from 4M to 3G/, 'run', '--memory', '0M'],
    [/there is no such file/, 'run', '--kernel', join(directory, 'none')],
    [/this is a directory/, 'run', '--kernel', directory],
    [/--initrd .*there is no such file/, 'run', '--kernel', kernel, '--initrd', join(directory, 'none')],
    [/not a regular file/, 'run', '--kernel', '/dev/zero'],
    [/--serial .*cannot be written/, 'run', '--kernel', kernel, '--serial', `file:${directory}/none/x`],
    [/argument missing/, 'run', '--kernel'],
    [/--save .*cannot be written/, 'run', '--kernel', kernel, '--save', join(directory, 'none/x')],
    [/no regular file/, 'run', '--kernel', kernel, '--save', directory],
    [/--load .*there is no such file/, 'run', '--load', join(directory, 'none')],
    [/leave --append away/, 'run', '--load', kernel, '--append', 'x'],
    [/not an address/, 'inspect', 'translation', 'zzz'],
    [/no image named "windows"/, 'image', 'pull', 'windows'],
    [/missing required argument/, 'image', 'remove'],
  ];
  for (const [expected, ...args] of cases) {
    const got = await command(args);
    assert.equal(got.code, 2, args.join(' '));
    assert.match(got.errors, expected);
    assert.match(got.errors, /^[^\n]+$/);
    assert.equal(got.machine?.closed ?? 1, 1);
  }
});

test('help and version are no errors', async () => {
  assert.match((await command(['run', '--help'])).output, /Exit codes: 0/);
  assert.equal((await command(['--version'])).output, '9.9.9\n');
});

test('inspect prints every stage, and a reason for each missing feature', async () => {
  const stages = await command(['inspect', 'translation', '--kernel', kernel, '0x1000']);
  assert.equal(stages.output, '== assembly ==\nnop\n\n== IR ==\nir\n\n== WebAssembly ==\n(func)\n');
  const { output } = await command(['inspect', 'cpu', '--json']);
  const { features } = JSON.parse(output) as { features: { name: string; offered: boolean; reason?: string }[] };
  for (const feature of features) {
    assert.equal(feature.offered, feature.reason === undefined, feature.name);
    assert.notEqual(feature.reason, 'not implemented', feature.name);
  }
});
