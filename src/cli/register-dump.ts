/** The processor's state as people read it after a triple fault. */
import type { CpuState, SegmentState } from '../engine/engine.js';

const GPR_NAMES = ['RAX', 'RCX', 'RDX', 'RBX', 'RSP', 'RBP', 'RSI', 'RDI'];
const SEGMENT_NAMES = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDTR', 'TR'];
const UNUSABLE = 0x10000;

/** RFLAGS, highest bit first. */
const FLAGS: readonly (readonly [bit: number, name: string])[] = [
  [21, 'ID'],
  [18, 'AC'],
  [17, 'VM'],
  [16, 'RF'],
  [14, 'NT'],
  [11, 'OF'],
  [10, 'DF'],
  [9, 'IF'],
  [8, 'TF'],
  [7, 'SF'],
  [6, 'ZF'],
  [4, 'AF'],
  [2, 'PF'],
  [0, 'CF'],
];

export function registerDump(cpu: CpuState, disassembly: readonly string[] = []): string {
  const lines: string[] = [];
  const gprs = cpu.gpr.map((value, index) => `${(GPR_NAMES[index] ?? `R${index}`).padEnd(3)} ${hex64(value)}`);
  for (let at = 0; at < gprs.length; at += 4) lines.push(gprs.slice(at, at + 4).join('  '));
  lines.push(`RIP ${hex64(cpu.rip)}  RFLAGS ${hex64(cpu.rflags)} [${flagNames(cpu.rflags)}]  CPL ${cpl(cpu)}`);
  cpu.segments.forEach((segment, index) => {
    lines.push(segmentLine(SEGMENT_NAMES[index] ?? '?', segment));
  });
  lines.push(
    `GDTR ${hex64(cpu.gdtr.base)} ${hex32(cpu.gdtr.limit)}  IDTR ${hex64(cpu.idtr.base)} ${hex32(cpu.idtr.limit)}`,
  );
  lines.push(`CR0 ${hex64(cpu.cr0)}  CR2 ${hex64(cpu.cr2)}  CR3 ${hex64(cpu.cr3)}  CR4 ${hex64(cpu.cr4)}`);
  lines.push(`CR8 ${hex64(cpu.cr8)}  EFER ${hex64(cpu.efer)}  XCR0 ${hex64(cpu.xcr0)}`);
  lines.push(`DR6 ${hex64(cpu.dr[6] ?? 0n)}  DR7 ${hex64(cpu.dr[7] ?? 0n)}`);
  if (disassembly.length > 0) lines.push('code:', ...disassembly.map((line) => `  ${line}`));
  return lines.join('\n');
}

function segmentLine(name: string, segment: SegmentState): string {
  const unusable = (segment.attributes & UNUSABLE) !== 0 ? ' unusable' : '';
  const selector = segment.selector.toString(16).padStart(4, '0');
  const attributes = (segment.attributes & 0xffff).toString(16).padStart(4, '0');
  return `${name.padEnd(4)} ${selector} base ${hex64(segment.base)} limit ${hex32(segment.limit)} attributes ${attributes}${unusable}`;
}

/** The privilege level is SS.DPL. SDM Vol. 3A, "Privilege Levels". */
function cpl(cpu: CpuState): number {
  return ((cpu.segments[2]?.attributes ?? 0) >> 5) & 3;
}

function flagNames(rflags: bigint): string {
  return FLAGS.filter(([bit]) => ((rflags >> BigInt(bit)) & 1n) === 1n)
    .map(([, name]) => name)
    .join(' ');
}

function hex64(value: bigint): string {
  return BigInt.asUintN(64, value).toString(16).padStart(16, '0');
}

function hex32(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0');
}
