/** Hot blocks become regions: form, lift, analyse, lower, compile, enter in the table. The whole pipeline on one page. */

import { dropDeadFlags } from '../../ir/passes/dead-flags.js';
import { Printer } from '../../ir/print.js';
import { type FunctionBody, ModuleBuilder } from '../../wasm/module.js';
import { disassemble } from '../../x86/disassemble.js';
import { StaticLift } from '../../x86/lift-static.js';
import { ROUTINES } from '../../x86/routines.js';
import { semantics } from '../../x86/semantics/index.js';
import type { Block, BlockCache, CompiledRegion } from './block-cache.js';
import { HANDLER_SIGNATURE, type RuntimeImports } from './imports.js';
import { FIRST_REGION, TABLE_SIZE } from './interpreter.js';
import type { FunctionIndex } from './lower.js';
import { RegionLowering } from './region.js';
import type { LinkSlot } from './region-exits.js';
import { flowOf } from './region-flow.js';
import { formRegion, type Region, type RegionBlock, type RegionInsn } from './region-former.js';
import type { LiftedBlock, LiftedInsn } from './region-registers.js';

/** What `inspect translation` shows; the module's text is made elsewhere. */
export interface TranslationReport {
  readonly assembly: string;
  readonly ir: string;
  readonly module: Uint8Array;
}

/** CC_* of x86/state.ts by number. */
const FLAG_NAMES = ['flags', 'add', 'adc', 'sub', 'sbb', 'logic', 'inc', 'dec', 'shl', 'shr', 'mul'];

export interface Lowered {
  readonly region: Region;
  readonly lifted: readonly LiftedBlock[];
  readonly body: FunctionBody;
  /** Page offsets of the entries, by number. */
  readonly entries: readonly number[];
}

/** A region to be made, perhaps in place of one that lacked an entry. */
interface Plan {
  readonly region: Region;
  readonly replaces: CompiledRegion | undefined;
}

/** A region is made again for another entry so many times; then blocks inside it get regions of their own. */
const MAX_GENERATION = 6;
const PAGE = 4096;

/** Regions compiled together at most, and how long the first of a batch waits for others. */
const BATCH = 48;
const MAX_WAIT_NS = 3e6;
/** A routine that neither reads nor writes what a definition sees. */
const isPure = (name: string): boolean => ROUTINES[name]?.pure === true;

export class Translator {
  private readonly imports: RuntimeImports;
  private readonly table: WebAssembly.Table;
  private readonly cache: BlockCache;
  private readonly freeIndexes: number[] = [];
  private nextIndex = FIRST_REGION;
  // Counters for statistics.
  private queue: Block[] = [];
  private queuedSince = 0;
  private regions = 0;
  private modules = 0;
  private instructions = 0;
  private bytes = 0;
  private dropped = 0;
  private milliseconds = 0;
  private longest = 0;

  constructor(imports: RuntimeImports, table: WebAssembly.Table, cache: BlockCache) {
    this.imports = imports;
    this.table = table;
    this.cache = cache;
    cache.onRegionDropped = (region) => {
      this.dropped++;
      this.table.set(region.tableIndex, null);
      this.freeIndexes.push(region.tableIndex);
    };
  }

  /** Remembers a hot block; it is compiled with others of its time (a module costs far more than a function). */
  request(block: Block, nowNs: number): void {
    if (this.queue.length === 0) this.queuedSince = nowNs;
    this.queue.push(block);
    if (this.queue.length >= BATCH) this.compile();
  }

  get isWaiting(): boolean {
    return this.queue.length > 0;
  }

  /** Compiles what has waited long enough. */
  compileDue(nowNs: number): void {
    if (this.queue.length > 0 && nowNs - this.queuedSince > MAX_WAIT_NS) this.compile();
  }

  /** One module for all blocks of the queue; their headers lead into it from now on. */
  private compile(): void {
    const started = performance.now();
    const module = new ModuleBuilder();
    const type = module.type(HANDLER_SIGNATURE);
    this.imports.declareMemory(module);
    const functions = this.imports.functionIndex(module);
    const made: (Plan & Lowered)[] = [];
    for (const plan of this.plans()) {
      const one = this.lower(plan.region, functions, type);
      if (one !== undefined) made.push({ ...plan, ...one });
    }
    if (made.length === 0) return;
    for (const [n, { region, entries, body }] of made.entries()) {
      const index = module.addFunction(body);
      module.export(`r${n}`, index);
      // Seen by profilers of the host: guest physical address and mode.
      module.name(index, `gpa_${(region.page + (entries[0] as number)).toString(16)}_${region.key.toString(16)}`);
    }
    const bytes = module.finish();
    const instance = this.imports.instantiateBytes(bytes);
    for (const [n, { replaces, ...lowered }] of made.entries()) {
      const index = this.freeIndexes.pop() ?? (this.nextIndex < TABLE_SIZE ? this.nextIndex++ : undefined);
      if (index === undefined) {
        // All slots taken: start afresh, what is hot comes back soon.
        this.cache.flush();
        break;
      }
      if (replaces !== undefined) this.cache.dropRegion(replaces);
      this.table.set(index, instance[`r${n}`] as () => number);
      this.cache.addRegion(this.compiled(lowered, index, replaces === undefined ? 0 : replaces.generation + 1));
      this.regions++;
      this.instructions += countOf(lowered.lifted);
    }
    this.modules++;
    this.bytes += bytes.length;
    const took = performance.now() - started;
    this.milliseconds += took;
    this.longest = Math.max(this.longest, took);
  }

  /** Regions for the blocks of the queue: blocks that share one become its entries. */
  private plans(): Plan[] {
    const plans: Plan[] = [];
    const taken = new Set<CompiledRegion>();
    let rest = this.queue.filter((block) => this.cache.isAlive(block) && !this.cache.isTranslated(block));
    this.queue = [];
    for (let block = rest.shift(); block !== undefined; block = rest.shift()) {
      const { gpa, key } = block;
      const page = gpa - (gpa % PAGE);
      const old = this.cache.regionAt(gpa, key);
      const replaces = old !== undefined && old.generation < MAX_GENERATION && !taken.has(old) ? old : undefined;
      if (replaces !== undefined) taken.add(replaces);
      const seeds = [
        gpa % PAGE,
        ...(replaces?.entries ?? []).flatMap((entry) => (entry === undefined ? [] : entry.gpa % PAGE)),
      ];
      let region = formRegion(this.cache, page, key, seeds);
      const inside = new Set(region.blocks.map((b) => b.offset));
      for (const offset of replaces?.offsets ?? []) inside.add(offset);
      // What an indirect jump leads to is not known, but likely in its page.
      const more = rest.filter(
        (b) => b.key === key && b.gpa - (b.gpa % PAGE) === page && (region.hasTable || inside.has(b.gpa % PAGE)),
      );
      if (more.length > 0) {
        rest = rest.filter((b) => !more.includes(b));
        region = formRegion(this.cache, page, key, [...seeds, ...more.map((b) => b.gpa % PAGE)]);
      }
      plans.push({ region, replaces });
    }
    return plans;
  }

  /** Lift, analyse, lower: the function of a region; undefined where there is no room for its links. */
  lower(region: Region, functions: FunctionIndex, type: number): Lowered | undefined {
    if ((region.blocks[0]?.insns.length ?? 0) === 0) return undefined;
    const lifted = region.blocks.map((b) => liftBlock(b, region.key));
    const flow = flowOf(region, lifted);
    const slots = new Map<string, number>();
    const slot: LinkSlot = (kind, offset) => {
      const name = `${kind} ${offset}`;
      let at = slots.get(name);
      if (at === undefined) {
        at = this.cache.allocateLinks(kind === 'indirect' ? 2 : 1);
        slots.set(name, at);
      }
      return at;
    };
    const table = region.hasTable && flow.landingAt.size > 0 ? this.cache.allocate(PAGE) : undefined;
    if (table === 0) return undefined;
    if (table !== undefined) this.cache.writeLandings(table, flow.landingAt);
    const body = new RegionLowering(functions, type, region, flow, slot, table).lower();
    if ([...slots.values()].includes(0)) return undefined;
    const entries = flow.landingAt.size > 0 ? [...flow.landingAt.keys()] : [region.blocks[0]?.offset as number];
    return { region, lifted, body, entries };
  }

  private compiled({ region, lifted, entries }: Lowered, tableIndex: number, generation: number): CompiledRegion {
    const { page, key, blocks } = region;
    return {
      key,
      entries: entries.map((offset) => this.cache.find(page + offset, key)),
      offsets: new Set(blocks.map((b) => b.offset)),
      generation,
      instructions: countOf(lifted),
      hasTable: region.hasTable,
      frame: page / PAGE,
      chunks: chunksOf(region),
      tableIndex,
    };
  }

  /** The stages of a block's translation, for people: nothing is entered in the table. */
  explain(block: Block, pageAddress: bigint): TranslationReport {
    const module = new ModuleBuilder();
    const type = module.type(HANDLER_SIGNATURE);
    this.imports.declareMemory(module);
    const formed = formRegion(this.cache, block.gpa - (block.gpa % PAGE), block.key, [block.gpa % PAGE]);
    const lowered = this.lower(formed, this.imports.functionIndex(module), type);
    if (lowered === undefined) return { assembly: '', ir: '', module: new Uint8Array(0) };
    module.export('region', module.addFunction(lowered.body));
    const { region } = lowered;
    return { ...describeRegion(region, pageAddress), module: module.finish() };
  }

  statistics(): Record<string, number> {
    return {
      regions: this.regions,
      modules: this.modules,
      'regions dropped': this.dropped,
      'guest instructions': this.instructions,
      'module bytes': this.bytes,
      ms: this.milliseconds,
      'longest batch ms': this.longest,
    };
  }
}

function liftBlock(b: RegionBlock, key: number): LiftedBlock {
  const full = b.insns.map((i) => liftInsn(i, key));
  const kept = dropDeadFlags(
    full.map((i) => i.statements),
    isPure,
  );
  const insns = full.map((i, n) => ({ ...i, statements: kept[n] ?? i.statements }));
  return { offset: b.offset, end: b.end, count: insns.length, insns };
}

/** Assembly and IR of a region, block by block. */
function describeRegion(region: Region, pageAddress: bigint): { assembly: string; ir: string } {
  const assembly: string[] = [];
  const ir: string[] = [];
  for (const block of region.blocks) {
    const printer = new Printer(FLAG_NAMES);
    const title = `block ${(pageAddress + BigInt(block.offset)).toString(16)}:`;
    assembly.push(title);
    const lifted = liftBlock(block, region.key);
    const lines: string[] = [title];
    for (const [n, { insn, offset }] of block.insns.entries()) {
      const address = pageAddress + BigInt(offset);
      const text = `${address.toString(16)}  ${disassemble(insn, address)}`;
      assembly.push(`  ${text}`);
      const before = printer.print([]).length;
      printer.print(lifted.insns[n]?.statements ?? [], '    ');
      lines.push(`  ; ${text}`, ...printer.print([]).slice(before));
    }
    ir.push(...lines);
  }
  return { assembly: assembly.join('\n'), ir: ir.join('\n') };
}

export function liftInsn({ insn, offset }: RegionInsn, key: number): LiftedInsn {
  const lift = new StaticLift(key, insn, offset);
  const definition = semantics[insn.mnemonic] ?? semantics['ud'];
  if (definition === undefined) throw new Error('no definition of ud');
  definition.lift(lift, insn);
  return { offset, next: offset + insn.length, statements: lift.statements, ended: lift.ended };
}

const countOf = (lifted: readonly LiftedBlock[]): number => lifted.reduce((sum, b) => sum + b.count, 0);

/** The 64-byte chunks of its page that a region is made of. */
function chunksOf(region: Region): [number, number] {
  let low = 0;
  let high = 0;
  for (const b of region.blocks) {
    for (let chunk = b.offset >> 6; chunk <= Math.min(PAGE - 1, b.end - 1) >> 6; chunk++) {
      if (chunk < 32) low |= 1 << chunk;
      else high |= 1 << (chunk & 31);
    }
  }
  return [low, high];
}
