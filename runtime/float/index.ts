// SSE arithmetic, as the runtime exports it.
export { float_begin, float_pending } from './mxcsr';
export * from './f32';
export * from './f64';
export * from './convert';
export * from './compare';
