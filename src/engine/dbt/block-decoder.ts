/** Cuts blocks from guest memory and writes their records: instructions up to the first jump, within a page. */
import { readFields } from '../../x86/decode/fields.js';
import type { CodeSize } from '../../x86/insn.js';
import * as S from '../../x86/state.js';
import { codeSizeOf } from './block-key.js';
import { type CommonHandlers, commonHandlers, HANDLER_CLOSE, HANDLER_HEADER } from './common-handlers.js';
import { KEEPS } from './flag-knowledge.js';
import type { Interpreter } from './interpreter.js';
import * as R from './record.js';
import { RecordWriter } from './record-writer.js';

const PAGE = 4096;
const MAX_INSTRUCTIONS = 64;
const MAX_INSTRUCTION_BYTES = 15;
/** Bytes of the largest block's records. */
export const MAX_BLOCK_SIZE = sizeOf(MAX_INSTRUCTIONS);

export class BlockDecoder {
  private readonly i32: Int32Array;
  private readonly u16: Uint16Array;
  private readonly bytes: Uint8Array;
  private readonly interpreter: Interpreter;
  private readonly writer: RecordWriter;
  private readonly pairOf: CommonHandlers['pairOf'];
  private readonly crossing = new Uint8Array(MAX_INSTRUCTION_BYTES);

  constructor(memory: WebAssembly.Memory, interpreter: Interpreter) {
    this.i32 = new Int32Array(memory.buffer);
    this.u16 = new Uint16Array(memory.buffer);
    this.bytes = new Uint8Array(memory.buffer);
    this.interpreter = interpreter;
    this.writer = new RecordWriter(memory);
    this.pairOf = commonHandlers().pairOf;
  }

  /**
   * The block at `gpa`, its records from `header` on, where memory is zero; how many bytes they take. 0 where its first instruction goes on into
   * the next page and `secondPage` (host address of that page; 0: not known) was not given. `decodedFor`: the key that says
   * how; `key`: what the header notes.
   */
  decode(header: number, gpa: number, key: number, decodedFor: number, secondPage: number): number {
    const codeSize = codeSizeOf(decodedFor);
    const most = (decodedFor & S.KEY_SINGLE) !== 0 ? 1 : MAX_INSTRUCTIONS;
    const first = gpa % PAGE;
    const page = S.RAM + gpa - first;
    let offset = first;
    let count = 0;
    let crossed = 0;
    let at = header + R.RECORD_SIZE;
    while (offset < PAGE && count < most) {
      let length = readFields(this.bytes, page + offset, PAGE - offset, codeSize);
      if (length === 0) {
        if (count > 0) break;
        if (secondPage === 0) return 0;
        length = this.readCrossing(page + offset, PAGE - offset, secondPage, codeSize);
        crossed = secondPage;
      }
      const handler = this.interpreter.handlerOfFields(decodedFor, length);
      const next = offset + length;
      this.writer.write(at, handler, offset, next);
      at += R.RECORD_SIZE;
      offset = next;
      count++;
      if (this.interpreter.endsBlock(handler)) break;
    }
    this.tellJump(header + R.RECORD_SIZE, at - R.RECORD_SIZE);
    const handlerAt = (record: number): number => this.i32[(record + R.HANDLER) >> 2] as number;
    const firstHandler = handlerAt(header + R.RECORD_SIZE);
    const lastHandler = handlerAt(at - R.RECORD_SIZE);
    if (!this.interpreter.jumpsIndirectly(lastHandler)) this.writer.writeClose(at, HANDLER_CLOSE, offset);
    const isStub = most > 1 && crossed === 0 && this.interpreter.isStub(firstHandler, lastHandler, count);
    this.writeHeader(header, first, offset - first, count, page, key, crossed);
    if (isStub) this.i32[(header + R.HANDLER) >> 2] = R.HANDLER_STUB;
    else this.joinPairs(header + R.RECORD_SIZE, at - R.RECORD_SIZE);
    this.interpreter.flush();
    return sizeOf(count);
  }

  /** Where two instructions in sequence have a handler together, the first one gets it: blocks are entered by their header alone. */
  private joinPairs(first: number, last: number): void {
    const { i32 } = this;
    for (let at = last - R.RECORD_SIZE; at >= first; at -= R.RECORD_SIZE) {
      const slot = (at + R.HANDLER) >> 2;
      const pair = this.pairOf(i32[slot] as number, i32[slot + R.RECORD_SIZE / 4] as number);
      if (pair === 0) continue;
      i32[slot] = pair;
      at -= R.RECORD_SIZE;
    }
  }

  /** A conditional jump at the end of a block gets the handler for what the instructions before it leave in the flags. */
  private tellJump(first: number, last: number): void {
    const { i32, interpreter } = this;
    const handler = i32[(last + R.HANDLER) >> 2] as number;
    if (!interpreter.isConditionalJump(handler)) return;
    for (let at = last - R.RECORD_SIZE; at >= first; at -= R.RECORD_SIZE) {
      const effect = interpreter.effectOf(i32[(at + R.HANDLER) >> 2] as number);
      if (effect === KEEPS) continue;
      i32[(last + R.HANDLER) >> 2] = interpreter.jumpKnowing(handler, effect);
      return;
    }
  }

  private readCrossing(host: number, first: number, secondPage: number, codeSize: CodeSize): number {
    const bytes = this.crossing;
    bytes.set(this.bytes.subarray(host, host + first));
    bytes.set(this.bytes.subarray(secondPage, secondPage + MAX_INSTRUCTION_BYTES - first), first);
    return readFields(bytes, 0, MAX_INSTRUCTION_BYTES, codeSize);
  }

  private writeHeader(
    header: number,
    offset: number,
    length: number,
    count: number,
    page: number,
    key: number,
    secondPage: number,
  ): void {
    const { i32 } = this;
    i32[(header + R.HANDLER) >> 2] = HANDLER_HEADER;
    this.u16[(header + R.OFFSET) >> 1] = offset;
    this.u16[(header + R.HEADER_LENGTH) >> 1] = length;
    i32[(header + R.HEADER_COUNT) >> 2] = count;
    i32[(header + R.HEADER_PAGE) >> 2] = page;
    i32[(header + R.HEADER_KEY) >> 2] = key;
    i32[(header + R.HEADER_SECOND_PAGE) >> 2] = secondPage;
  }
}

/** Bytes of a block of so many instructions. */
export function sizeOf(instructions: number): number {
  return R.RECORD_SIZE * (1 + instructions) + R.CLOSE_SIZE;
}
