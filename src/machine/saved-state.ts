/** A machine's saved state, to and from the file: what it holds, and whether it fits. */
import { StateError } from '../base/errors.js';
import {
  checkFields,
  checkState,
  type Field,
  flag,
  integer,
  list,
  orNull,
  part,
  type StateOf,
  stateKind,
  u16,
} from '../base/state.js';
import type { CpuState } from '../engine/engine.js';
import type { ChipsetState } from './chipset.js';
import type { MachineOptions } from './machine.js';
import { MAX_RAM_SIZE, MIN_RAM_SIZE } from './memory-layout.js';
import { loadCpu, type SavedCpu, saveCpu } from './saved-cpu.js';
import {
  damaged,
  deflate,
  fileHeader,
  inflate,
  json,
  readJson,
  readSections,
  readU32,
  type Section,
  section,
  u32s,
} from './saved-state-file.js';

const PAGE = 4096;
/** Pages of a RAM section, and bytes of a FILE section before deflating. */
const SECTION_PAGES = 1024;
const SECTION_BYTES = SECTION_PAGES * PAGE;
const BITMAP_AT = 8;
const SECTIONS_UNDER_WAY = 4;

// ---- HEAD ----

const MOST_FILES = 1024;
const LONGEST_TEXT = 1 << 20;
const text: Field<string> = {
  what: 'a text',
  accepts: (value): value is string => typeof value === 'string' && value.length <= LONGEST_TEXT,
};

const MOST_FEATURES = 1024;
const word: Field<string> = {
  what: 'a word',
  accepts: (value): value is string => typeof value === 'string' && /^[\w.]{1,32}$/.test(value),
};

/** A file of the guest: its kernel, its firmware, a module. A restart needs them. */
interface SavedFile {
  readonly role: 'kernel' | 'firmware' | 'module';
  readonly name: string;
  /** Of a module. */
  readonly args: string;
  readonly sizeBytes: number;
}
const ROLES = ['kernel', 'firmware', 'module'];
const FILE: { readonly [K in keyof SavedFile]: Field<SavedFile[K]> } = {
  role: {
    what: 'kernel, firmware or module',
    accepts: (value): value is SavedFile['role'] => ROLES.includes(value as string),
  },
  name: text,
  args: text,
  sizeBytes: integer(0, MAX_RAM_SIZE),
};

const HEAD = stateKind('machine', 1, {
  /** Milliseconds since 1970 UTC, on the host. */
  savedAtMs: integer(0, 8.64e15),
  /** Nanoseconds of virtual time since power-on. */
  clockNs: {
    what: 'a time',
    accepts: (v): v is number => typeof v === 'number' && v >= 0 && v <= 1e18,
  } as Field<number>,
  tscHz: integer(1e6, 1e11),
  memoryBytes: integer(MIN_RAM_SIZE, MAX_RAM_SIZE),
  cpus: integer(1, 255),
  debugcon: orNull(u16),
  debugExit: flag,
  append: text,
  features: list(word, 0, MOST_FEATURES),
  files: list(part<SavedFile>(), 0, MOST_FILES),
});
export type SavedHead = StateOf<typeof HEAD>;

/** What the vCPU thread tells of a machine that stands still. */
export interface MachineState {
  readonly clockNs: number;
  readonly tscHz: number;
  readonly memoryBytes: number;
  /** Names of the processor features that the guest sees: a processor without one of them cannot go on. */
  readonly features: readonly string[];
  readonly cpu: CpuState;
  readonly chipset: ChipsetState;
}

interface GuestFile {
  readonly about: SavedFile;
  readonly data: Uint8Array;
}

function guestFiles(options: MachineOptions): GuestFile[] {
  const file = (role: SavedFile['role'], data: Uint8Array, name = '', args = ''): GuestFile => ({
    about: { role, name, args, sizeBytes: data.length },
    data,
  });
  return [
    ...(options.kernel === undefined ? [] : [file('kernel', options.kernel, options.kernelName)]),
    ...(options.firmware === undefined ? [] : [file('firmware', options.firmware, options.firmwareName)]),
    ...(options.modules ?? []).map(({ data, args, name }) => file('module', data, name, args)),
  ];
}

/** The file, piece by piece; `ram` must not change meanwhile. */
export async function* writeState(
  state: MachineState,
  ram: Uint8Array,
  options: MachineOptions,
  savedAtMs: number,
): AsyncGenerator<Uint8Array> {
  const files = guestFiles(options);
  const head: SavedHead = {
    kind: HEAD.kind,
    version: HEAD.version,
    savedAtMs,
    clockNs: state.clockNs,
    tscHz: state.tscHz,
    memoryBytes: state.memoryBytes,
    cpus: options.cpus ?? 1,
    debugcon: options.debugcon ?? null,
    debugExit: options.debugExit ?? false,
    append: options.append ?? '',
    features: [...state.features],
    files: files.map(({ about }) => about),
  };
  yield fileHeader();
  yield section('HEAD', json(head));
  yield section('CPU ', json(saveCpu(state.cpu)));
  yield section('CHIP', json(state.chipset));
  let count = 3;
  // The host deflates on threads of its own: a few sections are under way while one is written.
  const underWay: Promise<Uint8Array>[] = [];
  for (const packed of deflatedSections(files, ram)) {
    count++;
    underWay.push(packed);
    if (underWay.length >= SECTIONS_UNDER_WAY) yield await (underWay.shift() as Promise<Uint8Array>);
  }
  for (const packed of underWay) yield await packed;
  yield section('END ', u32s(count));
}

function* deflatedSections(files: readonly GuestFile[], ram: Uint8Array): Generator<Promise<Uint8Array>> {
  for (const [number, { data }] of files.entries()) {
    for (let at = 0; at < data.length; at += SECTION_BYTES) {
      const piece = data.slice(at, at + SECTION_BYTES);
      yield deflate(piece).then((parts) => section('FILE', u32s(number, piece.length), ...parts));
    }
  }
  for (let at = 0; at < ram.length; at += SECTION_BYTES) {
    const pages = collectPages(ram.subarray(at, at + SECTION_BYTES));
    if (pages === undefined) continue;
    const head = [u32s(at / PAGE, pages.count), pages.bitmap];
    yield deflate(pages.bytes).then((parts) => section('RAM ', ...head, ...parts));
  }
}

/** The pages that are not all zero, and a bit for each. */
function collectPages(
  ram: Uint8Array,
): { count: number; bitmap: Uint8Array; bytes: Uint8Array<ArrayBuffer> } | undefined {
  const count = ram.length / PAGE;
  const words = new BigUint64Array(ram.buffer, ram.byteOffset, ram.length / 8);
  const bitmap = new Uint8Array(Math.ceil(count / 8));
  const bytes = new Uint8Array(ram.length);
  let length = 0;
  for (let page = 0; page < count; page++) {
    let at = (page * PAGE) / 8;
    const end = at + PAGE / 8;
    while (at < end && words[at] === 0n) at++;
    if (at === end) continue;
    bitmap[page >> 3] |= 1 << (page & 7);
    bytes.set(ram.subarray(page * PAGE, (page + 1) * PAGE), length);
    length += PAGE;
  }
  return length === 0 ? undefined : { count, bitmap, bytes: bytes.subarray(0, length) };
}

// ---- reading ----

/** A file whose checksums hold and whose head is good. */
export interface OpenedState {
  readonly head: SavedHead;
  readonly sections: readonly Section[];
}

export function openState(file: Uint8Array): OpenedState {
  const sections = readSections(file);
  const head = readJson(sections[0]) as SavedHead;
  checkState(head, HEAD);
  if (head.memoryBytes % PAGE !== 0) throw damaged('a memory size that is not whole pages');
  for (const about of head.files) checkFields<SavedFile>(about, 'machine: a file of the guest', FILE);
  return { head, sections };
}

/** The guest's files, as the options of the machine that was saved. */
export async function readFiles({ head, sections }: OpenedState): Promise<MachineOptions> {
  const total = head.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (total > MAX_RAM_SIZE) throw damaged('files that fit into no guest');
  const pieces: Uint8Array[][] = head.files.map(() => []);
  const lengths = head.files.map(() => 0);
  for (const item of sections.filter(({ tag }) => tag === 'FILE')) {
    const number = readU32(item, 0);
    const length = readU32(item, 4);
    const about = head.files[number];
    if (about === undefined || length > SECTION_BYTES || lengths[number] + length > about.sizeBytes) {
      throw damaged('a piece of no file');
    }
    const piece = new Uint8Array(length);
    await inflate(item.payload.subarray(8), piece, 'a file');
    pieces[number].push(piece);
    lengths[number] += length;
  }
  const files = head.files.map((about, number) => {
    if (lengths[number] !== about.sizeBytes) throw damaged('a file that is not complete');
    return { about, data: joined(pieces[number]) };
  });
  const one = (role: SavedFile['role']): GuestFile | undefined => files.find(({ about }) => about.role === role);
  const kernel = one('kernel');
  const firmware = one('firmware');
  if (kernel === undefined && firmware === undefined) throw damaged('nothing to start the machine again with');
  return {
    ...(kernel === undefined ? {} : { kernel: kernel.data, kernelName: kernel.about.name }),
    ...(firmware === undefined ? {} : { firmware: firmware.data, firmwareName: firmware.about.name }),
    modules: files
      .filter(({ about }) => about.role === 'module')
      .map(({ about: { name, args }, data }) => ({ data, args, name })),
    append: head.append,
    memoryBytes: head.memoryBytes,
    cpus: head.cpus,
    ...(head.debugcon === null ? {} : { debugcon: head.debugcon }),
    debugExit: head.debugExit,
  };
}

export function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

/** Everything but memory. The chipset's state is checked when it is restored. */
export function readState({ head, sections }: OpenedState): MachineState {
  return {
    clockNs: head.clockNs,
    tscHz: head.tscHz,
    memoryBytes: head.memoryBytes,
    features: head.features,
    cpu: loadCpu(readJson(sections[1]) as SavedCpu),
    chipset: readJson(sections[2]) as ChipsetState,
  };
}

/** Fills `ram`, which is all zero. */
export async function readRam({ sections }: OpenedState, ram: Uint8Array): Promise<void> {
  const pages = ram.length / PAGE;
  let next = 0;
  for (const item of sections.filter(({ tag }) => tag === 'RAM ')) {
    const first = readU32(item, 0);
    const count = readU32(item, 4);
    const bytesAt = BITMAP_AT + Math.ceil(count / 8);
    if (first < next || count === 0 || count > SECTION_PAGES || first + count > pages) {
      throw damaged('pages where the machine has no memory');
    }
    if (item.payload.length < bytesAt) throw damaged('section RAM too short');
    const present: number[] = [];
    for (let page = 0; page < count; page++) {
      if ((item.payload[BITMAP_AT + (page >> 3)] & (1 << (page & 7))) !== 0) present.push(first + page);
    }
    const bytes = new Uint8Array(present.length * PAGE);
    await inflate(item.payload.subarray(bytesAt), bytes, 'memory');
    for (const [n, page] of present.entries()) ram.set(bytes.subarray(n * PAGE, (n + 1) * PAGE), page * PAGE);
    next = first + count;
  }
}

/** What of a machine a caller may ask for when loading: it must be what was saved. */
export interface ExpectedMachine {
  readonly memoryBytes?: number;
  readonly cpus?: number;
  readonly debugcon?: number;
  readonly debugExit?: boolean;
}

/** Throws StateError when the saved machine is not the one asked for. */
export function checkFits(head: SavedHead, wanted: ExpectedMachine): void {
  const differ = (what: string, saved: string, asked: string): never => {
    throw new StateError(`the saved machine has ${saved}, not ${asked}; leave ${what} away or give the same`);
  };
  const mib = (bytes: number): string => `${bytes / 2 ** 20} MiB of memory`;
  const port = (value: number | null): string =>
    value === null ? 'no debug port' : `its debug port at 0x${value.toString(16)}`;
  if (wanted.memoryBytes !== undefined && wanted.memoryBytes !== head.memoryBytes) {
    differ('the memory size', mib(head.memoryBytes), mib(wanted.memoryBytes));
  }
  if (wanted.cpus !== undefined && wanted.cpus !== head.cpus) {
    differ('the number of processors', head.cpus === 1 ? '1 processor' : `${head.cpus} processors`, `${wanted.cpus}`);
  }
  if (wanted.debugcon !== undefined && wanted.debugcon !== head.debugcon) {
    differ('the debug port', port(head.debugcon), port(wanted.debugcon));
  }
  if (wanted.debugExit !== undefined && wanted.debugExit !== head.debugExit) {
    differ(
      'debug-exit',
      head.debugExit ? 'a debug-exit port' : 'no debug-exit port',
      wanted.debugExit ? 'one' : 'none',
    );
  }
}
