// Which exception SSE, MMX and x87 instructions raise when control registers forbid them. Intel SDM Vol. 3A, "Emulation
// of FPU, MMX, SSE Instructions" and Vol. 2A, exception types.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OneInstruction } from './engine.mjs';

const CR0 = 0x80010033n;
const TS = 8n;
const EM = 4n;
const MP = 2n;
const CR4 = 0x620n;
const OSFXSR = 0x200n;
const OSXMMEXCPT = 0x400n;

const ADDPS = [0x0f, 0x58, 0xc1];
const PADDB_MMX = [0x0f, 0xfc, 0xc1];
const CVTPI2PS = [0x0f, 0x2a, 0xc1];
const FNOP = [0xd9, 0xd0];
const FWAIT = [0x9b];
const MOVNTI = [0x0f, 0xc3, 0x06];
const LDMXCSR = [0x0f, 0xae, 0x16];
const STMXCSR = [0x0f, 0xae, 0x1e];
/** 0 / 0: invalid. */
const DIVPS = [0x0f, 0x57, 0xc0, 0x0f, 0x57, 0xc9, 0x0f, 0x5e, 0xc1];
const UD = 6;
const NM = 7;
const XM = 19;

const ROWS = [
  ['nothing set', CR0, CR4, { ADDPS: -1, PADDB_MMX: -1, CVTPI2PS: -1, FNOP: -1, FWAIT: -1, MOVNTI: -1, STMXCSR: -1 }],
  [
    'TS',
    CR0 | TS,
    CR4,
    { ADDPS: NM, PADDB_MMX: NM, CVTPI2PS: NM, FNOP: NM, FWAIT: NM, MOVNTI: -1, LDMXCSR: NM, STMXCSR: NM },
  ],
  ['TS without MP', (CR0 | TS) & ~MP, CR4, { ADDPS: NM, FNOP: NM, FWAIT: -1 }],
  ['EM', CR0 | EM, CR4, { ADDPS: UD, PADDB_MMX: UD, CVTPI2PS: UD, FNOP: NM, FWAIT: -1, LDMXCSR: UD, STMXCSR: UD }],
  ['EM and TS', CR0 | EM | TS, CR4, { ADDPS: UD, PADDB_MMX: UD, FNOP: NM, FWAIT: NM }],
  ['no OSFXSR', CR0, CR4 & ~OSFXSR, { ADDPS: UD, PADDB_MMX: -1, CVTPI2PS: UD, FNOP: -1, MOVNTI: -1, LDMXCSR: UD }],
];
const CODE = { ADDPS, PADDB_MMX, CVTPI2PS, FNOP, FWAIT, MOVNTI, LDMXCSR, STMXCSR };

for (const hotThreshold of [0, 1]) {
  const engine = new OneInstruction(hotThreshold);
  /** Twice: the second time in translated code. */
  const raised = (...what) => {
    const first = engine.vectorOf(...what);
    engine.compileHot();
    assert.equal(engine.vectorOf(...what), first);
    return first;
  };
  for (const [name, cr0, cr4, expected] of ROWS) {
    test(`${name}, threshold ${hotThreshold}`, () => {
      for (const [mnemonic, vector] of Object.entries(expected)) {
        assert.equal(raised(CODE[mnemonic], cr0, cr4), vector, mnemonic);
      }
    });
  }
  test(`unmasked invalid operation, threshold ${hotThreshold}`, () => {
    assert.equal(raised(DIVPS, CR0, CR4, 0x1f80), -1);
    assert.equal(raised(DIVPS, CR0, CR4, 0x1f00), XM);
    assert.equal(raised(DIVPS, CR0, CR4 & ~OSXMMEXCPT, 0x1f00), UD);
  });
}
