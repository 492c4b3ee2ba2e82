/** The values of command-line options: text to typed values, with one clear sentence for everything else. */
import { UsageError } from '../base/errors.js';

export const MIN_MEMORY_BYTES = 4 * 1024 * 1024;
export const MAX_MEMORY_BYTES = 3 * 1024 * 1024 * 1024;
export const DEFAULT_MEMORY = '512M';
/** The longest a timer of the host can wait, in whole seconds. */
const MAX_TIMEOUT_SECONDS = 2_147_483;

const UNITS: Readonly<Record<string, number>> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };
const MEMORY_RANGE = 'from 4M to 3G, in whole megabytes';

/** "512M", "1.5G", "65536K". */
export function parseMemory(text: string): number {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)([kmg])(?:i?b)?$/i.exec(text.trim());
  if (match === null)
    throw new UsageError(`--memory ${quote(text)} is not a size; write it like 512M or 1G, ${MEMORY_RANGE}`);
  const bytes = Number(match[1]) * UNITS[match[2].toLowerCase()];
  if (bytes < MIN_MEMORY_BYTES || bytes > MAX_MEMORY_BYTES || bytes % UNITS.m !== 0) {
    throw new UsageError(`--memory ${quote(text)} is out of range; a guest can have memory ${MEMORY_RANGE}`);
  }
  return bytes;
}

export function parseCpus(text: string): number {
  if (!/^\d{1,9}$/.test(text) || Number(text) < 1) {
    throw new UsageError(`--cpus ${quote(text)} is not a number of processors; use --cpus 1`);
  }
  if (Number(text) > 1) {
    throw new UsageError(
      `--cpus ${text} is not possible yet: this version runs guests with one processor; use --cpus 1`,
    );
  }
  return 1;
}

export type EngineName = 'dbt' | 'kvm' | 'auto';

export function parseEngine(text: string): EngineName {
  if (text === 'dbt' || text === 'kvm' || text === 'auto') return text;
  throw new UsageError(
    `--engine ${quote(text)} does not exist; use dbt (translation to WebAssembly), kvm (Linux's /dev/kvm) or auto`,
  );
}

export type IrqchipName = 'machine' | 'split' | 'kernel';

export function parseIrqchip(text: string): IrqchipName {
  if (text === 'machine' || text === 'split' || text === 'kernel') return text;
  throw new UsageError(
    `--irqchip ${quote(text)} does not exist; use machine (our own models), split (the local APIC in the kernel) or kernel (all of them there)`,
  );
}

export function parseTimeout(text: string): number {
  const seconds = /^\d{1,12}(\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN;
  if (!(seconds > 0 && seconds <= MAX_TIMEOUT_SECONDS)) {
    throw new UsageError(
      `--timeout ${quote(text)} is not a time; give seconds above 0 and up to ${MAX_TIMEOUT_SECONDS}`,
    );
  }
  return seconds * 1000;
}

export type OutputTarget = { readonly kind: 'stdio' } | { readonly kind: 'file'; readonly path: string };

export type SerialTarget = OutputTarget | { readonly kind: 'none' };

export function parseSerial(text: string): SerialTarget {
  if (text === 'none') return { kind: 'none' };
  const target = parseTarget(text);
  if (target !== undefined) return target;
  throw new UsageError(`--serial ${quote(text)} is not a place for the console; use stdio, file:PATH or none`);
}

export interface DebugconOption {
  readonly port: number;
  readonly target: OutputTarget;
}

/** "0xe9=stdio", "233=file:debug.log". */
export function parseDebugcon(text: string): DebugconOption {
  const at = text.indexOf('=');
  const port = at < 0 ? undefined : parsePort(text.slice(0, at));
  const target = at < 0 ? undefined : parseTarget(text.slice(at + 1));
  if (port === undefined || target === undefined) {
    throw new UsageError(
      `--debugcon ${quote(text)} is not understood; write PORT=stdio or PORT=file:PATH, like 0xe9=stdio`,
    );
  }
  return { port, target };
}

function parsePort(text: string): number | undefined {
  if (!/^(0x[0-9a-f]{1,4}|\d{1,5})$/i.test(text)) return undefined;
  const port = Number(text);
  return port <= 0xffff ? port : undefined;
}

function parseTarget(text: string): OutputTarget | undefined {
  if (text === 'stdio') return { kind: 'stdio' };
  if (text.startsWith('file:') && text.length > 'file:'.length)
    return { kind: 'file', path: text.slice('file:'.length) };
  return undefined;
}

export interface InitrdOption {
  readonly path: string;
  readonly args: string;
}

/** "FILE[ ARGS][,FILE[ ARGS]...]"; a comma that is part of a name or of arguments is written twice. */
export function parseInitrd(text: string): InitrdOption[] {
  const items = text.split(/(?<!,),(?!,)/).map((item) => item.replaceAll(',,', ','));
  return items.map((item) => {
    const space = item.indexOf(' ');
    const path = space < 0 ? item : item.slice(0, space);
    if (path === '')
      throw new UsageError(`--initrd ${quote(text)} names an empty file; write FILE[ ARGS][,FILE[ ARGS]...]`);
    return { path, args: space < 0 ? '' : item.slice(space + 1).trim() };
  });
}

/** A guest address: hexadecimal with or without 0x, underscores allowed. */
export function parseAddress(text: string): bigint {
  const digits = text.replaceAll('_', '').replace(/^0x/i, '');
  if (/^[0-9a-f]{1,16}$/i.test(digits)) return BigInt(`0x${digits}`);
  throw new UsageError(`${quote(text)} is not an address; write up to 16 hexadecimal digits, like 0xffffffff81000000`);
}

export function parseTcpPort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port >= 0 && port <= 65535) return port;
  throw new UsageError(`--port ${quote(text)} is not a port; give a number from 0 (any free one) to 65535`);
}

/** Quoted, and short enough for one line whatever was typed. */
export function quote(text: string): string {
  const printable = text.replace(/[^\x20-\x7e\u00a0-\uffff]/g, '?');
  return `"${printable.length > 60 ? `${printable.slice(0, 57)}...` : printable}"`;
}
