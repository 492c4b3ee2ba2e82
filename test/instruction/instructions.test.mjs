// A sample of the instruction judge (tools/judge-instructions.mjs runs more than a million cases): every form in every mode
// against the host's processor, and a smaller sample in translated code.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formsOf } from './forms.mjs';
import { Judge } from './judge.mjs';
import { MODES, REAL, VIRTUAL } from './layout.mjs';

const judges = { interpreter: new Judge({ hotThreshold: 0 }), translator: new Judge({ hotThreshold: 1 }) };
const skip = judges.interpreter.reason ?? false;

function failuresOf(judge) {
  return [...judge.failures].map(
    ([name, { c, text }]) => `${name}: ${text} of ${Buffer.from(c.code).toString('hex')} (${c.form.name})`,
  );
}

for (const mode of Object.values(MODES)) {
  test(`every instruction form, ${mode.name}, as the processor does it`, { skip }, () => {
    const judge = judges.interpreter;
    judge.run(mode, formsOf(mode.bits).length * 2, 2026);
    assert.deepEqual(failuresOf(judge), []);
    assert.ok(judge.counts(mode).forms > 1700, `${judge.counts(mode).forms} forms`);
    if (mode.bits !== 16) return;
    for (const other of [VIRTUAL, REAL]) assert.ok(judge.counts(other).forms > 1000, other.name);
  });

  test(`translated instructions, ${mode.name}, as the processor does them`, { skip }, () => {
    const judge = judges.translator;
    judge.run(mode, 300, 2027);
    assert.deepEqual(failuresOf(judge), []);
  });
}
