// SSE arithmetic, as the runtime exports it.

export * from './approximate';
export * from './compare';
export * from './convert';
export * from './f32';
export * from './f64';
export { float_begin, float_pending } from './mxcsr';
