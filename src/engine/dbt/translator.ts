/** Hot blocks become regions: form, lift, analyse, lower, compile, enter in the table. The whole pipeline on one page. */
import { ModuleBuilder } from '../../wasm/module.js';
import { StaticLift } from '../../x86/lift-static.js';
import { semantics } from '../../x86/semantics/index.js';
import type { Block, BlockCache, RegionEntry } from './block-cache.js';
import { analyse, type FlowGraph } from './control-flow.js';
import { HANDLER_SIGNATURE, type RuntimeImports } from './imports.js';
import { FIRST_REGION, TABLE_SIZE } from './interpreter.js';
import { type LiftedBlock, type LiftedInsn, RegionLowering } from './region.js';
import { formRegion, type Region, type RegionInsn } from './region-former.js';

export interface Translation {
  readonly region: Region;
  readonly lifted: readonly LiftedBlock[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Guest instructions a region must hold to be worth a function. */
const now = (): number => performance.now();

export class Translator {
  private readonly imports: RuntimeImports;
  private readonly table: WebAssembly.Table;
  private readonly cache: BlockCache;
  private readonly freeIndexes: number[] = [];
  private nextIndex = FIRST_REGION;
  // Counters for statistics.
  private regions = 0;
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

  /** Compiles a region around a hot block and makes the block's header lead into it. */
  translate(block: Block): void {
    const started = now();
    const index = this.freeIndexes.pop() ?? (this.nextIndex < TABLE_SIZE ? this.nextIndex++ : undefined);
    if (index === undefined) {
      // All slots taken: start afresh, what is hot comes back soon.
      this.cache.flush();
      return;
    }
    const translation = this.lower(block, (count) => this.cache.allocate(count));
    if (translation === undefined) {
      this.freeIndexes.push(index);
      return;
    }
    const { region, bytes } = translation;
    const instance = this.imports.instantiateBytes(bytes);
    this.table.set(index, instance['region'] as () => number);
    this.cache.addRegion(entryOf(block, region, index));
    this.regions++;
    this.bytes += bytes.length;
    this.instructions += translation.lifted.reduce((n, b) => n + b.count, 0);
    const took = now() - started;
    this.milliseconds += took;
    this.longest = Math.max(this.longest, took);
  }

  /** The module for the region at a block; `allocate` hands out words of linear memory for links. */
  lower(block: Block, allocate: (bytes: number) => number): Translation | undefined {
    const region = formRegion(this.cache, block);
    if ((region.blocks[0]?.insns.length ?? 0) === 0) return undefined;
    const lifted = region.blocks.map((b): LiftedBlock => {
      const insns = b.insns.map((i) => liftInsn(i, region.key));
      return { offset: b.offset, end: b.end, count: insns.length, insns };
    });
    const graph = graphOf(region);
    const flow = analyse(graph);
    const slots = new Map<number, number>();
    let out = false;
    const slot = (target: number): number => {
      let at = slots.get(target);
      if (at === undefined) {
        at = allocate(64);
        if (at === 0) out = true;
        slots.set(target, at);
      }
      return at;
    };
    const module = new ModuleBuilder();
    const type = module.type(HANDLER_SIGNATURE);
    this.imports.declareMemory(module);
    const lowering = new RegionLowering(this.imports.functionIndex(module), type, region.key, lifted, graph, flow, slot);
    const body = lowering.region();
    if (out) return undefined;
    module.export('region', module.addFunction(body));
    return { region, lifted, bytes: module.finish() };
  }

  statistics(): Record<string, number> {
    return {
      regions: this.regions,
      'regions dropped': this.dropped,
      'instructions translated': this.instructions,
      'region bytes': this.bytes,
      'translation ms': this.milliseconds,
      'longest translation ms': this.longest,
    };
  }
}

export function liftInsn({ insn, offset }: RegionInsn, key: number): LiftedInsn {
  const lift = new StaticLift(key, insn, offset);
  const definition = semantics[insn.mnemonic] ?? semantics['ud'];
  if (definition === undefined) throw new Error('no definition of ud');
  definition.lift(lift, insn);
  return { offset, next: offset + insn.length, statements: lift.statements, ended: lift.ended };
}

function graphOf(region: Region): FlowGraph {
  const numbers = new Map(region.blocks.map((b, n) => [b.offset, n]));
  return {
    successors: region.blocks.map((b) => [
      ...new Set(b.targets.flatMap((t) => numbers.get(t) ?? [])),
    ]),
  };
}

function entryOf(block: Block, region: Region, tableIndex: number): RegionEntry {
  let low = 0;
  let high = 0;
  for (const b of region.blocks) {
    for (let chunk = b.offset >> 6; chunk <= Math.min(4095, b.end - 1) >> 6; chunk++) {
      if (chunk < 32) low |= 1 << chunk;
      else high |= 1 << (chunk & 31);
    }
  }
  return { entry: block, frame: region.page / 4096, chunks: [low, high], tableIndex };
}
