// IN and OUT under IOPL and the I/O permission bit map. SDM Vol. 1, "I/O Privilege Level", "I/O Permission Bit Map". And
// alignment checks: Vol. 3A, "Interrupt 17—Alignment Check Exception (#AC)".
import { done, fault, makeCase, writeBytes, writeDwords } from '../case.mjs';
import { descriptor, TSS, TSS_SELECTOR } from '../layout.mjs';

const IO_SECTION = 'Vol. 1, "I/O Permission Bit Map"';
const MAP_BASE = 0x68;
/** Ports that no device has. */
const FIRST_PORT = 0x308;
const IN = { 1: [0xec], 2: [0x66, 0xed], 4: [0xed] };
const OUT = { 1: [0xee], 2: [0x66, 0xef], 4: [0xef] };

/** May a port be used: every bit of the access must be clear, in two bytes that both lie within the task state. */
export function isPermitted({ cpl, iopl, port, size, denied, base, limit }) {
  if (cpl <= iopl) return true;
  const at = base + (port >> 3);
  if (base >= limit || at + 1 > limit) return false;
  for (let n = 0; n < size; n++) if (denied.has(port + n)) return false;
  return true;
}

/** The map with these ports denied. */
function mapOf(denied) {
  const bytes = new Uint8Array(0x80);
  for (const port of denied) bytes[port >> 3] |= 1 << (port & 7);
  return writeBytes(TSS + MAP_BASE, bytes);
}

function make({ cpl, iopl, port, size, denied = [], base = MAP_BASE, limit = 0x4ff, isOut }) {
  const expect = isPermitted({ cpl, iopl, port, size, denied: new Set(denied), base, limit }) ? done() : fault('GP', 0);
  const where = `port ${port.toString(16)} size ${size} denied ${denied.map((p) => p.toString(16)).join(',') || 'none'}`;
  return makeCase({
    family: 'I/O permissions',
    section: IO_SECTION,
    name: `${isOut ? 'OUT' : 'IN'} ${where} map ${base.toString(16)} limit ${limit.toString(16)}: CPL ${cpl} IOPL ${iopl}`,
    cpl,
    flags: iopl << 12,
    code: (isOut ? OUT : IN)[size],
    registers: { edx: port, eax: 0 },
    descriptors: { [TSS_SELECTOR]: descriptor(TSS, limit, 0x89) },
    writes: [...mapOf(denied), ...writeDwords(TSS + 100, [base << 16])],
    expect,
  });
}

export function* inputOutput() {
  for (let cpl = 0; cpl < 4; cpl++)
    for (let iopl = 0; iopl < 4; iopl++)
      for (const size of [1, 2, 4])
        for (const isOut of [false, true]) {
          yield make({ cpl, iopl, port: FIRST_PORT, size, isOut });
          yield make({ cpl, iopl, port: FIRST_PORT, size, denied: [FIRST_PORT], isOut });
          yield make({ cpl, iopl, port: FIRST_PORT, size, base: 0x4ff, isOut });
        }
  for (const size of [1, 2, 4])
    for (let port = FIRST_PORT; port < FIRST_PORT + 8; port++)
      for (let denied = FIRST_PORT; denied < FIRST_PORT + 12; denied++)
        yield make({ cpl: 3, iopl: 0, port, size, denied: [denied], isOut: (port & 1) !== 0 });
  // The byte behind the last one needed is read too.
  const last = MAP_BASE + (FIRST_PORT >> 3);
  for (const size of [1, 2, 4])
    for (const limit of [last - 1, last, last + 1]) yield make({ cpl: 3, iopl: 0, port: FIRST_PORT, size, limit });
}

const AM = 0x40011;
const AC = 0x40000;
const DATA = 0x250000;
/** name, code with EDI as address, alignment that the operand asks for: Table "Alignment Requirements by Data Type". */
const ACCESSES = [
  ['MOV EAX, [EDI]', [0x8b, 0x07], 4],
  ['MOV [EDI], EAX', [0x89, 0x07], 4],
  ['MOV AX, [EDI]', [0x66, 0x8b, 0x07], 2],
  ['MOV AL, [EDI]', [0x8a, 0x07], 1],
  ['ADD [EDI], EAX', [0x01, 0x07], 4],
  ['LOCK ADD [EDI], EAX', [0xf0, 0x01, 0x07], 4],
  ['XCHG [EDI], EAX', [0x87, 0x07], 4],
  ['PUSH [EDI]', [0xff, 0x37], 4],
  ['MOVSX EAX, WORD [EDI]', [0x0f, 0xbf, 0x07], 2],
  ['FLD QWORD [EDI]', [0xdd, 0x07], 8],
  ['FLD DWORD [EDI]', [0xd9, 0x07], 4],
  ['FILD WORD [EDI]', [0xdf, 0x07], 2],
  ['CMPXCHG8B [EDI]', [0x0f, 0xc7, 0x0f], 8],
  ['STOSD', [0xab], 4],
  ['SCASD', [0xaf], 4],
];

export function* alignment() {
  for (let cpl = 0; cpl < 4; cpl++)
    for (const [name, code, size] of ACCESSES)
      for (let offset = 0; offset < 8; offset++)
        for (const isOn of [3, 1, 2]) {
          // AM and AC are both needed, and CPL 3.
          if (isOn !== 3 && offset !== 1) continue;
          const isChecked = isOn === 3 && cpl === 3;
          yield makeCase({
            family: 'alignment checks',
            section: 'Vol. 3A, "Interrupt 17—Alignment Check Exception (#AC)"',
            name: `${name} at ${offset}, ${isOn & 1 ? 'AM' : ''} ${isOn & 2 ? 'AC' : ''}: CPL ${cpl}`,
            cpl,
            code,
            cr0: isOn & 1 ? AM : 0x11,
            flags: isOn & 2 ? AC : 0,
            registers: { edi: DATA + offset, eax: 0 },
            expect: isChecked && offset % size !== 0 ? fault('AC', 0) : done(),
          });
        }
  // Pushing and calling check the stack pointer.
  for (const [name, code] of [
    ['PUSH EAX', [0x50]],
    ['POP EAX', [0x58]],
    ['PUSHFD', [0x9c]],
  ])
    for (const offset of [0, 1, 2])
      yield makeCase({
        family: 'alignment checks',
        section: 'Vol. 3A, "Interrupt 17—Alignment Check Exception (#AC)"',
        name: `${name} with the stack at ${offset}`,
        cpl: 3,
        code,
        cr0: AM,
        flags: AC,
        esp: 0x223e00 + offset,
        stack: [0],
        expect: offset === 0 ? done() : fault('AC', 0),
      });
}
