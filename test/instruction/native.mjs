// The host's processor in the world of layout.mjs: builds native.c and runs records with it.
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { arch, platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LDT, RECORD } from './layout.mjs';

const HEADER = 4096;
const TIMEOUT_MS = 15_000;
const ATTEMPTS = 3;
const OPTIONS =
  '-O1 -ffreestanding -nostdlib -static -fno-pie -no-pie -fno-stack-protector -fcf-protection=none -mgeneral-regs-only ' +
  '-Wl,-Ttext-segment=0x60000000';

const cpuinfo = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
/** The processor's features as Linux names them, and who made it. */
export const hostFlags = new Set(/^flags\s*: (.*)$/m.exec(cpuinfo)?.[1]?.split(' '));
export const hostVendor = /^vendor_id\s*: (.*)$/m.exec(cpuinfo)?.[1] ?? 'unknown';
export const hostModel = [
  hostVendor,
  ...['cpu family', 'model', 'stepping'].map(
    (name) => `${name} ${new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(cpuinfo)?.[1]}`,
  ),
].join(', ');

/** Programs of 64 and 32 bits, or the reason why there are none. */
export class Native {
  constructor() {
    if (arch() !== 'x64' || platform() !== 'linux') this.reason = 'the host is not Linux on x86-64';
    else if (!hostFlags.has('fsgsbase')) this.reason = 'the processor has no WRFSBASE';
    else this.build();
  }

  build() {
    const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'trapeze-native-'));
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
    const source = fileURLToPath(new URL('native.c', import.meta.url));
    this.programs = {};
    for (const bits of [64, 32]) {
      const program = join(folder, `native${bits}`);
      const built = spawnSync('gcc', [`-m${bits}`, ...OPTIONS.split(' '), '-o', program, source], { encoding: 'utf8' });
      if (built.error !== undefined) this.reason = 'gcc is not installed';
      else if (built.status !== 0) this.reason = `gcc cannot build the ${bits}-bit program: ${built.stderr}`;
      else this.programs[bits] = program;
    }
    this.file = openSync(join(folder, 'records'), 'w+');
    process.once('exit', () => closeSync(this.file));
  }

  /** Replaces `count` requests by their answers. On loaded virtual machines a run was seen to hang: it is repeated. */
  run(records, count, bits) {
    const requests = Buffer.from(records.subarray(0, count * RECORD.SIZE));
    for (let attempt = 1; ; attempt++) {
      const failure = this.attempt(requests, records, count, bits);
      if (failure === undefined) return;
      if (attempt === ATTEMPTS) throw new Error(`the ${bits}-bit program ended with ${failure}`);
    }
  }

  /** Undefined, or how the program ended and at which case. */
  attempt(requests, records, count, bits) {
    const header = Buffer.alloc(HEADER);
    header.writeUInt32LE(count, 0);
    header.writeUInt32LE(LDT.length, 4);
    for (const { index, desc } of LDT) {
      for (const [n, word] of desc.entries()) header.writeUInt32LE(word, 8 + 16 * index + 4 * n);
    }
    const size = count * RECORD.SIZE;
    ftruncateSync(this.file, HEADER + size + 8192);
    writeSync(this.file, header, 0, HEADER, 0);
    writeSync(this.file, requests, 0, size, HEADER);
    const { status, signal } = spawnSync(this.programs[bits], {
      stdio: [this.file, 'ignore', 'ignore'],
      timeout: TIMEOUT_MS,
    });
    readSync(this.file, records, 0, size, HEADER);
    if (status === 0) return undefined;
    let n = 0;
    const isAnswered = (at) => requests.compare(records, at, at + RECORD.SIZE, at, at + RECORD.SIZE) !== 0;
    while (n < count && isAnswered(n * RECORD.SIZE)) n++;
    const code = requests.subarray(n * RECORD.SIZE + RECORD.CODE, n * RECORD.SIZE + RECORD.CODE + 16);
    return `${status ?? signal} at case ${n}: ${code.toString('hex')}`;
  }
}
