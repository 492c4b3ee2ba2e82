// Integer definitions against answers recorded from a processor (tools/judge-integer.mjs --record). Runs anywhere.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { difference } from './difference.mjs';
import { TestMachine } from './machine.mjs';
import { readLine } from './recorded.mjs';

const lines = readFileSync(new URL('integer.txt', import.meta.url), 'utf8')
  .trim()
  .split('\n');

test('the slow evaluator does what a processor did', () => {
  const machine = new TestMachine();
  const wrong = [];
  const mnemonics = new Set();
  for (const line of lines) {
    const { c, native } = readLine(line);
    machine.set(c.state, c.bits);
    const ours = machine.run(c.code, c.bits);
    mnemonics.add(ours.insn.mnemonic);
    const what = difference(ours, native, c);
    if (what !== '') wrong.push(`${ours.insn.mnemonic}: ${what} (${line.slice(0, 60)})`);
  }
  assert.deepEqual(wrong, []);
  assert.ok(lines.length > 3000 && mnemonics.size > 80, `${lines.length} lines, ${mnemonics.size} mnemonics`);
});
