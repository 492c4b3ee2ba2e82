// The runtime: intricate routines that every evaluator calls, in AssemblyScript without a heap.
export * from './system/index';
export * from './float/index';
export {
  fetchHost,
  load128Slow,
  loadModify128Slow,
  loadHost,
  loadModifySlow,
  loadSlow,
  store128Slow,
  storeHost,
  storeHost128,
  storeSlow,
} from './mmu/access';
export { dropWrites, flushAll } from './mmu/tlb';
export {
  arrive,
  codeRoom,
  deliverFault,
  fetchHere,
  fetchNextPage,
  lookup,
  lookupChecked,
  remembered,
} from './dispatch';
export * from './x87/index';
export * from './integer/index';
export * from './string/index';
export * from './simd/index';
