// The x87 unit, as the runtime exports it.

export * from './arctangent';
export { x87_fabs, x87_fchs, x87_fsqrt } from './arith';
export {
  fpu_fcom_f32,
  fpu_fcom_f64,
  fpu_fcom_int,
  x87_fcmov,
  x87_fcmov_not,
  x87_fcom,
  x87_fcomi,
  x87_ftst,
  x87_fxam,
} from './compare';
export * from './control';
export * from './image';
export * from './load';
export * from './logarithm';
export * from './operations';
export * from './remainder';
export * from './store';
export * from './trigonometry';
