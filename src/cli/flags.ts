/** Flags of V8 for this process: imported before anything that makes garbage. */
import { setFlagsFromString } from 'node:v8';
import { setOldFlag } from '../base/node/v8.js';

// What reading the program and the guest makes would let the young generation of this thread grow to 16 MB for good.
setFlagsFromString('--semi-space-growth-factor=1');

// JavaScript is optimized after eleven times as many turns as usual: that shares the host's processors with the guest, and
// much of a boot's code runs for a moment only.
setOldFlag('--interrupt-budget=1500000');
