/**
 * How much of the guest's time a region takes: the slices that ended in it, counted in linear memory by the vCPU thread. The
 * compiler's thread reads them.
 *
 *    0 slices that ended in the region u32     4 TALLY_* u32
 */
export const TALLY_SIZE = 8;
export const TALLY_STATE = 4;

/** The optimizing compiler has not been asked for it. */
export const TALLY_NEW = 0;
export const TALLY_ASKED = 1;
/** Nothing leads to the region any more. */
export const TALLY_DROPPED = 2;
