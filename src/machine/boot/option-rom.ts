/**
 * The option ROM that starts a Linux bzImage by its real-mode entry: firmware runs it as a boot device, it fetches the
 * parts of the kernel from fw_cfg and jumps to the setup code. BIOS Boot Specification 1.01, "Expansion Header for Option
 * ROMs" and "Bootstrap Entry Vector"; Linux documentation, "The Linux/x86 Boot Protocol", "Running the Kernel".
 *
 * Where setup, kernel and command line go is the machine's choice (fw_cfg says it); the initrd goes below the end of the
 * memory that the firmware reports, which only the firmware knows.
 */
import { SETUP } from '../../spec/boot/linux.js';
import * as fw from '../../spec/fw-cfg.js';
import { assemble, type Line, label, line, near8, near16, offset16, text } from './machine-code.js';

const ROM_UNIT = 512;
const PNP_HEADER = 0x20;
const PNP_HEADER_SIZE = 0x20;
const CODE = PNP_HEADER + PNP_HEADER_SIZE;
/** Device type: mass storage, other. Indicators: an IPL device, wanted only where it is booted. */
const PNP_TYPE = [0x01, 0x80, 0x00];
const PNP_INDICATORS = 0x14;
const KERNEL_BASE_MIB = 0x10;

/** Parts in the order they are fetched: the keys of address, length and bytes. */
const PARTS = [fw.FW_CFG_SETUP, fw.FW_CFG_KERNEL, fw.FW_CFG_COMMAND_LINE];

/** Low byte first. */
const word = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff];

const BOOTSTRAP: readonly Line[] = [
  label('bootstrap'),
  line('push cs', 0x0e),
  line('pop ds', 0x1f),
  line('cld', 0xfc),
  line('mov si, parts', 0xbe, offset16('parts')),
  label('next-part'),
  line('lodsb: key of the address, 0 behind the last part', 0xac),
  line('test al, al', 0x84, 0xc0),
  line('jz parts-done', 0x74, near8('parts-done')),
  line('call item', 0xe8, near16('item')),
  line('mov edi, eax', 0x66, 0x89, 0xc7),
  line('lodsb: key of the length', 0xac),
  line('call item', 0xe8, near16('item')),
  line('mov ecx, eax', 0x66, 0x89, 0xc1),
  line('lodsb: key of the bytes', 0xac),
  line('call fetch', 0xe8, near16('fetch')),
  line('jmp next-part', 0xeb, near8('next-part')),

  label('parts-done'),
  line('mov al, key: es becomes the segment of the setup code', 0xb0, fw.FW_CFG_SETUP.ADDRESS),
  line('call item', 0xe8, near16('item')),
  line('shr eax, 4', 0x66, 0xc1, 0xe8, 0x04),
  line('mov es, ax', 0x8e, 0xc0),
  line('mov al, key: ebp becomes the length of the initrd', 0xb0, fw.FW_CFG_INITRD.SIZE),
  line('call item', 0xe8, near16('item')),
  line('test eax, eax', 0x66, 0x85, 0xc0),
  line('jz start', 0x74, near8('start')),
  line('mov ebp, eax', 0x66, 0x89, 0xc5),
  line('call memory-end: ebx', 0xe8, near16('memory-end')),
  line('mov eax, es:[initrd_addr_max]', 0x26, 0x66, 0xa1, ...word(SETUP.INITRD_ADDR_MAX)),
  line('inc eax: all ones say that any address will do', 0x66, 0x40),
  line('jz below-maximum', 0x74, near8('below-maximum')),
  line('cmp ebx, eax', 0x66, 0x39, 0xc3),
  line('jbe below-maximum', 0x76, near8('below-maximum')),
  line('mov ebx, eax', 0x66, 0x89, 0xc3),
  label('below-maximum'),
  line('sub ebx, ebp', 0x66, 0x29, 0xeb),
  line('jb fail', 0x72, near8('to-fail')),
  line('and ebx, 0xfffff000', 0x66, 0x81, 0xe3, 0x00, 0xf0, 0xff, 0xff),
  line('mov al, key: the initrd must lie behind the kernel', 0xb0, fw.FW_CFG_KERNEL.SIZE),
  line('call item', 0xe8, near16('item')),
  line('add eax, 1 MiB', 0x66, 0x05, 0x00, 0x00, KERNEL_BASE_MIB, 0x00),
  line('cmp ebx, eax', 0x66, 0x39, 0xc3),
  line('jae enough', 0x73, near8('enough')),
  label('to-fail'),
  line('jmp fail', 0xe9, near16('fail')),
  label('enough'),
  line('mov es:[ramdisk_image], ebx', 0x26, 0x66, 0x89, 0x1e, ...word(SETUP.RAMDISK_IMAGE)),
  line('mov es:[ramdisk_size], ebp', 0x26, 0x66, 0x89, 0x2e, ...word(SETUP.RAMDISK_SIZE)),
  line('mov edi, ebx', 0x66, 0x89, 0xdf),
  line('mov ecx, ebp', 0x66, 0x89, 0xe9),
  line('mov al, key', 0xb0, fw.FW_CFG_INITRD.DATA),
  line('call fetch', 0xe8, near16('fetch')),

  label('start'),
  line('cli', 0xfa),
  line('mov ax, es', 0x8c, 0xc0),
  line('mov ds, ax', 0x8e, 0xd8),
  line('mov fs, ax', 0x8e, 0xe0),
  line('mov gs, ax', 0x8e, 0xe8),
  line('mov ss, ax', 0x8e, 0xd0),
  line('mov sp, [heap_end_ptr]', 0x8b, 0x26, ...word(SETUP.HEAP_END_PTR)),
  line('add sp, 0x200: the pointer stands that much below the end', 0x81, 0xc4, 0x00, 0x02),
  line('add ax, 0x20: the entry is the second sector', 0x05, 0x20, 0x00),
  line('push ax', 0x50),
  line('push 0', 0x6a, 0x00),
  line('retf', 0xcb),
];

const ROUTINES: readonly Line[] = [
  // eax = the little-endian dword of item al; changes cx, dx.
  label('item'),
  line('mov ah, 0', 0xb4, 0x00),
  line('mov dx, selector port', 0xba, ...word(fw.FW_CFG_PORT)),
  line('out dx, ax', 0xef),
  line('inc dx', 0x42),
  line('mov cx, 4', 0xb9, 0x04, 0x00),
  label('item-byte'),
  line('in al, dx', 0xec),
  line('ror eax, 8', 0x66, 0xc1, 0xc8, 0x08),
  line('loop item-byte', 0xe2, near8('item-byte')),
  line('ret', 0xc3),

  // ecx bytes of item al to the physical address edi, by a big-endian DMA descriptor on the stack; changes all but ebp, si.
  label('fetch'),
  line('bswap edi', 0x66, 0x0f, 0xcf),
  line('push edi: address', 0x66, 0x57),
  line('push dword 0', 0x66, 0x6a, 0x00),
  line('bswap ecx', 0x66, 0x0f, 0xc9),
  line('push ecx: length', 0x66, 0x51),
  line('push control', 0x68, 0x00, fw.DMA_SELECT | fw.DMA_READ),
  line('mov ah, al', 0x88, 0xc4),
  line('mov al, 0', 0xb0, 0x00),
  line('push ax: key', 0x50),
  line('mov ax, ss', 0x8c, 0xd0),
  line('movzx eax, ax', 0x66, 0x0f, 0xb7, 0xc0),
  line('shl eax, 4', 0x66, 0xc1, 0xe0, 0x04),
  line('movzx ebx, sp', 0x66, 0x0f, 0xb7, 0xdc),
  line('lea ecx, [eax + ebx]', 0x66, 0x67, 0x8d, 0x0c, 0x18),
  line('bswap ecx', 0x66, 0x0f, 0xc9),
  line('mov dx, DMA address port', 0xba, ...word(fw.FW_CFG_DMA_PORT)),
  line('xor eax, eax', 0x66, 0x31, 0xc0),
  line('out dx, eax: high half', 0x66, 0xef),
  line('add dx, 4', 0x83, 0xc2, 0x04),
  line('mov eax, ecx', 0x66, 0x89, 0xc8),
  line('out dx, eax: starts', 0x66, 0xef),
  label('fetch-wait'),
  line('mov eax, ss:[bx]', 0x36, 0x66, 0x8b, 0x07),
  line('test eax, all but the error bit', 0x66, 0xa9, 0xff, 0xff, 0xff, ~fw.DMA_ERROR & 0xff),
  line('jnz fetch-wait', 0x75, near8('fetch-wait')),
  line('add sp, 16', 0x83, 0xc4, 0x10),
  line('test eax, eax', 0x66, 0x85, 0xc0),
  line('jnz fail', 0x75, near8('fail')),
  line('ret', 0xc3),

  // ebx = end of the memory that starts at 1 MiB. INT 15h, AX=E801h: KiB below 16 MiB in CX, 64 KiB above it in DX.
  label('memory-end'),
  line('mov ax, 0xe801', 0xb8, 0x01, 0xe8),
  line('xor cx, cx', 0x31, 0xc9),
  line('xor dx, dx', 0x31, 0xd2),
  line('int 0x15', 0xcd, 0x15),
  line('jc fail', 0x72, near8('fail')),
  line('mov di, cx', 0x89, 0xcf),
  line('or di, dx', 0x09, 0xd7),
  line('jnz sizes', 0x75, near8('sizes')),
  line('xchg cx, ax: some firmware answers in AX and BX only', 0x91),
  line('xchg dx, bx', 0x87, 0xd3),
  label('sizes'),
  line('test dx, dx', 0x85, 0xd2),
  line('jz small', 0x74, near8('small')),
  line('movzx ebx, dx', 0x66, 0x0f, 0xb7, 0xda),
  line('shl ebx, 16', 0x66, 0xc1, 0xe3, 0x10),
  line('add ebx, 16 MiB', 0x66, 0x81, 0xc3, 0x00, 0x00, 0x00, 0x01),
  line('ret', 0xc3),
  label('small'),
  line('movzx ebx, cx', 0x66, 0x0f, 0xb7, 0xd9),
  line('shl ebx, 10', 0x66, 0xc1, 0xe3, 0x0a),
  line('add ebx, 1 MiB', 0x66, 0x81, 0xc3, 0x00, 0x00, 0x10, 0x00),
  line('ret', 0xc3),

  // Says so and lets the firmware try the next boot device.
  label('fail'),
  line('push cs', 0x0e),
  line('pop ds', 0x1f),
  line('mov si, failure', 0xbe, offset16('failure')),
  label('fail-letter'),
  line('lodsb', 0xac),
  line('test al, al', 0x84, 0xc0),
  line('jz fail-end', 0x74, near8('fail-end')),
  line('mov ah, 0x0e: teletype output', 0xb4, 0x0e),
  line('mov bx, 7', 0xbb, 0x07, 0x00),
  line('int 0x10', 0xcd, 0x10),
  line('jmp fail-letter', 0xeb, near8('fail-letter')),
  label('fail-end'),
  line('int 0x18', 0xcd, 0x18),
];

const DATA: readonly Line[] = [
  label('parts'),
  ...PARTS.map((part) => line('address, length, bytes', part.ADDRESS, part.SIZE, part.DATA)),
  line('end', 0),
  label('manufacturer'),
  text('Trapeze'),
  label('product'),
  text('Linux kernel'),
  label('failure'),
  text('\r\nThe Linux kernel and its initrd do not fit into memory.\r\n'),
];

/** The ROM: header, "$PnP" expansion header, code and data; a multiple of 512 bytes that sums to zero. */
export function linuxOptionRom(): Uint8Array {
  const { bytes, labels } = assemble([...BOOTSTRAP, ...ROUTINES, ...DATA], CODE);
  const at = (name: string): number => labels.get(name) ?? 0;
  const rom = new Uint8Array(Math.ceil((CODE + bytes.length + 1) / ROM_UNIT) * ROM_UNIT);
  const view = new DataView(rom.buffer);
  rom.set([0x55, 0xaa, rom.length / ROM_UNIT]);
  // Initialisation: xor ax, ax; retf. There is nothing to initialise.
  rom.set([0x31, 0xc0, 0xcb], 3);
  view.setUint16(0x1a, PNP_HEADER, true);
  rom.set(
    [...'$PnP'].map((letter) => letter.charCodeAt(0)),
    PNP_HEADER,
  );
  // Revision 1, length in units of 16 bytes.
  rom.set([0x01, PNP_HEADER_SIZE / 16], PNP_HEADER + 4);
  view.setUint16(PNP_HEADER + 0x0e, at('manufacturer'), true);
  view.setUint16(PNP_HEADER + 0x10, at('product'), true);
  rom.set([...PNP_TYPE, PNP_INDICATORS], PNP_HEADER + 0x12);
  view.setUint16(PNP_HEADER + 0x1a, at('bootstrap'), true);
  rom.set(bytes, CODE);
  rom[PNP_HEADER + 9] = -sum(rom.subarray(PNP_HEADER, CODE)) & 0xff;
  rom[rom.length - 1] = -sum(rom) & 0xff;
  return rom;
}

function sum(bytes: Uint8Array): number {
  return bytes.reduce((total, byte) => total + byte, 0);
}
