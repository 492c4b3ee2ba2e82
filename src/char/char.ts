/**
 * Character devices: a byte stream between the guest and the host. The guest's side (a UART) writes into a
 * CharBackend; the host's side pushes into the UART through CharReceiver, never more than it says it takes.
 */
export interface CharBackend {
  /** The bytes are valid only during the call. */
  write(bytes: Uint8Array): void;
}

export interface CharReceiver {
  /** Bytes that `receive` would take now. */
  canReceive(): number;
  /** Takes from the front as many bytes as fit and says how many. */
  receive(bytes: Uint8Array): number;
}

/** Nobody listens. */
export const NULL_BACKEND: CharBackend = { write() {} };
