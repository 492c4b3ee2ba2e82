/**
 * The interpreter's decoded form. A block is a header record followed by one record per instruction and a closing one, in
 * linear memory; each starts with the table index of its handler, and is that handler's only argument. Compiled regions have
 * the same signature, so a block enters its region by its header's handler changing.
 *
 *    0 handler i32         4 offset u16, 6 next u16 (page offsets)
 *    8 operand 0  12 operand 1  16 operand 2   (i32: pointers to registers)
 *   20 base  24 index  28 scale i32            32 displacement i64   40 immediate i64
 *
 * A relative jump has no memory operand: its link (pointer to a header, 0: not resolved) stands where the index does, and where the
 * scale does that of a conditional one to what follows it; its link to another page (header and generation) where the
 * displacement does. A call's link to where it returns stands where its second operand would.
 * Closing record: handler, offset, next as above, 8 link. Behind a jump or call whose target is known at run time it is the link to
 * where that went last: header, 4 generation, 8 RIP.
 * Header: handler and offset as above, 6 bytes of code in the block u16, 8 instructions in the block, 12 times entered,
 * 16 host address of its page, 20 block key, 24 host address of the second page where its only instruction crosses (0: none),
 * 28 number of the region's entry (where the handler is a region), 32, 36, 40 the block cache's lists, 44 reasons why it was told to wait.
 */
/** Handlers from here on are regions; the one before them goes through stubs of procedure linkage tables. */
export const FIRST_REGION = 4096;
export const HANDLER_STUB = FIRST_REGION - 1;

export const RECORD_SIZE = 48;
export const CLOSE_SIZE = 16;

export const HANDLER = 0;
export const OFFSET = 4;
export const NEXT = 6;
export const OPERAND = 8;
export const BASE = 20;
export const INDEX = 24;
export const SCALE = 28;
export const DISPLACEMENT = 32;
export const IMMEDIATE = 40;
export const LINK_TAKEN = 24;
export const LINK_NEXT = 28;
export const LINK_FAR = 32;
export const LINK_RETURN = 12;

export const CLOSE_LINK = 8;
export const LINK_RIP = 8;

export const HEADER_LENGTH = 6;
export const HEADER_COUNT = 8;
export const HEADER_HEAT = 12;
export const HEADER_PAGE = 16;
export const HEADER_KEY = 20;
export const HEADER_SECOND_PAGE = 24;
export const HEADER_ENTRY = 28;
export const HEADER_SAME_START = 32;
export const HEADER_SAME_PAGE = 36;
export const HEADER_SAME_SECOND_PAGE = 40;
export const HEADER_DEFERRED = 44;
/** Values of it: a region must be made again for the block, the compiler is busy. */
export const DEFERRED_FOR_REGION = 1;
export const DEFERRED_FOR_LOAD = 2;
