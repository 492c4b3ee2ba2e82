// LAR, LSL, VERR, VERW and ARPL. SDM Vol. 2A, "LAR—Load Access Rights", "LSL—Load Segment Limit"; Vol. 2B, "VERR/VERW—Verify
// a Segment for Reading or Writing", "ARPL—Adjust RPL Field of Segment Selector".
import { done, makeCase } from '../case.mjs';
import { descriptor, TEST } from '../layout.mjs';

/** System types that LAR and LSL show outside of IA-32e mode: tables 3-52 and 3-65 of the manual. */
const LAR_TYPES = new Set([1, 2, 3, 4, 5, 9, 11, 12]);
const LSL_TYPES = new Set([1, 2, 3, 9, 11]);
/** Bits 19:16 of what LAR gives are undefined. */
const LAR_MASK = 0x00f0ff00;

/** Which of the four instructions set ZF. */
export function inspect({ cpl, rpl, dpl, type, isSystem }) {
  const isCode = !isSystem && (type & 8) !== 0;
  const isConforming = isCode && (type & 4) !== 0;
  const isVisible = isConforming || (cpl <= dpl && rpl <= dpl);
  return {
    lar: isVisible && (!isSystem || LAR_TYPES.has(type)),
    lsl: isVisible && (!isSystem || LSL_TYPES.has(type)),
    verr: isVisible && !isSystem && (!isCode || (type & 2) !== 0),
    verw: isVisible && !isSystem && !isCode && (type & 2) !== 0,
  };
}

/** lar eax, ecx; setz bl; lsl edx, ecx; setz bh; verr cx; setz cl.. gathered in EBX, ESI and EDI. */
const CODE = [
  ...[0x0f, 0x02, 0xc1, 0x0f, 0x94, 0xc3], // lar eax, ecx; setz bl
  ...[0x0f, 0x03, 0xd1, 0x0f, 0x94, 0xc7], // lsl edx, ecx; setz bh
  ...[0x0f, 0xcb], // bswap ebx
  ...[0x0f, 0x00, 0xe1, 0x0f, 0x94, 0xc3], // verr cx; setz bl
  ...[0x0f, 0x00, 0xe9, 0x0f, 0x94, 0xc7], // verw cx; setz bh
];
const UNTOUCHED = 0x55aa55aa;

export function* inspection() {
  for (let cpl = 0; cpl < 4; cpl++)
    for (let rpl = 0; rpl < 4; rpl++)
      for (let dpl = 0; dpl < 4; dpl++)
        for (let type = 0; type < 32; type++) {
          const x = { cpl, rpl, dpl, type: type & 15, isSystem: type < 16 };
          // Whether it is present does not matter.
          const isPresent = (type + cpl + dpl) % 3 !== 0;
          const isGranular = (type + rpl) % 2 === 0;
          const access =
            x.type | (x.isSystem ? 0 : 0x10) | (dpl << 5) | (isPresent ? 0x80 : 0) | (isGranular ? 0x8000 : 0);
          const values = descriptor(0x12345678, isGranular ? 0x23456fff : 0x23456, access);
          const { lar, lsl, verr, verw } = inspect(x);
          const bit = (flag, at) => (flag ? 1 << at : 0) >>> 0;
          yield makeCase({
            family: 'LAR, LSL, VERR and VERW',
            section: 'LAR—Load Access Rights',
            name: `CPL ${cpl} RPL ${rpl} DPL ${dpl} ${x.isSystem ? 'system ' : ''}type ${x.type.toString(16)} ${isPresent ? '' : 'not '}present`,
            cpl,
            code: CODE,
            registers: { ecx: TEST[0] | rpl, eax: UNTOUCHED, edx: UNTOUCHED, ebx: 0 },
            descriptors: { [TEST[0]]: values },
            expect: done({
              eax: (lar ? values[1] & 0x00f0ff00 : UNTOUCHED & LAR_MASK) >>> 0,
              edx: lsl ? (isGranular ? 0x23456fff : 0x23456) : UNTOUCHED,
              // What was gathered first was turned round.
              ebx: (bit(lar, 24) | bit(lsl, 16) | bit(verr, 0) | bit(verw, 8)) >>> 0,
              mask: { eax: LAR_MASK },
            }),
          });
        }
  for (let to = 0; to < 4; to++)
    for (let from = 0; from < 4; from++)
      yield makeCase({
        family: 'ARPL',
        section: 'ARPL—Adjust RPL Field of Segment Selector',
        name: `RPL ${to} adjusted to ${from}`,
        cpl: 3,
        code: [0x63, 0xc8], // arpl ax, cx
        registers: { eax: 0x1230 | to, ecx: 0x4560 | from },
        expect: done({ eax: 0x1230 | Math.max(to, from), zf: to < from ? 1 : 0 }),
      });
}
