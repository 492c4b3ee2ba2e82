/** The 0F 38 map. Intel SDM Vol. 2, Appendix A, "Three-byte Opcode Map: 00H - F7H (First Two Bytes are 0F 38H)". */
import { op, type RowBody } from './row.js';

function mmxAndXmm(opcode: number, name: string): readonly RowBody[] {
  return [op(opcode, name, 'Pq,Qq', 'np ssse3'), op(opcode, name, 'Vdq,Wdq', '66 ssse3')];
}

/** PMOVSX and PMOVZX: 20-25 and 30-35 with the bytes that they read. */
const WIDENINGS: readonly (readonly [suffix: string, source: string])[] = [
  ['bw', 'Wq'],
  ['bd', 'Wd'],
  ['bq', 'Ww'],
  ['wd', 'Wq'],
  ['wq', 'Wd'],
  ['dq', 'Wq'],
];

const SSSE3_LOW = [
  'pshufb',
  'phaddw',
  'phaddd',
  'phaddsw',
  'pmaddubsw',
  'phsubw',
  'phsubd',
  'phsubsw',
  'psignb',
  'psignw',
  'psignd',
  'pmulhrsw',
] as const;
const MINIMA_MAXIMA = ['pminsb', 'pminsd', 'pminuw', 'pminud', 'pmaxsb', 'pmaxsd', 'pmaxuw', 'pmaxud'] as const;

export const threeByte38: readonly RowBody[] = [
  ...SSSE3_LOW.flatMap((name, index) => mmxAndXmm(index, name)),
  op(0x10, 'pblendvb', 'Vdq,Wdq,XMM0', '66 sse4.1'),
  op(0x14, 'blendvps', 'Vps,Wps,XMM0', '66 sse4.1'),
  op(0x15, 'blendvpd', 'Vpd,Wpd,XMM0', '66 sse4.1'),
  op(0x17, 'ptest', 'Vdq,Wdq', '66 sse4.1'),
  ...mmxAndXmm(0x1c, 'pabsb'),
  ...mmxAndXmm(0x1d, 'pabsw'),
  ...mmxAndXmm(0x1e, 'pabsd'),
  ...WIDENINGS.map(([suffix, source], index) => op(0x20 + index, `pmovsx${suffix}`, `Vdq,${source}`, '66 sse4.1')),
  op(0x28, 'pmuldq', 'Vdq,Wdq', '66 sse4.1'),
  op(0x29, 'pcmpeqq', 'Vdq,Wdq', '66 sse4.1'),
  op(0x2a, 'movntdqa', 'Vdq,Mdq', '66 sse4.1'),
  op(0x2b, 'packusdw', 'Vdq,Wdq', '66 sse4.1'),
  ...WIDENINGS.map(([suffix, source], index) => op(0x30 + index, `pmovzx${suffix}`, `Vdq,${source}`, '66 sse4.1')),
  op(0x37, 'pcmpgtq', 'Vdq,Wdq', '66 sse4.2'),
  ...MINIMA_MAXIMA.map((name, index) => op(0x38 + index, name, 'Vdq,Wdq', '66 sse4.1')),
  op(0x40, 'pmulld', 'Vdq,Wdq', '66 sse4.1'),
  op(0x41, 'phminposuw', 'Vdq,Wdq', '66 sse4.1'),
  op(0x82, 'invpcid', 'Gm,Mdq', '66 invpcid'),
  op(0xc8, 'sha1nexte', 'Vdq,Wdq', 'np sha'),
  op(0xc9, 'sha1msg1', 'Vdq,Wdq', 'np sha'),
  op(0xca, 'sha1msg2', 'Vdq,Wdq', 'np sha'),
  op(0xcb, 'sha256rnds2', 'Vdq,Wdq,XMM0', 'np sha'),
  op(0xcc, 'sha256msg1', 'Vdq,Wdq', 'np sha'),
  op(0xcd, 'sha256msg2', 'Vdq,Wdq', 'np sha'),
  op(0xdb, 'aesimc', 'Vdq,Wdq', '66 aes'),
  op(0xdc, 'aesenc', 'Vdq,Wdq', '66 aes'),
  op(0xdd, 'aesenclast', 'Vdq,Wdq', '66 aes'),
  op(0xde, 'aesdec', 'Vdq,Wdq', '66 aes'),
  op(0xdf, 'aesdeclast', 'Vdq,Wdq', '66 aes'),
  op(0xf0, 'movbe', 'Gv,Mv', 'nfx movbe'),
  op(0xf1, 'movbe', 'Mv,Gv', 'nfx movbe'),
  op(0xf0, 'crc32', 'Gy,Eb', 'f2 sse4.2'),
  op(0xf1, 'crc32', 'Gy,Ev', 'f2 sse4.2'),
  op(0xf6, 'adcx', 'Gy,Ey', '66 adx'),
  op(0xf6, 'adox', 'Gy,Ey', 'f3 adx'),
];
