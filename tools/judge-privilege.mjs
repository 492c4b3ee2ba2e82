// Bare-metal guests against the manual, on Trapeze and on QEMU (test/privilege). The manual's outcome is written down beside
// each case; where QEMU differs from it, the difference has a name and a reason, or it is a failure.
// --write: also into docs/reference/privilege.md.
//   node tools/judge-privilege.mjs [--only TEXT] [--step N] [--show N] [--no-qemu] [--write]
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
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
    write: { type: 'boolean', default: false },
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

const missesOf = (list, family) => list.filter(({ c }) => c.family === family).length;
for (const [family, outcomes] of families) {
  const qemu = hasQemu ? String(outcomes - missesOf(theirs, family)).padStart(7) : 'skipped';
  const met = String(outcomes - missesOf(ours, family)).padStart(6);
  console.log(`${family.padEnd(52)} ${String(outcomes).padStart(6)} outcomes, met by Trapeze ${met}, by QEMU ${qemu}`);
}
const differences = [...listed].map(([name, times]) => ({ times, ...DIFFERENCES.find((one) => one.name === name) }));
for (const { times, name, why, section } of differences) {
  console.log(`QEMU differs ${String(times).padStart(5)} times: ${name}: ${why} (${section})`);
}

/** What every family has, and every listed difference with its reason. */
function page() {
  const rows = [...families].map(([family, outcomes]) => {
    const section = cases.find((c) => c.family === family)?.section ?? '';
    return `| ${family} | ${outcomes} | ${outcomes - missesOf(ours, family)} | ${outcomes - missesOf(theirs, family)} | ${section} |`;
  });
  const reasons = differences.map(({ times, name, why, section }) => `| ${name} | ${times} | ${why} | ${section} |`);
  return `# Privilege

What \`npm run judge -- privilege --write\` found: bare-metal guests (\`test/privilege\`) put the processor into a state, let it carry
out one instruction, and tell which gate it came back through and what it left behind. The outcome that Intel's manual says is
written down beside each case, as rules of our own, and compared with Trapeze and with QEMU's translator.

| Family | Outcomes | Met by Trapeze | Met by QEMU | Manual |
| --- | --- | --- | --- | --- |
${rows.join('\n')}

Where QEMU does something else the manual wins, and the difference has a name:

| Difference | Times | The manual, and QEMU | Section |
| --- | --- | --- | --- |
${reasons.join('\n')}
`;
}
if (options.write && hasQemu)
  writeFileSync(fileURLToPath(new URL('../docs/reference/privilege.md', import.meta.url)), page());

const qemu = hasQemu ? `${cases.length - theirs.length} by QEMU` : 'QEMU is not here';
console.log(
  `${cases.length} outcomes by the manual, ${cases.length - ours.length} met, ${qemu}, ${listed.size} listed differences, ${ours.length + unlisted.length} unexpected`,
);
process.exit(ours.length + unlisted.length === 0 ? 0 : 1);
