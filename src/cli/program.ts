/**
 * The command line: commands, options, help. What they mean is in options.ts, what they do in run.ts and its siblings, which
 * are loaded by the command that needs them.
 */
import { Command, CommanderError, Option } from 'commander';
import { EXIT_CODE, UsageError } from '../base/errors.js';
import { COSTS, DEFAULT_COSTS_ROUNDS } from '../bench/costs.js';
import { type BenchCostsOptions, parseCosts, parseCostsEngine, parseRounds } from './bench-options.js';
import {
  DEFAULT_MEMORY,
  parseAddress,
  parseCpus,
  parseDebugcon,
  parseEngine,
  parseIrqchip,
  parseMemory,
  parseSerial,
  parseTcpPort,
  parseTimeout,
} from './options.js';
import type { CommandHost } from './product.js';

const RUN_EXAMPLES = `
Examples:
  trapeze run                                        Debian's cloud kernel with a busybox shell
  trapeze run --append ""                            the same with the kernel's log
  trapeze run --kernel vmlinuz --initrd root.cpio --append "console=ttyS0" --memory 1G
  trapeze run --kernel xen.elf --initrd "vmlinuz console=hvc0,initrd.img"
  trapeze run --firmware bios-256k.bin --debugcon 0x402=file:bios.log
  trapeze run --kernel test.elf --serial none --debugcon 0xe9=stdio --debug-exit --timeout 60

  trapeze run --save break.state                     leave with Ctrl-A x, and then
  trapeze run --load break.state                     go on where it was, here or on another host

Keys: Ctrl-A x leaves, Ctrl-A s saves the machine, Ctrl-A h shows help, Ctrl-A Ctrl-A sends Ctrl-A to the guest.

Exit codes: 0 the guest switched itself off; 2 wrong usage or a file that cannot be used; 4 reset or triple fault
under --no-reboot; 124 timeout; with --debug-exit ((value << 1) | 1) & 255; 1 a defect of this program.
`;

const IMAGE_HELP = `
Images come from the host's Debian package sources (apt), without root and without touching the host's packages, and
are kept under $XDG_CACHE_HOME/trapeze (~/.cache/trapeze).

Examples:
  trapeze image pull                                 what "trapeze run" boots
  trapeze image pull debian-rt busybox-i386 seabios
  trapeze image list
  trapeze image extract ~/.cache/trapeze/images/debian-cloud/vmlinuz vmlinux
`;

const COSTS_HELP = `
Operations: ${COSTS.map(({ name }) => name).join(', ')}.

A guest without an operating system runs each in a loop and an empty loop beside it, round after round. What it measures
is shown beside what the same loop costs a process of this host, where a process can run it, and beside the figures of
Adams and Agesen (2006). docs/benchmarks.md tells how.

Examples:
  trapeze bench costs
  trapeze bench costs --engine dbt --only syscall,page-fault --rounds 51
  trapeze bench costs --json

Exit codes: 0 measured; 2 wrong usage, or the engine does not run the guest on this host.
`;

/** Runs the command; its exit code. Errors are thrown: TrapezeError for everything the user can mend. */
export async function runCommand(args: readonly string[], version: string, host: CommandHost): Promise<number> {
  let exitCode = 0;
  const end = (action: Promise<number>): Promise<void> =>
    action.then((code) => {
      exitCode = code;
    });
  const program = new Command('trapeze')
    .description('A virtual machine monitor: boots unmodified x86-64 operating systems in WebAssembly.')
    .version(version)
    .addHelpText('after', '\nSee "trapeze run --help" for the options of a guest.\n');
  program
    .command('run')
    .description('boot a guest on this terminal')
    .addOption(
      new Option('--engine <name>', 'dbt (translation to WebAssembly), kvm (/dev/kvm) or auto')
        .argParser(parseEngine)
        .default('auto'),
    )
    .addOption(
      new Option(
        '--irqchip <kind>',
        'interrupt controllers of engine kvm: machine (our own, the default), split (local APIC in the kernel) or kernel (all there)',
      ).argParser(parseIrqchip),
    )
    .option(
      '--kernel <file>',
      'Linux bzImage, ELF with a PVH note, or Multiboot 1/2 image (default: the debian-cloud image)',
    )
    .option(
      '--initrd <list>',
      'FILE[ ARGS][,FILE[ ARGS]...]: initrd, or modules of a PVH or Multiboot kernel; a comma in a name is written twice',
    )
    .option('--append <text>', 'kernel command line (default kernel: added to console=ttyS0 in place of "quiet")')
    .option('--firmware <rom>', 'a ROM that starts first, like SeaBIOS; it may start the --kernel, a bzImage')
    .addOption(memoryOption())
    .addOption(new Option('--cpus <count>', 'processors').argParser(parseCpus).default(1))
    .addOption(
      new Option('--serial <where>', 'first UART: stdio, file:PATH or none')
        .argParser(parseSerial)
        .default({ kind: 'stdio' }, 'stdio'),
    )
    .addOption(
      new Option('--debugcon <port=where>', 'bytes written to an I/O port: PORT=stdio or PORT=file:PATH').argParser(
        parseDebugcon,
      ),
    )
    .option('--debug-exit', 'port 0xf4 ends the run; exit code ((value << 1) | 1) & 255')
    .option('--no-reboot', 'a reset ends the run with 4 instead of starting the guest again')
    .addOption(new Option('--timeout <seconds>', 'end the run with 124 after this time').argParser(parseTimeout))
    .option(
      '--save <file>',
      'save the machine when it is ended from outside (Ctrl-A x, a signal, --timeout), and with Ctrl-A s',
    )
    .option('--load <file>', 'go on from a saved machine, which brings its kernel, memory and devices with it')
    .option(
      '--translations <directory>',
      'where engine dbt keeps what it made of the guest, so that the same guest starts faster next time, or none (default: in the cache)',
    )
    .option('--stats [file]', 'counters at the end: on standard error, or into a file (.json: as JSON)')
    .option('--json', 'the result as one line of JSON on standard output')
    .addHelpText('after', RUN_EXAMPLES)
    .action((options, command: Command) => {
      const given = (name: string): boolean => command.getOptionValueSource(name) === 'cli';
      return end(import('./run.js').then(({ run }) => run({ ...options, given }, host)));
    });

  const inspecting = () => import('./inspect.js');
  const inspect = program.command('inspect').description('look inside the engine');
  inspect
    .command('translation')
    .description("guest assembly, IR and WebAssembly text of an address's translation")
    .argument('<address>', 'linear address under the initial paging, hexadecimal', parseAddress)
    .option('--kernel <file>', 'as for run')
    .option('--initrd <list>', 'as for run')
    .option('--append <text>', 'as for run')
    .addOption(memoryOption())
    .option('--json', 'as one JSON object')
    .addHelpText('after', '\nExample:\n  trapeze inspect translation --kernel vmlinuz 0x1000200\n')
    .action((address: bigint, options) =>
      end(inspecting().then(({ inspectTranslation }) => inspectTranslation(address, options, host))),
    );
  inspect
    .command('cpu')
    .description('processor features the guest is offered, and why each missing one is missing')
    .option('--json', 'as JSON')
    .action((options) => end(inspecting().then(({ inspectCpu }) => inspectCpu(options, host))));
  inspect
    .command('engines')
    .description('what each engine can do on this host, and which one auto takes')
    .option('--json', 'as JSON')
    .action((options) => end(inspecting().then(({ inspectEngines }) => inspectEngines(options, host))));

  const bench = program.command('bench').description('measure this machine');
  bench
    .command('costs')
    .description('what privileged and trapping operations cost a guest, in cycles of this host')
    .addOption(
      new Option('--engine <name>', 'dbt, kvm, or all that work on this host')
        .argParser(parseCostsEngine)
        .default('all'),
    )
    .addOption(new Option('--only <names>', 'operations by name, separated by commas').argParser(parseCosts))
    .addOption(
      new Option('--rounds <count>', 'medians are of so many').argParser(parseRounds).default(DEFAULT_COSTS_ROUNDS),
    )
    .option('--json', 'as one JSON object')
    .addHelpText('after', COSTS_HELP)
    .action((options: BenchCostsOptions) =>
      end(import('./bench.js').then(({ benchCosts }) => benchCosts(options, host))),
    );

  const images = () => import('./image.js');
  const image = program.command('image').description('guest images').addHelpText('after', IMAGE_HELP);
  image
    .command('pull')
    .description('fetch images, or bring them up to date')
    .argument('[names...]', 'images (default: debian-cloud busybox)')
    .option('--json', 'as JSON')
    .action((names: string[], options) => end(images().then(({ imagePull }) => imagePull(names, options, host))));
  image
    .command('list')
    .description('images that are here, with their files')
    .option('--json', 'as JSON')
    .action((options) => end(images().then(({ imageList }) => imageList(options, host))));
  image
    .command('remove')
    .description('delete images')
    .argument('<names...>', 'images')
    .action((names: string[]) => end(images().then(({ imageRemove }) => imageRemove(names, host))));
  image
    .command('extract')
    .description('write the ELF kernel inside a bzImage, which starts by PVH')
    .argument('<bzimage>', 'kernel file')
    .argument('<output>', 'ELF file to write')
    .action((kernel: string, output: string) =>
      end(images().then(({ imageExtract }) => imageExtract(kernel, output, host))),
    );

  program
    .command('serve')
    .description('a page in which the same guest boots inside the browser')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .addOption(new Option('--port <number>', 'port to listen on').argParser(parseTcpPort).default(8080))
    .option('--kernel <file>', 'as for run')
    .option('--initrd <list>', 'as for run')
    .option('--append <text>', 'as for run')
    .addOption(memoryOption())
    .action((options) => end(import('./serve.js').then(({ serve }) => serve(options, host))));

  prepare(program, host);
  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help and version were printed; everything else is a wrong command line.
    if (error.exitCode === 0) return EXIT_CODE.POWER_OFF;
    if (error.code === 'commander.help') return EXIT_CODE.BAD_INPUT;
    const problem = error.message
      .replace(/^error: /, '')
      .replace(/\.?\s*$/, '')
      .replace(/\.\s+/g, ', ')
      .replaceAll('\n', ' ');
    throw new UsageError(`${problem}; see "trapeze --help"`, { cause: error });
  }
  return exitCode;
}

function memoryOption(): Option {
  return new Option('--memory <size>', 'guest memory, 4M to 3G')
    .argParser(parseMemory)
    .default(parseMemory(DEFAULT_MEMORY), DEFAULT_MEMORY);
}

/** Every command throws instead of ending the process, and leaves error messages to the caller. */
function prepare(command: Command, host: CommandHost): void {
  command
    .exitOverride()
    .allowExcessArguments(false)
    .configureOutput({
      writeOut: (text) => host.output.write(text),
      writeErr: (text) => host.errors.write(text),
      outputError: () => undefined,
    });
  for (const child of command.commands) prepare(child, host);
}
