// Cases on Trapeze and on QEMU, and what both did of what the manual says.
import { compare } from './case.mjs';
import { DIFFERENCES } from './differences.mjs';
import * as protectedMode from './families.mjs';
import * as longMode from './families64.mjs';
import * as monitor from './monitor.mjs';
import * as monitor64 from './monitor64.mjs';
import { results } from './run.mjs';

/** Each has an image of its own. */
const GUESTS = [
  { monitor, ...protectedMode },
  { monitor: monitor64, ...longMode },
];

/** Every case, or one of `step`, from families whose name holds `only`. */
export function casesOf({ step = 1, only = '' } = {}) {
  const cases = GUESTS.flatMap((guest) =>
    guest.FAMILIES.flatMap((family) => [...family()].map((c) => ({ ...c, guest }))),
  ).filter((c) => c.family.includes(only));
  return cases.filter((_, n) => n % step === 0);
}

/** Cases whose expectation was not met: { c, expected, observed }. */
export async function missed(run, cases) {
  const list = [];
  for (const guest of GUESTS) {
    const own = cases.filter((c) => c.guest === guest);
    if (own.length === 0) continue;
    const found = await results(run, guest.monitor, own, guest.pages());
    for (const [n, c] of own.entries()) {
      const { expected, observed } = compare(c, found[n]);
      if (expected !== observed) list.push({ c, expected, observed });
    }
  }
  return list;
}

/** The listed difference that explains what QEMU did, or undefined. */
export const explained = (miss) => DIFFERENCES.find(({ applies }) => applies(miss.c, miss));

export const describe = ({ c, expected, observed }) =>
  `${c.family}: ${c.name}: the manual says ${expected}, observed ${observed} (${c.section})`;
