// docs/reference/instructions.md: every row of the opcode tables.
import { CPUID_FEATURES } from '../../dist/spec/x86/cpuid.js';
import { opcodeRows } from '../../dist/x86/decode/tables.js';
import { semantics } from '../../dist/x86/semantics/index.js';
import { isOffered } from '../../dist/x86/system/cpuid-profile.js';
import { opcodeText } from '../../test/instruction/forms.mjs';
import { readSummary, rowKey } from '../../test/instruction/summary.mjs';
import { NAMES as SYSTEM_NAMES } from '../../test/system/cases.mjs';
import { page, table } from './markdown.mjs';

const MAPS = [
  ['', 'One byte'],
  ['0f', 'Two bytes, 0F'],
  ['0f38', 'Three bytes, 0F 38'],
  ['0f3a', 'Three bytes, 0F 3A'],
];
/** The tables' feature words that CPUID's names spell otherwise, or that no bit announces. */
const CPUID_NAME = {
  base: undefined,
  x87: 'fpu',
  'sse4.1': 'sse4_1',
  'sse4.2': 'sse4_2',
  sha: 'sha_ni',
  lzcnt: 'abm',
  sse3: 'sse3',
  prefetchw: '3dnowprefetch',
  svm: undefined,
  'cet-ibt': 'ibt',
};

const summary = readSummary();
/** Mnemonics of the cases of test/system, which QEMU judges in every mode, real and virtual-8086 among them. */
const SYSTEM = new Set(SYSTEM_NAMES.map((name) => name.split(' ')[0]));
const MODE_KEYS = ['64', '32', '16', 'virtual', 'real'];
const isSegment = (code) => /^(S|ES|CS|SS|DS|FS|GS)/.test(code);

/** How often the host's processor was asked, by code size; where a mode has no such instruction: nothing. */
function casesOf(row) {
  const cases = summary?.rows[rowKey(row)];
  if (cases === undefined) return 'none';
  return MODE_KEYS.map((key) => cases[key] ?? (row[key === '64' ? 'i64' : 'o64'] ? '-' : 0)).join(', ');
}

function otherJudges(row) {
  const names = row.mnemonic.split('/').map((name) => name.replace(/[dq]$/, ''));
  const isSystem = names.some((name) => SYSTEM.has(name)) || row.mnemonic.split('/').some((name) => SYSTEM.has(name));
  // MOV and POP there are those of segment registers.
  if (['mov', 'pop'].includes(row.mnemonic)) return row.operands.some(isSegment) ? 'QEMU' : '';
  return isSystem ? 'QEMU' : '';
}

function notes(row) {
  const words = [];
  if (row.lock) words.push('LOCK');
  if (row.repeat !== 'none') words.push(row.repeat === 'rep' ? 'REP' : 'REPE, REPNE');
  if (row.i64) words.push('not in 64-bit code');
  if (row.o64) words.push('only in 64-bit code');
  if (row.mnemonic.split('/').every((name) => semantics[name] === undefined)) words.push('#UD');
  return words.join('; ');
}

function isAnnounced(feature) {
  if (feature === 'base') return true;
  const name = feature in CPUID_NAME ? CPUID_NAME[feature] : feature;
  const found = CPUID_FEATURES.find((candidate) => candidate.name === name);
  return found !== undefined && isOffered(found);
}

/** What the last full run of `npm run judge -- instructions` says about itself. */
function judgement() {
  if (summary === undefined) return [];
  const { host, date, modes, explained, undefinedFlags, unjudged } = summary;
  const counted = Object.entries(modes).map(
    ([mode, { forms, cases }]) => `${mode} code: ${forms} forms and ${cases} cases`,
  );
  return [
    '## Judged by the processor',
    `A form is a row in one mode, with one operand size, in register or memory form. The last full run of ` +
      `\`npm run judge -- instructions\` (${date}, ${host}) compared ${counted.join(', ')}: registers, flags, memory, x87 and ` +
      'SSE state, and exceptions with error code and address. 16-bit code ran in segments of the local descriptor table. ' +
      'A 64-bit kernel has no virtual-8086 mode for its processes, and none has real mode: there what the processor ' +
      'answered to 16-bit code is the judge of instructions that look at neither selectors nor privilege, and QEMU of the ' +
      'rest (`npm run judge -- system`, column "Other judges"). Random programs compare the evaluators with each other ' +
      'in every mode (`npm run judge -- programs`).',
    'Differences that are explained, by how often they were met:',
    table(
      ['Why', 'Times'],
      Object.entries(explained).map(([why, times]) => [why, String(times)]),
    ),
    'Status flags that the manual leaves undefined and that this processor sets otherwise (as a mask of RFLAGS):',
    table(
      ['Mnemonic', 'Flags'],
      Object.entries(undefinedFlags).map(([name, flags]) => [`\`${name}\``, flags]),
    ),
    'Forms that the processor was not asked about:',
    table(
      ['Code', 'Why', 'Mnemonics'],
      Object.entries(unjudged).flatMap(([mode, reasons]) =>
        Object.entries(reasons).map(([why, names]) => [mode, why, names.map((name) => `\`${name}\``).join(', ')]),
      ),
    ),
  ];
}

export function instructionsReference() {
  const mnemonics = new Set(opcodeRows.flatMap((row) => row.mnemonic.split('/')));
  const unannounced = [...new Set(opcodeRows.map((row) => row.feature))].filter((feature) => !isAnnounced(feature));
  return page(
    'Instructions',
    'the opcode tables in `src/x86/decode`',
    `${opcodeRows.length} rows, ${mnemonics.size} mnemonics. Operand codes as in Intel SDM Vol. 2, Appendix A "Opcode Map", ` +
      'with those that `src/x86/decode/operand.ts` adds. Mnemonics joined by `/` follow the operand size. What is not ' +
      'here raises #UD.',
    `CPUID does not announce ${unannounced.join(', ')} (see [the processor a guest sees](cpuid.md)): their instructions ` +
      'are decoded, and then do their work, do nothing where they are hints, or raise #UD by definition.',
    ...judgement(),
    ...MAPS.flatMap(([map, title]) => {
      const rows = opcodeRows.filter((row) => row.map === map);
      return [
        `## ${title} (${rows.length})`,
        table(
          [
            'Opcode',
            'Mnemonic',
            'Operands',
            'Feature',
            'Notes',
            'Cases: 64, 32, 16-bit, virtual-8086, real',
            'Other judges',
          ],
          rows.map((row) => [
            opcodeText(row),
            `\`${row.mnemonic}\``,
            row.operands.join(', '),
            row.feature === 'base' ? '' : row.feature,
            notes(row),
            casesOf(row),
            otherJudges(row),
          ]),
        ),
      ];
    }),
  );
}
