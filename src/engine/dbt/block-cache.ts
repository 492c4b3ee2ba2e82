/**
 * Decoded blocks: cut from guest memory, kept by guest physical address and mode, thrown away when their bytes change.
 * A block lies in one page (an instruction that crosses into the next page is a block of its own).
 */
import { decode } from '../../x86/decode/decoder.js';
import { BASE_RIP, type CodeSize, type Insn, type MemoryOperand, NO_REGISTER, type Operand } from '../../x86/insn.js';
import { endsBlock } from '../../x86/semantics/index.js';
import * as S from '../../x86/state.js';
import { codeSizeOf } from './block-key.js';
import {
  FIRST_REGION,
  HANDLER_CLOSE,
  HANDLER_HEADER,
  HANDLER_INVALID,
  HANDLER_LOOKUP,
  type Interpreter,
} from './interpreter.js';
import * as R from './record.js';

const PAGE = 4096;
const MAX_INSTRUCTIONS = 64;
/** A page whose code was given up this often is treated as holding code and data. */
const MIXED_AFTER = 16;
const MAX_INSTRUCTION_BYTES = 15;
/** A region larger than this is not made again for a block that it does not hold. */
const MAX_JOINED = 300;

export const LOOKUP_RECORD = S.BLOCKS;
/** Room for the one instruction that is stepped without being remembered: header, record, closing record. */
const TRANSIENT_BLOCK = S.BLOCKS + R.RECORD_SIZE;
const FIRST_BLOCK = S.BLOCKS + 4 * R.RECORD_SIZE;

export interface Block {
  readonly id: number;
  /** Guest physical address of the first byte. */
  readonly gpa: number;
  readonly key: number;
  /** Linear-memory address of the header record. */
  readonly header: number;
  /** Bytes of guest code in the first page (and beyond it, where the only instruction crosses). */
  readonly length: number;
  readonly instructions: number;
  /** Was told once to wait before a region is made again for it. */
  isDeferred: boolean;
}

/** A compiled region: which bytes of its page it was made of, and the blocks whose headers lead into it. */
export interface CompiledRegion {
  readonly id: number;
  readonly key: number;
  /** By number of the entry; undefined where the block has gone. */
  readonly entries: readonly (Block | undefined)[];
  /** Page offsets of all its blocks. */
  readonly offsets: ReadonlySet<number>;
  /** How often it was made again for another entry. */
  readonly generation: number;
  readonly instructions: number;
  /** It has jumps whose targets are known at run time only. */
  readonly hasTable: boolean;
  /** Page frame. */
  readonly frame: number;
  /** 64-byte chunks of the page it depends on, as two 32-bit masks. */
  readonly chunks: readonly [number, number];
  readonly tableIndex: number;
}

interface Page {
  /** By offset and key (see `startKey`). */
  readonly starts: Map<number, Block>;
  /** All that lie in the page or reach into it. */
  readonly blocks: Set<Block>;
  readonly regions: Set<CompiledRegion>;
}

export interface RuntimeCode {
  dropWrites(host: number): void;
  flushAll(): void;
}

export class BlockCache {
  private readonly pages = new Map<number, Page>();
  /** How often a page's code was given up for its data. */
  private readonly givenUp = new Map<number, number>();
  private readonly byId = new Map<number, Block>();
  private readonly i32: Int32Array;
  private readonly view: DataView;
  private readonly bytes: Uint8Array;
  private readonly interpreter: Interpreter;
  private readonly runtime: RuntimeCode;
  private next = FIRST_BLOCK;
  private nextId = 1;
  private readonly crossing = new Uint8Array(MAX_INSTRUCTION_BYTES);
  /** Called when a region's code is gone. */
  onRegionDropped: (region: CompiledRegion) => void = () => {};
  /** Changes when everything is forgotten. */
  epoch = 0;
  // Counters for statistics.
  made = 0;
  invalidated = 0;
  flushes = 0;

  constructor(memory: WebAssembly.Memory, interpreter: Interpreter, runtime: RuntimeCode) {
    this.i32 = new Int32Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    this.bytes = new Uint8Array(memory.buffer);
    this.interpreter = interpreter;
    this.runtime = runtime;
    this.i32[(LOOKUP_RECORD + R.HANDLER) >> 2] = HANDLER_LOOKUP;
  }

  get bytesUsed(): number {
    return this.next - S.BLOCKS;
  }

  find(gpa: number, key: number): Block | undefined {
    return this.pages.get(Math.floor(gpa / PAGE))?.starts.get(startKey(gpa, key));
  }
  byHeader(header: number): Block | undefined {
    return this.byId.get(this.i32[(header + R.HEADER_BLOCK) >> 2] as number);
  }

  /** Times it was entered as a block, and less than that once it was told to wait. */
  heat(block: Block): number {
    return this.i32[(block.header + R.HEADER_HEAT) >> 2] as number;
  }
  /** Page offsets of the blocks of a page and mode entered `least` times and more, each followed by how often. */
  heatOf(page: number, key: number, least: number): number[] {
    const out: number[] = [];
    for (const block of this.pages.get(page / PAGE)?.starts.values() ?? []) {
      const heat = this.heat(block);
      if (block.key === key && heat >= least) out.push(block.gpa - page, heat);
    }
    return out;
  }
  /** Lets a hot block become hot again after so many entries more; false where there are none or it was told so before. */
  defer(block: Block, entries: number): boolean {
    if (block.isDeferred) return false;
    block.isDeferred = true;
    this.i32[(block.header + R.HEADER_HEAT) >> 2] = -entries;
    return entries > 0;
  }
  /** Lets the block there become hot again. */
  cool(gpa: number, key: number): void {
    const block = this.find(gpa, key);
    if (block !== undefined && !this.isTranslated(block)) this.i32[(block.header + R.HEADER_HEAT) >> 2] = 0;
  }

  /**
   * Cuts a block at `gpa`. Returns undefined where its first instruction goes on into the next page and `secondPage`
   * (host address of that page) was not given.
   */
  make(gpa: number, key: number, secondPage: number | undefined): Block | undefined {
    this.makeRoomForForms();
    const insns = this.cut(gpa, key, secondPage);
    if (insns === undefined) return undefined;
    const first = insns[0] as Insn;
    const length = insns.reduce((n, i) => n + i.length, 0);
    const crosses = (gpa % PAGE) + first.length > PAGE;
    const size = (insns.length + 2) * R.RECORD_SIZE;
    if (this.next + size > S.BLOCKS_END) this.flush();
    const header = this.next;
    this.next += size;
    const block: Block = { id: this.nextId++, gpa, key, header, length, instructions: insns.length, isDeferred: false };
    this.write(block, insns, crosses ? (secondPage as number) : 0);
    this.register(block, crosses ? (secondPage as number) : 0);
    this.made++;
    return block;
  }

  /** The same for one instruction, forgotten at once: it may change its own bytes. */
  makeTransient(gpa: number, key: number, secondPage: number | undefined): Block | undefined {
    this.makeRoomForForms();
    const insns = this.cut(gpa, key | S.KEY_SINGLE, secondPage);
    if (insns === undefined) return undefined;
    const length = (insns[0] as Insn).length;
    const block: Block = { id: 0, gpa, key, header: TRANSIENT_BLOCK, length, instructions: 1, isDeferred: false };
    this.write(block, insns, 0);
    return block;
  }

  private makeRoomForForms(): void {
    if (!this.interpreter.isFull) return;
    this.flush();
    this.interpreter.forget();
  }

  private write(block: Block, insns: readonly Insn[], secondPage: number): void {
    const { gpa, key, header } = block;
    this.writeHeader(block, secondPage);
    let offset = gpa % PAGE;
    let record = header + R.RECORD_SIZE;
    for (const insn of insns) {
      this.writeRecord(record, insn, key, offset);
      offset += insn.length;
      record += R.RECORD_SIZE;
    }
    this.clearRecord(record);
    this.i32[(record + R.HANDLER) >> 2] = HANDLER_CLOSE;
    this.i32[(record + R.OFFSET) >> 2] = offset;
    this.i32[(record + R.NEXT) >> 2] = offset;
    this.interpreter.flush();
  }

  /** Instructions from `gpa` on that form one block. */
  private cut(gpa: number, key: number, secondPage: number | undefined): Insn[] | undefined {
    const codeSize = codeSizeOf(key);
    const limit = key & S.KEY_SINGLE ? 1 : MAX_INSTRUCTIONS;
    const insns: Insn[] = [];
    let at = gpa % PAGE;
    const base = S.RAM + gpa - at;
    while (at < PAGE && insns.length < limit) {
      const insn = decode(this.bytes, base + at, PAGE - at, codeSize);
      if (insn === 'truncated') {
        if (insns.length > 0) break;
        if (secondPage === undefined) return undefined;
        return [this.decodeCrossing(base + at, PAGE - at, secondPage, codeSize)];
      }
      insns.push(insn);
      at += insn.length;
      if (endsBlock(insn) || branches(insn)) break;
    }
    return insns;
  }

  private decodeCrossing(host: number, first: number, secondPage: number, codeSize: CodeSize): Insn {
    const bytes = this.crossing;
    bytes.fill(0);
    bytes.set(this.bytes.subarray(host, host + first));
    const rest = MAX_INSTRUCTION_BYTES - first;
    bytes.set(this.bytes.subarray(secondPage, secondPage + rest), first);
    const insn = decode(bytes, 0, MAX_INSTRUCTION_BYTES, codeSize);
    if (insn === 'truncated') throw new Error('an instruction of 15 bytes cannot be truncated');
    return insn;
  }

  /** Zeroed linear memory that lives until the next flush; 0 where there is no room. */
  allocate(bytes: number): number {
    if (this.next + bytes > S.BLOCKS_END) return 0;
    const at = this.next;
    this.next += bytes;
    this.i32.fill(0, at >> 2, (at + bytes) >> 2);
    return at;
  }

  /** False for a block that was dropped meanwhile. */
  isAlive(block: Block): boolean {
    return this.byId.get(block.id) === block;
  }

  // ---- records ----
  private clearRecord(record: number): void {
    this.i32.fill(0, record >> 2, (record + R.RECORD_SIZE) >> 2);
  }

  private writeHeader(block: Block, secondPage: number): void {
    const at = block.header;
    this.clearRecord(at);
    const set = (field: number, value: number): void => {
      this.i32[(at + field) >> 2] = value;
    };
    set(R.HANDLER, HANDLER_HEADER);
    set(R.OFFSET, block.gpa % PAGE);
    set(R.HEADER_COUNT, block.instructions);
    set(R.HEADER_BLOCK, block.id);
    set(R.HEADER_PAGE, S.RAM + block.gpa - (block.gpa % PAGE));
    set(R.HEADER_KEY, block.key);
    set(R.HEADER_SECOND_PAGE, secondPage);
    set(R.HEADER_LENGTH, block.length);
  }

  private writeRecord(at: number, insn: Insn, key: number, offset: number): void {
    this.clearRecord(at);
    const i32 = this.i32;
    i32[(at + R.HANDLER) >> 2] = this.interpreter.handler(insn, key);
    i32[(at + R.OFFSET) >> 2] = offset;
    i32[(at + R.NEXT) >> 2] = offset + insn.length;
    let immediates = 0;
    for (let n = 0; n < insn.operands.length; n++) {
      const op = insn.operands[n] as Operand;
      const slot = (at + R.OPERAND + 4 * n) >> 2;
      switch (op.kind) {
        case 'reg':
          if (n < 3) i32[slot] = registerSlot(op);
          break;
        case 'mem':
          this.writeMemory(at, op);
          break;
        case 'imm':
          if (immediates++ === 0) this.view.setBigUint64(at + R.IMMEDIATE, op.value, true);
          else i32[(at + R.SCALE) >> 2] = Number(op.value);
          break;
        case 'rel':
          this.view.setBigInt64(at + R.IMMEDIATE, BigInt(offset + insn.length + op.disp), true);
          break;
        case 'far':
          this.view.setBigInt64(at + R.IMMEDIATE, BigInt(op.offset), true);
          this.view.setBigInt64(at + R.DISPLACEMENT, BigInt(op.selector), true);
          break;
      }
    }
  }

  private writeMemory(at: number, op: MemoryOperand): void {
    const pointer = (index: number): number =>
      S.CPU_BASE + (index === NO_REGISTER || index === BASE_RIP ? S.ZERO : S.GPR + 8 * index);
    this.i32[(at + R.BASE) >> 2] = pointer(op.base);
    this.i32[(at + R.INDEX) >> 2] = pointer(op.index);
    this.i32[(at + R.SCALE) >> 2] = op.scale;
    this.view.setBigInt64(at + R.DISPLACEMENT, BigInt(op.disp), true);
  }

  // ---- pages ----
  private page(frame: number): Page {
    let page = this.pages.get(frame);
    if (page === undefined) {
      page = { starts: new Map(), blocks: new Set(), regions: new Set() };
      this.pages.set(frame, page);
      const attribute = S.PAGE_ATTRIBUTES + frame;
      this.bytes[attribute] = (this.bytes[attribute] as number) | S.PAGE_HAS_CODE;
      this.runtime.dropWrites(S.RAM + frame * PAGE);
    }
    return page;
  }

  private register(block: Block, secondPage: number): void {
    this.byId.set(block.id, block);
    const frame = Math.floor(block.gpa / PAGE);
    const page = this.page(frame);
    page.starts.set(startKey(block.gpa, block.key), block);
    page.blocks.add(block);
    const offset = block.gpa % PAGE;
    this.markChunks(frame, offset, Math.min(PAGE, offset + block.length));
    if (secondPage !== 0) {
      const second = (secondPage - S.RAM) / PAGE;
      this.page(second).blocks.add(block);
      this.markChunks(second, 0, offset + block.length - PAGE);
    }
  }

  private markChunks(frame: number, start: number, end: number): void {
    const at = (S.CODE_BITMAP + frame * 8) >> 2;
    for (let chunk = start >> 6; chunk <= (end - 1) >> 6; chunk++) {
      const word = at + (chunk >> 5);
      this.i32[word] = (this.i32[word] as number) | (1 << (chunk & 31));
    }
  }

  addRegion(region: CompiledRegion): void {
    this.page(region.frame).regions.add(region);
    for (const [number, entry] of region.entries.entries()) {
      if (entry === undefined) continue;
      const { header } = entry;
      this.i32[(header + R.HANDLER) >> 2] = region.tableIndex;
      this.i32[(header + R.HEADER_ENTRY) >> 2] = number;
    }
    const at = (S.CODE_BITMAP + region.frame * 8) >> 2;
    this.i32[at] = (this.i32[at] as number) | region.chunks[0];
    this.i32[at + 1] = (this.i32[at + 1] as number) | region.chunks[1];
  }

  /** Guest bytes from `gpa` on change: drops every block and region made of their 64-byte chunks. */
  invalidate(gpa: number, size: number): void {
    const last = gpa + size - 1;
    for (let frame = Math.floor(gpa / PAGE); frame <= Math.floor(last / PAGE); frame++) {
      const start = Math.max(gpa, frame * PAGE) % PAGE;
      const end = Math.min(last, frame * PAGE + PAGE - 1) % PAGE;
      this.invalidateChunks(frame, start >> 6, end >> 6);
    }
  }

  private invalidateChunks(frame: number, first: number, last: number): void {
    const page = this.pages.get(frame);
    if (page === undefined) return;
    if (first === 0 && last === 63) this.noteGivenUp(frame);
    for (const region of page.regions) {
      for (let chunk = first; chunk <= last; chunk++) {
        if (((region.chunks[chunk >> 5] as number) >>> (chunk & 31)) & 1) {
          this.dropRegion(region);
          break;
        }
      }
    }
    for (const block of page.blocks) {
      const start = block.gpa - frame * PAGE;
      if (start >> 6 <= last && (start + block.length - 1) >> 6 >= first) this.dropBlock(block);
    }
    this.remark(frame, page);
  }

  /** The whole page loses its code, for being written: where that happens again and again it keeps both. */
  private noteGivenUp(frame: number): void {
    const times = (this.givenUp.get(frame) ?? 0) + 1;
    this.givenUp.set(frame, times);
    const attribute = S.PAGE_ATTRIBUTES + frame;
    const mixed = times >= MIXED_AFTER ? S.PAGE_MIXED : 0;
    this.bytes[attribute] = ((this.bytes[attribute] as number) & ~S.PAGE_WRITES_MASK) | mixed;
  }

  /** The page's code bitmap from what is left in it. */
  private remark(frame: number, page: Page): void {
    const at = (S.CODE_BITMAP + frame * 8) >> 2;
    this.i32[at] = 0;
    this.i32[at + 1] = 0;
    if (page.blocks.size === 0 && page.regions.size === 0) {
      this.pages.delete(frame);
      const attribute = S.PAGE_ATTRIBUTES + frame;
      this.bytes[attribute] = (this.bytes[attribute] as number) & ~S.PAGE_HAS_CODE;
      return;
    }
    for (const block of page.blocks) {
      const start = block.gpa - frame * PAGE;
      this.markChunks(frame, Math.max(0, start), Math.min(PAGE, start + block.length));
    }
    for (const region of page.regions) {
      this.i32[at] = (this.i32[at] as number) | region.chunks[0];
      this.i32[at + 1] = (this.i32[at + 1] as number) | region.chunks[1];
    }
  }

  /** Forgets one block. */
  drop(block: Block): void {
    this.dropBlock(block);
  }

  /** The region of this mode that has a block at `gpa`, or else one of its page that may jump there indirectly. */
  regionAt(gpa: number, key: number): CompiledRegion | undefined {
    let near: CompiledRegion | undefined;
    for (const region of this.pages.get(Math.floor(gpa / PAGE))?.regions ?? []) {
      if (region.key !== key) continue;
      if (region.offsets.has(gpa % PAGE)) return region;
      if (region.hasTable && region.instructions < MAX_JOINED) near ??= region;
    }
    return near;
  }
  regionById(page: number, id: number): CompiledRegion | undefined {
    for (const region of this.pages.get(page / PAGE)?.regions ?? []) if (region.id === id) return region;
    return undefined;
  }
  /** True where the block's header leads into a region. */
  isTranslated(block: Block): boolean {
    return (this.i32[(block.header + R.HANDLER) >> 2] as number) >= FIRST_REGION;
  }

  dropRegion(region: CompiledRegion): void {
    if (this.pages.get(region.frame)?.regions.delete(region) !== true) return;
    for (const entry of region.entries) {
      if (entry === undefined || !this.isAlive(entry)) continue;
      const { header } = entry;
      if (this.i32[(header + R.HANDLER) >> 2] !== region.tableIndex) continue;
      this.i32[(header + R.HANDLER) >> 2] = HANDLER_HEADER;
      this.i32[(header + R.HEADER_HEAT) >> 2] = 0;
    }
    this.onRegionDropped(region);
  }

  private dropBlock(block: Block): void {
    this.invalidated++;
    this.pages.get(Math.floor(block.gpa / PAGE))?.starts.delete(startKey(block.gpa, block.key));
    this.byId.delete(block.id);
    this.i32[(block.header + R.HANDLER) >> 2] = HANDLER_INVALID;
    // No lookup may find it again.
    this.i32[(block.header + R.HEADER_PAGE) >> 2] = -1;
    const frame = Math.floor(block.gpa / PAGE);
    for (const f of [frame, frame + 1]) this.pages.get(f)?.blocks.delete(block);
    if ((block.gpa % PAGE) + block.length > PAGE) {
      // The second page's frame is not next to the first in physical memory: look for it.
      for (const page of this.pages.values()) page.blocks.delete(block);
    }
  }

  /** Forgets everything: the record area is full. */
  flush(): void {
    this.flushes++;
    for (const [frame, page] of this.pages) {
      for (const region of page.regions) this.onRegionDropped(region);
      const at = (S.CODE_BITMAP + frame * 8) >> 2;
      this.i32[at] = 0;
      this.i32[at + 1] = 0;
      const attribute = S.PAGE_ATTRIBUTES + frame;
      this.bytes[attribute] = (this.bytes[attribute] as number) & ~S.PAGE_HAS_CODE;
    }
    this.pages.clear();
    this.byId.clear();
    this.i32.fill(0, S.JUMP_CACHE >> 2, (S.JUMP_CACHE + S.JUMP_CACHE_ENTRIES * 16) >> 2);
    this.i32.fill(0, S.RETURN_RING >> 2, (S.RETURN_RING + S.RETURN_RING_SIZE) >> 2);
    this.next = FIRST_BLOCK;
    this.epoch++;
  }
}

/** A small integer for offset and key: 12 and 19 bits. */
function startKey(gpa: number, key: number): number {
  return ((gpa % PAGE) << 19) | key;
}

/** Conditional branches end an interpreted block although control may fall through. */
function branches(insn: Insn): boolean {
  return insn.operands.some((op) => op.kind === 'rel');
}

/** What the record's operand slot holds: a pointer into the vCPU state for value registers, a number for the others. */
function registerSlot(op: Operand & { kind: 'reg' }): number {
  switch (op.file) {
    case 'gpr':
      return S.CPU_BASE + S.GPR + 8 * op.index + (op.high ? 1 : 0);
    case 'xmm':
      return S.CPU_BASE + S.XMM + 16 * op.index;
    case 'mmx':
      return S.CPU_BASE + S.FPR + 16 * op.index;
    default:
      return op.index;
  }
}
