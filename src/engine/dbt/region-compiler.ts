/**
 * Hot blocks become a module of regions: form, lift, analyse, lower, compile. The whole pipeline on one page. It reads
 * guest memory and writes only to the room it was given, so it may run in a thread of its own.
 */
import { dropDeadFlags } from '../../ir/passes/dead-flags.js';
import type { Statement } from '../../ir/value.js';
import { type FunctionBody, ModuleBuilder } from '../../wasm/module.js';
import type { Tier } from '../../wasm/tiers.js';
import { StaticLift } from '../../x86/lift-static.js';
import { ROUTINES } from '../../x86/routines.js';
import { semantics } from '../../x86/semantics/index.js';
import * as S from '../../x86/state.js';
import { ArchivedRegions, bodyOfFound, describeFound, type FoundRegion } from './archived-regions.js';
import { BlockRecords } from './block-records.js';
import { declareMemory, type ImportedFunctions, importedFunctions } from './imports.js';
import type { RuntimeFunctions } from './lower.js';
import type { BaselineModule, BaselineRegion, Optimizer } from './optimizer.js';
import { type BlockHeats, PageCode, type RegionInsn } from './page-code.js';
import { RegionLowering } from './region.js';
import type { ArchivedRegion, RegionArchive, Weight } from './region-archive.js';
import { describeRegion, isInPage } from './region-description.js';
import type { LinkSlot } from './region-exits.js';
import { flowOf } from './region-flow.js';
import { chooseBlocks, formRegion, type Region, type RegionBlock } from './region-former.js';
import { frameOf, type OtherPages } from './region-guests.js';
import type { LiftedBlock, LiftedInsn } from './region-registers.js';
import { Rooms } from './rooms.js';
import { HANDLER_SIGNATURE } from './signatures.js';
import type { HotBlock, TranslatedRegion, TranslationBatch, TranslationRequest } from './translation.js';

const PAGE = 4096;
const LINK_SIZE = 8;
/** Numbers of landings in a table are bytes, and 0 is none. */
const MAX_LANDINGS = 255;

interface Plan {
  /** To be made, or made before in another VM. */
  readonly region: Region | FoundRegion;
  /** The hot blocks that it serves. */
  readonly hot: readonly HotBlock[];
}

interface Made {
  readonly body: FunctionBody;
  readonly translated: TranslatedRegion;
  /** The guest is in it now. */
  readonly isLoop: boolean;
  /** As the archive has it, once it does. */
  readonly inArchive: { region?: ArchivedRegion };
}

interface Slot {
  readonly at: number;
  readonly bytes: number;
}
type Landings = readonly (readonly [number, number])[];

type Offered = Omit<BaselineRegion, 'of'>;
const tierOf = ({ isUnderWay }: Offered): Tier => (isUnderWay ? 'both' : 'baseline');

interface Built {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly regions: readonly TranslatedRegion[];
  /** Those that were made now, as they were formed. */
  readonly formed: readonly Region[];
  readonly code: ReadonlyMap<number, Uint8Array>;
  readonly refused: readonly HotBlock[];
  readonly offered: readonly Offered[];
  readonly tiersAt: number | undefined;
}

/**
 * What was made last. When a collection of garbage leaves no object of a class, V8 throws away the optimized code that knows the
 * class: it is optimized again a moment later, which costs more than the collection.
 */
const kept: { lift?: StaticLift; lowering?: RegionLowering; made?: unknown } = {};

export class RegionCompiler {
  private readonly records: BlockRecords;
  private readonly memory: Uint8Array;
  private readonly rooms = new Rooms();
  private archive: ArchivedRegions | undefined;
  /** What the archive has yet to be told. */
  private readonly toKeep: (() => void)[] = [];
  private readonly optimizer: Optimizer | undefined;
  private batches = 0;

  /**
   * `archive`: where regions are looked for before they are made, and kept. `optimizer`: who compiles them once more; without it the
   * WebAssembly engine decides for itself.
   */
  constructor(memory: WebAssembly.Memory, archive?: RegionArchive, optimizer?: Optimizer) {
    this.optimizer = optimizer;
    this.records = new BlockRecords(memory);
    this.memory = new Uint8Array(memory.buffer);
    if (archive !== undefined) this.archive = new ArchivedRegions(archive, this.records);
  }

  /** One module for all hot blocks of a request. */
  compile(request: TranslationRequest): TranslationBatch {
    const started = performance.now();
    this.rooms.take(request);
    const { built, module } = this.modules(request);
    const { bytes, regions, code, refused } = built;
    const number = this.batches++;
    this.offer(number, request.epoch, built);
    return {
      number,
      epoch: request.epoch,
      module,
      moduleBytes: bytes.length,
      regions,
      restored: regions.length - built.formed.length,
      code,
      refused,
      roomLeft: this.rooms.left,
      milliseconds: performance.now() - started,
    };
  }

  private offer(batch: number, epoch: number, { bytes, tiersAt, regions, offered }: Built): void {
    if (tiersAt === undefined) return;
    const of: BaselineModule = { batch, epoch, bytes, tiersAt, count: regions.length };
    this.optimizer?.add(
      of,
      offered.map((region) => ({ ...region, of })),
    );
  }

  private modules(request: TranslationRequest): { built: Built; module: WebAssembly.Module | undefined } {
    const built = this.assemble(request);
    const isNew = built.formed.length === built.regions.length;
    try {
      return { built, module: built.regions.length > 0 ? new WebAssembly.Module(built.bytes) : undefined };
    } catch (error) {
      if (isNew) throw error;
    }
    // What the archive holds is no function of ours, though it says so: from now on all are made.
    this.archive = undefined;
    return this.modules(request);
  }

  /** Tells the archive what was made: for a moment when nobody waits. */
  keep(): void {
    for (const keep of this.toKeep.splice(0)) keep();
  }

  /** The same, as far as the bytes of the module. */
  build(request: TranslationRequest): Built {
    this.rooms.take(request);
    return this.assemble(request);
  }
  private assemble(request: TranslationRequest): Built {
    const code = new Map<number, Uint8Array>();
    const module = new ModuleBuilder();
    const type = module.type(HANDLER_SIGNATURE);
    declareMemory(module);
    const functions = importedFunctions(module);
    const refused: HotBlock[] = [];
    const formed: Region[] = [];
    const made: Made[] = [];
    for (const { region, hot } of this.plans(request, code)) {
      const one =
        'archived' in region
          ? this.restore(region, functions, type, hot)
          : this.make(region, functions, type, hot, code);
      if (one === undefined) refused.push(...hot);
      else {
        made.push(one);
        if (!('archived' in region)) formed.push(region);
      }
    }
    const regions = made.map(({ translated }) => translated);
    const offered: Offered[] = [];
    for (const [n, one] of made.entries()) {
      const { body, translated } = one;
      const offer = this.offerOf(one, n);
      if (offer !== undefined) offered.push(offer);
      const index = module.addFunction(offer === undefined ? body : { ...body, tier: tierOf(offer) });
      module.export(`r${n}`, index);
      // Seen by profilers of the host: guest physical address and mode.
      const { page, key, entries } = translated;
      module.name(index, `gpa_${(page + (entries[0] as number)).toString(16)}_${key.toString(16)}`);
    }
    kept.made = { request, code, module, made };
    const bytes = module.finish();
    return { bytes, regions, formed, code, refused, offered, tiersAt: module.tiersAt };
  }

  /** A region as the optimizer needs it. A loop does not wait until the guest has spent time in it. */
  private offerOf({ translated: { tally }, inArchive, isLoop }: Made, number: number): Offered | undefined {
    if (this.optimizer === undefined) return undefined;
    const { region } = inArchive;
    const weight = region === undefined ? 0 : (this.archive?.weightOf(region) ?? 0);
    const noteWeight = (now: Weight): void => {
      if (inArchive.region !== undefined) this.archive?.noteWeight(inArchive.region, now);
    };
    return { tally, number, isUnderWay: isLoop, weight, noteWeight };
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
      const onPage = (b: HotBlock): boolean => b.key === key && b.gpa - (b.gpa % PAGE) === page;
      const old = block.replaces !== undefined && !taken.has(block.replaces.id) ? block.replaces : undefined;
      if (old !== undefined) taken.add(old.id);
      const found = this.archive?.find({ ...block, replaces: old }, (at) => this.bytesOf(at, code));
      if (found !== undefined) {
        const served = rest.filter((b) => onPage(b) && found.archived.entries.includes(b.gpa % PAGE));
        rest = rest.filter((b) => !served.includes(b));
        plans.push({ region: found, hot: [{ ...block, replaces: old }, ...served] });
        continue;
      }
      const heats: BlockHeats = { records: this.records, hot: request.threshold, warm: request.warm };
      const codeOf = (at: number, delta: number): PageCode =>
        new PageCode(at, key, this.bytesOf(at, code), heats, delta);
      const pageCode = codeOf(page, 0);
      const pages: OtherPages | undefined = (key & S.KEY_CODE64) === 0 ? undefined : { ...heats, codeOf };
      const seeds = [block.gpa % PAGE, ...(old?.entries ?? [])];
      const near = rest.filter(onPage);
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
  private make(
    region: Region,
    functions: RuntimeFunctions,
    type: number,
    hot: readonly HotBlock[],
    code: ReadonlyMap<number, Uint8Array>,
  ): Made | undefined {
    if ((region.blocks[0]?.insns.length ?? 0) === 0) return undefined;
    const lifted = region.blocks.map((b) => liftBlock(b, region.key));
    const flow = flowOf(region, lifted);
    const links = { near: new Map(), other: new Map(), far: new Map(), indirect: new Map(), tally: new Map() };
    const slots: Slot[] = [];
    const allocate = (bytes: number): number => {
      const at = this.rooms.allocate(bytes);
      slots.push({ at, bytes });
      return at;
    };
    const slot: LinkSlot = (kind, offset) => {
      const ofKind: Map<number, number> = links[kind];
      const at = ofKind.get(offset) ?? allocate(LINK_SIZE * (kind === 'indirect' ? 2 : 1));
      ofKind.set(offset, at);
      return at;
    };
    const tally = slot('tally', 0);
    const landings = region.hasTable && flow.landingAt.size > 0 ? landingsOf(flow.landingAt) : undefined;
    const table = landings === undefined ? undefined : allocate(PAGE);
    if (table === 0) return undefined;
    if (table !== undefined) this.writeLandings(table, landings ?? []);
    const lowering = new RegionLowering(functions, type, region, flow, slot, table);
    const body = lowering.lower();
    kept.lowering = lowering;
    if (slots.some(({ at }) => at === 0)) return undefined;
    const entries = flow.landingAt.size > 0 ? [...flow.landingAt.keys()] : [region.blocks[0]?.offset as number];
    const translated = describeRegion(region, lifted, entries, hot[0]?.replaces, tally);
    const { archive } = this;
    const inArchive: Made['inArchive'] = {};
    if (archive !== undefined) {
      const bytesOf = (page: number): Uint8Array => code.get(page) as Uint8Array;
      this.toKeep.push(() => {
        inArchive.region = archive.keep(region, hot, translated, body, slots, landings, bytesOf);
      });
    }
    return { body, translated, inArchive, isLoop: hot.some(({ isLoop }) => isLoop) };
  }

  /** The same of one that was made in another VM. */
  private restore(
    found: FoundRegion,
    functions: ImportedFunctions,
    type: number,
    hot: readonly HotBlock[],
  ): Made | undefined {
    const { slots, landings } = found.archived;
    const addresses = slots.map((bytes) => this.rooms.allocate(bytes));
    if (addresses.includes(0)) return undefined;
    if (landings !== undefined) this.writeLandings(addresses[1] as number, landings);
    const body = bodyOfFound(found, type, addresses, (name) => functions.indexOf(name));
    const translated = describeFound(found, hot[0]?.replaces, addresses[0] as number);
    return { body, translated, inArchive: { region: found.archived }, isLoop: hot.some(({ isLoop }) => isLoop) };
  }

  private writeLandings(table: number, landings: Landings): void {
    for (const [offset, byte] of landings) this.memory[table + offset] = byte;
  }
}

/** Page offsets and a byte for each: number of the landing there plus 1. */
function landingsOf(landingAt: ReadonlyMap<number, number>): Landings {
  return [...landingAt]
    .filter(([offset, number]) => isInPage(offset) && number < MAX_LANDINGS)
    .map(([offset, number]) => [offset, number + 1]);
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
