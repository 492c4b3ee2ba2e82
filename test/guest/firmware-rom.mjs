// A firmware ROM of our own that looks at the memory below 1 MiB from the top of the address space, where no attribute
// register can take the code away, and tells each byte it reads on the debug port.
import { assemble, label, line, near8 } from '../../dist/machine/boot/machine-code.js';

const ROM_SIZE = 0x10000;
const DEBUG_PORT = 0x402;
/** What the ROM holds where the tests read and write. */
const PATTERN = 0x5a;
const CELL = 0x8000;

const word = (value) => [value & 0xff, (value >> 8) & 0xff];

/** mov dx, port; mov al, value; out dx, al */
const out = (port, value) => [line('mov dx', 0xba, ...word(port)), line('mov al', 0xb0, value), line('out', 0xee)];
/** PCI configuration byte `register` of the host bridge. */
const pam = (register, value) => [
  line('mov eax, address', 0x66, 0xb8, ...word(register & 0xfc), 0x00, 0x80),
  line('mov dx, 0xcf8', 0xba, 0xf8, 0x0c),
  line('out dx, eax', 0x66, 0xef),
  ...out(0xcfc + (register & 3), value),
];
const setDs = (segment) => [line('mov ax', 0xb8, ...word(segment)), line('mov ds, ax', 0x8e, 0xd8)];
const store = (offset, value) => [line('mov byte [offset], value', 0xc6, 0x06, ...word(offset), value)];
const increment = (offset) => [line('inc byte [offset]', 0xfe, 0x06, ...word(offset))];
/** Tells the byte at ds:offset. */
const tell = (offset) => [
  line('mov al, [offset]', 0xa0, ...word(offset)),
  line('mov dx, debug port', 0xba, ...word(DEBUG_PORT)),
  line('out dx, al', 0xee),
];

const ATTRIBUTES = [
  ...setDs(0xf000),
  // Neither: ROM, writes go nowhere.
  ...[...store(CELL, 0x11), ...tell(CELL)],
  // Writes only: they reach RAM, reads see the ROM, read-modify-write does both.
  ...[...pam(0x59, 0x20), ...store(CELL, 0x22), ...tell(CELL), ...increment(CELL), ...tell(CELL)],
  // Reads only.
  ...[...pam(0x59, 0x10), ...tell(CELL), ...store(CELL, 0x33), ...tell(CELL)],
  // Both.
  ...[...pam(0x59, 0x30), ...store(CELL, 0x44), ...tell(CELL)],
  // Neither again.
  ...[...pam(0x59, 0x00), ...tell(CELL)],
  // Below 0xe0000 there is no ROM behind: an open bus.
  ...setDs(0xc000),
  ...[...store(0, 0x55), ...tell(0), ...pam(0x5a, 0x02), ...store(0, 0x66), ...tell(0), ...pam(0x5a, 0x01), ...tell(0)],
];
const ATTRIBUTES_TOLD = [0x5a, 0x5a, 0x5a, 0x5b, 0x5b, 0x44, 0x5a, 0xff, 0xff, 0x66];

/** From here on in the shadow: bit 20 of the code's own address must be zero. */
const A20 = [
  line('jmp far f000:shadow', 0xea, { to: 'shadow', form: 'absolute16' }, ...word(0xf000)),
  label('shadow'),
  ...setDs(0),
  ...store(0x600, 0x01),
  ...setDs(0xffff),
  ...store(0x610, 0x02),
  // Open: 1 MiB and zero are two places. Closed: one.
  ...setDs(0),
  ...[...tell(0x600), ...out(0x92, 0x00)],
  ...setDs(0xffff),
  ...[...tell(0x610), ...store(0x610, 0x03)],
  ...setDs(0),
  ...[...tell(0x600), ...out(0x92, 0x02)],
  ...setDs(0xffff),
  ...tell(0x610),
  // The keyboard controller's output port is the same gate.
  ...[...out(0x64, 0xd1), ...out(0x60, 0xdd), ...tell(0x610), ...out(0x64, 0xd1), ...out(0x60, 0xdf), ...tell(0x610)],
];
const A20_TOLD = [0x01, 0x01, 0x03, 0x02, 0x03, 0x02];

/** RAM that differs from the ROM takes its place: OUT is the ROM's, what comes behind it is RAM's. */
const SWITCH = [
  ...pam(0x59, 0x20),
  ...setDs(0xf000),
  line('mov es, ax', 0x8e, 0xc0),
  line('xor si, si', 0x31, 0xf6),
  line('xor di, di', 0x31, 0xff),
  line('mov cx, 0xffff', 0xb9, 0xff, 0xff),
  line('cld', 0xfc),
  line('rep movsb', 0xf3, 0xa4),
  line('mov byte [switch], hlt', 0xc6, 0x06, { to: 'switch', form: 'absolute16' }, 0xf4),
  line('mov byte [answer], 0x77', 0xc6, 0x06, { to: 'answer', form: 'absolute16' }, 0x77),
  line('mov dx, 0xcfd', 0xba, 0xfd, 0x0c),
  line('mov al, 0x30', 0xb0, 0x30),
  label('switch'),
  line('out dx, al', 0xee),
  line('mov al, answer', 0xb0),
  label('answer'),
  line('', 0x01),
  line('mov dx, debug port', 0xba, ...word(DEBUG_PORT)),
  line('out dx, al', 0xee),
];

const HOT_TURNS = 3000;
const LOW_CODE = 0x8000;
/** A routine that answers 1 in the ROM and 2 in RAM, called from low memory while the two take turns, until it is hot. */
const HOT = [
  line('jmp far f000:hot', 0xea, { to: 'hot', form: 'absolute16' }, ...word(0xf000)),
  label('routine'),
  line('mov ax, 1', 0xb8),
  label('routine-value'),
  line('', 0x01),
  label('routine-end'),
  line('', 0x00),
  line('retf', 0xcb),
  label('turns'),
  ...[line('mov al, 0x30', 0xb0, 0x30), line('out dx, al', 0xee)],
  line('call far f000:routine', 0x9a, { to: 'routine', form: 'absolute16' }, ...word(0xf000)),
  ...[line('add bx, ax', 0x01, 0xc3), line('mov al, 0', 0xb0, 0x00), line('out dx, al', 0xee)],
  line('call far f000:routine', 0x9a, { to: 'routine', form: 'absolute16' }, ...word(0xf000)),
  ...[line('add bx, ax', 0x01, 0xc3), line('loop turns', 0xe2, near8('turns'))],
  line('jmp far f000:turned', 0xea, { to: 'turned', form: 'absolute16' }, ...word(0xf000)),
  label('hot'),
  ...pam(0x59, 0x20),
  ...setDs(0xf000),
  ...[line('xor ax, ax', 0x31, 0xc0), line('mov ss, ax', 0x8e, 0xd0), line('mov sp, 0x600', 0xbc, ...word(0x600))],
  line('mov byte [routine-value], 2', 0xc6, 0x06, { to: 'routine-value', form: 'absolute16' }, 0x02),
  // The rest of the routine is zero in RAM so far; the loop goes into low memory.
  line('mov byte [routine], 0xb8', 0xc6, 0x06, { to: 'routine', form: 'absolute16' }, 0xb8),
  line('mov word [routine + 2], 0xcb00', 0xc7, 0x06, { to: 'routine-end', form: 'absolute16' }, 0x00, 0xcb),
  ...[line('mov es, ax', 0x8e, 0xc0), line('mov si, turns', 0xbe, { to: 'turns', form: 'absolute16' })],
  ...[line('mov di', 0xbf, ...word(LOW_CODE)), line('mov cx, 64', 0xb9, ...word(64)), line('cld', 0xfc)],
  line('rep movsb', 0xf3, 0xa4),
  ...[
    line('xor bx, bx', 0x31, 0xdb),
    line('mov cx', 0xb9, ...word(HOT_TURNS)),
    line('mov dx, 0xcfd', 0xba, 0xfd, 0x0c),
  ],
  line('jmp far 0000:LOW_CODE', 0xea, ...word(LOW_CODE), ...word(0)),
  label('turned'),
  ...[line('mov dx, debug port', 0xba, ...word(DEBUG_PORT)), line('mov ax, bx', 0x89, 0xd8), line('out dx, al', 0xee)],
  ...[line('mov al, ah', 0x88, 0xe0), line('out dx, al', 0xee)],
];
export const HOT_TOLD = word(3 * HOT_TURNS);

const RAM_CELL = 0x700;
const CMOS_CELL = 0x40;
/** Ways to reset, in the order of the CMOS cell that counts them. */
const RESETS = [
  [...out(0x92, 0x03)],
  [...out(0x64, 0xfe)],
  [...out(0xcf9, 0x02), ...out(0xcf9, 0x06)],
  // An interrupt without a table to find its gate in: a triple fault.
  [line('lidt cs:[no-table]', 0x2e, 0x0f, 0x01, 0x1e, { to: 'no-table', form: 'absolute16' }), line('int3', 0xcc)],
];
/** Counts in CMOS and in RAM, tells both and what the shadow shows, leaves RAM in the shadow, and resets. */
const RESETTING = [
  line('jmp far f000:again', 0xea, { to: 'again', form: 'absolute16' }, ...word(0xf000)),
  label('no-table'),
  line('', 0, 0, 0, 0, 0, 0),
  label('again'),
  ...[line('xor ax, ax', 0x31, 0xc0), line('mov ss, ax', 0x8e, 0xd0), line('mov sp, 0x600', 0xbc, ...word(0x600))],
  ...[line('mov ds, ax', 0x8e, 0xd8), ...tell(RAM_CELL), ...increment(RAM_CELL)],
  ...[...setDs(0xf000), ...tell(CELL), ...pam(0x59, 0x20), ...store(CELL, 0x11)],
  ...[line('mov al, cell', 0xb0, CMOS_CELL), line('out 0x70, al', 0xe6, 0x70), line('in al, 0x71', 0xe4, 0x71)],
  ...[line('mov dx, debug port', 0xba, ...word(DEBUG_PORT)), line('out dx, al', 0xee)],
  ...[line('mov bl, al', 0x88, 0xc3), line('inc ax', 0x40), line('out 0x71, al', 0xe6, 0x71)],
  ...RESETS.flatMap((how, n) => [
    line('cmp bl, n', 0x80, 0xfb, n),
    line('jne other', 0x75, near8(`other-${n}`)),
    ...how,
    label(`wait-${n}`),
    line('jmp wait', 0xeb, near8(`wait-${n}`)),
    label(`other-${n}`),
  ]),
];
/** RAM is zero at power-on; the ROM is back in the shadow after every reset. */
export const RESETS_TOLD = [0, 1, 2, 3, 4].flatMap((n) => [n, PATTERN, n]);

const END = [...out(0xf4, 0x10), label('stay'), line('jmp stay', 0xeb, near8('stay'))];

export const TOLD = [...ATTRIBUTES_TOLD, ...A20_TOLD, 0x77];
/** ((v << 1) | 1) & 255 of what END writes. */
export const EXIT_CODE = 0x21;

export const testRom = () => romOf([...ATTRIBUTES, ...A20, ...SWITCH, ...END]);
export const hotRom = () => romOf([...HOT, ...END]);
export const resettingRom = () => romOf([...RESETTING, ...END]);

function romOf(code) {
  const rom = new Uint8Array(ROM_SIZE).fill(0xcc);
  rom.set(assemble(code, 0).bytes, 0);
  rom[CELL] = PATTERN;
  // A near jump: the code segment's base stays at the top of the address space.
  rom.set([0xe9, ...word(-0xfff3)], 0xfff0);
  return rom;
}
