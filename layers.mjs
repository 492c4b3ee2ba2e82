/**
 * The one table of who may import whom. `tools/check-layers.mjs` (part of `npm run lint`) enforces it; ARCHITECTURE.md
 * explains it. A path belongs to the longest layer that it starts with.
 */

/** Layer -> what it may import besides itself. Lowest first. */
export const LAYERS = {
  'src/base': [],
  'src/spec': [],
  'src/char': ['src/base'],
  'src/wasm': ['src/base'],
  'src/ir': ['src/base'],
  'src/x86': ['src/base', 'src/spec', 'src/ir'],
  'src/engine': ['src/base'],
  'src/engine/dbt': ['src/base', 'src/spec', 'src/wasm', 'src/ir', 'src/x86', 'src/engine'],
  'src/engine/kvm': ['src/base', 'src/x86', 'src/engine'],
  'src/irqchip': ['src/base', 'src/spec'],
  'src/device': ['src/base', 'src/spec', 'src/char', 'src/irqchip'],
  'src/machine/boot': ['src/base', 'src/spec', 'src/engine'],
  'src/machine': ['src/base', 'src/spec', 'src/char', 'src/irqchip', 'src/device', 'src/engine', 'src/machine/boot'],
  'src/image': ['src/base', 'src/spec', 'src/machine/boot'],
  'src/bench': ['src/base', 'src/spec', 'src/machine'],
  'src/cli': [
    ...['src/base', 'src/spec', 'src/x86', 'src/engine', 'src/machine', 'src/machine/boot', 'src/image'],
    'src/bench',
  ],
  'src/page': ['src/base', 'src/machine', 'src/machine/boot', 'src/image'],
  // AssemblyScript: the layouts that both compilers read, and nothing else of src.
  runtime: [],
};

/** Files of a layer that others may import although they may not import the layer. */
export const SHARED_FILES = {
  'src/x86/state.ts': ['runtime'],
  'src/engine/dbt/record.ts': ['runtime'],
};

/**
 * Composition roots: the only files that pick an engine and host code. They may import every layer; nobody imports them
 * but each other and the faces named here.
 */
export const ROOTS = {
  files: [/^src\/node(-thread)?\.ts$/, /^src\/browser\.ts$/, /^src\/engines\.ts$/, /^src\/([\w-]+-)?worker\.ts$/],
  importedBy: ['src/cli', 'src/page'],
};

/** Where code of a JavaScript host may stand. Everything else is host-neutral. */
export const HOSTS = [
  {
    name: 'Node',
    folders: [/\/node\//, /^src\/cli\//, /^src\/node(-[\w-]+)?\.ts$/],
    imports: /^node:/,
    globals: /(?<![\w.'"])(process|Buffer|__dirname|__filename)\b(?=[.([])/,
  },
  {
    name: 'the browser',
    folders: [/\/browser\//, /^src\/page\//, /^src\/browser(-worker)?\.ts$/],
    imports: /^@xterm\//,
    globals: /(?<![\w.'"])(document|navigator|localStorage)\b(?=[.([])/,
  },
];

/** What must never be, whatever the table above says: [from, to, what to do instead]. */
export const NEVER = [
  ['src/device', 'src/engine', 'a device answers accesses; the vCPU loop in src/machine talks to engines'],
  ['src/irqchip', 'src/engine', 'interrupts reach a vCPU through the entry that src/machine makes'],
  ['src/engine', 'src/device', 'return a VmExit and let src/machine ask the device'],
  ['src/engine', 'src/irqchip', 'return a VmExit; the local APIC belongs to the machine'],
  ['src/engine', 'src/machine', 'an engine knows nothing of what it is used for'],
  ['src/machine', 'src/engine/dbt', 'take an Engine; the composition roots pick one'],
  ['src/machine', 'src/engine/kvm', 'take an Engine; the composition roots pick one'],
  ['src/x86', 'src/engine', 'engines are built on the processor, not the other way round'],
  ['src/x86', 'src/wasm', 'definitions build IR; lowering is the business of src/engine/dbt'],
  ['src/wasm', 'src/ir', 'the encoder knows no IR; lowering is the business of src/engine/dbt'],
  ['src/wasm', 'src/x86', 'the encoder knows no guest'],
  ['src/ir', 'src/x86', 'IR knows no guest'],
  ['src/cli', 'src/engine/dbt', 'ask the composition root src/node.ts'],
  ['src/cli', 'src/engine/kvm', 'ask the composition root src/node.ts'],
];

/** Lines above which a file is too long, and the files that are one table or one function's worth all the same. */
export const MAX_LINES = 600;
export const LONG_FILES = [];
