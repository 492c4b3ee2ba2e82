// Builds and runs the native judge, and makes operands that reach every corner of a binary format.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('native.c', import.meta.url));
const runtime = process.env.TRAPEZE_RUNTIME ?? fileURLToPath(new URL('../../dist/runtime.wasm', import.meta.url));

/** The judge's path, or the reason why there is none. */
export function buildNative() {
  if (arch() !== 'x64') return { reason: 'the host is not an x86-64' };
  const program = join(mkdtempSync(join(tmpdir(), 'trapeze-float-')), 'native');
  const built = spawnSync('gcc', ['-O1', '-msse4.1', '-mno-red-zone', '-o', program, source, '-lquadmath', '-lm']);
  if (built.error) return { reason: 'gcc is not installed' };
  if (built.status !== 0) return { reason: `gcc cannot build the judge: ${built.stderr}` };
  return { program };
}

export function runNative(program, args, input) {
  const { status, stdout, stderr } = spawnSync(program, args, { input, maxBuffer: 1 << 30 });
  if (status !== 0) throw new Error(`judge ended with ${status}: ${stderr}`);
  return stdout;
}

export function listOperations(program, args) {
  return runNative(program, args, '').toString().trim().split('\n');
}

/** The compiled runtime with a memory of its own. */
export function loadRuntime() {
  const module = new WebAssembly.Module(readFileSync(runtime));
  const memory = new WebAssembly.Memory({ initial: 1024, maximum: 65536, shared: true });
  const imports = { env: { memory } };
  // Other parts of the runtime may import functions; floating point calls none of them.
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    if (kind !== 'function') continue;
    imports[from] ??= {};
    imports[from][name] = () => 0;
  }
  return { memory, exports: new WebAssembly.Instance(module, imports).exports };
}

/** A small deterministic generator (xorshift32), so that a failure can be repeated. */
export function randomSource(seed) {
  let state = seed | 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  return { next, below: (limit) => next() % limit, big: () => (BigInt(next()) << 32n) | BigInt(next()) };
}

/** A fraction of `bits` bits: empty, full, one bit, a run, sparse ends, or random. */
export function fraction(random, bits) {
  const all = (1n << BigInt(bits)) - 1n;
  const place = BigInt(random.below(bits));
  const other = BigInt(random.below(bits));
  switch (random.below(10)) {
    case 0:
      return 0n;
    case 1:
      return all;
    case 2:
      return 1n << place;
    case 3:
      return all ^ (1n << place);
    case 4:
      return (all >> place) & all;
    case 5:
      return (all << place) & all;
    case 6:
      return ((1n << place) | (1n << other)) & all;
    case 7:
      return (((1n << place) - 1n) ^ ((1n << other) - 1n)) & all;
    default:
      return random.big() & all;
  }
}

/** Bits of a number of the format; `near` is a biased exponent that should often be met or missed by little. */
export function operand(random, fractionBits, exponentBits, near) {
  const last = (1 << exponentBits) - 1;
  const bias = last >> 1;
  let exponent;
  switch (random.below(12)) {
    case 0:
      exponent = 0;
      break;
    case 1:
      exponent = 1 + random.below(3);
      break;
    case 2:
      exponent = last;
      break;
    case 3:
      exponent = last - 1 - random.below(2);
      break;
    case 4:
    case 5:
      exponent = bias - 2 + random.below(5);
      break;
    case 6:
      exponent = bias + random.below(70);
      break;
    case 7:
    case 8:
    case 9:
      exponent = near - fractionBits - 3 + random.below(2 * fractionBits + 6);
      break;
    case 10:
      exponent = near - 1 + random.below(3);
      break;
    default:
      exponent = random.below(last + 1);
  }
  exponent = Math.min(last, Math.max(0, exponent));
  const sign = BigInt(random.below(2));
  return (((sign << BigInt(exponentBits)) | BigInt(exponent)) << BigInt(fractionBits)) | fraction(random, fractionBits);
}

/** Where the second operand's exponent should lie: the first one's, or what brings a product or quotient to an end. */
export function nearExponent(random, first, fractionBits, exponentBits) {
  const last = (1 << exponentBits) - 1;
  const bias = last >> 1;
  const exponent = Number((first >> BigInt(fractionBits)) & BigInt(last));
  switch (random.below(6)) {
    case 0:
      return bias - exponent;
    case 1:
      return last + bias - exponent;
    case 2:
      return exponent + bias;
    case 3:
      return exponent - bias;
    default:
      return exponent;
  }
}
