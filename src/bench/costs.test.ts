import assert from 'node:assert/strict';
import test from 'node:test';
import { TrapezeError } from '../base/errors.js';
import { PM_TIMER_HZ } from '../spec/acpi.js';
import { CONDITION, Code } from './code.js';
import { COSTS } from './costs.js';
import { costsGuest } from './costs-guest.js';
import { STREAM } from './costs-layout.js';
import { parseStream, quantile, summarize } from './costs-result.js';

const costs = COSTS.filter(({ name }) => name === 'syscall' || name === 'cr8');
const SECOND = BigInt(PM_TIMER_HZ);

function bytesOf(words: readonly (bigint | number)[]): Uint8Array {
  return new Uint8Array(new BigUint64Array(words.map(BigInt)).buffer);
}

/** A guest whose counter makes 2 GHz. */
function stream(...rest: readonly (bigint | number)[]): Uint8Array {
  const calibrations = Array.from({ length: STREAM.CALIBRATIONS }, () => [2_000_000_000n, SECOND]).flat();
  return bytesOf([STREAM.BEGIN, ...calibrations, ...rest]);
}

test('ticks become nanoseconds and cycles, per operation and without the empty loop', () => {
  const words = [0, 100, 500, 20_500, 100, 1, 100, 0, 80_000, 0, 0, 100, 500, 40_500, 100, 1, 100, 0, 80_000, 0];
  const parsed = parseStream(stream(...words, STREAM.END), costs);
  assert.equal(parsed.tscHz, 2e9);
  const [syscall, cr8] = summarize(parsed, costs, 3e9);
  assert.deepEqual([syscall.name, syscall.ns, syscall.cycles, syscall.rounds], ['syscall', 150, 450, 2]);
  assert.equal(syscall.spreadCycles, 75);
  // Eight in a turn.
  assert.deepEqual([cr8.ns, cr8.operations], [50, 800]);
});

test('results without a known speed of the host are nanoseconds', () => {
  const parsed = parseStream(stream(0, 100, 0, 20_000, 100, STREAM.END), costs.slice(0, 1));
  const [result] = summarize(parsed, costs.slice(0, 1), Number.NaN);
  assert.equal(result.ns, 100);
  assert.ok(Number.isNaN(result.cycles));
});

for (const [name, bytes, problem] of [
  ['nothing', new Uint8Array(0), /end too soon/],
  ['something else', bytesOf([1n, 2n]), /does not say/],
  ['a stream without an end', stream(0, 100, 0, 20_000, 100), /end too soon/],
  ['a cut word', stream(STREAM.END).subarray(0, -3), /end too soon/],
  ['an operation that was not asked for', stream(2, 1, 0, 1, 0, STREAM.END), /something else/],
  ['operations that did not happen', stream(0, 100, 0, 20_000, 99, STREAM.END), /100 were done and 99 seen/],
  ['a fault', stream(STREAM.FAULT, 13, 0, 0x104003, 8), /exception 13, stack 0x0 0x104003/],
] as const) {
  test(`${name} is no result`, () => {
    assert.throws(
      () => parseStream(bytes, costs),
      (error) => error instanceof TrapezeError && error.code === 'internal' && problem.test(error.message),
    );
  });
}

test('quantiles lie between neighbours', () => {
  assert.equal(quantile([4, 1, 3, 2], 0.5), 2.5);
  assert.equal(quantile([7], 0.25), 7);
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

test('code finds its labels, forwards and backwards', () => {
  const code = new Code(0x1000)
    .label('start')
    .jcc(CONDITION.NZ, 'end')
    .jmp('start')
    .align(16)
    .label('end')
    .mov(9, 'start');
  const bytes = code.finish();
  assert.deepEqual([...bytes.subarray(0, 11)], [0x0f, 0x85, 10, 0, 0, 0, 0xe9, 0xf5, 0xff, 0xff, 0xff]);
  assert.deepEqual([...bytes.subarray(16)], [0x49, 0xb9, 0, 0x10, 0, 0, 0, 0, 0, 0]);
  assert.throws(() => code.label('end'), /twice/);
  assert.throws(() => new Code(0).jmp('nowhere').finish(), /no label/);
  assert.throws(() => new Code(16).fillTo(8), /too late/);
});

test('every selection of operations fits into its pages', () => {
  const options = { rounds: 1, warmUpMs: 1, loopMs: 1 };
  for (const cost of COSTS) assert.ok(costsGuest({ ...options, costs: [cost] }).length > 0);
  assert.ok(costsGuest({ ...options, costs: COSTS }).length > 0);
});
