/**
 * What the runtime imports from its host. The file's name is the module name of the imports: `env.clock`, `env.random`.
 */

/** TSC ticks of the VM's clock before TSC_OFFSET, as a whole number; never decreases. */
export declare function clock(): f64;

/** A uniform unsigned 32-bit number, unpredictable to the guest. */
export declare function random(): f64;
