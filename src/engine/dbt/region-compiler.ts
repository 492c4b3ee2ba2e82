/**
 * Hot blocks become a module of regions: form, lift, analyse, lower, compile. The whole pipeline on one page. It reads
 * guest memory and writes only to the room it was given, so it may run in a thread of its own.
 */
import { dropDeadFlags } from '../../ir/passes/dead-flags.js';
import type { Statement } from '../../ir/value.js';
import { type FunctionBody, ModuleBuilder } from '../../wasm/module.js';
import { StaticLift } from '../../x86/lift-static.js';
import { ROUTINES } from '../../x86/routines.js';
import { semantics } from '../../x86/semantics/index.js';
import * as S from '../../x86/state.js';
import { BlockRecords } from './block-records.js';
import { declareMemory, importedFunctions } from './imports.js';
import type { RuntimeFunctions } from './lower.js';
import { type BlockHeats, PageCode, type RegionInsn } from './page-code.js';
import { RegionLowering } from './region.js';
import type { LinkSlot } from './region-exits.js';
import { flowOf } from './region-flow.js';
import { chooseBlocks, formRegion, type Region, type RegionBlock } from './region-former.js';
import { frameOf, type OtherPages } from './region-guests.js';
import type { LiftedBlock, LiftedInsn } from './region-registers.js';
import { HANDLER_SIGNATURE } from './signatures.js';
import type { HotBlock, RegionPart, TranslatedRegion, TranslationBatch, TranslationRequest } from './translation.js';

const PAGE = 4096;
const LINK_SIZE = 8;
/** Numbers of landings in a table are bytes, and 0 is none. */
const MAX_LANDINGS = 255;

interface Plan {
  readonly region: Region;
  /** The hot blocks that it serves. */
  readonly hot: readonly HotBlock[];
}

interface Built {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly regions: readonly TranslatedRegion[];
  /** The same, as they were formed. */
  readonly formed: readonly Region[];
  readonly code: ReadonlyMap<number, Uint8Array>;
  readonly refused: readonly HotBlock[];
}

/**
 * What was made last. When a collection of garbage leaves no object of a class, V8 throws away the optimized code that knows the
 * class: it is optimized again a moment later, which costs more than the collection.
 */
const kept: { lift?: StaticLift; lowering?: RegionLowering; made?: unknown } = {};

export class RegionCompiler {
  private readonly records: BlockRecords;
  private readonly memory: Uint8Array;
  private epoch = -1;
  private rooms: { at: number; end: number }[] = [];

  constructor(memory: WebAssembly.Memory) {
    this.records = new BlockRecords(memory);
    this.memory = new Uint8Array(memory.buffer);
  }

  /** One module for all hot blocks of a request. */
  compile(request: TranslationRequest): TranslationBatch {
    const started = performance.now();
    const { bytes, regions, code, refused } = this.build(request);
    return {
      epoch: request.epoch,
      module: regions.length > 0 ? new WebAssembly.Module(bytes) : undefined,
      moduleBytes: bytes.length,
      regions,
      code,
      refused,
      roomLeft: this.rooms.reduce((sum, { at, end }) => sum + end - at, 0),
      milliseconds: performance.now() - started,
    };
  }

  /** The same, as far as the bytes of the module. */
  build(request: TranslationRequest): Built {
    this.makeRoom(request);
    const code = new Map<number, Uint8Array>();
    const module = new ModuleBuilder();
    const type = module.type(HANDLER_SIGNATURE);
    declareMemory(module);
    const functions = importedFunctions(module);
    const refused: HotBlock[] = [];
    const made: { plan: Plan; lowered: Lowered }[] = [];
    for (const plan of this.plans(request, code)) {
      const lowered = this.lower(plan.region, functions, type);
      if (lowered === undefined) refused.push(...plan.hot);
      else made.push({ plan, lowered });
    }
    const regions = made.map(({ plan, lowered }) => describe(plan, lowered));
    for (const [n, { lowered }] of made.entries()) {
      const index = module.addFunction(lowered.body);
      module.export(`r${n}`, index);
      // Seen by profilers of the host: guest physical address and mode.
      const { page, key, entries } = regions[n] as TranslatedRegion;
      module.name(index, `gpa_${(page + (entries[0] as number)).toString(16)}_${key.toString(16)}`);
    }
    kept.made = { request, code, module, made };
    const formed = made.map(({ plan }) => plan.region);
    return { bytes: module.finish(), regions, formed, code, refused };
  }

  /** Regions for hot blocks: those that share one become its entries. */
  private plans(request: TranslationRequest, code: Map<number, Uint8Array>): Plan[] {
    const plans: Plan[] = [];
    const taken = new Set<number>();
    let rest = request.hot;
    while (rest.length > 0) {
      const [block, ...others] = rest as [HotBlock, ...HotBlock[]];
      rest = others;
      const { key } = block;
      const page = block.gpa - (block.gpa % PAGE);
      const old = block.replaces !== undefined && !taken.has(block.replaces.id) ? block.replaces : undefined;
      if (old !== undefined) taken.add(old.id);
      const heats: BlockHeats = { records: this.records, hot: request.threshold, warm: request.warm };
      const codeOf = (at: number, delta: number): PageCode =>
        new PageCode(at, key, this.bytesOf(at, code), heats, delta);
      const pageCode = codeOf(page, 0);
      const pages: OtherPages | undefined = (key & S.KEY_CODE64) === 0 ? undefined : { ...heats, codeOf };
      const seeds = [block.gpa % PAGE, ...(old?.entries ?? [])];
      const near = rest.filter((b) => b.key === key && b.gpa - (b.gpa % PAGE) === page);
      const more = joined(pageCode, seeds, near, old?.offsets ?? []);
      let region = formRegion(pageCode, [...seeds, ...more.map((b) => b.gpa % PAGE)], pages);
      // What an indirect jump leads to is not known, but likely in its page.
      if (region.hasTable && more.length < near.length) {
        more.splice(0, more.length, ...near);
        region = formRegion(pageCode, [...seeds, ...near.map((b) => b.gpa % PAGE)], pages);
      }
      // A region has room for so many: the others get one of their own.
      const places = new Set(region.blocks.map((b) => b.place));
      const served = more.filter((b) => places.has(b.gpa % PAGE));
      rest = rest.filter((b) => !served.includes(b));
      plans.push({ region, hot: [{ ...block, replaces: old }, ...served] });
    }
    return plans;
  }

  /** The page as it is now: what the guest writes meanwhile is found when the batch is entered. */
  private bytesOf(page: number, code: Map<number, Uint8Array>): Uint8Array {
    let bytes = code.get(page);
    if (bytes === undefined) {
      bytes = new Uint8Array(PAGE);
      bytes.set(this.memory.subarray(S.RAM + page, S.RAM + page + PAGE));
      code.set(page, bytes);
    }
    return bytes;
  }

  /** Lift, analyse, lower: the function of a region; undefined where there is no room for its links. */
  private lower(region: Region, functions: RuntimeFunctions, type: number): Lowered | undefined {
    if ((region.blocks[0]?.insns.length ?? 0) === 0) return undefined;
    const lifted = region.blocks.map((b) => liftBlock(b, region.key));
    const flow = flowOf(region, lifted);
    const slots = { near: new Map(), other: new Map(), far: new Map(), indirect: new Map() };
    let isFull = false;
    const slot: LinkSlot = (kind, offset) => {
      const ofKind: Map<number, number> = slots[kind];
      let at = ofKind.get(offset);
      if (at === undefined) {
        at = this.allocate(LINK_SIZE * (kind === 'indirect' ? 2 : 1));
        isFull ||= at === 0;
        ofKind.set(offset, at);
      }
      return at;
    };
    const table = region.hasTable && flow.landingAt.size > 0 ? this.allocate(PAGE) : undefined;
    if (table === 0) return undefined;
    if (table !== undefined) this.writeLandings(table, flow.landingAt);
    const lowering = new RegionLowering(functions, type, region, flow, slot, table);
    const body = lowering.lower();
    kept.lowering = lowering;
    if (isFull) return undefined;
    const entries = flow.landingAt.size > 0 ? [...flow.landingAt.keys()] : [region.blocks[0]?.offset as number];
    return { region, lifted, body, entries };
  }

  // ---- room ----
  private makeRoom({ epoch, room }: TranslationRequest): void {
    if (epoch !== this.epoch) this.rooms = [];
    this.epoch = epoch;
    if (room !== undefined) this.rooms.push({ at: room.at, end: room.at + room.bytes });
  }
  /** 0 where there is no room. */
  private allocate(bytes: number): number {
    const room = this.rooms.find(({ at, end }) => end - at >= bytes);
    if (room === undefined) return 0;
    const { at } = room;
    room.at += bytes;
    return at;
  }
  /** A byte for each offset of a page: number of the landing there plus 1, 0 for none. */
  private writeLandings(table: number, landings: ReadonlyMap<number, number>): void {
    for (const [offset, number] of landings)
      if (isInPage(offset) && number < MAX_LANDINGS) this.memory[table + offset] = number + 1;
  }
}

/** Of other hot blocks of a page those that belong to a region: they are inside, or lead there by themselves. `old`: what was inside. */
function joined(
  code: PageCode,
  seeds: readonly number[],
  others: readonly HotBlock[],
  old: readonly number[],
): HotBlock[] {
  const more: HotBlock[] = [];
  if (others.length === 0) return more;
  const inside = new Set([...chooseBlocks(code, seeds), ...old]);
  for (const b of others) {
    const offset = b.gpa % PAGE;
    const reached = inside.has(offset) ? [] : chooseBlocks(code, [offset]);
    if (!inside.has(offset) && !reached.some((at) => seeds.includes(at))) continue;
    more.push(b);
    for (const at of reached) inside.add(at);
  }
  return more;
}

interface Lowered {
  readonly region: Region;
  readonly lifted: readonly LiftedBlock[];
  readonly body: FunctionBody;
  /** Places of the entries, by number: page offsets, and others of the region itself. */
  readonly entries: readonly number[];
}

function describe({ region, hot }: Plan, { lifted, entries }: Lowered): TranslatedRegion {
  const replaces = hot[0]?.replaces;
  return {
    key: region.key,
    page: region.page,
    replaces: replaces?.id,
    generation: replaces === undefined ? 0 : replaces.generation + 1,
    entries,
    offsets: region.blocks.filter((b) => isInPage(b.place)).map((b) => b.offset),
    instructions: lifted.reduce((sum, b) => sum + b.count, 0),
    hasTable: region.hasTable,
    parts: partsOf(region),
    crossings: [...region.crossings].map(([offset, header]) => ({ gpa: gpaOf(region, offset), header })),
  };
}
const isInPage = (place: number): boolean => place >= 0 && place < PAGE;
function gpaOf({ others }: Region, offset: number): number {
  const code = others.find((other) => other.isInside(offset));
  return code === undefined ? -1 : code.page + offset - code.delta;
}

export function liftBlock(b: RegionBlock, key: number): LiftedBlock {
  const insns = b.insns.map((i) => liftInsn(i, key));
  const kept = dropDeadFlags(
    insns.map((i) => i.statements),
    isPure,
  );
  for (let n = 0; n < insns.length; n++) {
    const insn = insns[n] as LiftedInsn;
    if (kept[n] !== insn.statements) insns[n] = { ...insn, statements: kept[n] as readonly Statement[] };
  }
  const { place, offset, end, callee } = b;
  return { place, frame: frameOf(place), offset, end, count: insns.length, callee, insns };
}
/** A routine that neither reads nor writes what a definition sees. */
const isPure = (name: string): boolean => ROUTINES[name]?.pure === true;

function liftInsn({ insn, offset }: RegionInsn, key: number): LiftedInsn {
  const lift = new StaticLift(key, insn, offset);
  const definition = semantics[insn.mnemonic] ?? semantics['ud'];
  if (definition === undefined) throw new Error('no definition of ud');
  definition.lift(lift, insn);
  kept.lift = lift;
  return { offset, next: offset + insn.length, statements: lift.statements, ended: lift.ended };
}

/** What a region is made of, its own page first: no page is in it twice. */
function partsOf(region: Region): RegionPart[] {
  const pages = [{ page: region.page, delta: 0 }, ...region.others];
  return pages.map(({ page, delta }) => ({ page, chunks: chunksOf(region, delta) }));
}

/** The 64-byte chunks that a region is made of, in the page so far from its own. */
function chunksOf(region: Region, delta: number): [number, number] {
  let low = 0;
  let high = 0;
  for (const b of region.blocks) {
    const start = b.offset - delta;
    if (!isInPage(start)) continue;
    for (let chunk = start >> 6; chunk <= Math.min(PAGE - 1, b.end - delta - 1) >> 6; chunk++) {
      if (chunk < 32) low |= 1 << chunk;
      else high |= 1 << (chunk & 31);
    }
  }
  return [low, high];
}
