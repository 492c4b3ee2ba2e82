// The runtime: intricate routines that every evaluator calls, in AssemblyScript without a heap.
export { ping } from './ping';
