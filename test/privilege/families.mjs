// All families of cases of 32-bit protected mode, and the page tables they share.
import { codeSegments, returns } from './families/code-segments.mjs';
import { dataSegments } from './families/data-segments.mjs';
import { callGates, interrupts } from './families/gates.mjs';
import { inspection } from './families/inspection.mjs';

export const FAMILIES = [dataSegments, inspection, codeSegments, returns, callGates, interrupts];

export function pages() {
  return [];
}
