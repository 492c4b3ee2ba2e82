// Pairs of instructions that share a handler do what the two do one by one, wherever they fault.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HOT_PAIRS_64 } from '../../dist/engine/dbt/common-forms.js';
import { commonHandlers, FIRST_FORM } from '../../dist/engine/dbt/common-handlers.js';
import { EngineMachine } from './engine.mjs';
import { randomSource } from './forms.mjs';
import { START, WINDOW, WINDOW_SIZE } from './machine.mjs';

const STATES = 12;
const RSP = 4;
const FLAGS = 0x8d5;

/** The bytes of a pair: an encoding may name before a "+" what leaves the flags that its handler is made for. */
const bytesOf = (pair) => pair.split('~').map((text) => Buffer.from(text.split('+').at(-1), 'hex'));

/** Registers mostly point into the window, some of them nowhere: then the first or the second instruction faults. */
function stateOf(random, n) {
  const pointer = () => BigInt(WINDOW + (random.below(WINDOW_SIZE) & ~7));
  const gpr = Array.from({ length: 16 }, () => (random.below(4) > 0 ? pointer() : BigInt(random.below(1 << 30))));
  gpr[RSP] = n % 4 === 0 ? BigInt(WINDOW + 8) - 0xf80n : BigInt(WINDOW + 64);
  const window = Uint8Array.from({ length: WINDOW_SIZE }, () => random.below(256));
  return { gpr, flags: BigInt(random.below(4096) & FLAGS), window };
}

test('pairs do what their instructions do one by one', () => {
  const random = randomSource(20261123);
  const [together, apart] = [new EngineMachine(0), new EngineMachine(0)];
  apart.vcpu.run = (entry) => apart.vcpu.stepOne(entry);
  const traps = new Set();
  for (const pair of HOT_PAIRS_64.split(' ')) {
    const [first, second] = bytesOf(pair);
    for (let n = 0; n < STATES; n++) {
      const state = stateOf(random, n);
      const after = [together, apart].map((machine) => {
        machine.set(state, 64, Buffer.concat([first, second]));
        return machine.run();
      });
      assert.deepEqual(after[0], after[1], `${pair}, state ${n}`);
      traps.add(`${after[0].trap} ${after[0].rip === BigInt(START + first.length)}`);
    }
  }
  // Both INT3s behind the pair and page faults of the second instruction were met.
  assert.ok(traps.has('3 false') && traps.has('14 true') && traps.has('14 false'), [...traps].join());
});

test('every pair is of hot forms, the first of which goes on, and no pair is there twice', () => {
  const { hot, pairs, made, pairOf } = commonHandlers();
  const numbers = pairs.map(([a, b]) => pairOf(a, b));
  assert.ok(numbers.every((number) => number > 0));
  assert.equal(new Set(numbers).size, HOT_PAIRS_64.split(' ').length);
  for (const [a, b] of pairs) {
    assert.ok(Math.max(a, b) < FIRST_FORM + hot);
    assert.ok(!['jmp', 'jcc', 'call', 'ret'].includes(made[a - FIRST_FORM].insn.mnemonic));
  }
});
