// The x87 unit, as the runtime exports it.

export * from './arctangent';
export * from './arith';
export { x87_fcmov, x87_fcmov_not, x87_fcom, x87_fcomi, x87_ftst, x87_fxam } from './compare';
export * from './control';
export * from './image';
export * from './load';
export * from './logarithm';
export * from './remainder';
export * from './store';
export * from './trigonometry';
