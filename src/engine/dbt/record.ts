/**
 * The interpreter's decoded form. A block is a header record followed by one record per instruction and a closing one;
 * every record is 64 bytes of linear memory, starts with the table index of its handler, and is that handler's only
 * argument. Compiled regions have the same signature, so a block enters its region by its header's handler changing.
 *
 *    0 handler   4 offset    8 next      12 operand 0   (i32 each: table index; page offsets; pointers to registers)
 *   16 operand 1 20 operand 2 24 base    28 index
 *   32 (free)                36 scale    40 displacement i64
 *   48 immediate i64         56 link taken   60 link fall-through (pointers to records, 0: not resolved)
 *
 * Header record: 4 offset of its first instruction, 8 instructions in the block, 12 times entered, 16 block number,
 * 20 host address of its page, 24 block key, 28 host address of the second page where its only instruction crosses (0: none),
 * 36 number of the region's entry (where the handler is a region), 40 bytes of code in the block.
 */
export const RECORD_SIZE = 64;

export const HANDLER = 0;
export const OFFSET = 4;
export const NEXT = 8;
export const OPERAND = 12;
export const BASE = 24;
export const INDEX = 28;
export const SCALE = 36;
export const DISPLACEMENT = 40;
export const IMMEDIATE = 48;
export const LINK_TAKEN = 56;
export const LINK_NEXT = 60;

export const HEADER_COUNT = 8;
export const HEADER_HEAT = 12;
export const HEADER_BLOCK = 16;
export const HEADER_PAGE = 20;
export const HEADER_KEY = 24;
export const HEADER_SECOND_PAGE = 28;
export const HEADER_ENTRY = 36;
export const HEADER_LENGTH = 40;
