/** What bench cannot do, in a sentence for people. */
export class BenchError extends Error {}
