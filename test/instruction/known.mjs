// What this judge does not ask, and where processors or the host's kernel part ways with the manual that we follow.

import { undefinedFlags } from '../isa/undefined-flags.mjs';
import { TRANSCENDENTAL } from './compare.mjs';
import { FX, HIGH, LOW, RECORD, WINDOW_SIZE } from './layout.mjs';

/** Features of the opcode tables as Linux names them. */
const HOST_FLAGS = {
  sse3: 'pni',
  'sse4.1': 'sse4_1',
  'sse4.2': 'sse4_2',
  ssse3: 'ssse3',
  aes: 'aes',
  pclmulqdq: 'pclmulqdq',
  sha: 'sha_ni',
  movbe: 'movbe',
  adx: 'adx',
  popcnt: 'popcnt',
  bmi1: 'bmi1',
  lzcnt: 'abm',
  xsaveopt: 'xsaveopt',
  xsavec: 'xsavec',
  clwb: 'clwb',
  clflushopt: 'clflushopt',
};

/** [mnemonics, why, operand size] */
const EXCLUDED = [
  [/^(syscall|sysenter|sysexit|sysret)/, "enters or leaves the host's kernel, which gives no state back"],
  [/^(sgdt|sidt|sldt|str|smsw)$/, "the host's kernel forbids it (UMIP) and imitates it"],
  [/^(cpuid|rdtsc|rdtscp|rdrand|rdseed|rdpid|xgetbv)$/, 'answers with what this processor is or does at the moment'],
  [/^(vm|invept|invvpid|clgi|stgi|skinit|invlpga)/, "virtualization, which belongs to the host's hypervisor"],
  [/^(monitor|mwait)/, 'answers differ with what the host allows'],
  [/^xsaves|^xrstors/, 'not offered by our processor'],
];
const AMD_EXCLUDED = [[/^(callf|jmpf|lss|lfs|lgs)$/, "AMD's processors have no far pointers of 80 bits", 8]];

/** Why a form is not asked of a process of the host; undefined where it is. */
export function excluded(form, hostFlags, vendor) {
  const { mnemonic, row, size } = form;
  const list = vendor === 'AuthenticAMD' ? [...EXCLUDED, ...AMD_EXCLUDED] : EXCLUDED;
  for (const [pattern, why, only] of list) if (pattern.test(mnemonic) && (only ?? size) === size) return why;
  const flag = HOST_FLAGS[row.feature];
  return flag !== undefined && !hostFlags.has(flag) ? 'this processor does not have it' : undefined;
}

const isAddress = (vector) => [12, 13, 14, 17].includes(vector);
/** Several accesses by one instruction, or one of many bytes. */
const SEVERAL =
  /^(fldenv|fnstenv|frstor|fnsave|fxsave|fxrstor|xsave|xrstor|maskmov|cmps|movs|cmpxchg16b|retf|iret|enter|push|pop|call|fld|fstp|fbld|fbstp|bound|lds|les|lss|lfs|lgs|ins|outs|xlat|jmpf)/;
const SAVES_POINTERS = /^(fnstenv|fnsave|fxsave|xsave)/;

/** Bytes of an image where x87 keeps its opcode and pointers: first and end. */
function pointerBytes({ insn }) {
  if (/^fx|^xs/.test(insn.mnemonic)) return [6, 24];
  return insn.operandSize === 2 ? [6, 14] : [12, 28];
}

/** Whether memory differs in the pointers of the image at the operand only. */
function isInPointers({ c, ours, host, at }) {
  const [first, end] = pointerBytes(c);
  const image = Number(c.addresses[0]);
  for (const [window, offset] of [
    [LOW, RECORD.LOW],
    [HIGH, RECORD.HIGH],
  ]) {
    for (let n = 0; n < WINDOW_SIZE; n++) {
      if (ours.getUint8(at + offset + n) === host.getUint8(at + offset + n)) continue;
      const place = window + n - image;
      // Each processor has its own MXCSR_MASK.
      const isMask = end === 24 && place >= 28 && place < 32;
      if ((place < first || place >= end) && !isMask) return false;
    }
  }
  return true;
}

/** Program and descriptors, input, stack and the kernel's pages. */
const HOSTS = {
  64: [[0x60000000n, 0x80000000n]],
  32: [
    [0x60000000n, 0x80000000n],
    [0xf0000000n, 0x100000000n],
  ],
};
const isHosts = (place, program) => (HOSTS[program] ?? []).some(([first, end]) => place >= first && place < end);

/** [why, of which vendor ('' any), whether it explains the difference] */
const KNOWN = [
  // ---- what the manuals leave open ----
  [
    'SHLD, SHRD by more than the operand has bits: result and flags are undefined',
    '',
    ({ c, before, at }) => {
      if (!/^sh[lr]d$/.test(c.insn.mnemonic)) return false;
      const gpr = Array.from({ length: 16 }, (_, n) => before.getBigUint64(at + 8 * n, true));
      return undefinedFlags(c.insn, { gpr }) === 0x8d5n;
    },
  ],
  [
    'LAR: bits 19:16 of the result are undefined',
    '',
    ({ c, field, ours, host, at }) => {
      if (c.insn.mnemonic !== 'lar' || !/^r\d/.test(field)) return false;
      const n = 8 * Number(field.slice(1));
      return ((ours.getUint32(at + n, true) ^ host.getUint32(at + n, true)) & ~0xf0000) === 0;
    },
  ],
  [
    'several faults of one instruction: which comes first is not defined',
    '',
    ({ c, field, trap, ourTrap }) =>
      field === 'vector' &&
      isAddress(trap) &&
      isAddress(ourTrap) &&
      (SEVERAL.test(c.insn.mnemonic) || c.insn.operands[0]?.size === 16 || c.insn.operands[1]?.size === 16),
  ],
  [
    'an alignment check and another fault: which comes first is not defined',
    '',
    ({ field, trap, ourTrap }) =>
      field === 'vector' && [trap, ourTrap].includes(17) && isAddress(trap) && isAddress(ourTrap),
  ],
  [
    'several things wrong with a far transfer: which error code comes first is not defined',
    '',
    ({ c, field, trap }) => /^(iret|retf|callf|jmpf)/.test(c.insn.mnemonic) && field === 'error code' && trap === 13,
  ],
  [
    'which byte of a long operand is looked at first is not defined',
    '',
    ({ c, field, trap }) =>
      (field === 'cr2' || (field === 'error code' && trap === 14)) && SEVERAL.test(c.insn.mnemonic),
  ],
  [
    'flags of a repeated comparison that faults',
    'AuthenticAMD',
    ({ c, field, trap }) => /^(cmps|scas)$/.test(c.insn.mnemonic) && trap !== 3 && field === 'flags',
  ],
  [
    'what ENTER and far CALL had pushed before a fault stays or not: not defined',
    '',
    ({ c, field, trap }) => /^(enter|callf)$/.test(c.insn.mnemonic) && field === 'memory' && isAddress(trap),
  ],
  [
    'what POPA had popped before a fault stays or not: not defined',
    '',
    ({ c, field, trap }) => /^popad?$/.test(c.insn.mnemonic) && /^r\d$/.test(field) && isAddress(trap),
  ],
  [
    'how much of an undefined instruction is fetched',
    '',
    ({ c, field, trap, ourTrap }) =>
      /^ud[012]?$/.test(c.insn.mnemonic) &&
      field === 'vector' &&
      [trap, ourTrap].includes(6) &&
      (isAddress(trap) || isAddress(ourTrap)),
  ],
  [
    'C1 and PE of approximations',
    '',
    ({ c, field, ours, host, at }) => {
      const fsw = at + RECORD.FX + FX.FSW;
      const differs = ours.getUint16(fsw, true) ^ host.getUint16(fsw, true);
      // An unmasked PE sets ES and B.
      return field === 'fsw' && TRANSCENDENTAL.test(c.insn.mnemonic) && (differs & ~0x82a0) === 0;
    },
  ],
  [
    'FYL2XP1, F2XM1 outside of their range',
    '',
    ({ c, field, before, at }) => {
      if (!/^(fyl2xp1|f2xm1)$/.test(c.insn.mnemonic) || !/^(fsw|ftw|st\d)$/.test(field)) return false;
      const exponent = before.getUint16(at + RECORD.FX + FX.ST + 8, true) & 0x7fff;
      return exponent >= (c.insn.mnemonic === 'f2xm1' ? 0x3fff : 0x3ffd);
    },
  ],
  [
    'flags of the stages of a dot product that raises an unmasked exception',
    '',
    ({ c, field, trap }) => /^dpp/.test(c.insn.mnemonic) && field === 'mxcsr' && trap === 19,
  ],
  // ---- the world of a process ----
  [
    "addresses at which the host's process has something of its own",
    '',
    ({ c, ours, host, at }) => {
      const places = [ours, host].map((v) => v.getBigUint64(at + RECORD.CR2, true));
      return places.some((place) => isHosts(place, c.mode.program));
    },
  ],
  // ---- our processor ----
  ['our processor keeps no opcode of x87 instructions (FOP)', '', (d) => d.field === 'fop'],
  // ---- processors ----
  [
    'accesses of 16 bytes across a page check alignment under AC on AMD',
    'AuthenticAMD',
    ({ c, field, trap }) =>
      field === 'vector' &&
      trap === 17 &&
      c.insn.operands.some((operand) => operand.kind === 'mem' && operand.size === 16),
  ],
  [
    'a prefetch of a register: #UD on AMD, a NOP on Intel',
    'AuthenticAMD',
    ({ c, field, trap }) => c.insn.mnemonic === 'nop' && c.form.row.opcode === 0x0d && field === 'vector' && trap === 6,
  ],
  [
    'MASKMOVx looks at bytes that its mask leaves out, on AMD',
    'AuthenticAMD',
    ({ c, field, trap }) => /^maskmov/.test(c.insn.mnemonic) && field === 'vector' && isAddress(trap),
  ],
  [
    'MASKMOVQ that faults has entered MMX mode on AMD',
    'AuthenticAMD',
    ({ c, field, trap }) => c.insn.mnemonic === 'maskmovq' && isAddress(trap) && /^(f[st]w|st\d)$/.test(field),
  ],
  [
    'ARPL reads first on AMD, and needs no right to write where it changes nothing',
    'AuthenticAMD',
    ({ c, field, ourTrap }) =>
      c.insn.mnemonic === 'arpl' && (field === 'error code' || (field === 'vector' && isAddress(ourTrap))),
  ],
  [
    'MOVSXD of 16 bits reads 32 on AMD',
    'AuthenticAMD',
    ({ c, field, trap }) =>
      c.insn.mnemonic === 'movsxd' && c.insn.operandSize === 2 && field === 'vector' && isAddress(trap),
  ],
  [
    'PCMPxSTRx and MASKMOVx check alignment under AC on AMD',
    'AuthenticAMD',
    ({ c, field, trap }) => /^(pcmp[ei]str|maskmov|lddqu)/.test(c.insn.mnemonic) && field === 'vector' && trap === 17,
  ],
  [
    'x87 pointers have 57 bits on AMD',
    'AuthenticAMD',
    ({ field, ours, host, at }) => {
      if (!/^f[id]p$/.test(field)) return false;
      const [a, b] = [ours, host].map((v) => v.getBigUint64(at + RECORD.FX + FX[field.toUpperCase()], true));
      return BigInt.asIntN(57, a) === BigInt.asIntN(64, b);
    },
  ],
  [
    'a near transfer to an address that is not canonical faults before it or at its target on AMD',
    'AuthenticAMD',
    ({ c, field, trap, ours, host, at }) => {
      const targets = [ours, host].map((v) => v.getBigInt64(at + RECORD.RIP, true));
      return (
        c.mode.bits === 64 &&
        /^(jmp|call|ret)$/.test(c.insn.mnemonic) &&
        /^(rip|r4|memory|vector)$/.test(field) &&
        trap === 13 &&
        targets.some((target) => BigInt.asIntN(48, target) !== target)
      );
    },
  ],
  [
    'the selector that PUSH writes: AMD all bytes of the operand, newer Intel two',
    'AuthenticAMD',
    ({ c, field, trap }) =>
      c.insn.mnemonic === 'push' &&
      c.insn.operands[0].file === 'seg' &&
      (field === 'memory' || field === 'cr2' || (field === 'vector' && isAddress(trap))),
  ],
  [
    "x87 opcode and pointers in memory: AMD's are zero while no exception is pending",
    'AuthenticAMD',
    (d) => d.field === 'memory' && SAVES_POINTERS.test(d.c.insn.mnemonic) && isInPointers(d),
  ],
  [
    'operands of SHA instructions may be misaligned on AMD',
    'AuthenticAMD',
    ({ c, field, ourTrap }) => /^sha/.test(c.insn.mnemonic) && /^(vector|rip)$/.test(field) && ourTrap === 13,
  ],
  [
    'INS and OUTS with a count of 0 ask for I/O permission on AMD',
    'AuthenticAMD',
    ({ c, field, trap, before, at }) =>
      /^(ins|outs)$/.test(c.insn.mnemonic) &&
      trap === 13 &&
      /^(vector|rip|flags)$/.test(field) &&
      (before.getBigUint64(at + RECORD.GPR + 8, true) & ((1n << BigInt(8 * c.insn.addressSize)) - 1n)) === 0n,
  ],
  [
    'FSTP ST(i) by D9 D8+i: the undocumented alias does not look for an empty register',
    '',
    ({ c, field }) =>
      c.insn.mnemonic === 'fstp' &&
      c.form.row.opcode === 0xd9 &&
      c.form.kind === 'reg' &&
      /^(fsw|ftw|st\d|vector)$/.test(field),
  ],
  [
    'ENTER of 32 bits on a 16-bit stack: AMD puts the upper half of ESP into the frame pointer',
    'AuthenticAMD',
    ({ c, field }) => c.insn.mnemonic === 'enter' && /^(r5|memory)$/.test(field),
  ],
  [
    "INT1 under this host's hypervisor is told with its own address",
    '',
    ({ c, field }) => c.insn.mnemonic === 'int1' && field === 'rip',
  ],
];

/** Why a difference is none of ours, or undefined. */
export function known(difference) {
  const { host, ours, at, vendor } = difference;
  const d = {
    ...difference,
    trap: host.getUint32(at + RECORD.TRAP, true),
    ourTrap: ours.getUint32(at + RECORD.TRAP, true),
  };
  return KNOWN.find(([, of, explains]) => (of === '' || of === vendor) && explains(d))?.[0];
}
