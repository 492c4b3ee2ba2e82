// A saved machine, and damaged copies of it.
import { json, readJson, readSections, section } from '../../dist/machine/saved-state-file.js';
import { Machine } from '../../dist/node.js';
import { bzImage, ENTRY_64 } from './small-kernels.mjs';

const RAM_BYTES = 4 << 20;

const STRANGE = [
  null,
  -1,
  0,
  1,
  0.5,
  1e300,
  2 ** 53,
  'x',
  '',
  'ffffffffffffffff',
  '18446744073709551615',
  [],
  {},
  true,
];

/** Another value at one random place. Numbers and texts mostly change to others of their kind. */
export function mutate(value, random) {
  if (typeof value === 'object' && value !== null && random(12) > 0) {
    const keys = Object.keys(value);
    if (keys.length > 0) {
      const key = keys[random(keys.length)];
      if (random(40) === 0) delete value[key];
      else value[key] = mutate(value[key], random);
      return value;
    }
  }
  if (typeof value === 'number' && random(4) > 0) {
    const others = [
      value + 1,
      value ^ (1 << random(31)),
      random(256),
      random(0xffffffff),
      -value,
      value * 1e9,
      value / 3,
    ];
    return others[random(others.length)];
  }
  if (typeof value === 'boolean' && random(4) > 0) return !value;
  if (typeof value === 'string' && /^[\da-f]{1,16}$/.test(value) && random(4) > 0) {
    return (BigInt(`0x${value}`) ^ (1n << BigInt(random(64)))).toString(16);
  }
  return STRANGE[random(STRANGE.length)];
}

/** The file with the JSON of some of its sections mutated and every checksum right. */
export function mutateJson(file, random) {
  const tags = ['HEAD', 'CPU ', 'CHIP', 'CHIP', 'CPU '];
  const chosen = tags[random(tags.length)];
  const sections = readSections(file).map(({ tag, payload }) => {
    if (tag !== chosen) return section(tag, payload);
    let value = readJson({ tag, payload });
    for (let count = 1 + random(3); count > 0; count--) value = mutate(value, random);
    return section(tag, json(value));
  });
  return Buffer.concat([file.subarray(0, 12), ...sections]);
}

export function mutateBytes(file, random) {
  const bytes = file.slice();
  for (let count = 1 + random(6); count > 0; count--) {
    const at = random(4) === 0 ? random(64) : random(bytes.length);
    if (random(3) === 0) new DataView(bytes.buffer).setUint32(Math.min(at, bytes.length - 4), random(0xffffffff), true);
    else bytes[at] ^= 1 << random(8);
  }
  return random(4) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
}

/** Sections mutated inside, put into another order, repeated or left out; every checksum right. */
export function mutateSections(file, random) {
  const sections = readSections(file);
  const pick = () => random(sections.length);
  switch (random(4)) {
    case 0:
      sections.splice(pick(), 1);
      break;
    case 1:
      sections.splice(pick(), 0, sections[pick()]);
      break;
    case 2: {
      const [a, b] = [pick(), pick()];
      [sections[a], sections[b]] = [sections[b], sections[a]];
      break;
    }
    default: {
      const at = pick();
      if (sections[at].payload.length > 8) {
        const payload = mutateBytes(sections[at].payload.slice(), random);
        sections[at] = { tag: sections[at].tag, payload };
      }
    }
  }
  return Buffer.concat([file.subarray(0, 12), ...sections.map(({ tag, payload }) => section(tag, payload))]);
}

/** A machine with a program that uses devices, saved while it runs. */
export async function savedMachine() {
  // l: in al, 0x61; out 0xe9, al; mov eax, [0xfed000f0]; in al, 0x3fd; add [0x300000], rax; rdtsc; jmp l
  const payload = new Uint8Array(0x1000);
  payload.set(
    Buffer.from('e461e6e9a1f000d0fe00000000baf8030000ec480104250000300 00f31ebe3'.replaceAll(' ', ''), 'hex'),
    ENTRY_64,
  );
  const kernel = bzImage(payload, (view) => {
    view.setUint32(0x260, 0x4000, true);
  });
  const machine = new Machine({ kernel, memoryBytes: RAM_BYTES, debugcon: 0xe9, noReboot: true, timeoutMs: 20_000 });
  const ended = machine.run();
  await new Promise((resolve) => machine.on('debugcon', resolve));
  const file = await machine.save();
  machine.close();
  await ended;
  return Uint8Array.from(file);
}
