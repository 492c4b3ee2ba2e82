/** The stages of a region's translation, for people. */
import { Printer } from '../../ir/print.js';
import { disassemble } from '../../x86/disassemble.js';
import type { Block, BlockCache } from './block-cache.js';
import { liftBlock, RegionCompiler } from './region-compiler.js';
import type { Region } from './region-former.js';

/** What `inspect translation` shows; the module's text is made elsewhere. */
export interface TranslationReport {
  readonly assembly: string;
  readonly ir: string;
  readonly module: Uint8Array;
}

/** CC_* of x86/state.ts by number. */
const FLAG_NAMES = ['flags', 'add', 'adc', 'sub', 'sbb', 'logic', 'inc', 'dec', 'shl', 'shr', 'mul'];

const ROOM = 65536;

/** The translation of a block as it would be made now; nothing is entered. `pageAddress`: linear address of its page. */
export function explain(
  memory: WebAssembly.Memory,
  cache: BlockCache,
  { gpa, key }: Block,
  pageAddress: bigint,
): TranslationReport {
  const { epoch } = cache;
  const at = cache.allocate(ROOM);
  const { bytes, formed } = new RegionCompiler(memory).build({
    epoch,
    hot: [{ gpa, key, isLoop: false, replaces: undefined }],
    threshold: Number.MAX_SAFE_INTEGER,
    warm: 1,
    room: at === 0 ? undefined : { at, bytes: ROOM },
  });
  const region = formed[0];
  if (region === undefined) return { assembly: '', ir: '', module: new Uint8Array(0) };
  return { ...describeRegion(region, pageAddress), module: bytes };
}

/** Assembly and IR of a region, block by block, whose page is at a linear address. */
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
