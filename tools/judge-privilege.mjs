// Bare-metal guests against the manual, on Trapeze and on QEMU (test/privilege). The manual's outcome is written down beside
// each case; where QEMU differs from it, the difference has a name and a reason, or it is a failure.
//   node tools/judge-privilege.mjs [--only TEXT] [--step N] [--show N] [--no-qemu]
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { DIFFERENCES } from '../test/privilege/differences.mjs';
import { casesOf, describe, explained, missed } from '../test/privilege/judge.mjs';
import { onQemu, onTrapeze } from '../test/privilege/run.mjs';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    step: { type: 'string', default: '1' },
    show: { type: 'string', default: '20' },
    'no-qemu': { type: 'boolean', default: false },
  },
});

const count = (map, key) => map.set(key, (map.get(key) ?? 0) + 1);
const cases = casesOf({ only: options.only, step: Number(options.step) });
const families = new Map();
for (const c of cases) count(families, c.family);

const ours = await missed(onTrapeze, cases);
for (const miss of ours.slice(0, Number(options.show))) console.log(`Trapeze: ${describe(miss)}`);

const hasQemu = !options['no-qemu'] && spawnSync('qemu-system-x86_64', ['--version']).status === 0;
const theirs = hasQemu ? await missed(onQemu, cases) : [];
const listed = new Map();
const unlisted = [];
for (const miss of theirs) {
  const difference = explained(miss);
  if (difference === undefined) unlisted.push(miss);
  else count(listed, difference.name);
}
for (const miss of unlisted.slice(0, Number(options.show))) console.log(`QEMU: ${describe(miss)}`);

for (const [family, outcomes] of families) {
  const wrong = (list) => list.filter(({ c }) => c.family === family).length;
  const qemu = hasQemu ? String(outcomes - wrong(theirs)).padStart(7) : 'skipped';
  console.log(
    `${family.padEnd(52)} ${String(outcomes).padStart(6)} outcomes, met by Trapeze ${String(outcomes - wrong(ours)).padStart(6)}, by QEMU ${qemu}`,
  );
}
for (const [name, times] of listed) {
  const { why, section } = DIFFERENCES.find((difference) => difference.name === name);
  console.log(`QEMU differs ${String(times).padStart(5)} times: ${name}: ${why} (${section})`);
}
const qemu = hasQemu ? `${cases.length - theirs.length} by QEMU` : 'QEMU is not here';
console.log(
  `${cases.length} outcomes by the manual, ${cases.length - ours.length} met, ${qemu}, ${listed.size} listed differences, ${ours.length + unlisted.length} unexpected`,
);
process.exit(ours.length + unlisted.length === 0 ? 0 : 1);
