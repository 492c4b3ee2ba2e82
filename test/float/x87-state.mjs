// Whole x87 states for the judge: made at random, put into the runtime's vCPU state, read back, compared.
import { fraction } from './native.mjs';

export const IMAGE_BYTES = 108;
export const IN_BYTES = 128;
export const OUT_BYTES = 128;
export const CPU = 0x10000;
export const FPR = CPU + 1024;
export const FPU_CONTROL = CPU + 1152;
export const FPU_STATUS = CPU + 1154;

const BIAS = 16383;

/** An 80-bit number; `near` is a biased exponent to meet or to miss by little. */
export function number80(random, near) {
  let exponent;
  switch (random.below(14)) {
    case 0:
      exponent = 0;
      break;
    case 1:
      exponent = 1 + random.below(3);
      break;
    case 2:
      exponent = 0x7fff;
      break;
    case 3:
      exponent = 0x7ffe - random.below(2);
      break;
    case 4:
    case 5:
      exponent = BIAS - 2 + random.below(5);
      break;
    case 6:
      exponent = BIAS + random.below(70);
      break;
    case 7:
    case 8:
    case 9:
    case 10:
      exponent = near - 66 + random.below(133);
      break;
    case 11:
      exponent = near - 1 + random.below(3);
      break;
    default:
      exponent = random.below(0x8000);
  }
  exponent = Math.min(0x7fff, Math.max(0, exponent));
  let mantissa = fraction(random, 63);
  const odd = random.below(40) === 0;
  if ((exponent !== 0) !== odd) mantissa |= 1n << 63n;
  return { mantissa, head: exponent | (random.below(2) << 15) };
}

/** Where the other operand should lie. */
export function nearHead(random, { head }) {
  const exponent = head & 0x7fff;
  switch (random.below(8)) {
    case 0:
      return BIAS - exponent;
    case 1:
      return 0x7fff + BIAS - exponent;
    case 2:
      return exponent + BIAS;
    case 3:
      return exponent - BIAS;
    default:
      return exponent;
  }
}

/** Writes an FNSAVE image: mostly two valid operands, masked exceptions; sometimes anything. */
export function writeImage(image, random, st0, st1) {
  image.fill(0);
  const masks = random.below(4) === 0 ? random.below(64) : 0x3f;
  const pc = [3, 3, 3, 2, 0, 1][random.below(6)];
  const rc = random.below(3) === 0 ? random.below(4) : 0;
  image.writeUInt16LE(0x40 | masks | (pc << 8) | (rc << 10), 0);
  const top = random.below(8);
  const flags = random.below(3) === 0 ? random.below(128) & (masks | 0x40) : 0;
  image.writeUInt16LE(flags | (random.below(8) << 8) | (random.below(2) << 14) | (top << 11), 4);
  let tags = 0;
  for (let i = 0; i < 8; i++) {
    const empty = i < 2 ? random.below(16) === 0 : i === 7 ? random.below(8) !== 0 : random.below(2) === 0;
    if (empty) tags |= 3 << (2 * ((top + i) & 7));
  }
  image.writeUInt16LE(tags, 8);
  for (let i = 0; i < 8; i++) {
    const { mantissa, head } = i === 0 ? st0 : i === 1 ? st1 : number80(random, BIAS);
    image.writeBigUInt64LE(mantissa, 28 + 10 * i);
    image.writeUInt16LE(head, 36 + 10 * i);
  }
}

export function loadState(view, runtime, image) {
  view.setUint16(FPU_CONTROL, image.readUInt16LE(0), true);
  runtime.x87_set_status_word(image.readUInt16LE(4));
  runtime.x87_set_tag_word(image.readUInt16LE(8));
  const top = (image.readUInt16LE(4) >> 11) & 7;
  for (let i = 0; i < 8; i++) {
    const at = FPR + 16 * ((top + i) & 7);
    view.setBigUint64(at, image.readBigUInt64LE(28 + 10 * i), true);
    view.setUint16(at + 8, image.readUInt16LE(36 + 10 * i), true);
  }
}

/** Differences between the runtime's state and the processor's image, as text; empty when there is none. */
export function compareState(view, runtime, image, { ignoreStatus = 0, skipRegisters = 0 } = {}) {
  const words = [
    ['control', runtime.x87_fnstcw(), image.readUInt16LE(0), 0xffff],
    ['status', runtime.x87_fnstsw(), image.readUInt16LE(4), 0xffff & ~ignoreStatus],
    ['tags', runtime.x87_tag_word(), image.readUInt16LE(8), 0xffff],
  ];
  let text = '';
  for (const [name, ours, theirs, mask] of words) {
    if ((ours & mask) !== (theirs & mask)) text += ` ${name} ${ours.toString(16)}, processor ${theirs.toString(16)};`;
  }
  const top = (image.readUInt16LE(4) >> 11) & 7;
  for (let i = 0; i < 8; i++) {
    if ((skipRegisters >> i) & 1) continue;
    const at = FPR + 16 * ((top + i) & 7);
    const ours = `${view.getUint16(at + 8, true).toString(16)}:${view.getBigUint64(at, true).toString(16)}`;
    const theirs = `${image.readUInt16LE(36 + 10 * i).toString(16)}:${image.readBigUInt64LE(28 + 10 * i).toString(16)}`;
    if (ours !== theirs) text += ` st${i} ${ours}, processor ${theirs};`;
  }
  return text;
}

export function describe(image) {
  const hex = (value) => value.toString(16);
  const register = (i) => `${hex(image.readUInt16LE(36 + 10 * i))}:${hex(image.readBigUInt64LE(28 + 10 * i))}`;
  return (
    `cw ${hex(image.readUInt16LE(0))} sw ${hex(image.readUInt16LE(4))} tw ${hex(image.readUInt16LE(8))} ` +
    `st0 ${register(0)} st1 ${register(1)}`
  );
}
