// Cases on Trapeze and on QEMU, and what both did of what the manual says.
import { compare } from './case.mjs';
import { DIFFERENCES } from './differences.mjs';
import { FAMILIES, pages } from './families.mjs';
import * as monitor from './monitor.mjs';
import { results } from './run.mjs';

/** Every case, or one of `step`, from families whose name holds `only`. */
export function casesOf({ step = 1, only = '' } = {}) {
  const cases = FAMILIES.flatMap((family) => [...family()]).filter((c) => c.family.includes(only));
  return cases.filter((_, n) => n % step === 0);
}

/** Cases whose expectation was not met: { c, expected, observed }. */
export async function missed(run, cases) {
  const list = [];
  const found = await results(run, monitor, cases, pages());
  for (const [n, c] of cases.entries()) {
    const { expected, observed } = compare(c, found[n]);
    if (expected !== observed) list.push({ c, expected, observed });
  }
  return list;
}

/** The listed difference that explains what QEMU did, or undefined. */
export const explained = (miss) => DIFFERENCES.find(({ applies }) => applies(miss.c, miss));

export const describe = ({ c, expected, observed }) =>
  `${c.family}: ${c.name}: the manual says ${expected}, observed ${observed} (${c.section})`;
