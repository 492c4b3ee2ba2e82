// docs/reference/instructions.md: every row of the opcode tables.
import { CPUID_FEATURES } from '../../dist/spec/x86/cpuid.js';
import { opcodeRows } from '../../dist/x86/decode/tables.js';
import { semantics } from '../../dist/x86/semantics/index.js';
import { isOffered } from '../../dist/x86/system/cpuid-profile.js';
import { page, table } from './markdown.mjs';

const MAPS = [
  ['', 'One byte'],
  ['0f', 'Two bytes, 0F'],
  ['0f38', 'Three bytes, 0F 38'],
  ['0f3a', 'Three bytes, 0F 3A'],
];
const PREFIX = { any: '', np: 'NP ', nfx: 'NFx ', 66: '66 ', f3: 'F3 ', f2: 'F2 ' };
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

function opcode(row) {
  const escapeBytes = (row.map.match(/../g) ?? []).map((byte) => byte.toUpperCase());
  const byte = row.opcode.toString(16).toUpperCase().padStart(2, '0');
  const tail = row.span === 8 ? '+r' : row.span === 16 ? '+cc' : '';
  const reg = row.reg >= 0 ? ` /${row.reg}` : '';
  const rm = row.rm >= 0 ? ` rm=${row.rm}` : '';
  const mod = row.mod === 'mem' ? ' (memory)' : row.mod === 'reg' ? ' (register)' : '';
  return `${PREFIX[row.prefix]}${[...escapeBytes, byte].join(' ')}${tail}${reg}${rm}${mod}`;
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
    ...MAPS.flatMap(([map, title]) => {
      const rows = opcodeRows.filter((row) => row.map === map);
      return [
        `## ${title} (${rows.length})`,
        table(
          ['Opcode', 'Mnemonic', 'Operands', 'Feature', 'Notes'],
          rows.map((row) => [
            opcode(row),
            `\`${row.mnemonic}\``,
            row.operands.join(', '),
            row.feature === 'base' ? '' : row.feature,
            notes(row),
          ]),
        ),
      ];
    }),
  );
}
