// SHA-1 and SHA-256 steps as the instructions cut them. Intel SDM Vol. 2B, "SHA1RNDS4" to "SHA256RNDS2"; FIPS 180-4.
import { four, lane0, lane1, lane2, lane3 } from './f32x4';

@inline
function f(kind: i32, b: u32, c: u32, d: u32): u32 {
  if (kind == 0) return (b & c) ^ (~b & d);
  if (kind == 2) return (b & c) ^ (b & d) ^ (c & d);
  return b ^ c ^ d;
}

@inline
function constant(kind: i32): u32 {
  return kind == 0 ? 0x5a827999 : kind == 1 ? 0x6ed9eba1 : kind == 2 ? 0x8f1bbcdc : 0xca62c1d6;
}

/** Four rounds; the state is A B C D from the top element, E is already added to the first message word. */
export function sha1_rounds4(state: v128, words: v128, imm: i32): v128 {
  const kind = imm & 3;
  const k = constant(kind);
  const a = lane3(state),
    b = lane2(state),
    c = lane1(state),
    d = lane0(state);
  const a1 = f(kind, b, c, d) + rotl<u32>(a, 5) + lane3(words) + k;
  const b1 = rotl<u32>(b, 30);
  const a2 = f(kind, a, b1, c) + rotl<u32>(a1, 5) + lane2(words) + d + k;
  const b2 = rotl<u32>(a, 30);
  const a3 = f(kind, a1, b2, b1) + rotl<u32>(a2, 5) + lane1(words) + c + k;
  const b3 = rotl<u32>(a1, 30);
  const a4 = f(kind, a2, b3, b2) + rotl<u32>(a3, 5) + lane0(words) + b1 + k;
  return four(b3, rotl<u32>(a2, 30), a3, a4);
}

export function sha1_next_e(a: v128, b: v128): v128 {
  return v128.replace_lane<u32>(b, 3, lane3(b) + rotl<u32>(lane3(a), 30));
}

export function sha1_message1(a: v128, b: v128): v128 {
  return v128.xor(a, v128.shuffle<u32>(a, b, 6, 7, 0, 1));
}

export function sha1_message2(a: v128, b: v128): v128 {
  const w16 = rotl<u32>(lane3(a) ^ lane2(b), 1);
  const w17 = rotl<u32>(lane2(a) ^ lane1(b), 1);
  const w18 = rotl<u32>(lane1(a) ^ lane0(b), 1);
  return four(rotl<u32>(lane0(a) ^ w16, 1), w18, w17, w16);
}

@inline
function choose(e: u32, f: u32, g: u32): u32 {
  return (e & f) ^ (~e & g);
}
@inline
function majority(a: u32, b: u32, c: u32): u32 {
  return (a & b) ^ (a & c) ^ (b & c);
}
@inline
function bigSigma0(a: u32): u32 {
  return rotr<u32>(a, 2) ^ rotr<u32>(a, 13) ^ rotr<u32>(a, 22);
}
@inline
function bigSigma1(e: u32): u32 {
  return rotr<u32>(e, 6) ^ rotr<u32>(e, 11) ^ rotr<u32>(e, 25);
}
@inline
function smallSigma0(w: u32): u32 {
  return rotr<u32>(w, 7) ^ rotr<u32>(w, 18) ^ (w >> 3);
}
@inline
function smallSigma1(w: u32): u32 {
  return rotr<u32>(w, 17) ^ rotr<u32>(w, 19) ^ (w >> 10);
}

/** Two rounds: dst holds C D G H, src holds A B E F (from the top element). */
export function sha256_rounds2(cdgh: v128, abef: v128, words: v128): v128 {
  const a = lane3(abef),
    b = lane2(abef),
    c = lane3(cdgh),
    d = lane2(cdgh);
  const e = lane1(abef),
    f = lane0(abef),
    g = lane1(cdgh),
    h = lane0(cdgh);
  const first = choose(e, f, g) + bigSigma1(e) + lane0(words) + h;
  const a1 = first + majority(a, b, c) + bigSigma0(a);
  const e1 = first + d;
  const second = choose(e1, e, f) + bigSigma1(e1) + lane1(words) + g;
  return four(e1, second + c, a1, second + majority(a1, a, b) + bigSigma0(a1));
}

export function sha256_message1(a: v128, b: v128): v128 {
  return four(
    lane0(a) + smallSigma0(lane1(a)),
    lane1(a) + smallSigma0(lane2(a)),
    lane2(a) + smallSigma0(lane3(a)),
    lane3(a) + smallSigma0(lane0(b)),
  );
}

export function sha256_message2(a: v128, b: v128): v128 {
  const w16 = lane0(a) + smallSigma1(lane2(b));
  const w17 = lane1(a) + smallSigma1(lane3(b));
  return four(w16, w17, lane2(a) + smallSigma1(w16), lane3(a) + smallSigma1(w17));
}
