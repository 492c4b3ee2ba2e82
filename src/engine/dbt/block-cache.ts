/**
 * Decoded blocks: cut from guest memory, kept by guest physical address and mode, thrown away when their bytes change.
 * A block lies in one page (an instruction that crosses into the next page is a block of its own).
 */
import * as S from '../../x86/state.js';
import { BlockDecoder, MAX_BLOCK_SIZE, sizeOf } from './block-decoder.js';
import { startList } from './block-records.js';
import { HANDLER_HEADER, HANDLER_INVALID, HANDLER_LOOKUP } from './common-handlers.js';
import { HeaderLists } from './header-lists.js';
import type { Interpreter } from './interpreter.js';
import { type KnownBlocks, signatureOf } from './known-blocks.js';
import * as R from './record.js';
import type { RegionPart } from './translation.js';

const PAGE = 4096;
/** A page whose code was given up this often is treated as holding code and data. */
const MIXED_AFTER = 16;
/** In place of a dropped block's page. */
const DROPPED = -1;
/** A region larger than this is not made again for a block that it does not hold. */
const MAX_JOINED = 300;

export const LOOKUP_RECORD = S.BLOCKS;
/** Room for the one instruction that is stepped without being remembered. */
const TRANSIENT_BLOCK = LOOKUP_RECORD + R.RECORD_SIZE;
const FIRST_BLOCK = TRANSIENT_BLOCK + sizeOf(1);

/** What the header record of a block says: made when it is asked for, valid while `isAlive`. */
export interface Block {
  /** Guest physical address of the first byte. */
  readonly gpa: number;
  readonly key: number;
  /** Linear-memory address of the header record. */
  readonly header: number;
  /** Bytes of guest code in the first page (and beyond it, where the only instruction crosses). */
  readonly length: number;
  readonly instructions: number;
  /** Of the cache when it was asked for. */
  readonly epoch: number;
}

/** A compiled region: which bytes of its page it was made of, and the blocks whose headers lead into it. */
export interface CompiledRegion {
  readonly id: number;
  readonly key: number;
  /** Places of the entries, by number: page offsets, and others that nothing leads to. */
  readonly entryOffsets: readonly number[];
  /** Undefined where there is no block. */
  readonly entries: (Block | undefined)[];
  /** Page offsets of all its blocks. */
  readonly offsets: ReadonlySet<number>;
  /** How often it was made again for another entry. */
  readonly generation: number;
  readonly instructions: number;
  /** It has jumps whose targets are known at run time only. */
  readonly hasTable: boolean;
  /** What it depends on: its own page first. */
  readonly parts: readonly RegionPart[];
  readonly tableIndex: number;
  /** Linear-memory address of its tally. */
  readonly tally: number;
  /** Which one of which batch it is. */
  readonly batch: number;
  readonly number: number;
}

export interface RuntimeCode {
  remembered(): number;
  dropWrites(host: number): void;
  flushAll(): void;
}

export class BlockCache {
  private readonly byStart: HeaderLists;
  /** By frame: the blocks that begin in it, and those that reach into it from another page. */
  private readonly beginning: HeaderLists;
  private readonly reaching: HeaderLists;
  private readonly frames: number;
  private readonly regions = new Map<number, Set<CompiledRegion>>();
  /** How often a page's code was given up for its data. */
  private readonly givenUp = new Map<number, number>();
  private readonly i32: Int32Array;
  private readonly u16: Uint16Array;
  private readonly bytes: Uint8Array;
  private readonly interpreter: Interpreter;
  private readonly runtime: RuntimeCode;
  private readonly decoder: BlockDecoder;
  private known: KnownBlocks | undefined;
  private heatOfKnown = 0;
  private next = FIRST_BLOCK;
  /** Nothing was ever written from here on. */
  private unwritten = FIRST_BLOCK;
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
    this.u16 = new Uint16Array(memory.buffer);
    this.bytes = new Uint8Array(memory.buffer);
    this.interpreter = interpreter;
    this.runtime = runtime;
    this.decoder = new BlockDecoder(memory, interpreter);
    this.frames = (memory.buffer.byteLength - S.RAM) / PAGE;
    const starts = new Int32Array(memory.buffer, S.BLOCK_STARTS, S.BLOCK_START_LISTS);
    this.byStart = new HeaderLists(memory, starts, R.HEADER_SAME_START);
    this.beginning = new HeaderLists(memory, new Int32Array(this.frames), R.HEADER_SAME_PAGE);
    this.reaching = new HeaderLists(memory, new Int32Array(this.frames), R.HEADER_SAME_SECOND_PAGE);
    this.i32[(LOOKUP_RECORD + R.HANDLER) >> 2] = HANDLER_LOOKUP;
  }

  get bytesUsed(): number {
    return this.next - S.BLOCKS;
  }

  private word(header: number, field: number): number {
    return this.i32[(header + field) >> 2] as number;
  }
  private setWord(header: number, field: number, value: number): void {
    this.i32[(header + field) >> 2] = value;
  }

  find(gpa: number, key: number): Block | undefined {
    const header = this.headerAt(gpa, key);
    return header === 0 ? undefined : this.byHeader(header);
  }
  /** Header of the block at `gpa`, 0: there is none. */
  headerAt(gpa: number, key: number): number {
    const offset = gpa % PAGE;
    const page = (S.RAM + gpa - offset) | 0;
    for (let at = this.byStart.first(startList(gpa, key)); at !== 0; at = this.byStart.after(at)) {
      const isHere = this.word(at, R.HEADER_PAGE) === page && this.u16[(at + R.OFFSET) >> 1] === offset;
      if (isHere && this.word(at, R.HEADER_KEY) === key) return at;
    }
    return 0;
  }
  /** Bytes of guest code. */
  lengthOf(header: number): number {
    return this.u16[(header + R.HEADER_LENGTH) >> 1] as number;
  }
  /** Host address of the page into which the block's only instruction goes on, 0: none. */
  secondPageOf(header: number): number {
    return this.word(header, R.HEADER_SECOND_PAGE) >>> 0;
  }
  byHeader(header: number): Block {
    return {
      gpa: (this.word(header, R.HEADER_PAGE) >>> 0) - S.RAM + (this.u16[(header + R.OFFSET) >> 1] as number),
      key: this.word(header, R.HEADER_KEY),
      header,
      length: this.u16[(header + R.HEADER_LENGTH) >> 1] as number,
      instructions: this.word(header, R.HEADER_COUNT),
      epoch: this.epoch,
    };
  }

  /** Times it was entered as a block, and less than that once it was told to wait. */
  heat(block: Block): number {
    return this.word(block.header, R.HEADER_HEAT);
  }
  /**
   * Lets a hot block become hot again, so many entries later than a new one would; false where it was told so before for that
   * reason (a bit of HEADER_DEFERRED).
   */
  defer(block: Block, entries: number, reason: number): boolean {
    const reasons = this.word(block.header, R.HEADER_DEFERRED);
    if ((reasons & reason) !== 0) return false;
    this.setWord(block.header, R.HEADER_DEFERRED, reasons | reason);
    this.setWord(block.header, R.HEADER_HEAT, -entries);
    return true;
  }
  /** Lets the block there become hot again, having run once at least: a hot block is not entered. */
  cool(gpa: number, key: number): void {
    const block = this.find(gpa, key);
    if (block !== undefined && !this.isTranslated(block)) this.setWord(block.header, R.HEADER_HEAT, -1);
  }

  /**
   * Cuts a block at `gpa`; its header. 0 where its first instruction goes on into the next page and `secondPage` (host
   * address of that page) was not given.
   */
  make(gpa: number, key: number, secondPage = 0): number {
    this.makeRoomForForms();
    if (this.next + MAX_BLOCK_SIZE > S.BLOCKS_END) this.flush();
    const header = this.next;
    this.clear(header, MAX_BLOCK_SIZE);
    const size = this.decoder.decode(header, gpa, key, key, secondPage);
    if (size === 0) return 0;
    this.take(size);
    this.register(gpa, key, header);
    if (this.known !== undefined && this.isKnown(this.byHeader(header)))
      this.setWord(header, R.HEADER_HEAT, this.heatOfKnown);
    this.made++;
    return header;
  }

  /** The same for one instruction, forgotten at once: it may change its own bytes. */
  makeTransient(gpa: number, key: number, secondPage = 0): number {
    this.makeRoomForForms();
    this.i32.fill(0, TRANSIENT_BLOCK >> 2, FIRST_BLOCK >> 2);
    if (this.decoder.decode(TRANSIENT_BLOCK, gpa, key, key | S.KEY_SINGLE, secondPage) === 0) return 0;
    this.setWord(TRANSIENT_BLOCK, R.HEADER_SECOND_PAGE, 0);
    return TRANSIENT_BLOCK;
  }

  /** From now on `known` blocks begin with a heat. */
  expect(known: KnownBlocks | undefined, heat: number): void {
    this.known = known;
    this.heatOfKnown = heat;
  }
  /** The block, or one like it, has been hot in another VM. */
  isKnown({ gpa, key, length, instructions }: Block): boolean {
    const offset = gpa % PAGE;
    const shape = { offset, length, instructions, key };
    return this.known?.has(signatureOf(this.bytes, S.RAM + gpa - offset, shape)) === true;
  }

  private makeRoomForForms(): void {
    if (!this.interpreter.isFull) return;
    this.flush();
    this.interpreter.forget();
  }

  /** Zeroed linear memory that lives until the next flush; 0 where there is no room. */
  allocate(bytes: number): number {
    if (this.next + bytes > S.BLOCKS_END) return 0;
    const at = this.next;
    this.clear(at, bytes);
    this.take(bytes);
    return at;
  }
  private take(bytes: number): void {
    this.next += bytes;
    if (this.next > this.unwritten) this.unwritten = this.next;
  }
  /** What was written before the last flush. */
  private clear(at: number, bytes: number): void {
    if (at >= this.unwritten) return;
    this.i32.fill(0, at >> 2, Math.min(at + bytes, this.unwritten) >> 2);
  }

  /** False for a block that was dropped meanwhile. */
  isAlive(block: Block): boolean {
    return block.epoch === this.epoch && this.word(block.header, R.HEADER_PAGE) !== DROPPED;
  }

  // ---- pages ----
  private noteCode(frame: number): void {
    const attribute = S.PAGE_ATTRIBUTES + frame;
    const before = this.bytes[attribute] as number;
    if ((before & S.PAGE_HAS_CODE) !== 0) return;
    this.bytes[attribute] = before | S.PAGE_HAS_CODE;
    this.runtime.dropWrites(S.RAM + frame * PAGE);
  }
  private forgetCode(frame: number): void {
    const at = (S.CODE_BITMAP + frame * 8) >> 2;
    this.i32[at] = 0;
    this.i32[at + 1] = 0;
    const attribute = S.PAGE_ATTRIBUTES + frame;
    this.bytes[attribute] = (this.bytes[attribute] as number) & ~S.PAGE_HAS_CODE;
  }
  private secondFrame(header: number): number | undefined {
    const page = this.secondPageOf(header);
    return page === 0 ? undefined : (page - S.RAM) / PAGE;
  }
  /** Bytes of a block in the second page. */
  private rest(header: number): number {
    return (
      (this.u16[(header + R.OFFSET) >> 1] as number) + (this.u16[(header + R.HEADER_LENGTH) >> 1] as number) - PAGE
    );
  }

  private register(gpa: number, key: number, header: number): void {
    const frame = Math.floor(gpa / PAGE);
    this.byStart.add(startList(gpa, key), header);
    this.beginning.add(frame, header);
    this.noteCode(frame);
    this.markBeginning(frame, header);
    const second = this.secondFrame(header);
    if (second === undefined) return;
    this.reaching.add(second, header);
    this.noteCode(second);
    this.markChunks(second, 0, this.rest(header));
  }

  private markBeginning(frame: number, header: number): void {
    const offset = this.u16[(header + R.OFFSET) >> 1] as number;
    this.markChunks(frame, offset, Math.min(PAGE, offset + (this.u16[(header + R.HEADER_LENGTH) >> 1] as number)));
  }

  private markChunks(frame: number, start: number, end: number): void {
    const at = (S.CODE_BITMAP + frame * 8) >> 2;
    for (let chunk = start >> 6; chunk <= (end - 1) >> 6; chunk++) {
      const word = at + (chunk >> 5);
      this.i32[word] = (this.i32[word] as number) | (1 << (chunk & 31));
    }
  }

  /** A block that is an entry of a region, and was made after it, leads there from now on; false: there is no such region. */
  joinRegion(block: Block): boolean {
    const region = this.regionAt(block.gpa, block.key);
    const number = region?.entryOffsets.indexOf(block.gpa % PAGE) ?? -1;
    if (region === undefined || number < 0) return false;
    region.entries[number] = block;
    this.enterBy(block, region, number);
    return true;
  }
  private enterBy({ header }: Block, { tableIndex }: CompiledRegion, number: number): void {
    this.setWord(header, R.HANDLER, tableIndex);
    this.setWord(header, R.HEADER_ENTRY, number);
  }

  addRegion(region: CompiledRegion): void {
    for (const { page } of region.parts) {
      const frame = page / PAGE;
      this.noteCode(frame);
      const regions = this.regions.get(frame) ?? new Set();
      this.regions.set(frame, regions.add(region));
    }
    for (const [number, entry] of region.entries.entries()) {
      if (entry !== undefined) this.enterBy(entry, region, number);
    }
    for (const part of region.parts) this.markPart(part);
  }

  private markPart({ page, chunks }: RegionPart): void {
    const at = (S.CODE_BITMAP + (page / PAGE) * 8) >> 2;
    this.i32[at] = (this.i32[at] as number) | chunks[0];
    this.i32[at + 1] = (this.i32[at + 1] as number) | chunks[1];
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
    if (frame >= this.frames || ((this.bytes[S.PAGE_ATTRIBUTES + frame] as number) & S.PAGE_HAS_CODE) === 0) return;
    if (first === 0 && last === 63) this.noteGivenUp(frame);
    for (const region of this.regions.get(frame) ?? []) {
      const { chunks } = partIn(region, frame);
      for (let chunk = first; chunk <= last; chunk++) {
        if (((chunks[chunk >> 5] as number) >>> (chunk & 31)) & 1) {
          this.dropRegion(region);
          break;
        }
      }
    }
    for (const [lists, isSecond] of [
      [this.beginning, false],
      [this.reaching, true],
    ] as const) {
      for (let at = lists.first(frame), next = 0; at !== 0; at = next) {
        next = lists.after(at);
        const start = isSecond ? 0 : (this.u16[(at + R.OFFSET) >> 1] as number);
        const length = isSecond ? this.rest(at) : (this.u16[(at + R.HEADER_LENGTH) >> 1] as number);
        if (start >> 6 <= last && (start + length - 1) >> 6 >= first) this.drop(at);
      }
    }
    this.remark(frame);
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
  private remark(frame: number): void {
    this.forgetCode(frame);
    const { beginning, reaching } = this;
    for (let at = beginning.first(frame); at !== 0; at = beginning.after(at)) this.markBeginning(frame, at);
    for (let at = reaching.first(frame); at !== 0; at = reaching.after(at)) this.markChunks(frame, 0, this.rest(at));
    const regions = this.regions.get(frame);
    for (const region of regions ?? []) this.markPart(partIn(region, frame));
    if (beginning.first(frame) === 0 && reaching.first(frame) === 0 && regions === undefined) return;
    const attribute = S.PAGE_ATTRIBUTES + frame;
    this.bytes[attribute] = (this.bytes[attribute] as number) | S.PAGE_HAS_CODE;
  }

  /** The region of this mode that has a block at `gpa`, or else one of its page that may jump there indirectly. */
  regionAt(gpa: number, key: number): CompiledRegion | undefined {
    let near: CompiledRegion | undefined;
    for (const region of this.regions.get(Math.floor(gpa / PAGE)) ?? []) {
      if (region.key !== key || region.parts[0]?.page !== gpa - (gpa % PAGE)) continue;
      if (region.offsets.has(gpa % PAGE)) return region;
      if (region.hasTable && region.instructions < MAX_JOINED) near ??= region;
    }
    return near;
  }
  regionById(page: number, id: number): CompiledRegion | undefined {
    for (const region of this.regions.get(page / PAGE) ?? []) if (region.id === id) return region;
    return undefined;
  }
  /** Index of the region that the block at RIP most likely leads into; another one where there is none. */
  indexHere(): number {
    const header = this.runtime.remembered() >>> 0;
    return header === 0 ? 0 : this.word(header, R.HANDLER);
  }
  /** True where the block's header leads into a region. */
  isTranslated(block: Block): boolean {
    return this.word(block.header, R.HANDLER) >= R.FIRST_REGION;
  }

  dropRegion(region: CompiledRegion): void {
    for (const { page } of region.parts) {
      const regions = this.regions.get(page / PAGE);
      if (regions?.delete(region) !== true) return;
      if (regions.size === 0) this.regions.delete(page / PAGE);
    }
    for (const entry of region.entries) {
      if (entry === undefined || !this.isAlive(entry)) continue;
      const { header } = entry;
      if (this.word(header, R.HANDLER) !== region.tableIndex) continue;
      this.setWord(header, R.HANDLER, HANDLER_HEADER);
      this.setWord(header, R.HEADER_HEAT, 0);
    }
    this.onRegionDropped(region);
  }

  /** Forgets one block. */
  drop(header: number): void {
    this.invalidated++;
    const { gpa, key } = this.byHeader(header);
    this.byStart.remove(startList(gpa, key), header);
    this.beginning.remove(Math.floor(gpa / PAGE), header);
    const second = this.secondFrame(header);
    if (second !== undefined) this.reaching.remove(second, header);
    this.setWord(header, R.HANDLER, HANDLER_INVALID);
    // No lookup may find it again.
    this.setWord(header, R.HEADER_PAGE, DROPPED);
  }

  /** Forgets everything: the record area is full. */
  flush(): void {
    this.flushes++;
    const all = new Set<CompiledRegion>();
    for (const regions of this.regions.values()) for (const region of regions) all.add(region);
    for (const region of all) this.onRegionDropped(region);
    for (let frame = 0; frame < this.frames; frame++) {
      if (((this.bytes[S.PAGE_ATTRIBUTES + frame] as number) & S.PAGE_HAS_CODE) !== 0) this.forgetCode(frame);
    }
    this.regions.clear();
    this.byStart.clear();
    this.beginning.clear();
    this.reaching.clear();
    this.i32.fill(0, S.JUMP_CACHE >> 2, (S.JUMP_CACHE + S.JUMP_CACHE_ENTRIES * 16) >> 2);
    this.i32.fill(0, S.RETURN_RING >> 2, (S.RETURN_RING + S.RETURN_RING_SIZE) >> 2);
    // The tally of a region that is gone.
    this.setWord(S.CPU_BASE, S.LEFT_TALLY, 0);
    this.next = FIRST_BLOCK;
    this.epoch++;
  }
}

/** What a region depends on in a page frame. */
function partIn({ parts }: CompiledRegion, frame: number): RegionPart {
  return parts.find(({ page }) => page === frame * PAGE) as RegionPart;
}
