// RCPPS and RSQRTPS: the scalar approximations in each element.
import { f32_rcp, f32_rsqrt } from '../float/approximate';
import { four, lane0, lane1, lane2, lane3 } from './f32x4';

export function f32x4_rcp(a: v128): v128 {
  return four(f32_rcp(lane0(a)), f32_rcp(lane1(a)), f32_rcp(lane2(a)), f32_rcp(lane3(a)));
}

export function f32x4_rsqrt(a: v128): v128 {
  return four(f32_rsqrt(lane0(a)), f32_rsqrt(lane1(a)), f32_rsqrt(lane2(a)), f32_rsqrt(lane3(a)));
}
