// All families of cases of 32-bit protected mode, and the page tables they share.
import { codeSegments, returns } from './families/code-segments.mjs';
import { dataSegments } from './families/data-segments.mjs';
import { callGates, interrupts } from './families/gates.mjs';
import { alignment, inputOutput } from './families/input-output.mjs';
import { inspection } from './families/inspection.mjs';
import { limits } from './families/limits.mjs';
import { pages, paging } from './families/paging.mjs';
import { privileged } from './families/privileged.mjs';
import { tasks } from './families/tasks.mjs';
import { virtual8086 } from './families/virtual-8086.mjs';

export const FAMILIES = [
  ...[dataSegments, inspection, codeSegments, returns, callGates, interrupts, privileged, inputOutput, alignment],
  ...[limits, paging, tasks, virtual8086],
];
export { pages };
