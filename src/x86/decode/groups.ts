/**
 * Opcodes extended by ModRM.reg (and .mod, .rm): groups 1-17. Intel SDM Vol. 2, Appendix A,
 * "Opcode Extensions For One-Byte And Two-byte Opcodes". Left out, hence #UD: features that are not offered (VMX beyond
 * VMCALL, SVM beyond VMMCALL, RTM, SGX, PKU, CET's shadow stack, WAITPKG, MPX).
 */
import { ARITHMETIC } from './one-byte.js';
import { op, type RowBody } from './row.js';

/** Group 2. /6 is the undocumented alias of SHL that every processor has. */
const SHIFTS = ['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'shl', 'sar'] as const;

/** Groups in the one-byte map. */
export const oneByteGroups: readonly RowBody[] = [
  ...ARITHMETIC.flatMap((name, index) => {
    const lock = name === 'cmp' ? '' : 'lock';
    return [
      op(0x80, name, 'Eb,Ib', `/${index} ${lock}`),
      op(0x81, name, 'Ev,Iz', `/${index} ${lock}`),
      op(0x82, name, 'Eb,Ib', `/${index} ${lock} i64`),
      op(0x83, name, 'Ev,Ibs', `/${index} ${lock}`),
    ];
  }),
  ...SHIFTS.flatMap((name, index) => [
    op(0xc0, name, 'Eb,Ib', `/${index}`),
    op(0xc1, name, 'Ev,Ib', `/${index}`),
    op(0xd0, name, 'Eb,1', `/${index}`),
    op(0xd1, name, 'Ev,1', `/${index}`),
    op(0xd2, name, 'Eb,CL', `/${index}`),
    op(0xd3, name, 'Ev,CL', `/${index}`),
  ]),
  op(0x8f, 'pop', 'Ev', '/0 d64'),
  op(0xc6, 'mov', 'Eb,Ib', '/0'),
  op(0xc7, 'mov', 'Ev,Iz', '/0'),
  ...(['b', 'v'] as const).flatMap((size, wide) => [
    op(0xf6 + wide, 'test', size === 'b' ? 'Eb,Ib' : 'Ev,Iz', '/0'),
    op(0xf6 + wide, 'test', size === 'b' ? 'Eb,Ib' : 'Ev,Iz', '/1'),
    op(0xf6 + wide, 'not', `E${size}`, '/2 lock'),
    op(0xf6 + wide, 'neg', `E${size}`, '/3 lock'),
    op(0xf6 + wide, 'mul', `E${size}`, '/4'),
    op(0xf6 + wide, 'imul', `E${size}`, '/5'),
    op(0xf6 + wide, 'div', `E${size}`, '/6'),
    op(0xf6 + wide, 'idiv', `E${size}`, '/7'),
    op(0xfe + wide, 'inc', `E${size}`, '/0 lock'),
    op(0xfe + wide, 'dec', `E${size}`, '/1 lock'),
  ]),
  op(0xff, 'call', 'Ev', '/2 f64'),
  op(0xff, 'callf', 'Mp', '/3'),
  op(0xff, 'jmp', 'Ev', '/4 f64'),
  op(0xff, 'jmpf', 'Mp', '/5'),
  op(0xff, 'push', 'Ev', '/6 d64'),
];

const PREFETCHES = ['prefetchnta', 'prefetcht0', 'prefetcht1', 'prefetcht2'] as const;

/** Groups in the 0F map, but for the SIMD shifts. */
export const twoByteGroups: readonly RowBody[] = [
  // Group 6
  op(0x00, 'sldt', 'Rv/Mw', '/0 size=v'),
  op(0x00, 'str', 'Rv/Mw', '/1 size=v'),
  op(0x00, 'lldt', 'Ew', '/2'),
  op(0x00, 'ltr', 'Ew', '/3'),
  op(0x00, 'verr', 'Ew', '/4'),
  op(0x00, 'verw', 'Ew', '/5'),
  // Group 7
  op(0x01, 'sgdt', 'Ms', '/0 f64'),
  op(0x01, 'sidt', 'Ms', '/1 f64'),
  op(0x01, 'lgdt', 'Ms', '/2 f64'),
  op(0x01, 'lidt', 'Ms', '/3 f64'),
  op(0x01, 'smsw', 'Rv/Mw', '/4 size=v'),
  op(0x01, 'lmsw', 'Ew', '/6'),
  op(0x01, 'invlpg', 'M', '/7 mem size=m'),
  op(0x01, 'vmcall', '', '/0 reg rm1 np vmx'),
  op(0x01, 'monitor', 'BA', '/1 reg rm0 np monitor'),
  op(0x01, 'mwait', '', '/1 reg rm1 np monitor'),
  op(0x01, 'clac', '', '/1 reg rm2 np smap'),
  op(0x01, 'stac', '', '/1 reg rm3 np smap'),
  op(0x01, 'xgetbv', '', '/2 reg rm0 np xsave'),
  op(0x01, 'xsetbv', '', '/2 reg rm1 np xsave'),
  op(0x01, 'vmmcall', '', '/3 reg rm1 svm'),
  op(0x01, 'swapgs', '', '/7 reg rm0 o64'),
  op(0x01, 'rdtscp', '', '/7 reg rm1 rdtscp'),
  // Group P: AMD's PREFETCH in every slot but two, a hint no-operation with a register.
  op(0x0d, 'nop', 'Ev', ''),
  ...[0, 2, 3, 4, 5, 6, 7].map((reg) => op(0x0d, 'prefetch', 'Mb', `/${reg} mem size=d prefetchw`)),
  op(0x0d, 'prefetchw', 'Mb', '/1 mem size=d prefetchw'),
  // Group 16
  ...PREFETCHES.map((name, index) => op(0x18, name, 'Mb', `/${index} mem size=d sse`)),
  // Group 8
  op(0xba, 'bt', 'Ev,Ib', '/4'),
  op(0xba, 'bts', 'Ev,Ib', '/5 lock'),
  op(0xba, 'btr', 'Ev,Ib', '/6 lock'),
  op(0xba, 'btc', 'Ev,Ib', '/7 lock'),
  // Group 15
  op(0xae, 'fxsave/fxsave64', 'M', '/0 mem np size=y fxsr'),
  op(0xae, 'fxrstor/fxrstor64', 'M', '/1 mem np size=y fxsr'),
  op(0xae, 'ldmxcsr', 'Md', '/2 mem np sse'),
  op(0xae, 'stmxcsr', 'Md', '/3 mem np sse'),
  op(0xae, 'xsave/xsave64', 'M', '/4 mem np size=y xsave'),
  op(0xae, 'xrstor/xrstor64', 'M', '/5 mem np size=y xsave'),
  op(0xae, 'xsaveopt/xsaveopt64', 'M', '/6 mem np size=y xsaveopt'),
  op(0xae, 'clwb', 'Mb', '/6 mem 66 size=d clwb'),
  op(0xae, 'clflush', 'Mb', '/7 mem np size=d clflush'),
  op(0xae, 'clflushopt', 'Mb', '/7 mem 66 size=d clflushopt'),
  op(0xae, 'rdfsbase', 'Ry', '/0 reg f3 o64 fsgsbase'),
  op(0xae, 'rdgsbase', 'Ry', '/1 reg f3 o64 fsgsbase'),
  op(0xae, 'wrfsbase', 'Ry', '/2 reg f3 o64 fsgsbase'),
  op(0xae, 'wrgsbase', 'Ry', '/3 reg f3 o64 fsgsbase'),
  op(0xae, 'lfence', '', '/5 reg np sse2'),
  op(0xae, 'mfence', '', '/6 reg np sse2'),
  op(0xae, 'sfence', '', '/7 reg np sse'),
  // Group 9
  op(0xc7, 'cmpxchg8b/cmpxchg16b', 'Mqdq', '/1 mem lock cx8'),
  op(0xc7, 'xrstors/xrstors64', 'M', '/3 mem np size=y xsaves'),
  op(0xc7, 'xsavec/xsavec64', 'M', '/4 mem np size=y xsavec'),
  op(0xc7, 'xsaves/xsaves64', 'M', '/5 mem np size=y xsaves'),
  op(0xc7, 'rdrand', 'Rv', '/6 reg nfx rdrand'),
  op(0xc7, 'rdseed', 'Rv', '/7 reg nfx rdseed'),
  op(0xc7, 'rdpid', 'Rm', '/7 reg f3 rdpid'),
];
