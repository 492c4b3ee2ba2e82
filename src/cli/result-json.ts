/** The end of a run as JSON: numbers beyond 2^53 and addresses as hexadecimal text. */
import type { CpuState } from '../engine/engine.js';
import type { MachineResult } from '../machine/machine.js';

export function resultToJson(result: MachineResult, withStatistics: boolean): Record<string, unknown> {
  return {
    reason: result.reason,
    exitCode: result.exitCode,
    ...(withStatistics ? { statistics: result.statistics } : {}),
    ...(result.reason === 'triple-fault' && result.cpu !== undefined ? { cpu: cpuToJson(result.cpu) } : {}),
  };
}

function cpuToJson(cpu: CpuState): Record<string, unknown> {
  return {
    gpr: cpu.gpr.map(hex),
    rip: hex(cpu.rip),
    rflags: hex(cpu.rflags),
    segments: cpu.segments.map((segment) => ({ ...segment, base: hex(segment.base) })),
    gdtr: { ...cpu.gdtr, base: hex(cpu.gdtr.base) },
    idtr: { ...cpu.idtr, base: hex(cpu.idtr.base) },
    cr0: hex(cpu.cr0),
    cr2: hex(cpu.cr2),
    cr3: hex(cpu.cr3),
    cr4: hex(cpu.cr4),
    efer: hex(cpu.efer),
  };
}

function hex(value: bigint): string {
  return `0x${BigInt.asUintN(64, value).toString(16)}`;
}
