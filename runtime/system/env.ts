/**
 * What the runtime imports from its host. The file's name is the module name of the imports: `env.clock`, `env.random`.
 */

/** TSC ticks of the VM's clock before TSC_OFFSET, as a whole number; never decreases. */
export declare function clock(): f64;

/** A uniform unsigned 32-bit number, unpredictable to the guest. */
export declare function random(): f64;

// Accesses that the machine may answer at once, only while DIRECT is set. Declined, they change nothing and become exits.

/** The value, or a negative number: declined. `size` in bytes. */
export declare function portRead(port: i32, size: i32): f64;
export declare function busRead(gpa: f64, size: i32): f64;

/** 0: declined. */
export declare function portWrite(port: i32, size: i32, value: u32): i32;
export declare function busWrite(gpa: f64, size: i32, value: u32): i32;
export declare function msrWrite(msr: i32, value: u64): i32;
