/** The code of a page in one mode, and the blocks that it is cut into. */
import { decode } from '../../x86/decode/decoder.js';
import type { CodeSize, Insn } from '../../x86/insn.js';
import { endsBlock } from '../../x86/semantics/index.js';
import { codeSizeOf } from './block-key.js';
import type { BlockRecords, KnownBlock } from './block-records.js';

/** What makes a block hot, and what lets it come along with hot ones. */
export interface BlockHeats {
  readonly records: BlockRecords;
  readonly hot: number;
  readonly warm: number;
}

export const PAGE = 4096;
export const MAX_INSTRUCTIONS = 800;

export interface RegionInsn {
  readonly insn: Insn;
  /** From the region's page. */
  readonly offset: number;
}

/** A block by itself. Offsets are those of its region's page, and outside of it for code of another page. */
export interface CodeBlock {
  readonly offset: number;
  readonly insns: readonly RegionInsn[];
  /** Behind the last instruction. */
  readonly end: number;
  /** The blocks it goes to by itself, in any page: jumps, calls, falling through. */
  readonly targets: readonly number[];
  /** Where control comes back behind a call or an instruction that leaves the region. */
  readonly resumes: number | undefined;
  readonly isCall: boolean;
  readonly isReturn: boolean;
  /** Ends in a jump or call whose target is known at run time. */
  readonly isIndirect: boolean;
}

/** The code of a page, decoded where it is asked for, and how often its warm blocks have run. */
export class PageCode {
  /** Guest physical address. */
  readonly page: number;
  readonly key: number;
  /** Of the page, from the region's. */
  readonly delta: number;
  readonly bytes: Uint8Array;
  private readonly heats: BlockHeats;
  private readonly codeSize: CodeSize;
  private readonly known = new Map<number, KnownBlock | undefined>();
  private readonly decoded = new Map<number, Insn | undefined>();
  private readonly blocks = new Map<number, CodeBlock>();

  constructor(page: number, key: number, bytes: Uint8Array, heats: BlockHeats, delta = 0) {
    this.page = page;
    this.key = key;
    this.bytes = bytes;
    this.heats = heats;
    this.delta = delta;
    this.codeSize = codeSizeOf(key);
  }

  isInside(offset: number): boolean {
    return offset >= this.delta && offset < this.delta + PAGE;
  }
  /** Undefined where the instruction leaves the page. */
  private at(offset: number): Insn | undefined {
    let insn = this.decoded.get(offset);
    if (insn === undefined && !this.decoded.has(offset)) {
      const inPage = offset - this.delta;
      const found = decode(this.bytes, inPage, PAGE - inPage, this.codeSize);
      insn = found === 'truncated' ? undefined : found;
      this.decoded.set(offset, insn);
    }
    return insn;
  }
  /** The block at an offset up to its own end. */
  block(offset: number): CodeBlock {
    let block = this.blocks.get(offset);
    if (block === undefined) {
      block = this.cut(offset, NOWHERE);
      this.blocks.set(offset, block);
    }
    return block;
  }
  /** The block at an offset up to its own end or to the next one that starts where a set says. */
  blockUpTo(offset: number, starts: ReadonlySet<number>): CodeBlock {
    const whole = this.block(offset);
    return reachesInto(whole, starts) ? this.cut(offset, starts) : whole;
  }
  private knownAt(offset: number): KnownBlock | undefined {
    let block = this.known.get(offset);
    if (block === undefined && !this.known.has(offset)) {
      const { records, hot } = this.heats;
      block = records.find(this.page + offset - this.delta, this.key, hot);
      this.known.set(offset, block);
    }
    return block;
  }
  /** The block at an offset was entered so often that it comes along. */
  isWarm(offset: number): boolean {
    return (this.knownAt(offset)?.heat ?? 0) >= this.heats.warm;
  }
  isHot(offset: number): boolean {
    return this.heat(offset) >= this.heats.hot;
  }
  /** Times the block at an offset was entered. */
  heat(offset: number): number {
    return this.knownAt(offset)?.heat ?? 0;
  }
  /** Of the block at an offset; 0 where none is known. */
  header(offset: number): number {
    return this.knownAt(offset)?.header ?? 0;
  }

  /** Decodes one block up to its end or to another start. */
  private cut(start: number, starts: ReadonlySet<number>): CodeBlock {
    const insns: RegionInsn[] = [];
    let at = start;
    const targets: number[] = [];
    let resumes: number | undefined;
    let isCall = false;
    let isReturn = false;
    let isIndirect = false;
    while (this.isInside(at) && insns.length < MAX_INSTRUCTIONS) {
      if (insns.length > 0 && starts.has(at)) {
        targets.push(at);
        break;
      }
      const insn = this.at(at);
      if (insn === undefined) break;
      insns.push({ insn, offset: at });
      at += insn.length;
      isCall = insn.mnemonic === 'call';
      // A relative target is the last operand.
      const relative = insn.operands[insn.operands.length - 1];
      if (relative !== undefined && relative.kind === 'rel') {
        targets.push(at + relative.disp);
        if (isCall) resumes = at;
        else if (!endsBlock(insn)) targets.push(at);
        break;
      }
      if (endsBlock(insn)) {
        if (!NEVER_RESUMES.has(insn.mnemonic)) resumes = at;
        if (GOES_ON.has(insn.mnemonic)) targets.push(at);
        isReturn = insn.mnemonic === 'ret';
        isIndirect = isCall || insn.mnemonic === 'jmp';
        break;
      }
    }
    return { offset: start, insns, end: at, targets, resumes, isCall, isReturn, isIndirect };
  }
}

const NOWHERE: ReadonlySet<number> = new Set();

/** Another block begins inside this one, or where it stopped for being long. */
function reachesInto({ insns, end }: CodeBlock, starts: ReadonlySet<number>): boolean {
  for (let n = 1; n < insns.length; n++) if (starts.has((insns[n] as RegionInsn).offset)) return true;
  return insns.length >= MAX_INSTRUCTIONS && starts.has(end);
}

/** These end a block only for what they may change: mostly the next instruction follows inside the region. */
const GOES_ON = new Set(['sti', 'popfq', 'clts', 'ldmxcsr', 'fxrstor', 'fxrstor64', 'xrstor', 'xrstor64']);

/** Behind these comes other code. */
const NEVER_RESUMES = new Set([
  'ret',
  'retf',
  'jmp',
  'jmpf',
  'iret',
  'iretd',
  'iretq',
  'sysret',
  'sysexit',
  'ud',
  'gp',
]);
