// What the last full run of the instruction judge saw, as a small file that the generated reference reads
// (test/instruction/judged.json): cases by row of the opcode tables and by mode, and what nobody outside has seen.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { formsOf, opcodeText } from './forms.mjs';
import { excluded } from './known.mjs';

const FILE = new URL('judged.json', import.meta.url);

/** What names a row: opcode, mnemonic, operands. */
export const rowKey = (row) => [opcodeText(row), row.mnemonic, row.operands.join(',')].join(' ').trim();

/** Reason -> forms of a mode that the host is not asked about. */
export function unjudgedForms(mode, hostFlags, vendor) {
  const reasons = new Map();
  for (const form of formsOf(mode.bits)) {
    const why = excluded(form, hostFlags, vendor);
    if (why !== undefined) reasons.set(why, [...(reasons.get(why) ?? []), form]);
  }
  return reasons;
}

export function readSummary() {
  return existsSync(FILE) ? JSON.parse(readFileSync(FILE, 'utf8')) : undefined;
}

/** `counts`: row key -> mode name -> cases. */
export function writeSummary({ host, date, seed, modes, counts, unjudged, explained, undefinedFlags }) {
  const rows = Object.entries(counts).map(([key, byMode]) => `    ${JSON.stringify(key)}: ${JSON.stringify(byMode)}`);
  const head = JSON.stringify({ host, date, seed, modes, unjudged, explained, undefinedFlags }, null, 2).slice(0, -2);
  writeFileSync(FILE, `${head},\n  "rows": {\n${rows.join(',\n')}\n  }\n}\n`);
}
