// Seeded random numbers, and mutations of good files that keep most of their structure.

/** mulberry32: random(n) is a whole number below n. */
export function randomSource(seed) {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const EDGES = [0, 1, 2, 3, 4, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x1ff, 0x200, 0x7fff, 0x8000, 0xffff, 0x1000, 0xa0000];
const FAR_EDGES = [0x100000, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff, 0xfffff000, 0xc0000000];

/** A number that a parser may stumble over: an edge, near the file's length, or near what is there already. */
function strangeNumber(random, old, length) {
  switch (random(5)) {
    case 0:
      return EDGES[random(EDGES.length)];
    case 1:
      return FAR_EDGES[random(FAR_EDGES.length)];
    case 2:
      return length - 8 + random(16);
    case 3:
      return old - 4 + random(9);
    default:
      return random(0xffffffff);
  }
}

function put(bytes, at, size, value) {
  for (let n = 0; n < size && at + n < bytes.length; n++) bytes[at + n] = Math.floor((value >>> 0) / 2 ** (8 * n));
}

function get(bytes, at, size) {
  let value = 0;
  for (let n = size - 1; n >= 0; n--) value = value * 256 + (bytes[at + n] ?? 0);
  return value;
}

function changeField(bytes, random, fields) {
  const [at, size] = fields[random(fields.length)];
  // A 64-bit field is two of 32: usually the lower half.
  const width = Math.min(size, 4);
  put(
    bytes,
    at + (size === 8 && random(3) === 0 ? 4 : 0),
    width,
    strangeNumber(random, get(bytes, at, width), bytes.length),
  );
}

function moveChunk(bytes, random) {
  const length = 1 + random(Math.min(64, bytes.length));
  const from = random(bytes.length - length + 1);
  bytes.copyWithin(random(bytes.length - length + 1), from, from + length);
}

/** The file with a few bytes put in or taken out. */
function resize(bytes, random) {
  const at = random(bytes.length + 1);
  if (random(2) === 0) return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(64))]);
  const more = Buffer.alloc(1 + random(64), random(256));
  return Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)]);
}

/** Between one and six changes; `fields` are [offset, bytes] of the format's own fields, and get half of them. */
export function mutate(seed, random, fields = []) {
  let bytes = Uint8Array.from(seed);
  for (let count = 1 + random(6); count > 0 && bytes.length > 0; count--) {
    if (fields.length > 0 && random(2) === 0) {
      changeField(bytes, random, fields);
      continue;
    }
    // Headers come first in every format: they get most of what is left.
    const at = random(random(4) === 0 ? bytes.length : Math.min(bytes.length, 0x600));
    switch (random(8)) {
      case 0:
        bytes[at] = random(256);
        break;
      case 1:
        put(bytes, at & ~3, 4, strangeNumber(random, get(bytes, at & ~3, 4), bytes.length));
        break;
      case 2:
        put(bytes, at & ~1, 2, strangeNumber(random, get(bytes, at & ~1, 2), bytes.length));
        break;
      case 3:
        moveChunk(bytes, random);
        break;
      case 4:
        bytes = Uint8Array.from(random(3) === 0 ? resize(bytes, random) : bytes);
        break;
      default:
        bytes[at] ^= 1 << random(8);
    }
  }
  return random(12) === 0 ? bytes.subarray(0, random(bytes.length + 1)) : bytes;
}

/** Text made of the words and characters that mean something in it. */
export function text(random, words) {
  let result = '';
  for (let count = random(8); count > 0; count--) {
    if (random(4) > 0) result += words[random(words.length)];
    else if (random(3) > 0) result += String.fromCharCode(0x20 + random(0x5f));
    else result += String.fromCodePoint(random(0x110000));
  }
  return random(40) === 0 ? result.repeat(1 + random(3000)) : result;
}
