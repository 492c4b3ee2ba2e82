/** The 0F 3A map. Intel SDM Vol. 2, Appendix A, "Three-byte Opcode Map: 00H - F7H (First two bytes are 0F 3AH)". */
import { op, type RowBody } from './row.js';

export const threeByte3a: readonly RowBody[] = [
  op(0x08, 'roundps', 'Vps,Wps,Ib', '66 sse4.1'),
  op(0x09, 'roundpd', 'Vpd,Wpd,Ib', '66 sse4.1'),
  op(0x0a, 'roundss', 'Vss,Wss,Ib', '66 sse4.1'),
  op(0x0b, 'roundsd', 'Vsd,Wsd,Ib', '66 sse4.1'),
  op(0x0c, 'blendps', 'Vps,Wps,Ib', '66 sse4.1'),
  op(0x0d, 'blendpd', 'Vpd,Wpd,Ib', '66 sse4.1'),
  op(0x0e, 'pblendw', 'Vdq,Wdq,Ib', '66 sse4.1'),
  op(0x0f, 'palignr', 'Pq,Qq,Ib', 'np ssse3'),
  op(0x0f, 'palignr', 'Vdq,Wdq,Ib', '66 ssse3'),
  op(0x14, 'pextrb', 'Rd/Mb,Vdq,Ib', '66 sse4.1'),
  op(0x15, 'pextrw', 'Rd/Mw,Vdq,Ib', '66 sse4.1'),
  op(0x16, 'pextrd/pextrq', 'Ey,Vdq,Ib', '66 sse4.1'),
  op(0x17, 'extractps', 'Ed,Vdq,Ib', '66 sse4.1'),
  op(0x20, 'pinsrb', 'Vdq,Rd/Mb,Ib', '66 sse4.1'),
  op(0x21, 'insertps', 'Vdq,Udq/Md,Ib', '66 sse4.1'),
  op(0x22, 'pinsrd/pinsrq', 'Vdq,Ey,Ib', '66 sse4.1'),
  op(0x40, 'dpps', 'Vps,Wps,Ib', '66 sse4.1'),
  op(0x41, 'dppd', 'Vpd,Wpd,Ib', '66 sse4.1'),
  op(0x42, 'mpsadbw', 'Vdq,Wdq,Ib', '66 sse4.1'),
  op(0x44, 'pclmulqdq', 'Vdq,Wdq,Ib', '66 pclmulqdq'),
  // REX.W makes the explicit lengths RAX and RDX instead of EAX and EDX.
  op(0x60, 'pcmpestrm', 'Vdq,Wdq,Ib', '66 size=y sse4.2'),
  op(0x61, 'pcmpestri', 'Vdq,Wdq,Ib', '66 size=y sse4.2'),
  op(0x62, 'pcmpistrm', 'Vdq,Wdq,Ib', '66 sse4.2'),
  op(0x63, 'pcmpistri', 'Vdq,Wdq,Ib', '66 sse4.2'),
  op(0xcc, 'sha1rnds4', 'Vdq,Wdq,Ib', 'np sha'),
  op(0xdf, 'aeskeygenassist', 'Vdq,Wdq,Ib', '66 aes'),
];
