/** Flags of V8 for this process: imported before anything that makes garbage. */
import { setFlagsFromString } from 'node:v8';

/** That of Node 21. */
const LAST_V8_WITH_BUDGET = 11;

// What reading the program and the guest makes would let the young generation of this thread grow to 16 MB for good.
setFlagsFromString('--semi-space-growth-factor=1');

// JavaScript is optimized after eleven times as many turns as usual: that shares the host's processors with the guest, and
// much of a boot's code runs for a moment only.
// Later ones do not know the flag, and say so on standard error.
if (Number.parseInt(process.versions.v8, 10) <= LAST_V8_WITH_BUDGET) setFlagsFromString('--interrupt-budget=1500000');
