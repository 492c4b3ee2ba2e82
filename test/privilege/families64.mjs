// All families of cases of IA-32e mode, and their page tables.
import { canonical, longGates, longInstructions, longReturns } from './families/long-mode.mjs';
import { longPages, longPaging } from './families/long-pages.mjs';

export const FAMILIES = [longGates, longReturns, canonical, longInstructions, longPaging];
export { longPages as pages };
