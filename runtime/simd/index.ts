// SSE, AES, SHA and carry-less multiplication, as the runtime exports them.

export * from './aes';
export { fpuTrap, loadMxcsr, sseBegin, sseCheck, sseTrap } from './control';
export * from './control-byte';
export * from './convert';
export {
  f32x4_add,
  f32x4_addsub,
  f32x4_cmp,
  f32x4_div,
  f32x4_dot,
  f32x4_hadd,
  f32x4_hsub,
  f32x4_max,
  f32x4_min,
  f32x4_mul,
  f32x4_round,
  f32x4_sqrt,
  f32x4_sub,
} from './f32x4';
export * from './f64x2';
export * from './integer';
export * from './reciprocal';
export * from './sha';
export * from './string-compare';
export * from './x87-calls';
