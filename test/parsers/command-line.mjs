// Parsers of what a user types: the values of options, the list of --initrd, and whole command lines with files that are
// there, absent or no guests.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { HostFileError } from '../../dist/base/errors.js';
import {
  parseAddress,
  parseCpus,
  parseDebugcon,
  parseEngine,
  parseInitrd,
  parseMemory,
  parseSerial,
  parseTcpPort,
  parseTimeout,
} from '../../dist/cli/options.js';
import { runCommand } from '../../dist/cli/program.js';
import { bzImage } from '../../dist/machine/boot/test-images.js';
import { text } from './mutate.mjs';

const PARSE = {
  parseMemory,
  parseCpus,
  parseEngine,
  parseTimeout,
  parseSerial,
  parseDebugcon,
  parseInitrd,
  parseAddress,
  parseTcpPort,
};
const WORDS = {
  parseMemory: ['512', 'M', 'G', 'K', 'iB', '.', '5', '0', '-', '1e3', '0x', '3', '4', 'MB', ' '],
  parseCpus: ['1', '2', '0', '-', '.', '99999999', 'many'],
  parseEngine: ['dbt', 'kvm', 'auto', 'toString', '__proto__', ' '],
  parseTimeout: ['1', '.', '5', '0', 'e', '9', 'Infinity', 'NaN', '-'],
  parseSerial: ['stdio', 'none', 'file:', 'a', '/', ':', '\0', '..'],
  parseDebugcon: ['0xe9', '=', 'stdio', 'file:', '233', '65536', 'x', '-1', '0x'],
  parseInitrd: ['a', ',', ',,', ' ', 'root=1', '/', '.cpio', '\t', '\n', '"'],
  parseAddress: ['0x', 'ffffffff', '81000000', '_', 'g', '-', '0'],
  parseTcpPort: ['80', '8080', '65536', '0', '-', '.', '0x1'],
};

let directory;
/** Only names in here are ever given to an option that writes. */
function files() {
  if (directory === undefined) {
    directory = mkdtempSync(join(tmpdir(), 'trapeze-parsers-'));
    process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
    writeFileSync(join(directory, 'kernel'), bzImage());
    writeFileSync(join(directory, 'empty'), '');
    writeFileSync(join(directory, 'rom'), new Uint8Array(65536));
    writeFileSync(join(directory, 'noise'), Buffer.from('trapeze saved state?\n'.repeat(20)));
  }
  const at = (name) => join(directory, name);
  return {
    read: [
      at('kernel'),
      at('empty'),
      at('rom'),
      at('noise'),
      at('absent'),
      directory,
      '/dev/null',
      '',
      `${at('kernel')},`,
    ],
    write: [at('out'), join(directory, 'none', 'out'), directory],
  };
}

const FLAGS = [
  '--json',
  '--stats',
  '--no-reboot',
  '--debug-exit',
  '--help',
  '--version',
  '-h',
  '--',
  '--kernel',
  '-x',
  '--no',
];
const VALUES = {
  '--engine': 'parseEngine',
  '--memory': 'parseMemory',
  '--cpus': 'parseCpus',
  '--timeout': 'parseTimeout',
};

/** A command line that starts no server, fetches and removes no image, and writes only into the directory. */
function commandLine(random) {
  const { read, write } = files();
  const pick = (list) => list[random(list.length)];
  const start = pick([
    ['run'],
    ['run'],
    ['run'],
    ['inspect', 'translation'],
    ['inspect', 'cpu'],
    ['inspect'],
    ['fly'],
    [],
  ]);
  // Without a kernel the default image would be fetched.
  const args = [...start, '--kernel', read[random(4) === 0 ? random(read.length) : 0]];
  for (let count = random(5); count > 0; count--) {
    switch (random(6)) {
      case 0:
        args.push(pick(FLAGS.filter((flag) => flag !== '--kernel')));
        break;
      case 1:
        args.push(pick(['--initrd', '--load', '--firmware']), pick(read));
        break;
      case 2:
        args.push('--append', text(random, ['quiet', ' ', '=', '\0', '-']));
        break;
      case 3:
        args.push('--save', pick(write));
        break;
      case 4:
        args.push(
          ...pick([['--serial', `file:${pick(write)}`], ['--debugcon', `0xe9=file:${pick(write)}`], ['ffff0000']]),
        );
        break;
      default: {
        const option = pick(Object.keys(VALUES));
        args.push(option, text(random, WORDS[VALUES[option]]));
      }
    }
  }
  return args;
}

function commandHost() {
  const stream = () => new PassThrough().resume();
  return {
    input: stream(),
    output: stream(),
    errors: stream(),
    environment: {},
    product: async () => {
      throw new HostFileError('a command line that could be run: this test has no machine');
    },
  };
}

/** Every sentence for people fits on one line, whatever was typed. */
export const TEXT_PARSERS = [
  ...Object.entries(WORDS).map(([name, words]) => ({
    name,
    isText: true,
    input: (random) => text(random, words),
    run: (typed) => void PARSE[name](typed),
  })),
  {
    name: 'command lines',
    input: commandLine,
    run: (args) => runCommand(args, '0.0.0', commandHost()),
  },
];
